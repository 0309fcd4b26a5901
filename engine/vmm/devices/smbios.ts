import { le } from './aml.js';

/** The two files with the SMBIOS tables: entry point and structures. */
export interface SmbiosFiles {
  readonly anchor: Uint8Array;
  readonly tables: Uint8Array;
}

const MIB = 2 ** 20;
const KIB = 1024;
const GIB = 2 ** 30;

/** SMBIOS 3.0 with what QEMU says about its machine. QEMU hw/smbios/smbios.c; DMTF DSP0134. */
export function createSmbiosFiles(
  vcpus: number,
  memory: { readonly below: number; readonly above: number },
): SmbiosFiles {
  const total = memory.below + memory.above;
  const bytes: number[] = [];
  const add = (type: number, handle: number, body: readonly number[], strings: readonly string[] = []): void => {
    bytes.push(type, body.length + 4, ...le(handle, 2), ...body);
    for (const text of strings) bytes.push(...[...text].map((c) => c.charCodeAt(0)), 0);
    bytes.push(...(strings.length === 0 ? [0, 0] : [0]));
  };
  const maker = 'QEMU';
  const product = 'Standard PC (Q35 + ICH9, 2009)';
  // System: no UUID, power switch.
  add(1, 0x100, [1, 2, 3, 0, ...new Array<number>(16).fill(0), 6, 0, 0], [maker, product, 'pc-q35']);
  add(3, 0x300, [1, 1, 2, 0, 0, 3, 3, 3, 2, ...le(0, 4), 0, 0, 0, 0, 0], [maker, 'pc-q35']);
  add(4, 0x400, processorBody(vcpus), ['CPU 0', maker, 'pc-q35']);
  const maximum = total >= 2 ** 41 ? 0x8000_0000 : total / KIB;
  const devices = Math.ceil(total / (16 * GIB));
  add(16, 0x1000, [
    1,
    3,
    6,
    ...le(maximum, 4),
    ...le(0xfffe, 2),
    ...le(devices, 2),
    ...le(total >= 2 ** 41 ? total : 0, 8),
  ]);
  for (let i = 0; i < devices; i++) {
    const size = Math.min(total - i * 16 * GIB, 16 * GIB);
    add(17, 0x1100 + i, memoryDeviceBody(size), [`DIMM ${i}`, maker]);
  }
  add(19, 0x1300, [...le(0, 4), ...le(memory.below / KIB - 1, 4), ...le(0x1000, 2), 1, ...le(0, 16)]);
  if (memory.above > 0) {
    const first = 4 * GIB;
    const wide = [...le(0xffff_ffff, 4), ...le(0xffff_ffff, 4)];
    add(19, 0x1301, [...wide, ...le(0x1000, 2), 1, ...le(first, 8), ...le(first + memory.above - 1, 8)]);
  }
  add(32, 0x2000, new Array<number>(7).fill(0));
  add(127, 0x7f00, []);
  const tables = Uint8Array.from(bytes);
  return { anchor: anchorOf(tables.length), tables };
}

function processorBody(cores: number): number[] {
  const count = Math.min(cores, 255);
  return [
    1,
    3,
    1,
    2,
    ...le(0, 8),
    3,
    0,
    ...le(0, 2),
    ...le(2000, 2),
    ...le(2000, 2),
    0x41,
    1,
    ...le(0xffff, 2),
    ...le(0xffff, 2),
    ...le(0xffff, 2),
    0,
    0,
    0,
    count,
    count,
    1,
    ...le(2, 2),
    ...le(1, 2),
    ...le(cores, 2),
    ...le(cores, 2),
    ...le(1, 2),
  ];
}

/** RAM module; from 32 GiB - 1 MiB on the size stands in a field of its own. */
function memoryDeviceBody(size: number): number[] {
  const mib = size / MIB;
  const short = mib < 0x7fff ? mib : 0x7fff;
  return [
    ...le(0x1000, 2),
    ...le(0xfffe, 2),
    ...le(0xffff, 2),
    ...le(0xffff, 2),
    ...le(short, 2),
    9,
    0,
    1,
    0,
    7,
    ...le(2, 2),
    ...le(0, 2),
    2,
    0,
    0,
    0,
    0,
    ...le(mib < 0x7fff ? 0 : mib, 4),
    ...le(0, 2),
    ...le(0, 2),
    ...le(0, 2),
    ...le(0, 2),
  ];
}

/** 64-bit entry point "_SM3_"; firmware fills in address and checksum. */
function anchorOf(length: number): Uint8Array {
  const bytes = Uint8Array.from([0x5f, 0x53, 0x4d, 0x33, 0x5f, 0, 24, 3, 0, 0, 1, 0, ...le(length, 4), ...le(0, 8)]);
  bytes[5] = (256 - (bytes.reduce((sum, byte) => sum + byte, 0) & 0xff)) & 0xff;
  return bytes;
}
