import { type Gpa, gpa, hex, PAGE_SIZE } from '../../address.js';
import { view } from '../../bytes.js';
import { type Fault, fail, makeFault, ok, type Result } from '../../fault.js';
import * as faults from './faults.js';

/** One structure of the file, and what is needed to check its fields. */
export interface StructureReader {
  readonly path: string;
  readonly name: string;
  /** File offset of the variable header. */
  readonly offset: number;
  /** The structure without its variable header. */
  readonly body: DataView;
  readonly bytes: Uint8Array;
  /** Contents lie from here to the end of the file. */
  readonly dataStart: number;
  readonly fileSize: number;
}

const PHYSICAL_BITS = 52n;
const PHYSICAL_END = 1n << PHYSICAL_BITS;
const PAGE = BigInt(PAGE_SIZE);

/** Operands that every fault of a structure has. */
export function placeOf({ path, name, offset }: StructureReader): { path: string; name: string; offset: string } {
  return { path, name, offset: hex(offset) };
}

export function structureReader(
  file: { readonly path: string; readonly bytes: Uint8Array; readonly dataStart: number },
  at: { readonly name: string; readonly offset: number; readonly start: number; readonly length: number },
): StructureReader {
  const body = view(file.bytes.subarray(at.start, at.start + at.length));
  const { path, bytes, dataStart } = file;
  return { path, name: at.name, offset: at.offset, body, bytes, dataStart, fileSize: bytes.length };
}

export function u32(reader: StructureReader, at: number): number {
  return reader.body.getUint32(at, true);
}

export function u64(reader: StructureReader, at: number): bigint {
  return reader.body.getBigUint64(at, true);
}

/** A guest physical range of whole pages: the address at `at`, its length in bytes from the structure. */
export function rangeAt(
  reader: StructureReader,
  at: number,
  length: bigint,
  unit: bigint = PAGE,
): Result<{ readonly gpa: Gpa; readonly length: number }> {
  const address = u64(reader, at);
  if (address % unit !== 0n) return unaligned(reader, 'gpa', address);
  if (length % PAGE !== 0n) return unaligned(reader, 'number_of_bytes', length);
  if (address + length > PHYSICAL_END) {
    const operands = { ...placeOf(reader), gpa: hex(address), size: hex(length) };
    return fail(makeFault(faults.IGVM_ADDRESS, operands));
  }
  return ok({ gpa: gpa(Number(address)), length: Number(length) });
}

export function unaligned(reader: StructureReader, field: string, value: bigint): Result<never> {
  return fail(makeFault(faults.IGVM_ALIGNMENT, { ...placeOf(reader), field, value: hex(value) }));
}

export function reserved(reader: StructureReader): Result<never> {
  return fail(makeFault(faults.IGVM_RESERVED, placeOf(reader)));
}

/** A content of `length` bytes at a file offset: undefined if it lies in the data, the fault otherwise. */
export function dataFault(reader: StructureReader, at: number, length: number): Fault | undefined {
  if (at >= reader.dataStart && at + length <= reader.fileSize) return undefined;
  return makeFault(faults.IGVM_DATA_RANGE, { ...placeOf(reader), at: hex(at), length: hex(length) });
}
