import { view } from '../../bytes.js';

/** Commands of KVM_MEMORY_ENCRYPT_OP. Linux arch/x86/include/uapi/asm/kvm.h `enum sev_cmd_id`. */
export const SEV_CMD = {
  KVM_SEV_INIT: 0,
  KVM_SEV_ES_INIT: 1,
  KVM_SEV_LAUNCH_START: 2,
  KVM_SEV_LAUNCH_UPDATE_DATA: 3,
  KVM_SEV_LAUNCH_UPDATE_VMSA: 4,
  KVM_SEV_LAUNCH_SECRET: 5,
  KVM_SEV_LAUNCH_MEASURE: 6,
  KVM_SEV_LAUNCH_FINISH: 7,
  KVM_SEV_SEND_START: 8,
  KVM_SEV_SEND_UPDATE_DATA: 9,
  KVM_SEV_SEND_UPDATE_VMSA: 10,
  KVM_SEV_SEND_FINISH: 11,
  KVM_SEV_RECEIVE_START: 12,
  KVM_SEV_RECEIVE_UPDATE_DATA: 13,
  KVM_SEV_RECEIVE_UPDATE_VMSA: 14,
  KVM_SEV_RECEIVE_FINISH: 15,
  KVM_SEV_GUEST_STATUS: 16,
  KVM_SEV_DBG_DECRYPT: 17,
  KVM_SEV_DBG_ENCRYPT: 18,
  KVM_SEV_CERT_EXPORT: 19,
  KVM_SEV_GET_ATTESTATION_REPORT: 20,
  KVM_SEV_SEND_CANCEL: 21,
  KVM_SEV_INIT2: 22,
  KVM_SEV_SNP_LAUNCH_START: 100,
  KVM_SEV_SNP_LAUNCH_UPDATE: 101,
  KVM_SEV_SNP_LAUNCH_FINISH: 102,
} as const;

export type SevCmdName = keyof typeof SEV_CMD;

const names = new Map<number, SevCmdName>(Object.entries(SEV_CMD).map(([name, id]) => [id, name as SevCmdName]));

export function sevCmdName(id: number): SevCmdName | undefined {
  return names.get(id);
}

/** `struct kvm_sev_cmd`, 24 bytes. */
export interface SevCmd {
  readonly id: number;
  /** User address of the command's own struct. */
  readonly data: number;
  /** Out: status of the firmware command that failed. */
  readonly error: number;
  readonly sevFd: number;
}

export const SEV_CMD_SIZE = 24;
/** Offset of `error`. */
export const SEV_CMD_ERROR = 16;

export function encodeSevCmd(cmd: SevCmd): Uint8Array {
  const bytes = new Uint8Array(SEV_CMD_SIZE);
  const v = view(bytes);
  v.setUint32(0, cmd.id, true);
  v.setBigUint64(8, BigInt(cmd.data), true);
  v.setUint32(16, cmd.error, true);
  v.setUint32(20, cmd.sevFd, true);
  return bytes;
}

export function decodeSevCmd(bytes: Uint8Array): SevCmd {
  const v = view(bytes);
  return {
    id: v.getUint32(0, true),
    data: Number(v.getBigUint64(8, true)),
    error: v.getUint32(16, true),
    sevFd: v.getUint32(20, true),
  };
}
