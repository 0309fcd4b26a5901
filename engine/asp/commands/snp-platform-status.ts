import { hex, PAGE_SIZE, type Spa } from '../../address.js';
import { view } from '../../bytes.js';
import { PLATFORM_FEATURES } from '../../spec/platform-features.js';
import type { Op } from '../../timeline/event.js';
import { platformTcb } from '../attestation/platform-tcb.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS } from '../command.js';
import { OUTPUT_CROSSES_PAGE, outputRefusal } from '../common-checks.js';
import { writeBytes } from '../page-io.js';
import { currentFirmware, firmwareFeatures, installedFirmware } from '../platform-firmware.js';

export const PLATFORM_STATUS_SIZE = 32;

/** The result of SNP_PLATFORM_STATUS. Linux include/uapi/linux/psp-sev.h `struct sev_user_data_snp_status`. */
export interface PlatformStatus {
  readonly apiMajor: number;
  readonly apiMinor: number;
  /** 0 UNINIT, 1 INIT. */
  readonly state: number;
  readonly rmpInitialised: boolean;
  readonly buildId: number;
  readonly maskChipId: boolean;
  readonly maskChipKey: boolean;
  readonly vlekEnabled: boolean;
  readonly featureInfo: boolean;
  /** TCB_VERSION values. */
  readonly currentTcb: bigint;
  readonly reportedTcb: bigint;
  readonly guestCount: number;
  readonly raplDisabled: boolean;
  readonly ciphertextHidingCapable: boolean;
  readonly ciphertextHidingEnabled: boolean;
}

export function decodePlatformStatus(bytes: Uint8Array): PlatformStatus {
  const v = view(bytes);
  const flags = v.getUint32(8, true);
  return {
    apiMajor: v.getUint8(0),
    apiMinor: v.getUint8(1),
    state: v.getUint8(2),
    rmpInitialised: (v.getUint8(3) & 1) !== 0,
    buildId: v.getUint32(4, true),
    maskChipId: (flags & 1) !== 0,
    maskChipKey: (flags & 2) !== 0,
    vlekEnabled: (flags & 4) !== 0,
    featureInfo: (flags & 8) !== 0,
    currentTcb: v.getBigUint64(0x10, true),
    reportedTcb: v.getBigUint64(0x18, true),
    guestCount: v.getUint32(12, true),
    raplDisabled: (flags & 0x10) !== 0,
    ciphertextHidingCapable: (flags & 0x20) !== 0,
    ciphertextHidingEnabled: (flags & 0x40) !== 0,
  };
}

function encode(machine: FirmwareMachine): Uint8Array {
  const { asp, rmp, processor } = machine;
  const firmware = currentFirmware(machine);
  const bytes = new Uint8Array(PLATFORM_STATUS_SIZE);
  const v = view(bytes);
  v.setUint8(0, firmware.major);
  v.setUint8(1, firmware.minor);
  v.setUint8(2, asp.platform === 'INIT' ? 1 : 0);
  // IS_RMP_INIT. ALIAS_CHECK_COMPLETE and IS_TIO_EN are clear: the emulated platform has neither.
  v.setUint8(3, rmp.initialised ? 1 : 0);
  v.setUint32(4, installedFirmware(machine).current.build, true);
  const hidingCapable = PLATFORM_FEATURES[processor.name].ciphertextHiding;
  const flags =
    (asp.config.maskChipId ? 1 : 0) |
    (asp.config.maskChipKey ? 2 : 0) |
    (asp.vlek ? 4 : 0) |
    (firmwareFeatures(firmware).featureInfo ? 8 : 0) |
    (asp.options.raplDisabled ? 0x10 : 0) |
    (hidingCapable ? 0x20 : 0) |
    (asp.options.ciphertextHiding ? 0x40 : 0);
  v.setUint32(8, flags, true);
  v.setUint32(12, asp.guests.size, true);
  const tcb = platformTcb(machine);
  v.setBigUint64(0x10, tcb.current, true);
  v.setBigUint64(0x18, tcb.reported, true);
  return bytes;
}

/**
 * SNP_PLATFORM_STATUS (0x083), in any platform state: 32 bytes to `status`. The build id is zero until an update: the
 * emulated firmware has none. AMD pub. 56860, SNP_PLATFORM_STATUS.
 */
export function snpPlatformStatus(machine: FirmwareMachine, params: { readonly status: Spa }): Op<FirmwareResult> {
  const name = 'SNP_PLATFORM_STATUS';
  const field = 'STATUS_PADDR';
  // biome-ignore lint/correctness/useYield: the command has no events of its own.
  return inCommand(machine, name, { args: { status: hex(params.status) } }, function* () {
    const wrong = outputRefusal(machine, name, field, params.status);
    if (wrong) return wrong;
    if ((params.status % PAGE_SIZE) + PLATFORM_STATUS_SIZE > PAGE_SIZE) {
      return refuse(OUTPUT_CROSSES_PAGE, { field, address: hex(params.status), size: PLATFORM_STATUS_SIZE }, name);
    }
    writeBytes(machine.memory, params.status, encode(machine));
    return SUCCESS;
  });
}
