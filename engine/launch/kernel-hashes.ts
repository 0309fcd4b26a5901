import { PAGE_SIZE } from '../address.js';
import type { Crypto } from '../crypto.js';
import { guidBytes } from './ovmf/guid.js';

/**
 * The table of SHA-256 hashes for direct boot. QEMU target/i386/sev.c `build_kernel_loader_hashes`
 * (struct PaddedSevHashTable).
 */
const TABLE_GUID = guidBytes('9438d606-4f22-4cc9-b479-a793d411fd21');
const CMDLINE_GUID = guidBytes('97d02dd8-bd20-4c94-aa78-e7714d36ab2a');
const INITRD_GUID = guidBytes('44baf731-3a2f-4bd7-9af1-41e29169781d');
const KERNEL_GUID = guidBytes('4de79437-abd2-427f-b835-d5b172d2045b');

const HEADER = 18;
const ENTRY = HEADER + 32;
const TABLE = HEADER + 3 * ENTRY;
/** The table with its padding to 16 bytes: what must fit into the hash area. */
export const HASH_TABLE_SIZE = 176;

export interface KernelFiles {
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array;
  readonly append?: string;
}

/** 176 bytes. A missing initrd counts as empty; the command line is hashed as UTF-8 with a final NUL. */
export function kernelHashTable(files: KernelFiles, crypto: Crypto): Uint8Array {
  const table = new Uint8Array(HASH_TABLE_SIZE);
  table.set(TABLE_GUID, 0);
  table[16] = TABLE;
  const entries = [
    { guid: CMDLINE_GUID, hash: crypto.sha256(utf8(`${files.append ?? ''}\0`)) },
    { guid: INITRD_GUID, hash: fileHash(files.initrd ?? new Uint8Array(), crypto) },
    { guid: KERNEL_GUID, hash: fileHash(files.kernel, crypto) },
  ];
  entries.forEach(({ guid, hash }, i) => {
    const at = HEADER + i * ENTRY;
    table.set(guid, at);
    table[at + 16] = ENTRY;
    table.set(hash, at + HEADER);
  });
  return table;
}

const fileHashes = new WeakMap<Uint8Array, Uint8Array>();

/** A kernel has many megabytes and is hashed at every key stroke in the manifest, so the hash stays with the file. */
function fileHash(file: Uint8Array, crypto: Crypto): Uint8Array {
  let hash = fileHashes.get(file);
  if (!hash) {
    hash = crypto.sha256(file);
    fileHashes.set(file, hash);
  }
  return hash;
}

/** A zero page with the table at `offset`, which must leave room for it. */
export function kernelHashPage(files: KernelFiles, offset: number, crypto: Crypto): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  page.set(kernelHashTable(files, crypto), offset);
  return page;
}

/** UTF-8; a lone surrogate becomes U+FFFD. */
export function utf8(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    let c = character.codePointAt(0) ?? 0;
    if (c >= 0xd800 && c <= 0xdfff) c = 0xfffd;
    if (c < 0x80) bytes.push(c);
    else if (c < 0x800) bytes.push(0xc0 | (c >> 6), 0x80 | (c & 0x3f));
    else if (c < 0x1_0000) bytes.push(0xe0 | (c >> 12), 0x80 | ((c >> 6) & 0x3f), 0x80 | (c & 0x3f));
    else bytes.push(0xf0 | (c >> 18), 0x80 | ((c >> 12) & 0x3f), 0x80 | ((c >> 6) & 0x3f), 0x80 | (c & 0x3f));
  }
  return new Uint8Array(bytes);
}
