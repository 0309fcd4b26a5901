import { hex } from '../../address.js';
import type { Fault } from '../../fault.js';
import type { FirmwareMachine } from '../command.js';
import {
  MESSAGE_KEY_SEL,
  MESSAGE_NO_VLEK,
  MESSAGE_RESERVED,
  MESSAGE_VCEK_DISABLED,
  MESSAGE_VMPL,
} from '../guest-message-faults.js';
import { messageFault } from '../guest-message-handler.js';
import type { GuestContext } from '../state.js';
import { platformTcb } from './platform-tcb.js';
import { chipId, vcekPrivateKey } from './vcek.js';
import { usableHashstick, vlekPrivateKey } from './vlek.js';

/** Checks that report and key requests share. Undefined: passed. */

/** Bytes `start` … `end`-1 of the payload are zero. */
export function reservedFault(payload: Uint8Array, start: number, end: number, message: string): Fault | undefined {
  for (let offset = start; offset < end; offset++) {
    if (payload[offset] !== 0) return messageFault(MESSAGE_RESERVED, { offset: hex(offset) }, message);
  }
  return undefined;
}

export function vmplFault(vmpl: number, vmpck: number, message: string): Fault | undefined {
  return vmpl >= vmpck && vmpl <= 3 ? undefined : messageFault(MESSAGE_VMPL, { vmpl, vmpck }, message);
}

/** KEY_SEL: 0 the VLEK if one is loaded and otherwise the VCEK, 1 the VCEK, 2 the VLEK. */
export function keySelectFault(
  select: number,
  machine: FirmwareMachine,
  guest: GuestContext,
  message: string,
): Fault | undefined {
  if (select === 3) return messageFault(MESSAGE_KEY_SEL, {}, message);
  const hasVlek = usableHashstick(machine) !== undefined;
  if (select === 2) return hasVlek ? undefined : messageFault(MESSAGE_NO_VLEK, {}, message);
  const isVcek = select === 1 || !hasVlek;
  return isVcek && guest.vcekDisabled ? messageFault(MESSAGE_VCEK_DISABLED, { select }, message) : undefined;
}

export type EndorsementKey = 'VCEK' | 'VLEK';

/** Which key a KEY_SEL that passed the check means. */
export function selectedKey(select: number, machine: FirmwareMachine): EndorsementKey {
  if (select === 1) return 'VCEK';
  return usableHashstick(machine) ? 'VLEK' : 'VCEK';
}

/** Private key, 48 bytes big-endian, for the reported TCB. */
export function endorsementKey(machine: FirmwareMachine, which: EndorsementKey): Uint8Array {
  const { reported } = platformTcb(machine);
  if (which === 'VCEK') return vcekPrivateKey(chipId(machine), reported);
  const hashstick = usableHashstick(machine);
  if (!hashstick) throw new Error('selectedKey() gives VLEK only with a hashstick');
  return vlekPrivateKey(hashstick, reported);
}
