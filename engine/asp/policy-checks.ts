import { hex } from '../address.js';
import { defineFault, type Fault, makeFault } from '../fault.js';
import { PLATFORM_FEATURES } from '../spec/platform-features.js';
import type { FirmwareProfile, ProcessorProfile } from '../spec/versions.js';
import { status } from './command.js';
import { DEFAULT_OPTIONS, type PlatformOptions } from './state.js';

/** What SNP_LAUNCH_START asks of the guest policy. AMD pub. 56860, guest policy and SNP_LAUNCH_START. */

const COMMAND = 'SNP_LAUNCH_START';
const POLICY = 'AMD pub. 56860, guest policy';

/** Bits of the guest policy, as AMD numbers them. */
export const POLICY_BIT = {
  SMT: 1n << 16n,
  RESERVED_MBO: 1n << 17n,
  MIGRATE_MA: 1n << 18n,
  DEBUG: 1n << 19n,
  SINGLE_SOCKET: 1n << 20n,
  CXL_ALLOW: 1n << 21n,
  MEM_AES_256_XTS: 1n << 22n,
  RAPL_DIS: 1n << 23n,
  CIPHERTEXT_HIDING_DRAM: 1n << 24n,
  PAGE_SWAP_DISABLE: 1n << 25n,
} as const;

const BIT_17_HINT = (policy: bigint): string => {
  const fixed = hex(policy | POLICY_BIT.RESERVED_MBO);
  return policy === 0x30_0000n
    ? 'Did you mean 0x30000? 0x300000 has one zero too many.'
    : `Set bit 17: ${fixed}. The usual policy is 0x30000.`;
};

export const POLICY_RESERVED_ONE = defineFault<{ policy: bigint }>({
  check: 'fw-policy-reserved-one',
  layer: 'firmware',
  command: COMMAND,
  code: status('POLICY_FAILURE'),
  title: 'Policy bit 17 must be one',
  message: (o) => `Bit 17 of the policy ${hex(o.policy)} is 0.`,
  why: 'Bit 17 is reserved and must be one. An all-zero or mistyped policy is thereby never taken for a valid one.',
  hint: (o) => BIT_17_HINT(o.policy),
  reference: POLICY,
  confirmed: true,
});

export const POLICY_RESERVED_BITS = defineFault<{ policy: bigint; unknown: string; abi: string }>({
  check: 'fw-policy-reserved-bits',
  layer: 'firmware',
  command: COMMAND,
  code: status('POLICY_FAILURE'),
  title: 'Policy sets bits that the firmware does not know',
  message: (o) => `The policy ${hex(o.policy)} sets ${o.unknown}, which are reserved in firmware ABI ${o.abi}.`,
  why: 'Each policy bit is a promise that the firmware keeps for the guest owner. It refuses bits whose promise it does not know.',
  hint: 'Clear these bits, or use a newer firmware.',
  reference: `${POLICY}; the ABI version that introduced each bit is not confirmed`,
  confirmed: false,
});

export const POLICY_ABI = defineFault<{ required: string; abi: string }>({
  check: 'fw-policy-abi',
  layer: 'firmware',
  command: COMMAND,
  code: status('POLICY_FAILURE'),
  title: 'Policy asks for a newer firmware ABI',
  message: (o) => `The policy asks for firmware ABI ${o.required} or newer; this firmware has ${o.abi}.`,
  why: 'ABI_MAJOR and ABI_MINOR are the oldest firmware interface under which the guest owner lets the guest run.',
  hint: 'Lower bits 15:0 of the policy, or update the firmware.',
  reference: POLICY,
  confirmed: true,
});

export const POLICY_SMT = defineFault<{ policy: bigint }>({
  check: 'fw-policy-smt',
  layer: 'firmware',
  command: COMMAND,
  code: status('POLICY_FAILURE'),
  title: 'Policy forbids SMT, and the platform has it on',
  message: (o) => `Bit 16 (SMT) of the policy ${hex(o.policy)} is 0, and simultaneous multithreading is enabled.`,
  why: 'With SMT another thread of the same core shares caches with the guest. A policy without the bit demands that this cannot happen.',
  hint: 'Set bit 16 (0x10000), or disable SMT in the BIOS of the host.',
  reference: POLICY,
  confirmed: true,
});

