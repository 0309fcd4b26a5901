/**
 * The GHCB page, 4096 bytes of memory that guest and host share. AMD pub. 56421, section 2.6; Linux
 * arch/x86/include/asm/svm.h `struct ghcb_save_area`, `struct ghcb`.
 */

export interface GhcbField {
  readonly name: GhcbFieldName;
  readonly offset: number;
  readonly size: 1 | 2 | 4 | 8;
  readonly doc: string;
}

export type GhcbFieldName =
  | 'CPL'
  | 'XSS'
  | 'DR7'
  | 'RIP'
  | 'RSP'
  | 'RAX'
  | 'RCX'
  | 'RDX'
  | 'RBX'
  | 'RBP'
  | 'RSI'
  | 'RDI'
  | 'R8'
  | 'R9'
  | 'R10'
  | 'R11'
  | 'R12'
  | 'R13'
  | 'R14'
  | 'R15'
  | 'SW_EXITCODE'
  | 'SW_EXITINFO1'
  | 'SW_EXITINFO2'
  | 'SW_SCRATCH'
  | 'XCR0';

const row = (name: GhcbFieldName, offset: number, doc: string, size: GhcbField['size'] = 8): GhcbField => ({
  name,
  offset,
  size,
  doc,
});

/** Fields with a bit in the valid bitmap, by offset. */
export const GHCB_FIELDS: readonly GhcbField[] = [
  row('CPL', 0x0cb, 'Privilege level of the guest; for VMMCALL.', 1),
  row('XSS', 0x140, 'IA32_XSS; for CPUID function 0xD.'),
  row('DR7', 0x160, 'DR7.'),
  row('RIP', 0x178, 'RIP.'),
  row('RSP', 0x1d8, 'RSP.'),
  row('RAX', 0x1f8, 'RAX.'),
  row('RCX', 0x308, 'RCX.'),
  row('RDX', 0x310, 'RDX.'),
  row('RBX', 0x318, 'RBX.'),
  row('RBP', 0x328, 'RBP.'),
  row('RSI', 0x330, 'RSI.'),
  row('RDI', 0x338, 'RDI.'),
  row('R8', 0x340, 'R8.'),
  row('R9', 0x348, 'R9.'),
  row('R10', 0x350, 'R10.'),
  row('R11', 0x358, 'R11.'),
  row('R12', 0x360, 'R12.'),
  row('R13', 0x368, 'R13.'),
  row('R14', 0x370, 'R14.'),
  row('R15', 0x378, 'R15.'),
  row('SW_EXITCODE', 0x390, 'What the guest asks for: an SVM exit code or an event of the GHCB specification.'),
  row('SW_EXITINFO1', 0x398, 'First operand; on return 0, or 1 raise an exception, or 2 malformed request.'),
  row('SW_EXITINFO2', 0x3a0, 'Second operand; on return the result or the reason.'),
  row('SW_SCRATCH', 0x3a8, 'Guest physical address of the scratch area.'),
  row('XCR0', 0x3e8, 'XCR0; for CPUID function 0xD.'),
];

/** Where the fields lie; {@link GHCB_FIELDS} by name. */
export const GHCB_FIELD: Readonly<Record<GhcbFieldName, GhcbField>> = Object.fromEntries(
  GHCB_FIELDS.map((field) => [field.name, field]),
) as Record<GhcbFieldName, GhcbField>;

export const GHCB_SIZE = 4096;
/** Bytes that KVM copies when the guest exits: the save area with its bitmap. */
export const GHCB_SAVE_SIZE = 0x400;
/** 16 bytes: bit n stands for the eight bytes at offset 8n. */
export const GHCB_VALID_BITMAP = 0x3f0;
export const GHCB_SHARED_BUFFER = 0x800;
/** First byte behind the shared buffer. */
export const GHCB_SHARED_BUFFER_END = 0xff0;
export const GHCB_PROTOCOL_VERSION = 0xffa;
export const GHCB_USAGE = 0xffc;

/** Bit of a field in the valid bitmap. */
export function validBit(name: GhcbFieldName): number {
  return Math.floor(GHCB_FIELD[name].offset / 8);
}

const VALID_MASK = Object.fromEntries(GHCB_FIELDS.map(({ name }) => [name, 1n << BigInt(validBit(name))])) as Record<
  GhcbFieldName,
  bigint
>;

export function isValid(bitmap: bigint, name: GhcbFieldName): boolean {
  return (bitmap & VALID_MASK[name]) !== 0n;
}

