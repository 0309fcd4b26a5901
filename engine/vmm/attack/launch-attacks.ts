import { hex, PAGE_SIZE } from '../../address.js';
import { CPUID_ENTRY, cpuidCount, cpuidEntryOffset } from '../../asp/cpuid-table.js';
import { copyBytes, view } from '../../bytes.js';
import type { PlanFinish, PlanUpdate } from '../../launch/plan.js';
import type { Machine } from '../../machine.js';
import { ATTACKS } from '../../spec/attacks.js';
import { PAGE_TYPE } from '../../spec/page-type.js';
import { inFrame, logEvent, type Op } from '../../timeline/event.js';
import type { Vmm } from '../context.js';

/** Leaf 1, ECX bit 5: VMX, which no AMD processor has. */
const LEAF = 1;
const VMX = 1 << 5;
/** GUEST_SVN in an ID block: security version of the image, of which the report tells. AMD pub. 56860, ID block. */
const GUEST_SVN = 0x54;

/** The update as the host launches it: changed once, if the attack is about pages. */
export function* attackUpdate(vmm: Vmm, update: PlanUpdate): Op<PlanUpdate> {
  const { attack } = vmm.machine;
  if (!attack || attack.step > 0) return update;
  if (attack.name === 'forge-cpuid' && update.type === PAGE_TYPE.CPUID) {
    const bytes = forgedCpuid(update);
    if (!bytes) return update;
    return yield* performed(vmm, update, bytes, `leaf ${LEAF} of the CPUID page now has VMX in ECX`);
  }
  if (attack.name === 'tamper-page' && update.type === PAGE_TYPE.NORMAL && update.source) {
    const bytes = sourceOf(update);
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    return yield* performed(vmm, update, bytes, `bit 0 of the first byte at ${hex(update.gpa)} is flipped`);
  }
  return update;
}

/** The same for the parameters of LAUNCH_FINISH. */
export function* attackFinish(vmm: Vmm, finish: PlanFinish): Op<PlanFinish> {
  const { attack } = vmm.machine;
  if (attack?.name !== 'tamper-id-block' || !finish.idBlock) {
    if (attack && ATTACKS[attack.name].when === 'launch' && attack.step === 0) yield* nothingToAttack(vmm.machine);
    return finish;
  }
  const idBlock = copyBytes(finish.idBlock);
  idBlock[GUEST_SVN] = (idBlock[GUEST_SVN] ?? 0) ^ 1;
  yield* step(vmm, 'bit 0 of GUEST_SVN in the ID block is flipped');
  return { ...finish, idBlock };
}

/** A launch or a guest that gave the host no occasion. */
export function* nothingToAttack({ attack, stack }: Machine): Op<void> {
  if (attack)
    yield logEvent(stack, 'vmm', `attack: ${attack.name} did not come to pass: what it is about is not there`);
}

function* performed(vmm: Vmm, update: PlanUpdate, bytes: Uint8Array, text: string): Op<PlanUpdate> {
  yield* step(vmm, text);
  return { ...update, source: { path: update.source?.path ?? update.label, bytes } };
}

function step(vmm: Vmm, text: string): Op<void> {
  const { machine } = vmm;
  const { attack, stack } = machine;
  if (!attack) throw new Error('a step without an attack');
  attack.step++;
  return inFrame(
    stack,
    'vmm',
    `attack: ${attack.name}`,
    {},
    function* () {
      yield logEvent(stack, 'vmm', `attack: ${text}`);
    },
    () => ({ result: 'done' }),
  );
}

/** A copy of the source, as long as the update is. */
function sourceOf({ source, length }: PlanUpdate): Uint8Array {
  const bytes = new Uint8Array(Math.max(length, PAGE_SIZE));
  if (source) bytes.set(source.bytes.subarray(0, bytes.length));
  return bytes;
}

/** Undefined: the page has no entry for the leaf. */
function forgedCpuid(update: PlanUpdate): Uint8Array | undefined {
  const bytes = sourceOf(update);
  const v = view(bytes);
  for (let i = 0; i < cpuidCount(bytes); i++) {
    const entry = cpuidEntryOffset(i);
    if (v.getUint32(entry, true) !== LEAF) continue;
    const ecx = entry + CPUID_ENTRY.ecx;
    v.setUint32(ecx, v.getUint32(ecx, true) | VMX, true);
    return bytes;
  }
  return undefined;
}
