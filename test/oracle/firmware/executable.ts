import { view } from '../../../engine/bytes.js';
import type { CodeSize } from '../../../engine/cpu/decoder/instruction.js';

/** PE32 and Terse Executable images: Microsoft's PE format; UEFI PI specification, volume 1, chapter 12. */

export interface CodeSection {
  readonly bytes: Uint8Array;
  /** Address of the first byte in the loaded image. */
  readonly address: number;
}

export interface Executable {
  readonly codeSize: CodeSize;
  /** Address of the first instruction. */
  readonly entry: number;
  readonly code: readonly CodeSection[];
}

const MZ = 0x5a4d;
const VZ = 0x5a56;
const PE = 0x4550;
const TE_HEADER = 40;
const SECTION_HEADER = 40;
const EXECUTE = 0x2000_0000;
const MACHINES: Readonly<Record<number, CodeSize>> = { 332: 32, 34404: 64 };

/** `shift`: what the loader subtracts from offsets in the file, for a header that was cut. */
function codeSections(bytes: Uint8Array, table: number, count: number, shift: number): CodeSection[] {
  const v = view(bytes);
  const out: CodeSection[] = [];
  for (let n = 0; n < count; n++) {
    const at = table + n * SECTION_HEADER;
    if ((v.getUint32(at + 36, true) & EXECUTE) === 0) continue;
    const size = Math.min(v.getUint32(at + 8, true), v.getUint32(at + 16, true));
    const offset = v.getUint32(at + 20, true) - shift;
    out.push({ bytes: bytes.subarray(offset, offset + size), address: v.getUint32(at + 12, true) });
  }
  return out;
}

function codeSizeOf(machine: number): CodeSize {
  const codeSize = MACHINES[machine];
  if (codeSize === undefined) throw new Error(`image for machine 0x${machine.toString(16)}`);
  return codeSize;
}

/** Undefined if it is neither. */
export function readExecutable(bytes: Uint8Array): Executable | undefined {
  const v = view(bytes);
  const signature = bytes.length < 64 ? 0 : v.getUint16(0, true);
  if (signature === VZ) {
    return {
      codeSize: codeSizeOf(v.getUint16(2, true)),
      entry: v.getUint32(8, true),
      code: codeSections(bytes, TE_HEADER, bytes[4] ?? 0, v.getUint16(6, true) - TE_HEADER),
    };
  }
  if (signature !== MZ) return undefined;
  const header = v.getUint32(0x3c, true);
  if (v.getUint32(header, true) !== PE) return undefined;
  const optional = header + 24;
  return {
    codeSize: codeSizeOf(v.getUint16(header + 4, true)),
    entry: v.getUint32(optional + 16, true),
    code: codeSections(bytes, optional + v.getUint16(header + 20, true), v.getUint16(header + 6, true), 0),
  };
}
