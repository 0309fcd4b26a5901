import { hex, PAGE_SIZE, type Spa } from '../../address.js';
import { view } from '../../bytes.js';
import { defineFault } from '../../fault.js';
import { PLATFORM_FEATURES } from '../../spec/platform-features.js';
import type { Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { commandRefusal, lengthRefusal } from '../command-checks.js';
import { OUTPUT_CROSSES_PAGE, outputRefusal } from '../common-checks.js';
import { writeBytes } from '../page-io.js';
import { currentFirmware, firmwareFeatures } from '../platform-firmware.js';
import { POLICY_BIT } from '../policy-checks.js';

const NAME = 'SNP_FEATURE_INFO';
export const FEATURE_INFO_SIZE = 0x10;
const RESULT_SIZE = 16;

export interface FeatureInfoParams {
  readonly length?: number;
  /** Sub-function of CPUID Fn8000_0024. */
  readonly ecxIn: number;
  readonly result: Spa;
}

/** Bits of ECX of sub-function 0. Linux include/linux/psp-sev.h. */
export const SNP_FEATURE = {
  X86_SNP_SHUTDOWN: 1 << 1,
  RAPL_DIS: 1 << 2,
  CIPHERTEXT_HIDING: 1 << 3,
  AES_256_XTS_POLICY: 1 << 4,
  CXL_ALLOW_POLICY: 1 << 5,
  VERIFY_MITIGATION: 1 << 13,
} as const;

export interface FeatureInfo {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

export function decodeFeatureInfo(bytes: Uint8Array): FeatureInfo {
  const word = (offset: number): number => view(bytes).getUint32(offset, true);
  return { eax: word(0), ebx: word(4), ecx: word(8), edx: word(12) };
}

export const FEATURE_INFO_FUNCTION = defineFault<{ ecx: number; largest: number }>({
  check: 'fw-feature-info-function',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Unknown sub-function of the feature information',
  message: (o) => `ECX_IN is ${o.ecx}; the largest sub-function is ${o.largest}.`,
  why: 'The command mirrors CPUID Fn8000_0024, whose sub-functions are numbered from 0.',
  hint: 'Ask for sub-function 0; its EAX says how many there are.',
  reference: 'AMD pub. 56860, SNP_FEATURE_INFO',
  confirmed: false,
});

const LARGEST = 0;

function features(machine: FirmwareMachine): FeatureInfo {
  const firmware = currentFirmware(machine);
  const platform = PLATFORM_FEATURES[machine.processor.name];
  const known = firmwareFeatures(firmware);
  const policy = (bit: bigint): boolean => (firmware.knownPolicyBits & bit) !== 0n;
  const ecx =
    (known.x86SnpShutdown ? SNP_FEATURE.X86_SNP_SHUTDOWN : 0) |
    (platform.raplDisable ? SNP_FEATURE.RAPL_DIS : 0) |
    (platform.ciphertextHiding ? SNP_FEATURE.CIPHERTEXT_HIDING : 0) |
    (platform.aes256Xts && policy(POLICY_BIT.MEM_AES_256_XTS) ? SNP_FEATURE.AES_256_XTS_POLICY : 0) |
    (policy(POLICY_BIT.CXL_ALLOW) ? SNP_FEATURE.CXL_ALLOW_POLICY : 0) |
    (known.verifyMitigation ? SNP_FEATURE.VERIFY_MITIGATION : 0);
  // EBX bit 1 is SEV-TIO, which no emulated platform has.
  return { eax: LARGEST, ebx: 0, ecx, edx: 0 };
}

function refusal(machine: FirmwareMachine, params: FeatureInfoParams): FirmwareResult | undefined {
  const early = commandRefusal(machine, 'featureInfo', NAME) ?? lengthRefusal(params.length, FEATURE_INFO_SIZE, NAME);
  if (early) return early;
  if (params.ecxIn > LARGEST) return refuse(FEATURE_INFO_FUNCTION, { ecx: params.ecxIn, largest: LARGEST });
  const field = 'FEATURE_INFO_PADDR';
  const wrongPage = outputRefusal(machine, NAME, field, params.result);
  if (wrongPage) return wrongPage;
  if ((params.result % PAGE_SIZE) + RESULT_SIZE <= PAGE_SIZE) return undefined;
  return refuse(OUTPUT_CROSSES_PAGE, { field, address: hex(params.result), size: RESULT_SIZE }, NAME);
}

/** SNP_FEATURE_INFO (0x0CE), in any platform state: 16 bytes as CPUID would give them. */
export function snpFeatureInfo(machine: FirmwareMachine, params: FeatureInfoParams): Op<FirmwareResult> {
  const args = { ecxIn: params.ecxIn, result: hex(params.result) };
  // biome-ignore lint/correctness/useYield: the command has no events of its own.
  return inCommand(machine, NAME, { args }, function* () {
    const wrong = refusal(machine, params);
    if (wrong) return wrong;
    const { eax, ebx, ecx, edx } = features(machine);
    const bytes = new Uint8Array(RESULT_SIZE);
    for (const [i, word] of [eax, ebx, ecx, edx].entries()) view(bytes).setUint32(4 * i, word, true);
    writeBytes(machine.memory, params.result, bytes);
    return SUCCESS;
  });
}
