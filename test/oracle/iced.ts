import {
  Code,
  CpuidFeature,
  Decoder,
  DecoderOptions,
  EncodingKind,
  FastFormatter,
  Instruction,
  type Register,
  Register as Registers,
} from 'iced-x86';
import type { CodeSize } from '../../engine/cpu/decoder/instruction.js';

/** iced-x86 as a decoder for AMD processors: lengths, and texts that hide no size and no segment. */

/** Extensions that no processor of AMD from Zen 3 on has; of all others every instruction must be in the table. */
const NOT_OF_AMD = new Set(
  `AESKLE D3NOW D3NOWEXT ENQCMD FRED HLE_or_RTM HRESET INVEPT INVVPID KL LKGS MSRLIST OSS PADLOCK_ACE
  PADLOCK_GMI PADLOCK_PHE PADLOCK_PMM PADLOCK_RNG PADLOCK_UNDOC PCONFIG PTWRITE RAO_INT RTM SERIALIZE SGX1 SMX TDX TSE TSXLDTRK UINTR VMX
  WAITPKG WRMSRNS`.split(/\s+/),
);

function icedFormatter(): FastFormatter {
  const formatter = new FastFormatter();
  formatter.alwaysShowMemorySize = true;
  formatter.alwaysShowSegmentRegister = true;
  formatter.ripRelativeAddresses = false;
  formatter.useHexPrefix = true;
  formatter.uppercaseHex = false;
  formatter.usePseudoOps = false;
  return formatter;
}

const formatter = icedFormatter();
/** Segments that no prefix selects in 64-bit mode. */
const FLAT: ReadonlySet<Register> = new Set([Registers.ES, Registers.CS, Registers.SS, Registers.DS]);

/** Decodes at any offset of `bytes`, which it copies. The properties say what the last `decode` found. */
export class IcedDecoder {
  private readonly decoder: Decoder;
  private readonly instruction = new Instruction();

  constructor(
    bytes: Uint8Array,
    private readonly codeSize: CodeSize,
  ) {
    this.decoder = new Decoder(codeSize, bytes, DecoderOptions.AMD);
  }

  /** False if it is no instruction. */
  decode(offset: number, ip: bigint): boolean {
    this.decoder.position = offset;
    this.decoder.ip = ip;
    this.decoder.decodeOut(this.instruction);
    return !this.instruction.isInvalid;
  }

  get length(): number {
    return this.instruction.length;
  }

  get text(): string {
    return formatter.format(this.instruction);
  }

  /** Name of the form, such as `Loop_rel8_64_ECX`. */
  get form(): string {
    return Code[this.instruction.code] ?? '';
  }

  /** What RSP changes by. */
  get stackPointerIncrement(): number {
    return this.instruction.stackPointerIncrement;
  }

  /** There is a segment prefix that 64-bit mode ignores. */
  get ignoresSegment(): boolean {
    return this.codeSize === 64 && FLAT.has(this.instruction.segmentPrefix);
  }

  /** A VEX, EVEX or XOP encoding. */
  get isVectorExtension(): boolean {
    return this.instruction.encoding !== EncodingKind.Legacy;
  }

  /** The extension without which AMD has no such instruction; undefined if AMD has it. */
  get otherMaker(): string | undefined {
    const names = Array.from(this.instruction.cpuidFeatures(), (f) => CpuidFeature[f] ?? '');
    return names.find((name) => NOT_OF_AMD.has(name));
  }

  free(): void {
    this.instruction.free();
    this.decoder.free();
  }
}
