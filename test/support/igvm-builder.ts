import { crc32 } from 'node:zlib';
import { IGVM_TYPE, type IgvmTypeName } from '../../engine/launch/igvm/defs.js';

/** Fields of a structure as [size, value], little-endian; a string is hex. */
type Field = readonly [size: 1 | 2 | 4 | 8, value: number | bigint] | Uint8Array;

export interface Structure {
  readonly type: number;
  readonly body: Uint8Array;
  /** Content behind the headers; its file offset is put into the body at `at`. */
  readonly data?: Uint8Array;
  readonly at?: number;
}

export function structure(name: IgvmTypeName, fields: readonly Field[], data?: Uint8Array, at?: number): Structure {
  const parts = fields.map((field) => {
    if (field instanceof Uint8Array) return Buffer.from(field);
    const [size, value] = field;
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    return part.subarray(0, size);
  });
  return { type: IGVM_TYPE[name], body: new Uint8Array(Buffer.concat(parts)), ...(data ? { data, at: at ?? 12 } : {}) };
}

export const platform = (mask = 1, type = 2, vtl = 2): Structure =>
  structure('SUPPORTED_PLATFORM', [
    [4, mask],
    [1, vtl],
    [1, type],
    [2, 1],
    [8, 0],
  ]);
export const policy = (value: bigint | number = 0x3_0000, mask = 1): Structure =>
  structure('GUEST_POLICY', [
    [8, value],
    [4, mask],
    [4, 0],
  ]);

export interface PageOptions {
  readonly data?: Uint8Array;
  readonly flags?: number;
  readonly type?: number;
  readonly mask?: number;
}
export const page = (gpa: number, o: PageOptions = {}): Structure =>
  structure(
    'PAGE_DATA',
    [
      [8, gpa],
      [4, o.mask ?? 1],
      [4, 0],
      [4, o.flags ?? 0],
      [2, o.type ?? 0],
      [2, 0],
    ],
    o.data,
  );
export const area = (index: number, length: bigint | number, data?: Uint8Array): Structure =>
  structure(
    'PARAMETER_AREA',
    [
      [8, length],
      [4, index],
      [4, 0],
    ],
    data,
  );
export const insert = (gpa: number, index: number, mask = 1): Structure =>
  structure('PARAMETER_INSERT', [
    [8, gpa],
    [4, mask],
    [4, index],
  ]);
export const parameter = (name: IgvmTypeName, index: number, offset = 0): Structure =>
  structure(name, [
    [4, index],
    [4, offset],
  ]);
export const required = (gpa: number, length: number, mask = 1): Structure =>
  structure('REQUIRED_MEMORY', [
    [8, gpa],
    [4, mask],
    [4, length],
    [4, 0],
    [4, 0],
  ]);
export const context = (vmsa: Uint8Array, o: { gpa?: bigint; vcpu?: number; mask?: number } = {}): Structure =>
  structure(
    'VP_CONTEXT',
    [
      [8, o.gpa ?? 0xffff_ffff_f000n],
      [4, o.mask ?? 1],
      [4, 0],
      [2, o.vcpu ?? 0],
      [2, 0],
    ],
    vmsa,
  );
export const idBlock = (o: { mask?: number; enabled?: number; version?: number; curve?: number } = {}): Structure => {
  const body = new Uint8Array(696);
  const v = new DataView(body.buffer);
  v.setUint32(0, o.mask ?? 1, true);
  v.setUint8(4, o.enabled ?? 0);
  v.setUint32(88, o.version ?? 1, true);
  v.setUint32(544, o.curve ?? 0, true);
  return structure('SNP_ID_BLOCK', [body]);
};

/** A file of version 1 with a right checksum. Contents follow each other in order. */
export function buildIgvm(structures: readonly Structure[]): Uint8Array {
  const headersEnd = 24 + structures.reduce((sum, s) => sum + 8 + Math.ceil(s.body.length / 8) * 8, 0);
  const total = headersEnd + structures.reduce((sum, s) => sum + (s.data?.length ?? 0), 0);
  const file = Buffer.alloc(total);
  file.write('IGVM', 0, 'latin1');
  for (const [at, value] of [
    [4, 1],
    [8, 24],
    [12, headersEnd - 24],
    [16, total],
  ] as const)
    file.writeUInt32LE(value, at);
  let at = 24;
  let dataAt = headersEnd;
  for (const { type, body, data, at: offsetAt } of structures) {
    file.writeUInt32LE(type, at);
    file.writeUInt32LE(body.length, at + 4);
    file.set(body, at + 8);
    if (data && offsetAt !== undefined) {
      file.writeUInt32LE(dataAt, at + 8 + offsetAt);
      file.set(data, dataAt);
      dataAt += data.length;
    }
    at += 8 + Math.ceil(body.length / 8) * 8;
  }
  return sealed(new Uint8Array(file));
}

/** With the checksum made right again, after a change. */
export function sealed(file: Uint8Array): Uint8Array {
  const bytes = Buffer.from(file);
  if (bytes.length < 24) return new Uint8Array(bytes);
  bytes.writeUInt32LE(0, 20);
  const start = Math.min(bytes.readUInt32LE(8), bytes.length);
  const end = Math.min(start + bytes.readUInt32LE(12), bytes.length);
  const header = bytes.subarray(0, bytes.readUInt32LE(4) === 2 ? 32 : 24);
  bytes.writeUInt32LE(crc32(bytes.subarray(start, end), crc32(header)) >>> 0, 20);
  return new Uint8Array(bytes);
}
