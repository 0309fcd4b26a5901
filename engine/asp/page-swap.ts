import { gcm } from '@noble/ciphers/aes.js';
import { hex, PAGE_SIZE, type Spa, spa } from '../address.js';
import { copyBytes, view } from '../bytes.js';
import { defineFault } from '../fault.js';
import { type FirmwareMachine, type FirmwareResult, refuse, status } from './command.js';
import { bufferRefusal } from './common-checks.js';
import {
  decodeMetadataEntry,
  encodeMetadataEntry,
  METADATA_ENTRY_SIZE,
  type MetadataEntry,
  metadataAdditionalData,
  TAG_SIZE,
} from './metadata-entry.js';
import { pageOf } from './page-checks.js';
import { readBytes, writeBytes } from './page-io.js';
import type { GuestContext } from './state.js';

/**
 * What swapping out and in have in common. A page leaves under the guest's offline encryption key; its tag stays in a
 * metadata entry, which the host cannot write. Metadata pages are swapped out the same way, up to one entry in the
 * guest context: so old contents never pass for new ones. AMD pub. 56860, page swapping.
 */

export const OEK_SIZE = 32;

/** PAGE_TYPE of the swap commands. */
export const SWAP_PAGE_TYPE = { DATA: 0, METADATA: 1, VMSA: 2 } as const;
export type SwapPageType = (typeof SWAP_PAGE_TYPE)[keyof typeof SWAP_PAGE_TYPE];

const FAMILY = 'SNP_PAGE_SWAP_*';
const SWAP = 'AMD pub. 56860, SNP_PAGE_SWAP_OUT and SNP_PAGE_SWAP_IN';

export const SWAP_TYPE = defineFault<{ type: number }>({
  check: 'fw-page-swap-type',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_PARAM'),
  title: 'Unknown page type',
  message: (o) => `PAGE_TYPE is ${o.type}; there are 0 (data), 1 (metadata) and 2 (VMSA).`,
  why: 'The type says which states the page may be in and what is restored with it.',
  hint: 'Use 0 for ordinary pages of the guest.',
  reference: SWAP,
  confirmed: false,
});

export const SWAP_TYPE_SIZE = defineFault<{ type: string }>({
  check: 'fw-page-swap-type-size',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_PARAM'),
  title: 'Page of this type cannot have 2 MiB',
  message: (o) => `PAGE_SIZE is 1 (2 MiB), but a ${o.type} page is a 4 KiB page.`,
  why: 'VMSAs and metadata pages exist only as 4 KiB pages.',
  hint: 'Clear PAGE_SIZE.',
  reference: SWAP,
  confirmed: false,
});

export const SWAP_MDATA_ALIGNMENT = defineFault<{ address: string }>({
  check: 'fw-page-swap-mdata-alignment',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_ADDRESS'),
  title: 'Metadata entry not aligned',
  message: (o) => `MDATA_PADDR ${o.address} is not a multiple of 64.`,
  why: 'A metadata page is an array of 64 entries of 64 bytes.',
  hint: 'Pass the address of the metadata page plus 64 times the number of the entry.',
  reference: SWAP,
  confirmed: false,
});

export const SWAP_MDATA_PAGE = defineFault<{ address: string; state: string }>({
  check: 'fw-page-swap-mdata-page',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_MDATA_ENTRY'),
  title: 'Metadata entry outside of the guest’s metadata pages',
  message: (o) => `MDATA_PADDR ${o.address} lies in a page that is ${o.state}, not a Metadata page of this guest.`,
  why: 'The tag of a swapped page is what its old contents are told by. It must lie where the host cannot write, and belongs to one guest.',
  hint: 'Make a metadata page with SNP_PAGE_MD_INIT for this guest, or use the root entry (ROOT_MDATA_EN).',
  reference: SWAP,
  confirmed: false,
});

export const SWAP_MDATA_FREE = defineFault<{ entry: string }>({
  check: 'fw-page-swap-mdata-used',
  layer: 'firmware',
  command: 'SNP_PAGE_SWAP_OUT',
  code: status('INVALID_MDATA_ENTRY'),
  title: 'Metadata entry in use',
  message: (o) => `${o.entry} already describes a page that is swapped out.`,
  why: 'Overwriting the entry would lose that page for ever: without its tag nobody can bring it back.',
  hint: 'Use a free entry, or swap the other page in first.',
  reference: SWAP,
  confirmed: false,
});

export const SWAP_MDATA_VALID = defineFault<{ entry: string }>({
  check: 'fw-page-swap-mdata-free',
  layer: 'firmware',
  command: 'SNP_PAGE_SWAP_IN',
  code: status('INVALID_MDATA_ENTRY'),
  title: 'Metadata entry is free',
  message: (o) => `${o.entry} describes no page that is swapped out.`,
  why: 'Swapping a page in uses up its entry. That is why the same ciphertext cannot be brought back a second time, when the guest may have changed the page.',
  hint: 'Swap in each page once, with the entry that its SNP_PAGE_SWAP_OUT filled.',
  reference: SWAP,
  confirmed: false,
});

export const SWAP_MDATA_MATCH = defineFault<{ field: string; stored: string; given: string }>({
  check: 'fw-page-swap-mdata-mismatch',
  layer: 'firmware',
  command: 'SNP_PAGE_SWAP_IN',
  code: status('INVALID_MDATA_ENTRY'),
  title: 'Page does not fit its metadata entry',
  message: (o) => `The entry says ${o.field} ${o.stored}; the command brings the page back with ${o.given}.`,
  why: 'A page comes back where it was in the guest, with the same size and kind. Otherwise the host could exchange two pages of the guest.',
  hint: 'RMPUPDATE the destination to the guest physical address and size that the page had, and pass the type with which it was swapped out.',
  reference: SWAP,
  confirmed: false,
});

