import { hex, type Spa } from '../../address.js';
import { defineFault } from '../../fault.js';
import { ATTESTATION_PROFILES } from '../../spec/attestation-profiles.js';
import { formatTcb, tcbComponentAbove, tcbComponentName } from '../../spec/tcb-version.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { platformTcb } from '../attestation/platform-tcb.js';
import { decodeWrappedVlek, unwrapVlek, WRAPPED_VLEK_SIZE } from '../attestation/vlek.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { lengthRefusal } from '../command-checks.js';
import { bufferRefusal } from '../common-checks.js';
import { readBytes } from '../page-io.js';

const NAME = 'SNP_VLEK_LOAD';
const LOAD = 'AMD pub. 56860, SNP_VLEK_LOAD; Linux include/uapi/linux/psp-sev.h struct sev_user_data_snp_vlek_load';
export const VLEK_LOAD_SIZE = 0x10;

export interface VlekLoadParams {
  readonly length?: number;
  /** Layout of the wrapped hashstick: 0. */
  readonly wrappedVersion: number;
  /** Where the 432 bytes lie. */
  readonly wrapped: Spa;
}

export const VLEK_VERSION = defineFault<{ version: number }>({
  check: 'fw-vlek-load-version',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Unknown version of the wrapped VLEK hashstick',
  message: (o) => `VLEK_WRAPPED_VERSION is ${o.version}; the firmware knows 0.`,
  why: 'The version says how the 432 bytes are laid out.',
  hint: 'Pass 0 and a hashstick in that layout.',
  reference: LOAD,
  confirmed: false,
});

export const VLEK_RESERVED = defineFault<{ offset: string }>({
  check: 'fw-vlek-load-reserved',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Reserved bytes of the wrapped VLEK hashstick are not zero',
  message: (o) => `The byte at offset ${o.offset} of the wrapped hashstick must be zero.`,
  why: 'Bytes 0x0c … 0x0f and 0x198 … 0x19f are reserved.',
  hint: 'Pass on the bytes as AMD’s key distribution service gave them.',
  reference: LOAD,
  confirmed: false,
});

export const VLEK_TAG = defineFault({
  check: 'fw-vlek-load-authentication',
  layer: 'firmware',
  command: NAME,
  code: status('BAD_MEASUREMENT'),
  title: 'VLEK hashstick is not for this chip',
  message: () => 'The tag of the wrapped hashstick does not fit the wrapping key of this chip and the bytes.',
  why: 'A hashstick is wrapped with a key that one chip and AMD know. On another chip, or after a change, the tag is wrong.',
  hint: 'Ask for the hashstick with the CHIP_ID of this platform.',
  reference: LOAD,
  confirmed: false,
});

export const VLEK_TCB = defineFault<{ component: string; wrapped: string; reported: string }>({
  check: 'fw-vlek-load-tcb',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_CONFIG'),
  title: 'VLEK hashstick for an older TCB',
  message: (o) => `The ${o.component} of the reported TCB is above that of the hashstick: ${o.reported}; ${o.wrapped}.`,
  why: 'A hashstick gives keys for its own TCB version and for older ones, never for newer ones.',
  hint: 'Ask for a hashstick of the reported TCB, or lower that with SNP_CONFIG.',
  reference: LOAD,
  confirmed: false,
});

function refusal(machine: FirmwareMachine, params: VlekLoadParams): FirmwareResult | undefined {
  const early = lengthRefusal(params.length, VLEK_LOAD_SIZE, NAME);
  if (early) return early;
  if (params.wrappedVersion !== 0) return refuse(VLEK_VERSION, { version: params.wrappedVersion });
  return bufferRefusal(machine, NAME, 'VLEK_WRAPPED_PADDR', params.wrapped, WRAPPED_VLEK_SIZE);
}

/**
 * SNP_VLEK_LOAD (0x0CD), in any platform state (U): reports and keys can use the VLEK until reset. The order of the
 * checks is not confirmed. AMD pub. 56860, SNP_VLEK_LOAD.
 */
export function snpVlekLoad(machine: FirmwareMachine, params: VlekLoadParams): Op<FirmwareResult> {
  const args = { wrapped: hex(params.wrapped), version: params.wrappedVersion };
  return inCommand(machine, NAME, { args }, function* () {
    const wrong = refusal(machine, params);
    if (wrong) return wrong;
    const bytes = readBytes(machine.memory, params.wrapped, WRAPPED_VLEK_SIZE);
    const { tcb, reservedAt } = decodeWrappedVlek(bytes);
    if (reservedAt !== undefined) return refuse(VLEK_RESERVED, { offset: hex(reservedAt) });
    const hashstick = unwrapVlek(machine, bytes);
    if (!hashstick) return refuse(VLEK_TAG, {});
    const { tcbLayout } = ATTESTATION_PROFILES[machine.processor.name];
    const { reported } = platformTcb(machine);
    const above = tcbComponentAbove(reported, tcb, tcbLayout);
    if (above) {
      return refuse(VLEK_TCB, {
        component: tcbComponentName(above),
        wrapped: formatTcb(tcb, tcbLayout),
        reported: formatTcb(reported, tcbLayout),
      });
    }
    machine.asp.vlek = { tcb, hashstick };
    yield logEvent(machine.stack, 'firmware', `VLEK loaded for TCB ${formatTcb(tcb, tcbLayout)}`);
    return SUCCESS;
  });
}
