import { ATTESTATION_PROFILES } from '../../spec/attestation-profiles.js';
import { encodeTcb } from '../../spec/tcb-version.js';
import type { FirmwareMachine } from '../command.js';
import { installedFirmware } from '../platform-firmware.js';

/** TCB_VERSION values of the platform: reported ≤ committed ≤ current, component by component. */
export interface PlatformTcb {
  readonly current: bigint;
  /** The floor below which no firmware can be rolled back. */
  readonly committed: bigint;
  /** What the host lets verifiers see; belongs to the VCEK. */
  readonly reported: bigint;
}

type Holder = Pick<FirmwareMachine, 'processor' | 'firmware' | 'asp'>;

/**
 * Only component SNP changes with a firmware update; boot loader and microcode come with the BIOS. AMD pub. 56860,
 * SNP_COMMIT and SNP_CONFIG.
 */
export function platformTcb(machine: Holder): PlatformTcb {
  const { tcbLayout, currentTcb } = ATTESTATION_PROFILES[machine.processor.name];
  const installed = installedFirmware(machine);
  const committed = encodeTcb({ ...currentTcb, snp: installed.committed.svn }, tcbLayout);
  return {
    current: encodeTcb({ ...currentTcb, snp: installed.current.svn }, tcbLayout),
    committed,
    reported: machine.asp.config.reportedTcb ?? committed,
  };
}

/** CURRENT_MIT_VECTOR. */
export function currentMitigations({ processor, asp }: Holder): bigint {
  return ATTESTATION_PROFILES[processor.name].mitigations | asp.mitigations;
}
