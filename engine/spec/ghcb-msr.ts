/**
 * GHCB MSR protocol: MSR C001_0130. AMD pub. 56421, 2.3.1; Linux arch/x86/include/asm/sev-common.h,
 * GHCB_MSR_*.
 */
export type GhcbMsrDirection = 'request' | 'response' | 'value';

export interface GhcbMsrField {
  readonly name: string;
  /** Inclusive, high bit first. */
  readonly bits: readonly [number, number];
  readonly meaning?: (value: bigint) => string | undefined;
}

export interface GhcbMsrCode {
  /** GHCBInfo, bits 11:0. */
  readonly code: number;
  readonly name: string;
  readonly direction: GhcbMsrDirection;
  readonly fields: readonly GhcbMsrField[];
}

const REGISTERS = ['EAX', 'EBX', 'ECX', 'EDX'] as const;
const ALL_ONES_52 = (1n << 52n) - 1n;

const register = (value: bigint): string | undefined => REGISTERS[Number(value)];
const operation = (value: bigint): string => (value === 1n ? 'private' : value === 2n ? 'shared' : 'not defined here');
const errorCode = (value: bigint): string => (value === 0n ? 'done' : 'refused');

/** SNP features of the hypervisor, bits of the bitmap. Linux GHCB_HV_FT_SNP*. */
export const HYPERVISOR_FEATURES: Readonly<Record<number, string>> = {
  0: 'SEV-SNP',
  1: 'AP creation',
  2: 'restricted injection',
  3: 'restricted injection timer',
  4: 'APIC ID list',
  5: 'multiple VMPLs',
};

/** Reasons in reason set 0 (GHCB specification) and 1 (Linux SEV_TERM_SET_LINUX). */
export const TERMINATION_REASONS: Readonly<Record<number, readonly string[]>> = {
  0: [
    'general request',
    'the GHCB protocol versions of guest and host do not overlap',
    'a required SNP feature is missing',
  ],
  1: [
    'the GHCB could not be registered',
    'page state change failed',
    'PVALIDATE failed',
    'not running at VMPL0',
    'the CPUID table is wrong',
    'the hypervisor answered a CPUID request wrongly',
    'no secrets page',
    'no SVSM at a VMPL other than 0',
    'an SVSM is announced at VMPL0',
    'the calling area of the SVSM could not be set',
  ],
};

function features(bitmap: bigint): string {
  const names: string[] = [];
  for (let bit = 0, rest = bitmap; rest !== 0n; bit++, rest >>= 1n) {
    if (rest & 1n) names.push(HYPERVISOR_FEATURES[bit] ?? `bit ${bit}`);
  }
  return names.length > 0 ? names.join(', ') : 'none';
}

export const GHCB_MSR_CODES: readonly GhcbMsrCode[] = [
  {
    code: 0x001,
    name: 'SEV information',
    direction: 'response',
    fields: [
      { name: 'highest protocol version', bits: [63, 48] },
      { name: 'lowest protocol version', bits: [47, 32] },
      { name: 'C-bit position', bits: [31, 24] },
    ],
  },
  { code: 0x002, name: 'get SEV information', direction: 'request', fields: [] },
  {
    code: 0x004,
    name: 'CPUID',
    direction: 'request',
    fields: [
      { name: 'function', bits: [63, 32] },
      { name: 'register', bits: [31, 30], meaning: register },
    ],
  },
  {
    code: 0x005,
    name: 'CPUID',
    direction: 'response',
    fields: [
      { name: 'value', bits: [63, 32] },
      { name: 'register', bits: [31, 30], meaning: register },
    ],
  },
  { code: 0x006, name: 'AP reset hold', direction: 'request', fields: [] },
  {
    code: 0x007,
    name: 'AP reset hold',
    direction: 'response',
    fields: [{ name: 'result', bits: [63, 12], meaning: (v) => (v === 0n ? 'woken, but not by SIPI' : 'SIPI') }],
  },
  { code: 0x010, name: 'preferred GHCB GPA', direction: 'request', fields: [] },
  {
    code: 0x011,
    name: 'preferred GHCB GPA',
    direction: 'response',
    fields: [{ name: 'GFN', bits: [63, 12], meaning: (v) => (v === ALL_ONES_52 ? 'no preference' : undefined) }],
  },
  { code: 0x012, name: 'register GHCB GPA', direction: 'request', fields: [{ name: 'GFN', bits: [63, 12] }] },
  {
    code: 0x013,
    name: 'register GHCB GPA',
    direction: 'response',
    fields: [{ name: 'GFN', bits: [63, 12], meaning: (v) => (v === ALL_ONES_52 ? 'refused' : 'accepted') }],
  },
  {
    code: 0x014,
    name: 'page state change',
    direction: 'request',
    fields: [
      { name: 'operation', bits: [55, 52], meaning: operation },
      { name: 'GFN', bits: [51, 12] },
    ],
  },
  {
    code: 0x015,
    name: 'page state change',
    direction: 'response',
    fields: [{ name: 'error code', bits: [63, 32], meaning: errorCode }],
  },
  { code: 0x016, name: 'run VMPL', direction: 'request', fields: [{ name: 'VMPL', bits: [39, 32] }] },
  {
    code: 0x017,
    name: 'run VMPL',
    direction: 'response',
    fields: [{ name: 'error code', bits: [63, 32], meaning: errorCode }],
  },
  { code: 0x080, name: 'hypervisor features', direction: 'request', fields: [] },
  {
    code: 0x081,
    name: 'hypervisor features',
    direction: 'response',
    fields: [{ name: 'features', bits: [63, 12], meaning: features }],
  },
  {
    code: 0x100,
    name: 'terminate',
    direction: 'request',
    fields: [
      {
        name: 'reason set',
        bits: [15, 12],
        meaning: (v) => (v === 0n ? 'GHCB specification' : v === 1n ? 'Linux' : undefined),
      },
      { name: 'reason', bits: [23, 16] },
    ],
  },
];

const byCode = new Map(GHCB_MSR_CODES.map((c) => [c.code, c]));

export interface GhcbMsrValue {
  readonly code: number;
  readonly name: string;
  readonly direction: GhcbMsrDirection;
  readonly fields: readonly { readonly name: string; readonly value: bigint; readonly meaning?: string }[];
  /** False for a code that the specification does not define. */
  readonly defined: boolean;
}

export function bitField(value: bigint, high: number, low: number): bigint {
  return (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
}

export function decodeGhcbMsr(value: bigint): GhcbMsrValue {
  const code = Number(bitField(value, 11, 0));
  if (code === 0) {
    const fields = [{ name: 'GPA', value: bitField(value, 63, 12) << 12n }];
    return { code, name: 'GHCB GPA', direction: 'value', fields, defined: true };
  }
  const known = byCode.get(code);
  if (!known) {
    const name = code >= 0xf00 ? 'vendor range' : 'not defined';
    const fields = [{ name: 'GHCBData', value: bitField(value, 63, 12) }];
    return { code, name, direction: 'request', fields, defined: false };
  }
  const fields = known.fields.map(({ name, bits, meaning }) => {
    const v = bitField(value, bits[0], bits[1]);
    return { name, value: v, meaning: code === 0x100 && name === 'reason' ? terminationReason(value) : meaning?.(v) };
  });
  return { code, name: known.name, direction: known.direction, fields, defined: true };
}

/** The reason of a termination request in words, if its set is known. */
export function terminationReason(value: bigint): string | undefined {
  return TERMINATION_REASONS[Number(bitField(value, 15, 12))]?.[Number(bitField(value, 23, 16))];
}
