/** Numbers of the SNP commands. Linux include/linux/psp-sev.h `enum sev_cmd`; AMD pub. 56860. */
export const SNP_COMMAND_ID = {
  SNP_INIT: 0x081,
  SNP_SHUTDOWN: 0x082,
  SNP_PLATFORM_STATUS: 0x083,
  SNP_DF_FLUSH: 0x084,
  SNP_INIT_EX: 0x085,
  SNP_SHUTDOWN_EX: 0x086,
  SNP_DECOMMISSION: 0x090,
  SNP_ACTIVATE: 0x091,
  SNP_GUEST_STATUS: 0x092,
  SNP_GCTX_CREATE: 0x093,
  SNP_GUEST_REQUEST: 0x094,
  SNP_ACTIVATE_EX: 0x095,
  SNP_LAUNCH_START: 0x0a0,
  SNP_LAUNCH_UPDATE: 0x0a1,
  SNP_LAUNCH_FINISH: 0x0a2,
  SNP_DBG_DECRYPT: 0x0b0,
  SNP_DBG_ENCRYPT: 0x0b1,
  SNP_VERIFY_MITIGATION: 0x0b2,
  SNP_PAGE_SWAP_OUT: 0x0c0,
  SNP_PAGE_SWAP_IN: 0x0c1,
  SNP_PAGE_MOVE: 0x0c2,
  SNP_PAGE_MD_INIT: 0x0c3,
  SNP_PAGE_SET_STATE: 0x0c6,
  SNP_PAGE_RECLAIM: 0x0c7,
  SNP_PAGE_UNSMASH: 0x0c8,
  SNP_CONFIG: 0x0c9,
  SNP_DOWNLOAD_FIRMWARE_EX: 0x0ca,
  SNP_COMMIT: 0x0cb,
  SNP_VLEK_LOAD: 0x0cd,
  SNP_FEATURE_INFO: 0x0ce,
} as const;

export type SnpCommandName = keyof typeof SNP_COMMAND_ID;

const names = new Map<number, SnpCommandName>(
  Object.entries(SNP_COMMAND_ID).map(([name, id]) => [id, name as SnpCommandName]),
);

export function snpCommandName(id: number): SnpCommandName | undefined {
  return names.get(id);
}
