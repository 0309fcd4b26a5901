import { gpa, hex, type Spa } from '../../address.js';
import { defineFault } from '../../fault.js';
import type { RmpEntry } from '../../rmp/entry.js';
import { writeEntry } from '../../rmp/table.js';
import { logEvent, type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { findGuest, framesOf } from '../common-checks.js';
import type { MetadataEntry } from '../metadata-entry.js';
import {
  type FoundPage,
  inactiveRefusal,
  operandRefusal,
  ownerRefusal,
  pageOf,
  sizeRefusal,
  stateRefusal,
  swapPolicyRefusal,
} from '../page-checks.js';
import { readRegion, writeRegion } from '../page-region.js';
import {
  asSwapType,
  type EntryPlace,
  openPage,
  placeAddressRefusal,
  placeName,
  placePageRefusal,
  readPlace,
  SWAP_MDATA_MATCH,
  SWAP_MDATA_VALID,
  SWAP_PAGE_TYPE,
  SWAP_TAG,
  SWAP_TYPE,
  SWAP_TYPE_SIZE,
  type SwapPageType,
  swapTypeName,
  writePlace,
} from '../page-swap.js';
import type { GuestContext } from '../state.js';

const NAME = 'SNP_PAGE_SWAP_IN';

export interface PageSwapInParams {
  readonly gctx: Spa;
  /** The ciphertext, in any page that the firmware can read. */
  readonly src: Spa;
  readonly dst: Spa;
  /** The entry that SNP_PAGE_SWAP_OUT filled; ignored with `rootMdata`. */
  readonly mdata: Spa;
  readonly pageSize2M: boolean;
  /** A value of SWAP_PAGE_TYPE; others are refused. */
  readonly pageType: number;
  readonly rootMdata: boolean;
  /** SWAP_IN_PLACE: the ciphertext lies in DST itself; SRC must name the same page. */
  readonly inPlace: boolean;
}

export const SWAP_IN_PLACE = defineFault<{ src: string; dst: string; inPlace: boolean }>({
  check: 'fw-page-swap-in-place',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Source and destination do not fit SWAP_IN_PLACE',
  message: (o) =>
    `SWAP_IN_PLACE is ${o.inPlace ? 1 : 0}, but SRC_PADDR ${o.src} and DST_PADDR ${o.dst} are ${o.inPlace ? 'different pages' : 'the same page'}.`,
  why: 'With the flag the page is decrypted where it lies; without it the source stays as it is.',
  hint: 'Name one page twice with SWAP_IN_PLACE, two pages without.',
  reference: 'AMD pub. 56860, SNP_PAGE_SWAP_IN',
  confirmed: false,
});

interface Accepted {
  readonly type: SwapPageType;
  readonly dst: FoundPage;
  readonly entry: MetadataEntry;
  readonly plain: Uint8Array;
}

function mismatch(field: string, stored: string, given: string): FirmwareResult {
  return refuse(SWAP_MDATA_MATCH, { field, stored, given });
}

function entryRefusal(
  entry: MetadataEntry,
  type: SwapPageType,
  { size2M, entry: rmp }: FoundPage,
  place: EntryPlace,
): FirmwareResult | undefined {
  if (!entry.valid) return refuse(SWAP_MDATA_VALID, { entry: placeName(place) });
  const stored = entry.metadata ? SWAP_PAGE_TYPE.METADATA : entry.vmsa ? SWAP_PAGE_TYPE.VMSA : SWAP_PAGE_TYPE.DATA;
  if (stored !== type) return mismatch('type', swapTypeName(stored), swapTypeName(type));
  const size = (is2M: boolean): string => (is2M ? '2M' : '4K');
  if (entry.pageSize2M !== size2M) return mismatch('size', size(entry.pageSize2M), size(size2M));
  if (type !== SWAP_PAGE_TYPE.METADATA && entry.gpa !== rmp.gpa) return mismatch('GPA', hex(entry.gpa), hex(rmp.gpa));
  return undefined;
}

/** The checks in their order, which is not confirmed. */
function accept(
  machine: FirmwareMachine,
  guest: GuestContext,
  params: PageSwapInParams,
): Accepted | { readonly refusal: FirmwareResult } {
  const { pageSize2M: size2M } = params;
  const place = { root: params.rootMdata, address: params.mdata };
  const forbidden = swapPolicyRefusal(guest, NAME);
  if (forbidden) return { refusal: forbidden };
  const type = asSwapType(params.pageType);
  if (type === undefined) return { refusal: refuse(SWAP_TYPE, { type: params.pageType }, NAME) };
  if (size2M && type !== SWAP_PAGE_TYPE.DATA) {
    return { refusal: refuse(SWAP_TYPE_SIZE, { type: swapTypeName(type) }, NAME) };
  }
  const from = { field: 'SRC_PADDR', page: params.src, size2M };
  const to = { field: 'DST_PADDR', page: params.dst, size2M };
  const isMetadata = type === SWAP_PAGE_TYPE.METADATA;
  const wrongAddress =
    (isMetadata ? undefined : inactiveRefusal(guest, NAME)) ??
    operandRefusal(machine, NAME, from) ??
    operandRefusal(machine, NAME, to) ??
    placeAddressRefusal(machine, NAME, place);
  if (wrongAddress) return { refusal: wrongAddress };
  if ((params.src === params.dst) !== params.inPlace) {
    const operands = { src: hex(params.src), dst: hex(params.dst), inPlace: params.inPlace };
    return { refusal: refuse(SWAP_IN_PLACE, operands) };
  }
  const dst = pageOf(machine, to);
  const wrongPage =
    sizeRefusal(dst, NAME) ??
    stateRefusal(dst, NAME, isMetadata ? ['Firmware'] : ['Pre-Guest']) ??
    (isMetadata ? undefined : ownerRefusal(dst, guest, NAME)) ??
    placePageRefusal(machine, NAME, guest, place);
  if (wrongPage) return { refusal: wrongPage };
  const entry = readPlace(machine, guest, place);
  const wrongEntry = entryRefusal(entry, type, dst, place);
  if (wrongEntry) return { refusal: wrongEntry };
  const ciphertext = readRegion(machine.memory, pageOf(machine, from).frame, framesOf(size2M), 0);
  const plain = openPage(guest.oek, entry, ciphertext);
  if (!plain) return { refusal: refuse(SWAP_TAG, { page: hex(params.src), iv: entry.iv.toString() }) };
  return { type, dst, entry, plain };
}

function after(guest: GuestContext, rmp: RmpEntry, entry: MetadataEntry): RmpEntry {
  if (entry.metadata) return { ...rmp, gpa: gpa(guest.address) };
  return { ...rmp, validated: entry.pageValidated, vmsa: entry.vmsa, vmpl: entry.vmpl };
}

/**
 * SNP_PAGE_SWAP_IN (0x0C1): brings back what SNP_PAGE_SWAP_OUT took, with Validated, VMSA and permissions, and frees
 * the metadata entry; Pre-Guest → Pre-Swap, or Pre-Guest for a page that was not validated; Firmware → Metadata. AMD
 * pub. 56860, SNP_PAGE_SWAP_IN.
 */
export function snpPageSwapIn(machine: FirmwareMachine, params: PageSwapInParams): Op<FirmwareResult> {
  const args = {
    gctx: hex(params.gctx),
    src: hex(params.src),
    dst: hex(params.dst),
    mdata: params.rootMdata ? 'root' : hex(params.mdata),
    size: params.pageSize2M ? '2M' : '4K',
    type: params.pageType,
  };
  return inCommand(machine, NAME, { args }, function* () {
    const found = findGuest(machine, NAME, params.gctx, ['LAUNCH', 'RUNNING']);
    if ('refusal' in found) return found.refusal;
    const { guest } = found;
    const accepted = accept(machine, guest, params);
    if ('refusal' in accepted) return accepted.refusal;
    const { type, dst, entry, plain } = accepted;
    writeRegion(machine.memory, dst.frame, plain, entry.metadata ? 0 : guest.vek);
    writePlace(machine, guest, { root: params.rootMdata, address: params.mdata }, undefined);
    yield rmpEvent(machine.stack, NAME, writeEntry(machine.rmp, dst.frame, after(guest, dst.entry, entry)));
    yield logEvent(
      machine.stack,
      'firmware',
      `${swapTypeName(type)} page with count ${entry.iv} is back; its entry is free`,
    );
    return SUCCESS;
  });
}
