/** The guest policy, a u64. AMD pub. 56860, SNP_LAUNCH_START, guest policy structure. */

export interface PolicyField {
  /** As manifests and policy files spell it. */
  readonly name: PolicyFieldName;
  readonly amdName: string;
  /** Lowest bit and number of bits. */
  readonly bit: number;
  readonly width: 1 | 16;
  readonly meaning: string;
}

export const POLICY_FIELD_NAMES = [
  'abi',
  'smt',
  'migration-agent',
  'debug',
  'single-socket',
  'cxl',
  'mem-aes-256-xts',
  'rapl-disable',
  'ciphertext-hiding',
  'page-swap-disable',
] as const;
export type PolicyFieldName = (typeof POLICY_FIELD_NAMES)[number];

/** Bit 17: reserved, must be one. */
export const POLICY_RESERVED_MBO = 1n << 17n;

export const POLICY_FIELDS: readonly PolicyField[] = [
  {
    name: 'abi',
    amdName: 'ABI_MAJOR, ABI_MINOR',
    bit: 0,
    width: 16,
    meaning: 'The oldest SNP firmware ABI on which the guest may run.',
  },
  {
    name: 'smt',
    amdName: 'SMT',
    bit: 16,
    width: 1,
    meaning: 'Simultaneous multi-threading may be active on the host.',
  },
  {
    name: 'migration-agent',
    amdName: 'MIGRATE_MA',
    bit: 18,
    width: 1,
    meaning: 'The guest may be bound to a migration agent.',
  },
  {
    name: 'debug',
    amdName: 'DEBUG',
    bit: 19,
    width: 1,
    meaning: 'The host may read and write guest memory through SNP_DBG_DECRYPT and SNP_DBG_ENCRYPT.',
  },
  {
    name: 'single-socket',
    amdName: 'SINGLE_SOCKET',
    bit: 20,
    width: 1,
    meaning: 'The guest may be activated on one socket only.',
  },
  {
    name: 'cxl',
    amdName: 'CXL_ALLOW',
    bit: 21,
    width: 1,
    meaning: 'The host may have CXL devices or memory.',
  },
  {
    name: 'mem-aes-256-xts',
    amdName: 'MEM_AES_256_XTS',
    bit: 22,
    width: 1,
    meaning: 'Memory must be encrypted with AES-256 in XTS mode.',
  },
  {
    name: 'rapl-disable',
    amdName: 'RAPL_DIS',
    bit: 23,
    width: 1,
    meaning: 'Power measurement (RAPL) must be disabled.',
  },
  {
    name: 'ciphertext-hiding',
    amdName: 'CIPHERTEXT_HIDING_DRAM',
    bit: 24,
    width: 1,
    meaning: 'The host must not be able to read ciphertext of guest memory.',
  },
  {
    name: 'page-swap-disable',
    amdName: 'PAGE_SWAP_DISABLE',
    bit: 25,
    width: 1,
    meaning: 'SNP_PAGE_MOVE, SNP_PAGE_SWAP_OUT and SNP_PAGE_SWAP_IN are refused.',
  },
];

const byName = new Map(POLICY_FIELDS.map((f) => [f.name as string, f]));

export function policyField(name: string): PolicyField | undefined {
  return byName.get(name);
}

/** Text of a field's value in a policy, as a policy file would have it: "1.55", "true". */
export function policyFieldText(policy: bigint, field: PolicyField): string {
  const value = (policy >> BigInt(field.bit)) & ((1n << BigInt(field.width)) - 1n);
  return field.width === 1 ? String(value === 1n) : `${value >> 8n}.${value & 0xffn}`;
}

export interface PolicyBitDescription {
  /** "15:0", "16". */
  readonly bits: string;
  /** AMD's name. */
  readonly name: string;
  readonly value: string;
  readonly meaning: string;
}

/** Every field of a policy in bit order, with what its value means; reserved bits that are set are listed last. */
export function describePolicy(policy: bigint): readonly PolicyBitDescription[] {
  const rows: { readonly bit: number; readonly row: PolicyBitDescription }[] = POLICY_FIELDS.map((field) => ({
    bit: field.bit,
    row: {
      bits: field.width === 1 ? String(field.bit) : `${field.bit + field.width - 1}:${field.bit}`,
      name: field.amdName,
      value: policyFieldText(policy, field),
      meaning: effect(policy, field),
    },
  }));
  const mbo = (policy & POLICY_RESERVED_MBO) !== 0n;
  rows.push({
    bit: 17,
    row: {
      bits: '17',
      name: 'reserved',
      value: mbo ? '1' : '0',
      meaning: mbo ? 'Reserved, must be one: it is.' : 'Reserved, must be one: this policy is refused.',
    },
  });
  rows.sort((a, b) => a.bit - b.bit);
  const reserved = policy >> 26n;
  if (reserved !== 0n)
    rows.push({
      bit: 26,
      row: {
        bits: '63:26',
        name: 'reserved',
        value: `0x${reserved.toString(16)}`,
        meaning: 'Reserved, must be zero: this policy is refused.',
      },
    });
  return rows.map((r) => r.row);
}

function effect(policy: bigint, field: PolicyField): string {
  const set = ((policy >> BigInt(field.bit)) & 1n) === 1n;
  switch (field.name) {
    case 'abi':
      return (policy & 0xffffn) === 0n
        ? 'Any firmware will do.'
        : `Firmware of SNP ABI ${policyFieldText(policy, field)} or newer is required.`;
    case 'smt':
      return set ? field.meaning : 'Simultaneous multi-threading must be off on the host.';
    case 'migration-agent':
      return set ? field.meaning : 'No migration agent: the guest cannot be migrated.';
    case 'debug':
      return set ? field.meaning : 'The host cannot debug the guest.';
    case 'single-socket':
      return set ? field.meaning : 'The guest may run on several sockets.';
    case 'cxl':
      return set ? field.meaning : 'The host must not have CXL devices or memory.';
    case 'mem-aes-256-xts':
      return set ? field.meaning : 'Any memory encryption mode will do.';
    case 'rapl-disable':
      return set ? field.meaning : 'Power measurement (RAPL) may be active.';
    case 'ciphertext-hiding':
      return set ? field.meaning : 'Ciphertext hiding is not required.';
    case 'page-swap-disable':
      return set ? field.meaning : 'The host may move and swap guest pages.';
  }
}
