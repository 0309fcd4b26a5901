import { hex, type Spa } from '../../address.js';
import { defineFault } from '../../fault.js';
import { VMPL_ALL } from '../../rmp/entry.js';
import { writeEntry } from '../../rmp/table.js';
import { type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { findGuest, framesOf } from '../common-checks.js';
import {
  type FoundPage,
  inactiveRefusal,
  operandRefusal,
  ownerRefusal,
  pageOf,
  sizeRefusal,
  stateRefusal,
  swapPolicyRefusal,
} from '../page-checks.js';
import { readRegion, writeRegion } from '../page-region.js';
import type { GuestContext } from '../state.js';

const NAME = 'SNP_PAGE_MOVE';

export interface PageMoveParams {
  readonly gctx: Spa;
  readonly pageSize2M: boolean;
  readonly src: Spa;
  readonly dst: Spa;
}

export const MOVE_GPA = defineFault<{ src: string; dst: string }>({
  check: 'fw-page-move-gpa',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Source and destination stand for different guest pages',
  message: (o) => `The source is GPA ${o.src} of the guest, the destination GPA ${o.dst}.`,
  why: 'A page moves in system memory, never in the guest: otherwise the host could exchange two pages of it.',
  hint: 'RMPUPDATE the destination to the guest physical address of the source.',
  reference: 'AMD pub. 56860, SNP_PAGE_MOVE',
  confirmed: false,
});

type Accepted = { readonly src: FoundPage; readonly dst: FoundPage };

/** The checks in their order, which is not confirmed. */
function accept(
  machine: FirmwareMachine,
  guest: GuestContext,
  { src: from, dst: to, pageSize2M: size2M }: PageMoveParams,
): Accepted | { readonly refusal: FirmwareResult } {
  const source = { field: 'SRC_PADDR', page: from, size2M };
  const target = { field: 'DST_PADDR', page: to, size2M };
  const early =
    swapPolicyRefusal(guest, NAME) ??
    inactiveRefusal(guest, NAME) ??
    operandRefusal(machine, NAME, source) ??
    operandRefusal(machine, NAME, target);
  if (early) return { refusal: early };
  const src = pageOf(machine, source);
  const dst = pageOf(machine, target);
  const wrong =
    sizeRefusal(src, NAME) ??
    sizeRefusal(dst, NAME) ??
    stateRefusal(src, NAME, ['Pre-Swap']) ??
    stateRefusal(dst, NAME, ['Pre-Guest']) ??
    ownerRefusal(src, guest, NAME) ??
    ownerRefusal(dst, guest, NAME);
  if (wrong) return { refusal: wrong };
  if (src.entry.gpa !== dst.entry.gpa) {
    return { refusal: refuse(MOVE_GPA, { src: hex(src.entry.gpa), dst: hex(dst.entry.gpa) }) };
  }
  return { src, dst };
}

/**
 * SNP_PAGE_MOVE (0x0C2): contents and attributes of a guest page go to another place in system memory; the source
 * becomes Pre-Guest, the destination Pre-Swap. AMD pub. 56860, SNP_PAGE_MOVE.
 */
export function snpPageMove(machine: FirmwareMachine, params: PageMoveParams): Op<FirmwareResult> {
  const args = {
    gctx: hex(params.gctx),
    src: hex(params.src),
    dst: hex(params.dst),
    size: params.pageSize2M ? '2M' : '4K',
  };
  return inCommand(machine, NAME, { args }, function* () {
    const found = findGuest(machine, NAME, params.gctx, ['LAUNCH', 'RUNNING']);
    if ('refusal' in found) return found.refusal;
    const { guest } = found;
    const accepted = accept(machine, guest, params);
    if ('refusal' in accepted) return accepted.refusal;
    const { src, dst } = accepted;
    // The ciphertext depends on the address, so the page is decrypted and encrypted again.
    const bytes = readRegion(machine.memory, src.frame, framesOf(params.pageSize2M), guest.vek);
    writeRegion(machine.memory, dst.frame, bytes, guest.vek);
    const { validated, vmsa, vmpl } = src.entry;
    const left = { ...src.entry, validated: false, vmsa: false, vmpl: [VMPL_ALL, 0, 0, 0] } as const;
    yield rmpEvent(machine.stack, NAME, writeEntry(machine.rmp, src.frame, left));
    const moved = { ...dst.entry, validated, vmsa, vmpl };
    yield rmpEvent(machine.stack, NAME, writeEntry(machine.rmp, dst.frame, moved));
    return SUCCESS;
  });
}
