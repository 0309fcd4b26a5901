import { copyBytes, view } from '../../bytes.js';

/** Structs of the SNP commands. Linux arch/x86/include/uapi/asm/kvm.h; amd-memory-encryption.rst. */

/** `struct kvm_sev_init`, 48 bytes. */
export interface SevInit {
  readonly vmsaFeatures: bigint;
  readonly flags: number;
  readonly ghcbVersion: number;
}

export const SEV_INIT_SIZE = 48;

export function encodeSevInit(init: SevInit): Uint8Array {
  const bytes = new Uint8Array(SEV_INIT_SIZE);
  const v = view(bytes);
  v.setBigUint64(0, init.vmsaFeatures, true);
  v.setUint32(8, init.flags, true);
  v.setUint16(12, init.ghcbVersion, true);
  return bytes;
}

export function decodeSevInit(bytes: Uint8Array): SevInit {
  const v = view(bytes);
  return {
    vmsaFeatures: v.getBigUint64(0, true),
    flags: v.getUint32(8, true),
    ghcbVersion: v.getUint16(12, true),
  };
}

/** `struct kvm_sev_snp_launch_start`, 64 bytes. */
export interface SnpLaunchStart {
  readonly policy: bigint;
  /** 16 bytes. */
  readonly gosvw: Uint8Array;
  readonly flags: number;
}

export const SNP_LAUNCH_START_SIZE = 64;

export function encodeSnpLaunchStart(start: SnpLaunchStart): Uint8Array {
  const bytes = new Uint8Array(SNP_LAUNCH_START_SIZE);
  const v = view(bytes);
  v.setBigUint64(0, start.policy, true);
  bytes.set(start.gosvw.subarray(0, 16), 8);
  v.setUint16(24, start.flags, true);
  return bytes;
}

export function decodeSnpLaunchStart(bytes: Uint8Array): SnpLaunchStart {
  const v = view(bytes);
  return { policy: v.getBigUint64(0, true), gosvw: copyBytes(bytes, 8, 24), flags: v.getUint16(24, true) };
}

/** `struct kvm_sev_snp_launch_update`, 64 bytes. u64 fields wrap as in C. */
export interface SnpLaunchUpdate {
  readonly gfnStart: bigint;
  readonly uaddr: bigint;
  /** Bytes. */
  readonly len: bigint;
  readonly type: number;
  readonly flags: number;
}

export const SNP_LAUNCH_UPDATE_SIZE = 64;

export function encodeSnpLaunchUpdate(update: SnpLaunchUpdate): Uint8Array {
  const bytes = new Uint8Array(SNP_LAUNCH_UPDATE_SIZE);
  const v = view(bytes);
  v.setBigUint64(0, BigInt.asUintN(64, update.gfnStart), true);
  v.setBigUint64(8, BigInt.asUintN(64, update.uaddr), true);
  v.setBigUint64(16, BigInt.asUintN(64, update.len), true);
  v.setUint8(24, update.type);
  v.setUint16(26, update.flags, true);
  return bytes;
}

export function decodeSnpLaunchUpdate(bytes: Uint8Array): SnpLaunchUpdate {
  const v = view(bytes);
  return {
    gfnStart: v.getBigUint64(0, true),
    uaddr: v.getBigUint64(8, true),
    len: v.getBigUint64(16, true),
    type: v.getUint8(24),
    flags: v.getUint16(26, true),
  };
}

/** `struct kvm_sev_snp_launch_finish`, 88 bytes. */
export interface SnpLaunchFinish {
  readonly idBlockUaddr: number;
  readonly idAuthUaddr: number;
  readonly idBlockEn: boolean;
  readonly authKeyEn: boolean;
  readonly vcekDisabled: boolean;
  /** 32 bytes. */
  readonly hostData: Uint8Array;
  readonly flags: number;
}

export const SNP_LAUNCH_FINISH_SIZE = 88;

export function encodeSnpLaunchFinish(finish: SnpLaunchFinish): Uint8Array {
  const bytes = new Uint8Array(SNP_LAUNCH_FINISH_SIZE);
  const v = view(bytes);
  v.setBigUint64(0, BigInt(finish.idBlockUaddr), true);
  v.setBigUint64(8, BigInt(finish.idAuthUaddr), true);
  v.setUint8(16, finish.idBlockEn ? 1 : 0);
  v.setUint8(17, finish.authKeyEn ? 1 : 0);
  v.setUint8(18, finish.vcekDisabled ? 1 : 0);
  bytes.set(finish.hostData.subarray(0, 32), 19);
  v.setUint16(54, finish.flags, true);
  return bytes;
}

export function decodeSnpLaunchFinish(bytes: Uint8Array): SnpLaunchFinish {
  const v = view(bytes);
  return {
    idBlockUaddr: Number(v.getBigUint64(0, true)),
    idAuthUaddr: Number(v.getBigUint64(8, true)),
    idBlockEn: v.getUint8(16) !== 0,
    authKeyEn: v.getUint8(17) !== 0,
    vcekDisabled: v.getUint8(18) !== 0,
    hostData: copyBytes(bytes, 19, 51),
    flags: v.getUint16(54, true),
  };
}
