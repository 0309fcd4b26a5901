import type { FileRead } from '../engine/launch/file-source.js';
import { parseOvmf } from '../engine/launch/ovmf/image.js';
import { recogniseFile } from '../engine/launch/ovmf/recognise.js';

export interface Judgement {
  readonly usable: boolean;
  /** In words, for a list of what was tried. */
  readonly outcome: string;
}

const judged = new WeakMap<Uint8Array, Judgement>();

/** Whether a candidate for `firmware: auto` can start an SNP guest, and why not. */
export function judgeFirmware(read: FileRead): Judgement {
  if (!read.ok) return { usable: false, outcome: read.detail };
  const { bytes } = read.file;
  let judgement = judged.get(bytes);
  if (!judgement) {
    judgement = judge(bytes);
    judged.set(bytes, judgement);
  }
  return judgement;
}

function judge(bytes: Uint8Array): Judgement {
  const refuse = (outcome: string): Judgement => ({ usable: false, outcome });
  const { image, faults } = parseOvmf(bytes);
  const [fault] = faults;
  if (fault) return refuse(fault.title);
  if (!image.hasFooter) return refuse(recogniseFile(bytes) || 'no OVMF table: too old, or another kind of firmware');
  if (!image.sections) return refuse('no SEV metadata: built without SEV-SNP support');
  if (bytes.length % 0x1_0000 !== 0) return refuse('its size is not a multiple of 64 KiB');
  return { usable: true, outcome: 'taken: it has SEV metadata' };
}