export const SWAP_TAG = defineFault<{ page: string; iv: string }>({
  check: 'fw-page-swap-authentication',
  layer: 'firmware',
  command: 'SNP_PAGE_SWAP_IN',
  code: status('BAD_MEASUREMENT'),
  title: 'Swapped page is not authentic',
  message: (o) => `The tag does not fit the bytes at ${o.page} under the guest’s key with count ${o.iv}.`,
  why: 'The tag in the metadata entry belongs to one ciphertext. Changed bytes, those of another page and those of an earlier time all fail here.',
  hint: 'Bring back exactly the bytes that SNP_PAGE_SWAP_OUT wrote last for this entry.',
  reference: SWAP,
  confirmed: false,
});

export const SWAP_COUNT = defineFault<{ count: string }>({
  check: 'fw-page-swap-count',
  layer: 'firmware',
  command: 'SNP_PAGE_SWAP_OUT',
  code: status('AEAD_OFLOW'),
  title: 'Counter of swapped pages used up',
  message: (o) => `The guest’s key has encrypted ${o.count} pages; there is no count left.`,
  why: 'The count is the nonce of AES-GCM, and a nonce must never come twice under a key.',
  hint: 'Launch the guest anew; it then gets a new key.',
  reference: SWAP,
  confirmed: false,
});

const TYPE_NAMES: Readonly<Record<SwapPageType, string>> = { 0: 'data', 1: 'metadata', 2: 'VMSA' };

export function swapTypeName(type: SwapPageType): string {
  return TYPE_NAMES[type];
}

export function asSwapType(type: number): SwapPageType | undefined {
  return type === 0 || type === 1 || type === 2 ? type : undefined;
}

/** Where the metadata entry of a swap lies: in a page, or in the guest context. */
export interface EntryPlace {
  /** ROOT_MDATA_EN: `address` does not matter. */
  readonly root: boolean;
  readonly address: Spa;
}

export function placeName({ root, address }: EntryPlace): string {
  return root ? 'The root entry in the guest context' : `The entry at ${hex(address)}`;
}

/** Form of the address: checked before any page is looked at. */
export function placeAddressRefusal(
  machine: FirmwareMachine,
  command: string,
  { root, address }: EntryPlace,
): FirmwareResult | undefined {
  if (root) return undefined;
  if (address % METADATA_ENTRY_SIZE !== 0) return refuse(SWAP_MDATA_ALIGNMENT, { address: hex(address) }, command);
  return bufferRefusal(machine, command, 'MDATA_PADDR', address, METADATA_ENTRY_SIZE);
}

/** The entry lies in a metadata page of the guest that is not `busy` itself. */
export function placePageRefusal(
  machine: FirmwareMachine,
  command: string,
  guest: GuestContext,
  { root, address }: EntryPlace,
  busy?: Spa,
): FirmwareResult | undefined {
  if (root) return undefined;
  const page = spa(address - (address % PAGE_SIZE));
  const { state, entry } = pageOf(machine, { field: 'MDATA_PADDR', page, size2M: false });
  const text =
    state !== 'Metadata'
      ? `in state ${state}`
      : (entry.gpa as number) !== (guest.address as number)
        ? 'a Metadata page of another guest'
        : page === busy
          ? 'the page that is being swapped'
          : undefined;
  return text === undefined ? undefined : refuse(SWAP_MDATA_PAGE, { address: hex(address), state: text }, command);
}

/** A free entry reads as all zeros. */
export function readPlace(machine: FirmwareMachine, guest: GuestContext, { root, address }: EntryPlace): MetadataEntry {
  const bytes = root
    ? (guest.rootMdata ?? new Uint8Array(METADATA_ENTRY_SIZE))
    : readBytes(machine.memory, address, METADATA_ENTRY_SIZE);
  return decodeMetadataEntry(bytes);
}

/** Undefined clears the entry. */
export function writePlace(
  machine: FirmwareMachine,
  guest: GuestContext,
  { root, address }: EntryPlace,
  entry: MetadataEntry | undefined,
): void {
  const bytes = entry ? encodeMetadataEntry(entry) : new Uint8Array(METADATA_ENTRY_SIZE);
  if (!root) writeBytes(machine.memory, address, bytes);
  else if (entry) guest.rootMdata = bytes;
  else delete guest.rootMdata;
}

function nonce(count: bigint): Uint8Array {
  const bytes = new Uint8Array(12);
  view(bytes).setBigUint64(0, count, true);
  return bytes;
}

/** Ciphertext of the page and the entry with its tag. */
export function sealPage(
  oek: Uint8Array,
  entry: MetadataEntry,
  page: Uint8Array,
): { readonly ciphertext: Uint8Array; readonly entry: MetadataEntry } {
  const sealed = gcm(oek, nonce(entry.iv), metadataAdditionalData(entry)).encrypt(page);
  const tag = copyBytes(sealed, page.length);
  return { ciphertext: copyBytes(sealed, 0, page.length), entry: { ...entry, tag } };
}

/** The page, or undefined if the tag does not fit. */
export function openPage(oek: Uint8Array, entry: MetadataEntry, ciphertext: Uint8Array): Uint8Array | undefined {
  const sealed = new Uint8Array(ciphertext.length + TAG_SIZE);
  sealed.set(ciphertext);
  sealed.set(entry.tag, ciphertext.length);
  try {
    return gcm(oek, nonce(entry.iv), metadataAdditionalData(entry)).decrypt(sealed);
  } catch {
    return undefined;
  }
}
