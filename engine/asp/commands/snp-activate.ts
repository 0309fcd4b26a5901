import { hex, type Spa } from '../../address.js';
import { defineFault } from '../../fault.js';
import type { Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { findGuest } from '../common-checks.js';
import { POLICY_BIT } from '../policy-checks.js';
import type { GuestContext } from '../state.js';

const NAME = 'SNP_ACTIVATE';
const ACTIVATE = 'AMD pub. 56860, SNP_ACTIVATE';

export interface ActivateParams {
  readonly gctx: Spa;
  readonly asid: number;
}

export const ACTIVATE_ASID = defineFault<{ asid: number; max: number }>({
  check: 'fw-activate-asid',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_ASID'),
  title: 'ASID not usable for SNP',
  message: (o) => `ASID ${o.asid} is not between 1 and ${o.max}.`,
  why: 'SEV-ES and SNP guests use the ASIDs below the minimum SEV ASID (CPUID 8000_001F EDX), which the BIOS sets.',
  hint: 'Use an ASID of that range; raise “SEV-ES ASID Space Limit” in the BIOS if there are too few.',
  reference: `${ACTIVATE}; AMD64 APM vol. 3, CPUID 8000_001F`,
  confirmed: true,
});

export const ACTIVATE_OWNED = defineFault<{ asid: number; gctx: string }>({
  check: 'fw-activate-asid-owned',
  layer: 'firmware',
  command: NAME,
  code: status('ASID_OWNED'),
  title: 'ASID belongs to another guest',
  message: (o) => `ASID ${o.asid} is bound to the guest with context ${o.gctx}.`,
  why: 'An ASID selects the memory key and the owner in the RMP. Two guests with one ASID would read each other’s memory.',
  hint: 'Use another ASID, or decommission the other guest.',
  reference: ACTIVATE,
  confirmed: true,
});

export const ACTIVATE_ACTIVE = defineFault<{ asid: number }>({
  check: 'fw-activate-active',
  layer: 'firmware',
  command: NAME,
  code: status('ACTIVE'),
  title: 'Guest is already active',
  message: (o) => `The guest is already bound to ASID ${o.asid}.`,
  why: 'The RMP entries of its pages name that ASID; a second one would cut the guest in two.',
  hint: 'Activate a guest once.',
  reference: ACTIVATE,
  confirmed: true,
});

export const ACTIVATE_FLUSH = defineFault<{ asid: number; since: string }>({
  check: 'fw-activate-df-flush',
  layer: 'firmware',
  command: NAME,
  code: status('DFFLUSH_REQUIRED'),
  title: 'ASID not flushed',
  message: (o) => `No SNP_DF_FLUSH has completed since ${o.since}, so ASID ${o.asid} may still have lines in flight.`,
  why: 'Cache lines of the last owner of the ASID, written under the new key, would corrupt the new guest or reveal the old one.',
  hint: 'Execute WBINVD on all cores and SNP_DF_FLUSH before the ASID is used again.',
  reference: `${ACTIVATE}; Linux arch/x86/kvm/svm/sev.c sev_flush_asids()`,
  confirmed: true,
});

/** What SNP_ACTIVATE and SNP_ACTIVATE_EX check of ASID and sockets; `sockets`: on how many the guest may run. */
export function activateRefusal(
  machine: FirmwareMachine,
  guest: GuestContext,
  { asid, sockets, again }: { readonly asid: number; readonly sockets: number; readonly again: boolean },
  command: string,
): FirmwareResult | undefined {
  const { asp, processor } = machine;
  // With ciphertext hiding the ASIDs above MAX_SNP_ASID belong to SEV-ES guests.
  const max = Math.min(processor.minSevAsid - 1, asp.options.maxSnpAsid ?? processor.maxAsid);
  if (!Number.isInteger(asid) || asid < 1 || asid > max) return refuse(ACTIVATE_ASID, { asid, max }, command);
  const owner = asp.activeAsids.get(asid);
  if (owner !== undefined && owner !== guest.address) {
    return refuse(ACTIVATE_OWNED, { asid, gctx: hex(owner) }, command);
  }
  if (guest.asid !== 0 && !(again && guest.asid === asid)) {
    return refuse(ACTIVATE_ACTIVE, { asid: guest.asid }, command);
  }
  if (asp.asidsToFlush.has(asid) || asp.flushAfterInit) {
    const since = asp.flushAfterInit ? 'SNP_INIT' : `the last guest with ASID ${asid}`;
    return refuse(ACTIVATE_FLUSH, { asid, since }, command);
  }
  if (sockets > 1 && (guest.policy & POLICY_BIT.SINGLE_SOCKET) !== 0n) {
    return refuse(ACTIVATE_SOCKETS, { policy: guest.policy, sockets }, command);
  }
  return undefined;
}

export const ACTIVATE_SOCKETS = defineFault<{ policy: bigint; sockets: number }>({
  check: 'fw-activate-single-socket',
  layer: 'firmware',
  command: NAME,
  code: status('POLICY_FAILURE'),
  title: 'Policy allows one socket only',
  message: (o) =>
    `Bit 20 (SINGLE_SOCKET) of the policy ${hex(o.policy)} is 1; the guest would be active on ${o.sockets} sockets.`,
  why: 'Between sockets the memory of the guest travels over a link. The guest owner can forbid that.',
  hint: 'Use SNP_ACTIVATE_EX with APIC IDs of one socket: SNP_ACTIVATE activates the guest everywhere.',
  reference: 'AMD pub. 56860, guest policy and SNP_ACTIVATE_EX',
  confirmed: false,
});

/** SNP_ACTIVATE (0x091): binds the guest to an ASID. AMD pub. 56860, SNP_ACTIVATE. */
export function snpActivate(machine: FirmwareMachine, params: ActivateParams): Op<FirmwareResult> {
  const args = { gctx: hex(params.gctx), asid: params.asid };
  // biome-ignore lint/correctness/useYield: the command has no events of its own.
  return inCommand(machine, NAME, { args }, function* () {
    const found = findGuest(machine, NAME, params.gctx, ['LAUNCH', 'RUNNING']);
    if ('refusal' in found) return found.refusal;
    const { sockets } = machine.asp.topology;
    const wrong = activateRefusal(machine, found.guest, { asid: params.asid, sockets, again: false }, NAME);
    if (wrong) return wrong;
    found.guest.asid = params.asid;
    machine.asp.activeAsids.set(params.asid, params.gctx);
    return SUCCESS;
  });
}
