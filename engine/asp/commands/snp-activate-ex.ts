import { hex, type Spa } from '../../address.js';
import { defineFault } from '../../fault.js';
import type { Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { lengthRefusal } from '../command-checks.js';
import { findGuest } from '../common-checks.js';
import type { Topology } from '../state.js';
import { activateRefusal } from './snp-activate.js';

const NAME = 'SNP_ACTIVATE_EX';
const ACTIVATE_EX = 'AMD pub. 56860, SNP_ACTIVATE_EX';
export const ACTIVATE_EX_SIZE = 0x20;

export interface ActivateExParams {
  readonly length?: number;
  readonly gctx: Spa;
  readonly asid: number;
  /** NUM_IDS numbers at APIC_ID_PADDR. */
  readonly apicIds: readonly number[];
}

export const ACTIVATE_EX_EMPTY = defineFault({
  check: 'fw-activate-ex-empty',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'No cores to activate the guest on',
  message: () => 'NUM_IDS is 0.',
  why: 'The command makes the guest’s key available to the core complexes of the listed processors; with none the guest could run nowhere.',
  hint: 'List the APIC ID of one thread of each core complex, or use SNP_ACTIVATE for all.',
  reference: ACTIVATE_EX,
  confirmed: false,
});

export const ACTIVATE_EX_APIC_ID = defineFault<{ apicId: number; last: number }>({
  check: 'fw-activate-ex-apic-id',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'No processor with this APIC ID',
  message: (o) => `The list names APIC ID ${o.apicId}; the platform has 0 to ${o.last}.`,
  why: 'The firmware finds a core complex by the APIC ID of one of its threads.',
  hint: 'List APIC IDs of processors that are present.',
  reference: ACTIVATE_EX,
  confirmed: false,
});

const socketOf = ({ threadsPerSocket }: Topology, apicId: number): number => Math.floor(apicId / threadsPerSocket);

/**
 * SNP_ACTIVATE_EX (0x095): as SNP_ACTIVATE, on the core complexes of some processors only; again with the same ASID it
 * adds to them. The order of its own checks is not confirmed. AMD pub. 56860, SNP_ACTIVATE_EX.
 */
export function snpActivateEx(machine: FirmwareMachine, params: ActivateExParams): Op<FirmwareResult> {
  const args = { gctx: hex(params.gctx), asid: params.asid, apicIds: params.apicIds.join(' ') };
  return inCommand(machine, NAME, { args }, function* () {
    const found = findGuest(machine, NAME, params.gctx, ['LAUNCH', 'RUNNING']);
    if ('refusal' in found) return found.refusal;
    const { guest } = found;
    const { asp } = machine;
    const { topology } = asp;
    const wrongLength = lengthRefusal(params.length, ACTIVATE_EX_SIZE, NAME);
    if (wrongLength) return wrongLength;
    if (params.apicIds.length === 0) return refuse(ACTIVATE_EX_EMPTY, {});
    const last = topology.sockets * topology.threadsPerSocket - 1;
    const unknown = params.apicIds.find((id) => id < 0 || id > last);
    if (unknown !== undefined) return refuse(ACTIVATE_EX_APIC_ID, { apicId: unknown, last });
    // Active everywhere already: nothing can be added.
    const before = guest.asid === 0 ? [] : (guest.apicIds ?? []);
    const again = guest.asid !== 0 && guest.apicIds !== undefined;
    const apicIds = [...new Set([...before, ...params.apicIds])].sort((a, b) => a - b);
    const sockets = new Set(apicIds.map((id) => socketOf(topology, id))).size;
    const wrong = activateRefusal(machine, guest, { asid: params.asid, sockets, again }, NAME);
    if (wrong) return wrong;
    guest.asid = params.asid;
    guest.apicIds = apicIds;
    asp.activeAsids.set(params.asid, params.gctx);
    return SUCCESS;
  });
}
