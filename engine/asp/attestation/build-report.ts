import { copyBytes } from '../../bytes.js';
import { ATTESTATION_PROFILES, familyModelStepping, reportVersion } from '../../spec/attestation-profiles.js';
import type { FirmwareMachine } from '../command.js';
import { currentFirmware, installedFirmware } from '../platform-firmware.js';
import type { FirmwareRevision, GuestContext } from '../state.js';
import { type EndorsementKey, endorsementKey } from './message-checks.js';
import { currentMitigations, platformTcb } from './platform-tcb.js';
import { type AttestationReport, encodeReport, PLATFORM_INFO, REPORT_ALGORITHM, SIGNING_KEY } from './report.js';
import { signReport } from './report-signature.js';
import { CHIP_ID_SIZE, chipId } from './vcek.js';

function platformInfo({ processor, asp }: FirmwareMachine): bigint {
  let info = 0n;
  if (processor.smt) info |= PLATFORM_INFO.SMT_EN;
  if (ATTESTATION_PROFILES[processor.name].ecc) info |= PLATFORM_INFO.ECC_EN;
  if (asp.options.raplDisabled) info |= PLATFORM_INFO.RAPL_DIS;
  if (asp.options.ciphertextHiding) info |= PLATFORM_INFO.CIPHERTEXT_HIDING_DRAM_EN;
  return info;
}

/** Everything that the report of a guest says. REPORT_DATA: 64 bytes. */
export function reportOf(
  machine: FirmwareMachine,
  guest: GuestContext,
  request: { readonly reportData: Uint8Array; readonly vmpl: number; readonly key?: EndorsementKey },
): AttestationReport {
  const { processor, asp } = machine;
  const firmware = currentFirmware(machine);
  const key = request.key ?? 'VCEK';
  const version = reportVersion(processor.name, firmware.minor);
  const tcb = platformTcb(machine);
  const installed = installedFirmware(machine);
  const versionOf = ({ minor, build }: FirmwareRevision) => ({ major: firmware.major, minor, build });
  return {
    version,
    guestSvn: guest.idBlock?.guestSvn ?? 0,
    policy: guest.policy,
    familyId: guest.idBlock?.familyId ?? new Uint8Array(16),
    imageId: guest.idBlock?.imageId ?? new Uint8Array(16),
    vmpl: request.vmpl,
    signatureAlgorithm: REPORT_ALGORITHM,
    currentTcb: tcb.current,
    platformInfo: platformInfo(machine),
    authorKeyEnabled: guest.authorKeyEnabled,
    chipKeyMasked: asp.config.maskChipKey,
    signingKey: asp.config.maskChipKey ? SIGNING_KEY.NONE : SIGNING_KEY[key],
    reportData: copyBytes(request.reportData),
    measurement: guest.ld,
    hostData: guest.hostData,
    idKeyDigest: guest.idKeyDigest,
    authorKeyDigest: guest.authorKeyDigest,
    reportId: guest.reportId,
    reportIdMa: guest.reportIdMa,
    reportedTcb: tcb.reported,
    ...(version >= 3 ? { cpuid: familyModelStepping(processor.signature) } : {}),
    // A VLEK is there so that chips cannot be told apart: that CHIP_ID is zero then is (U).
    chipId: asp.config.maskChipId || key === 'VLEK' ? new Uint8Array(CHIP_ID_SIZE) : chipId(machine),
    committedTcb: tcb.committed,
    currentVersion: versionOf(installed.current),
    committedVersion: versionOf(installed.committed),
    launchTcb: guest.launchTcb,
    ...(version >= 5 ? { mitigations: { launch: guest.launchMitigations, current: currentMitigations(machine) } } : {}),
  };
}

/** The 1184 bytes, signed with the VCEK or VLEK unless MASK_CHIP_KEY is set. */
export function signedReport(machine: FirmwareMachine, report: AttestationReport): Uint8Array {
  const bytes = encodeReport(report);
  if (report.chipKeyMasked) return bytes;
  signReport(bytes, endorsementKey(machine, report.signingKey === SIGNING_KEY.VLEK ? 'VLEK' : 'VCEK'));
  return bytes;
}