/** The bitmap with exactly these fields. */
export function validBitmap(...names: readonly GhcbFieldName[]): bigint {
  return names.reduce((bitmap, name) => bitmap | (1n << BigInt(validBit(name))), 0n);
}

/** SW_EXITINFO1 on return. Linux arch/x86/include/asm/sev-common.h GHCB_HV_RESP_*. */
export const GHCB_RESPONSE = { NO_ACTION: 0n, ISSUE_EXCEPTION: 1n, MALFORMED_INPUT: 2n } as const;

/** SW_EXITINFO2 of a malformed request. Linux arch/x86/include/asm/sev-common.h GHCB_ERR_*. */
export const GHCB_ERROR = {
  NOT_REGISTERED: 1,
  INVALID_USAGE: 2,
  INVALID_SCRATCH_AREA: 3,
  MISSING_INPUT: 4,
  INVALID_INPUT: 5,
  INVALID_EVENT: 6,
} as const;
export type GhcbErrorName = keyof typeof GHCB_ERROR;

export function ghcbErrorName(value: bigint | number): GhcbErrorName | undefined {
  return (Object.keys(GHCB_ERROR) as GhcbErrorName[]).find((name) => GHCB_ERROR[name] === Number(value));
}

/** SW_EXITINFO2 of a page state change. Linux arch/x86/include/asm/sev-common.h VMGEXIT_PSC_ERROR_*. */
export const PSC_RESULT = {
  DONE: 0n,
  INVALID_HDR: 0x1_0000_0001n,
  INVALID_ENTRY: 0x1_0000_0002n,
  GENERIC: 0x100_0000_0000n,
} as const;
export type PscResultName = keyof typeof PSC_RESULT;

/** Operations of a page state change. Linux enum psc_op. */
export const PSC_OPERATION = { PRIVATE: 1, SHARED: 2, SMASH: 3, UNSMASH: 4 } as const;
/** Entries that fit behind the header of 8 bytes in the shared buffer. */
export const PSC_MAX_COUNT = 253;

/** Upper half of SW_EXITINFO2 of a guest request. Linux include/uapi/linux/sev-guest.h SNP_GUEST_VMM_ERR_*. */
export const GUEST_VMM_ERROR = { NONE: 0, INVALID_LEN: 1, BUSY: 2, GENERIC: 0x8000_0000 } as const;

/** SW_EXITCODE values that are no exit codes of the processor. Linux include/uapi/asm/svm.h SVM_VMGEXIT_*. */
export const VMGEXIT = {
  MMIO_READ: 0x8000_0001n,
  MMIO_WRITE: 0x8000_0002n,
  NMI_COMPLETE: 0x8000_0003n,
  AP_HLT_LOOP: 0x8000_0004n,
  AP_JUMP_TABLE: 0x8000_0005n,
  PSC: 0x8000_0010n,
  GUEST_REQUEST: 0x8000_0011n,
  EXT_GUEST_REQUEST: 0x8000_0012n,
  AP_CREATION: 0x8000_0013n,
  HV_FEATURES: 0x8000_fffdn,
  TERM_REQUEST: 0x8000_fffen,
  UNSUPPORTED_EVENT: 0x8000_ffffn,
} as const;

/** Exit codes of instructions that a guest may put into SW_EXITCODE. Linux SVM_EXIT_*. */
export const NAE = {
  READ_DR7: 0x27n,
  WRITE_DR7: 0x37n,
  RDTSC: 0x6en,
  RDPMC: 0x6fn,
  CPUID: 0x72n,
  INVD: 0x76n,
  IOIO: 0x7bn,
  MSR: 0x7cn,
  VMMCALL: 0x81n,
  RDTSCP: 0x87n,
  WBINVD: 0x89n,
  MONITOR: 0x8an,
  MWAIT: 0x8bn,
} as const;

/** Bits of EXITINFO1 of IOIO. AMD APM vol. 2, 15.10.2; Linux SVM_IOIO_*. */
export interface IoioInfo {
  readonly isIn: boolean;
  readonly isString: boolean;
  readonly isRep: boolean;
  /** Bits 6:4 as a number: 1, 2 or 4 bytes where one bit is set. */
  readonly size: number;
  readonly port: number;
}

export function decodeIoio(info1: bigint): IoioInfo {
  const bits = Number(info1 & 0xffff_ffffn);
  return {
    isIn: (bits & 1) !== 0,
    isString: (bits & 4) !== 0,
    isRep: (bits & 8) !== 0,
    size: (bits >>> 4) & 7,
    port: bits >>> 16,
  };
}
