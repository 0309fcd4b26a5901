import { createHash } from 'node:crypto';
import type { FirmwareImage } from '../support/firmware.js';
import { compareAt, createTally, decoderPair, type Tally } from './compare-decoders.js';
import { type Executable, readExecutable } from './firmware/executable.js';
import { SECTION_PE32, SECTION_TE, volumeSections } from './firmware/firmware-volume.js';

/** The decoders on all code in OVMF images. */

export interface FirmwareTally extends Tally {
  images: number;
  /** PE32 and TE images found, and how many of them differ. */
  modules: number;
  differentModules: number;
  /** In executable sections of different modules. */
  codeBytes: number;
  /** Bytes outside of PE32 and TE images: the reset vector in all code sizes. */
  rawBytes: number;
}

function sweep(executable: Executable, everyOffset: boolean, tally: FirmwareTally): void {
  const { codeSize, entry } = executable;
  let entered = false;
  for (const { bytes, address } of executable.code) {
    tally.codeBytes += bytes.length;
    const pair = decoderPair(bytes, codeSize);
    const walk = (from: number): void => {
      for (let at = from; at < bytes.length; ) {
        const length = compareAt(pair, at, BigInt(address + at), tally);
        at += everyOffset ? 1 : length;
      }
    };
    walk(0);
    if (entry >= address && entry < address + bytes.length) {
      entered = true;
      // All offsets include this one.
      if (!everyOffset) walk(entry - address);
    }
    pair.iced.free();
  }
  if (!entered) throw new Error(`entry point 0x${entry.toString(16)} is in no executable section`);
}

/** The last 64 KiB hold the reset vector in three modes and the uncompressed SEC code: at every offset. */
function sweepReset(image: Uint8Array, tally: FirmwareTally): void {
  const bytes = image.subarray(image.length - 0x1_0000);
  tally.rawBytes += bytes.length;
  for (const codeSize of [64, 32, 16] as const) {
    const pair = decoderPair(bytes, codeSize);
    for (let at = 0; at < bytes.length; at++) compareAt(pair, at, BigInt(at), tally);
    pair.iced.free();
  }
}

/**
 * Every module is swept once from its beginning and once from its entry point, or, with `everyOffset`, at each byte;
 * modules that are in several images once.
 */
export function compareFirmware(images: readonly FirmwareImage[], everyOffset = false): FirmwareTally {
  const counts = { images: 0, modules: 0, differentModules: 0, codeBytes: 0, rawBytes: 0 };
  const tally: FirmwareTally = { ...createTally(), ...counts };
  const seen = new Set<string>();
  for (const image of images) {
    tally.images++;
    sweepReset(image.bytes, tally);
    for (const { type, bytes, file } of volumeSections(image.bytes)) {
      // Debian's image has an empty one in the place of GRUB.
      if ((type !== SECTION_PE32 && type !== SECTION_TE) || bytes.length === 0) continue;
      const executable = readExecutable(bytes);
      if (!executable) throw new Error(`${image.name}: file ${file} has no PE32 or TE image in its section`);
      tally.modules++;
      const digest = createHash('sha256').update(bytes).digest('hex');
      if (seen.has(digest)) continue;
      seen.add(digest);
      tally.differentModules++;
      sweep(executable, everyOffset, tally);
    }
  }
  return tally;
}
