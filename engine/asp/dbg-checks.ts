import { hex, PAGE_SIZE, type Spa } from '../address.js';
import { defineFault } from '../fault.js';
import { type FirmwareMachine, type FirmwareResult, refuse, status } from './command.js';
import { findGuest } from './common-checks.js';
import { inactiveRefusal, operandRefusal } from './page-checks.js';
import { POLICY_BIT } from './policy-checks.js';
import type { GuestContext } from './state.js';

/** What SNP_DBG_DECRYPT and SNP_DBG_ENCRYPT have in common. AMD pub. 56860, debugging commands. */

export interface DbgParams {
  readonly gctx: Spa;
  readonly src: Spa;
  readonly dst: Spa;
}

export const DBG_POLICY = defineFault<{ policy: bigint }>({
  check: 'fw-dbg-policy',
  layer: 'firmware',
  command: 'SNP_DBG_*',
  code: status('POLICY_FAILURE'),
  title: 'Policy forbids debugging',
  message: (o) => `Bit 19 (DEBUG) of the policy ${hex(o.policy)} is 0.`,
  why: 'With these commands the host reads and writes the memory of the guest in the clear. The guest owner allows that in the policy, and every attestation report shows it.',
  hint: 'Launch a guest that is to be debugged with bit 19 (0x80000) of the policy; never one with secrets.',
  reference: 'AMD pub. 56860, guest policy',
  confirmed: true,
});

export const DBG_SAME_PAGE = defineFault<{ page: string }>({
  check: 'fw-dbg-same-page',
  layer: 'firmware',
  command: 'SNP_DBG_*',
  code: status('INVALID_ADDRESS'),
  title: 'Source and destination in the same page',
  message: (o) => `SRC_PADDR and DST_PADDR both name the page at ${o.page}.`,
  why: 'One of the two pages belongs to the guest and the other one does not.',
  hint: 'Give two pages.',
  reference: 'AMD pub. 56860, SNP_DBG_DECRYPT and SNP_DBG_ENCRYPT',
  confirmed: false,
});

export type DbgAllowed = { readonly guest: GuestContext } | { readonly refusal: FirmwareResult };

/** What both commands check before they look at pages; the order is not confirmed. */
export function dbgAllowed(machine: FirmwareMachine, command: string, { gctx, src, dst }: DbgParams): DbgAllowed {
  const found = findGuest(machine, command, gctx, ['RUNNING']);
  if ('refusal' in found) return found;
  const { guest } = found;
  if ((guest.policy & POLICY_BIT.DEBUG) === 0n) {
    return { refusal: refuse(DBG_POLICY, { policy: guest.policy }, command) };
  }
  const wrong =
    inactiveRefusal(guest, command) ??
    operandRefusal(machine, command, { field: 'SRC_PADDR', page: src, size2M: false }) ??
    operandRefusal(machine, command, { field: 'DST_PADDR', page: dst, size2M: false });
  if (wrong) return { refusal: wrong };
  if (src === dst) return { refusal: refuse(DBG_SAME_PAGE, { page: hex(src) }, command) };
  return { guest };
}

export const dbgArgs = ({ gctx, src, dst }: DbgParams) => ({
  gctx: hex(gctx),
  src: hex(src),
  dst: hex(dst),
  size: PAGE_SIZE,
});
