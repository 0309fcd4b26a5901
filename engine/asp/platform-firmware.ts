import { ATTESTATION_PROFILES } from '../spec/attestation-profiles.js';
import { type FirmwareProfile, firmwareProfile } from '../spec/versions.js';
import type { FirmwareMachine } from './command.js';
import type { FirmwareRevision, InstalledFirmware } from './state.js';

/** Which firmware runs, and which one nobody can go back behind. AMD pub. 56860, SNP_COMMIT. */

type Holder = Pick<FirmwareMachine, 'processor' | 'firmware' | 'asp'>;

export function installedFirmware({ processor, firmware, asp }: Holder): InstalledFirmware {
  if (asp.firmware) return asp.firmware;
  // The emulated platform comes without a build number.
  const shipped = { minor: firmware.minor, build: 0, svn: ATTESTATION_PROFILES[processor.name].currentTcb.snp };
  return { current: shipped, committed: shipped };
}

/** The profile of the running ABI: that of the machine until an update. */
export function currentFirmware(machine: Holder): FirmwareProfile {
  const { firmware, asp } = machine;
  const minor = asp.firmware?.current.minor ?? firmware.minor;
  return minor === firmware.minor ? firmware : firmwareProfile(minor);
}

/** Negative: `a` is older. Versions only; security versions are compared apart. */
export function compareRevisions(a: FirmwareRevision, b: FirmwareRevision): number {
  return a.minor - b.minor || a.build - b.build;
}

export function formatRevision({ minor, build }: FirmwareRevision): string {
  return `1.${minor}.${build}`;
}

/** What SNP_FEATURE_INFO and the commands behind it need. The minor versions of introduction are (U). */
export interface FirmwareFeatures {
  readonly featureInfo: boolean;
  readonly x86SnpShutdown: boolean;
  readonly verifyMitigation: boolean;
  /** SNP_SHUTDOWN_EX leaves the pages of the IOMMUs in state Reclaim (Linux drivers/crypto/ccp/sev-dev.c: from 1.53). */
  readonly iommuPagesToReclaim: boolean;
}

export function firmwareFeatures({ minor }: FirmwareProfile): FirmwareFeatures {
  return {
    featureInfo: minor >= 55,
    x86SnpShutdown: minor >= 58,
    verifyMitigation: minor >= 58,
    iommuPagesToReclaim: minor >= 53,
  };
}
