import { spawnSync } from 'node:child_process';
import { view } from '../../../engine/bytes.js';
import { guidText } from '../../../engine/launch/ovmf/guid.js';

/**
 * Firmware volumes and their files: UEFI Platform Initialization specification, volume 3, chapters 2 and 3. Only what
 * OVMF uses: GUIDed sections with LZMA, volumes in volumes.
 */

/** A leaf section of a file. */
export interface Section {
  /** GUID of the file. */
  readonly file: string;
  readonly type: number;
  readonly bytes: Uint8Array;
}

export const SECTION_PE32 = 0x10;
export const SECTION_TE = 0x12;
const SECTION_GUID_DEFINED = 0x02;
const SECTION_VOLUME_IMAGE = 0x17;
const LZMA = 'ee4e5898-3914-4259-9d6e-dc7bd79403cf';
const FILE_TYPE_RAW = 1;
const FILE_TYPE_PAD = 0xf0;
const LARGE_FILE = 1;
/** gEfiSystemNvDataFvGuid: variables and no files. */
const VARIABLES = 'fff12b8d-7696-4c8b-a985-2747075b4f50';
const SIGNATURE = 0x4856_465f; // _FVH

const formatGuid = (bytes: Uint8Array, at: number): string => guidText(bytes.subarray(at, at + 16)).toLowerCase();
const align = (n: number, to: number): number => Math.ceil(n / to) * to;
const size24 = (bytes: Uint8Array, at: number): number => view(bytes).getUint32(at, true) & 0xff_ffff;

/** Unpacks an LZMA file ("alone" format, EDK2's). */
function unlzma(bytes: Uint8Array): Uint8Array {
  const program =
    'import sys, lzma; d = lzma.LZMADecompressor(lzma.FORMAT_ALONE); ' +
    'sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()))';
  const { status, stdout, stderr } = spawnSync('python3', ['-c', program], { input: bytes, maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`python3 cannot decompress a section: ${stderr}`);
  return new Uint8Array(stdout);
}

function* sections(bytes: Uint8Array, file: string): Generator<Section> {
  for (let at = 0; at + 4 <= bytes.length; ) {
    const large = size24(bytes, at) === 0xff_ffff;
    const size = large ? view(bytes).getUint32(at + 4, true) : size24(bytes, at);
    const type = bytes[at + 3] ?? 0;
    const header = large ? 8 : 4;
    if (size < header || at + size > bytes.length) throw new Error(`section of ${size} bytes at ${at} of ${file}`);
    const section = bytes.subarray(at, at + size);
    if (type === SECTION_GUID_DEFINED) {
      const guid = formatGuid(section, header);
      if (guid !== LZMA) throw new Error(`section with GUID ${guid} in ${file}: only LZMA is known`);
      const data = section.subarray(view(section).getUint16(header + 16, true));
      yield* sections(unlzma(data), file);
    } else if (type === SECTION_VOLUME_IMAGE) yield* volumeSections(section.subarray(header));
    else yield { file, type, bytes: section.subarray(header) };
    at = align(at + size, 4);
  }
}

function* files(volume: Uint8Array): Generator<Section> {
  const v = view(volume);
  const extended = v.getUint16(52, true);
  const start = extended === 0 ? v.getUint16(48, true) : extended + v.getUint32(extended + 16, true);
  for (let at = align(start, 8); at + 24 <= volume.length; ) {
    if (volume.subarray(at, at + 24).every((byte) => byte === 0xff)) return;
    const large = ((volume[at + 19] ?? 0) & LARGE_FILE) !== 0;
    const size = large ? Number(v.getBigUint64(at + 24, true)) : size24(volume, at + 20);
    const header = large ? 32 : 24;
    const type = volume[at + 18] ?? 0;
    const guid = formatGuid(volume, at);
    if (size < header || at + size > volume.length) throw new Error(`file of ${size} bytes at ${at}: ${guid}`);
    const content = volume.subarray(at + header, at + size);
    if (type === FILE_TYPE_RAW) yield { file: guid, type: 0, bytes: content };
    else if (type !== FILE_TYPE_PAD) yield* sections(content, guid);
    at = align(at + size, 8);
  }
}

/** All leaf sections of all volumes in `bytes`, one after the other, however deep. */
export function* volumeSections(bytes: Uint8Array): Generator<Section> {
  const v = view(bytes);
  for (let at = 0; at + 64 <= bytes.length; ) {
    const length = v.getUint32(at + 40, true) === SIGNATURE ? Number(v.getBigUint64(at + 32, true)) : 0;
    if (length < 64 || at + length > bytes.length) {
      at += 8;
      continue;
    }
    const volume = bytes.subarray(at, at + length);
    if (formatGuid(volume, 16) !== VARIABLES) yield* files(volume);
    at += length;
  }
}
