import { hex } from '../../address.js';
import { defineFault } from '../../fault.js';
import { ATTESTATION_PROFILES } from '../../spec/attestation-profiles.js';
import { formatTcb, reservedTcbBits, tcbComponentAbove, tcbComponentName } from '../../spec/tcb-version.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { platformTcb } from '../attestation/platform-tcb.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';

const NAME = 'SNP_CONFIG';
const CONFIG = 'AMD pub. 56860, SNP_CONFIG; Linux include/uapi/linux/psp-sev.h struct sev_user_data_snp_config';

export interface ConfigParams {
  /** TCB_VERSION for reports and for the VCEK; 0: that of the committed firmware (U). */
  readonly reportedTcb: bigint;
  readonly maskChipId: boolean;
  readonly maskChipKey: boolean;
}

export const CONFIG_TCB_RESERVED = defineFault<{ tcb: string; bits: string }>({
  check: 'fw-config-tcb-reserved',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Reserved bytes of the reported TCB are not zero',
  message: (o) => `REPORTED_TCB ${o.tcb} sets ${o.bits}, which are reserved on this processor.`,
  why: 'The bytes of a TCB version have other meanings on family 1Ah than on 19h; a value for the wrong family shows here.',
  hint: 'Take the layout of this processor: 19h has boot loader, TEE, SNP, microcode in bytes 0, 1, 6, 7; 1Ah has FMC, boot loader, TEE, SNP, microcode in bytes 0, 1, 2, 3, 7.',
  reference: CONFIG,
  confirmed: false,
});

export const CONFIG_TCB = defineFault<{ component: string; requested: string; committed: string }>({
  check: 'fw-config-tcb',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Reported TCB above the committed one',
  message: (o) =>
    `The ${o.component} of REPORTED_TCB is above that of the committed TCB: ${o.requested}; ${o.committed}.`,
  why: 'Reports must not claim more than what the platform can no longer be rolled back from. Each component is compared alone: reported ≤ committed ≤ current.',
  hint: 'Lower the component, or run SNP_COMMIT after a firmware update.',
  reference: `${CONFIG}; github.com/virtee/snphost issue 127`,
  confirmed: true,
});

function refusal(machine: FirmwareMachine, { reportedTcb }: ConfigParams): FirmwareResult | undefined {
  const { tcbLayout } = ATTESTATION_PROFILES[machine.processor.name];
  const reserved = reservedTcbBits(reportedTcb, tcbLayout);
  if (reserved !== 0n) return refuse(CONFIG_TCB_RESERVED, { tcb: hex(reportedTcb), bits: hex(reserved) });
  const { committed } = platformTcb(machine);
  const above = tcbComponentAbove(reportedTcb, committed, tcbLayout);
  if (!above) return undefined;
  return refuse(CONFIG_TCB, {
    component: tcbComponentName(above),
    requested: formatTcb(reportedTcb, tcbLayout),
    committed: formatTcb(committed, tcbLayout),
  });
}

/** SNP_CONFIG (0x0C9), in any platform state (U): how reports look. All zeros restores the defaults. */
export function snpConfig(machine: FirmwareMachine, params: ConfigParams): Op<FirmwareResult> {
  const { reportedTcb, maskChipId, maskChipKey } = params;
  const args = { reportedTcb: hex(reportedTcb), maskChipId, maskChipKey };
  return inCommand(machine, NAME, { args }, function* () {
    const wrong = refusal(machine, params);
    if (wrong) return wrong;
    machine.asp.config = { ...(reportedTcb === 0n ? {} : { reportedTcb }), maskChipId, maskChipKey };
    const { tcbLayout } = ATTESTATION_PROFILES[machine.processor.name];
    const reported = formatTcb(platformTcb(machine).reported, tcbLayout);
    yield logEvent(
      machine.stack,
      'firmware',
      `reported TCB: ${reported}; reports are signed with the VCEK of this TCB`,
    );
    return SUCCESS;
  });
}
