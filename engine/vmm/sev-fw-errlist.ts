/** Texts that QEMU prints for firmware status codes. QEMU target/i386/sev.c `sev_fw_errlist`. */
const SEV_FW_ERRLIST: readonly string[] = [
  '',
  'Platform state is invalid',
  'Guest state is invalid',
  'Platform configuration is invalid',
  'Buffer too small',
  'Platform is already owned',
  'Certificate is invalid',
  'Policy is not allowed',
  'Guest is not active',
  'Invalid address',
  'Bad signature',
  'Bad measurement',
  'Asid is already owned',
  'Invalid ASID',
  'WBINVD is required',
  'DF_FLUSH is required',
  'Guest handle is invalid',
  'Invalid command',
  'Guest is active',
  'Hardware error',
  'Hardware unsafe',
  'Feature not supported',
  'Invalid parameter',
  'Required firmware resource depleted',
  'Part-specific integrity check failure',
];

/** QEMU fw_error_to_str(); the SNP codes from 0x19 on are unknown to it. */
export function fwErrorToStr(code: number): string {
  return SEV_FW_ERRLIST[code] ?? 'unknown error';
}
