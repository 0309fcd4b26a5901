/**
 * Pages at addresses where the guest has no memory. RAM begins at 0; on QEMU's q35 board it is cut below 4 GiB and
 * goes on above, and the firmware image ends at 4 GiB. A launch would stop at the first such entry; this rule
 * reports all of them.
 */
import { hex } from '../../engine/address.js';
import { type Fault, makeFault } from '../../engine/fault.js';
import type { LaunchPlan } from '../../engine/launch/plan.js';
import { UPDATE_NO_MEMORY } from '../../engine/vmm/sev-snp-launch-update.js';
import { placeOfUpdate } from './page-entries.js';
import type { ManifestContext, Rule } from './rule.js';

const FOUR_GIB = 0x1_0000_0000;
/** QEMU hw/i386/pc_q35.c: with this much RAM or more, what lies below 4 GiB is cut to 2 GiB. */
const Q35_LOWMEM_LIMIT = 0xb000_0000;
const Q35_LOWMEM = 0x8000_0000;

export const pageMemory: Rule = { name: 'page-memory', manifest: check };

function check(context: ManifestContext): readonly Fault[] {
  const { plan } = context;
  if (!plan) return [];
  const regions = regionsOf(plan);
  const text = regions.map(({ start, end }) => `${hex(start)}..${hex(end - 1)}`).join(', ');
  return plan.updates.flatMap((update) => {
    const { gpa, length, label } = update;
    if (regions.some(({ start, end }) => gpa >= start && gpa + length <= end)) return [];
    const operands = { what: label, gpa: hex(gpa), length: hex(length), regions: text };
    return [makeFault(UPDATE_NO_MEMORY, operands, { at: placeOfUpdate(context, update) })];
  });
}

function regionsOf({ vm, firmware }: LaunchPlan): readonly { readonly start: number; readonly end: number }[] {
  const below = Math.min(vm.memory, vm.memory >= Q35_LOWMEM_LIMIT ? Q35_LOWMEM : Q35_LOWMEM_LIMIT);
  const above = vm.memory - below;
  return [
    { start: 0, end: below },
    ...(above > 0 ? [{ start: FOUR_GIB, end: FOUR_GIB + above }] : []),
    ...(firmware ? [{ start: firmware.base, end: firmware.base + firmware.bytes.length }] : []),
  ];
}
