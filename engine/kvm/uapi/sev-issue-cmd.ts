import { view } from '../../bytes.js';

/** `struct sev_issue_cmd`, 16 bytes, packed. Linux include/uapi/linux/psp-sev.h. */
export interface SevIssueCmd {
  readonly cmd: number;
  /** User address. */
  readonly data: number;
  readonly error: number;
}

export const SEV_ISSUE_CMD_SIZE = 16;
export const SEV_ISSUE_CMD_ERROR = 12;

/** Commands of /dev/sev. Those of legacy SEV, 0 to 8, are not emulated. */
export const SEV_IOCTL = {
  SEV_FACTORY_RESET: 0,
  SEV_PLATFORM_STATUS: 1,
  SEV_PEK_GEN: 2,
  SEV_PEK_CSR: 3,
  SEV_PDH_GEN: 4,
  SEV_PDH_CERT_EXPORT: 5,
  SEV_PEK_CERT_IMPORT: 6,
  SEV_GET_ID: 7,
  SEV_GET_ID2: 8,
  SNP_PLATFORM_STATUS: 9,
  SNP_COMMIT: 10,
  SNP_SET_CONFIG: 11,
  SNP_VLEK_LOAD: 12,
} as const;

export function sevIoctlName(cmd: number): string | undefined {
  return Object.entries(SEV_IOCTL).find(([, value]) => value === cmd)?.[0];
}

export function encodeSevIssueCmd({ cmd, data, error }: SevIssueCmd): Uint8Array {
  const bytes = new Uint8Array(SEV_ISSUE_CMD_SIZE);
  const v = view(bytes);
  v.setUint32(0, cmd, true);
  v.setBigUint64(4, BigInt(data), true);
  v.setUint32(SEV_ISSUE_CMD_ERROR, error, true);
  return bytes;
}

export function decodeSevIssueCmd(bytes: Uint8Array): SevIssueCmd {
  const v = view(bytes);
  const error = v.getUint32(SEV_ISSUE_CMD_ERROR, true);
  return { cmd: v.getUint32(0, true), data: Number(v.getBigUint64(4, true)), error };
}

/** `struct sev_user_data_snp_config`, 64 bytes. */
export interface SnpConfig {
  readonly reportedTcb: bigint;
  readonly maskChipId: boolean;
  readonly maskChipKey: boolean;
}

export const SNP_CONFIG_SIZE = 64;

export function encodeSnpConfig({ reportedTcb, maskChipId, maskChipKey }: SnpConfig): Uint8Array {
  const bytes = new Uint8Array(SNP_CONFIG_SIZE);
  view(bytes).setBigUint64(0, reportedTcb, true);
  view(bytes).setUint32(8, (maskChipId ? 1 : 0) | (maskChipKey ? 2 : 0), true);
  return bytes;
}

export function decodeSnpConfig(bytes: Uint8Array): SnpConfig {
  const flags = view(bytes).getUint32(8, true);
  const reportedTcb = view(bytes).getBigUint64(0, true);
  return { reportedTcb, maskChipId: (flags & 1) !== 0, maskChipKey: (flags & 2) !== 0 };
}

/** `struct sev_user_data_snp_vlek_load`, 16 bytes. */
export interface SnpVlekLoad {
  readonly len: number;
  readonly wrappedVersion: number;
  /** User address of the wrapped hashstick, 432 bytes. */
  readonly address: number;
}

export const SNP_VLEK_LOAD_SIZE = 16;
export const SNP_WRAPPED_VLEK_SIZE = 432;

export function encodeSnpVlekLoad({ len, wrappedVersion, address }: SnpVlekLoad): Uint8Array {
  const bytes = new Uint8Array(SNP_VLEK_LOAD_SIZE);
  const v = view(bytes);
  v.setUint32(0, len, true);
  v.setUint8(4, wrappedVersion);
  v.setBigUint64(8, BigInt(address), true);
  return bytes;
}

export function decodeSnpVlekLoad(bytes: Uint8Array): SnpVlekLoad {
  const v = view(bytes);
  return { len: v.getUint32(0, true), wrappedVersion: v.getUint8(4), address: Number(v.getBigUint64(8, true)) };
}