export const POLICY_XTS = defineFault<{ policy: bigint; processor: string }>({
  check: 'fw-policy-aes-256-xts',
  layer: 'firmware',
  command: COMMAND,
  code: status('POLICY_FAILURE'),
  title: 'Policy demands AES-256-XTS',
  message: (o) =>
    `Bit 22 (MEM_AES_256_XTS) of the policy ${hex(o.policy)} is 1, but ${o.processor} encrypts memory with AES-128-XEX.`,
  why: 'The bit lets the guest owner insist on the stronger memory encryption of newer processors.',
  hint: 'Clear bit 22 (0x400000), or use a processor that has AES-256-XTS.',
  reference: POLICY,
  confirmed: false,
});

export const POLICY_RAPL = defineFault<{ policy: bigint }>({
  check: 'fw-policy-rapl',
  layer: 'firmware',
  command: COMMAND,
  code: status('POLICY_FAILURE'),
  title: 'Policy demands that RAPL is disabled',
  message: (o) => `Bit 23 (RAPL_DIS) of the policy ${hex(o.policy)} is 1, but RAPL is enabled on the platform.`,
  why: 'The energy counters of RAPL let the host draw conclusions about what a guest computes. The bit asks that they are off, which only SNP_INIT_EX can do.',
  hint: 'Clear bit 23 (0x800000), or initialise the platform with RAPL_DIS.',
  reference: POLICY,
  confirmed: false,
});

export const POLICY_CIPHERTEXT = defineFault<{ policy: bigint }>({
  check: 'fw-policy-ciphertext-hiding',
  layer: 'firmware',
  command: COMMAND,
  code: status('POLICY_FAILURE'),
  title: 'Policy demands ciphertext hiding',
  message: (o) =>
    `Bit 24 (CIPHERTEXT_HIDING_DRAM) of the policy ${hex(o.policy)} is 1, but the platform does not hide ciphertext.`,
  why: 'Without it the host can read the ciphertext of guest memory and watch it change. The bit asks for a platform that returns nothing at all, which only SNP_INIT_EX can switch on.',
  hint: 'Clear bit 24 (0x1000000), or initialise the platform with CIPHERTEXT_HIDING_EN.',
  reference: POLICY,
  confirmed: false,
});

/** All policy checks that fail, in the order of the firmware; SNP_LAUNCH_START reports the first. */
export function firmwarePolicyFaults(
  policy: bigint,
  firmware: FirmwareProfile,
  processor: ProcessorProfile,
  options: PlatformOptions = DEFAULT_OPTIONS,
): Fault[] {
  const faults: Fault[] = [];
  const features = PLATFORM_FEATURES[processor.name];
  const has = (bit: bigint): boolean => (policy & bit) !== 0n;
  const abi = `${firmware.major}.${firmware.minor}`;
  const unknown = policy & ~firmware.knownPolicyBits;
  if (!has(POLICY_BIT.RESERVED_MBO)) faults.push(makeFault(POLICY_RESERVED_ONE, { policy }));
  if (unknown !== 0n) faults.push(makeFault(POLICY_RESERVED_BITS, { policy, unknown: bitList(unknown), abi }));
  const minor = Number(policy & 0xffn);
  const major = Number((policy >> 8n) & 0xffn);
  if (major > firmware.major || (major === firmware.major && minor > firmware.minor)) {
    faults.push(makeFault(POLICY_ABI, { required: `${major}.${minor}`, abi }));
  }
  if (!has(POLICY_BIT.SMT) && processor.smt) faults.push(makeFault(POLICY_SMT, { policy }));
  // Bits above 20 mean something only to a firmware that knows them.
  const asks = (bit: bigint): boolean => has(bit) && (firmware.knownPolicyBits & bit) !== 0n;
  // CXL_ALLOW = 0 asks for a platform without CXL memory; every emulated platform is one.
  if (asks(POLICY_BIT.MEM_AES_256_XTS) && !features.aes256Xts) {
    faults.push(makeFault(POLICY_XTS, { policy, processor: processor.name }));
  }
  if (asks(POLICY_BIT.RAPL_DIS) && !options.raplDisabled) faults.push(makeFault(POLICY_RAPL, { policy }));
  if (asks(POLICY_BIT.CIPHERTEXT_HIDING_DRAM) && !options.ciphertextHiding) {
    faults.push(makeFault(POLICY_CIPHERTEXT, { policy }));
  }
  return faults;
}

/** "bits 26 and 40"; a long run of bits is abbreviated. */
function bitList(bits: bigint): string {
  const numbers: number[] = [];
  for (let n = 0; n < 64; n++) if ((bits >> BigInt(n)) & 1n) numbers.push(n);
  if (bits >> 64n) return `bits above 63 (${hex(bits)})`;
  if (numbers.length > 6) return `bits ${hex(bits)}`;
  const last = numbers.pop();
  return numbers.length === 0 ? `bit ${last}` : `bits ${numbers.join(', ')} and ${last}`;
}
