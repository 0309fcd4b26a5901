import { view } from '../../engine/bytes.js';

/** One record of the SEV metadata. */
export interface TinySection {
  readonly base: number;
  readonly size: number;
  /** 1 SEC_MEM, 2 SECRETS, 3 CPUID, 4 SVSM_CAA, 0x10 KERNEL_HASHES. */
  readonly type: number;
}

export const TINY_SECTIONS: readonly TinySection[] = [
  { base: 0x80_0000, size: 0x2000, type: 1 },
  { base: 0x80_d000, size: 0x1000, type: 2 },
  { base: 0x80_e000, size: 0x1000, type: 3 },
];

export interface TinyOvmfOptions {
  readonly size?: number;
  readonly sections?: readonly TinySection[];
  readonly resetEip?: number;
  /** Area of the kernel hashes table; none by default. */
  readonly hashTable?: { readonly base: number; readonly size: number };
}

/**
 * An image with the GUIDed footer and the SEV metadata of OVMF and otherwise numbered pages: small enough for a
 * test to step through. Layout after edk2 OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm and X64/OvmfSevMetadata.asm.
 */
export function tinyOvmf(options: TinyOvmfOptions = {}): Uint8Array {
  const { size = 0x1_0000, sections = TINY_SECTIONS, resetEip = 0x80_b004, hashTable } = options;
  const image = new Uint8Array(size);
  for (let page = 0; page < size / 4096; page++) image.fill(page + 1, page * 4096, page * 4096 + 16);
  const v = view(image);

  const metadata = size - 0x800;
  image.set(new TextEncoder().encode('ASEV'), metadata);
  v.setUint32(metadata + 4, 16 + sections.length * 12, true);
  v.setUint32(metadata + 8, 1, true);
  v.setUint32(metadata + 12, sections.length, true);
  sections.forEach(({ base, size: length, type }, i) => {
    const at = metadata + 16 + i * 12;
    v.setUint32(at, base, true);
    v.setUint32(at + 4, length, true);
    v.setUint32(at + 8, type, true);
  });

  const entries: (readonly [string, readonly number[]])[] = [
    ['00f771de-1a7e-4fcb-890e-68c77e2fb44e', [resetEip]],
    ['dc886566-984a-4798-a75e-5585a7bf67cc', [size - metadata]],
    ...(hashTable ? [['7255371f-3a3b-4b04-927b-1da6efa8d454', [hashTable.base, hashTable.size]] as const] : []),
  ];
  let end = size - 32;
  const total = 18 + entries.reduce((sum, [, words]) => sum + words.length * 4 + 18, 0);
  end -= 18;
  writeEntryTail(image, end, total, '96b582de-1fb2-45f7-baea-a366c55a082d');
  for (const [guid, words] of entries) {
    end -= 18;
    writeEntryTail(image, end, words.length * 4 + 18, guid);
    end -= words.length * 4;
    words.forEach((word, i) => {
      v.setUint32(end + i * 4, word, true);
    });
  }
  return image;
}

function writeEntryTail(image: Uint8Array, at: number, length: number, guid: string): void {
  view(image).setUint16(at, length, true);
  image.set(guidBytes(guid), at + 2);
}

/** The first three groups are little-endian. */
function guidBytes(guid: string): Uint8Array {
  const groups = guid.split('-');
  const bytes = groups.flatMap((group, i) => {
    const pairs = (group.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
    return i < 3 ? pairs.reverse() : pairs;
  });
  return Uint8Array.from(bytes);
}
