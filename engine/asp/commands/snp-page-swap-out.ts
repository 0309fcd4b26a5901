import { gpa, hex, type Spa } from '../../address.js';
import { copyBytes } from '../../bytes.js';
import { type RmpEntry, VMPL_ALL } from '../../rmp/entry.js';
import type { PageState } from '../../rmp/page-state.js';
import { writeEntry } from '../../rmp/table.js';
import { logEvent, type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS } from '../command.js';
import { findGuest, framesOf } from '../common-checks.js';
import type { MetadataEntry } from '../metadata-entry.js';
import {
  type FoundPage,
  inactiveRefusal,
  metadataOwnerRefusal,
  operandRefusal,
  ownerRefusal,
  PAGE_STATE,
  pageOf,
  sizeRefusal,
  stateRefusal,
  swapPolicyRefusal,
} from '../page-checks.js';
import { readRegion, writeRegion } from '../page-region.js';
import {
  asSwapType,
  placeAddressRefusal,
  placeName,
  placePageRefusal,
  readPlace,
  SWAP_COUNT,
  SWAP_MDATA_FREE,
  SWAP_PAGE_TYPE,
  SWAP_TYPE,
  SWAP_TYPE_SIZE,
  type SwapPageType,
  sealPage,
  swapTypeName,
  writePlace,
} from '../page-swap.js';
import type { GuestContext } from '../state.js';

const NAME = 'SNP_PAGE_SWAP_OUT';
const COUNT_MAX = 2n ** 64n - 1n;

export interface PageSwapOutParams {
  readonly gctx: Spa;
  readonly src: Spa;
  /** Firmware page, or 2 MiB of them, for the ciphertext. */
  readonly dst: Spa;
  /** A free entry of 64 bytes in a metadata page of the guest; ignored with `rootMdata`. */
  readonly mdata: Spa;
  /** The host's; kept in the entry. */
  readonly softwareData: bigint;
  readonly pageSize2M: boolean;
  /** A value of SWAP_PAGE_TYPE; others are refused. */
  readonly pageType: number;
  /** ROOT_MDATA_EN: the entry stays in the guest context. */
  readonly rootMdata: boolean;
}

interface Accepted {
  readonly type: SwapPageType;
  readonly src: FoundPage;
  readonly dst: FoundPage;
}

/**
 * That pages which the guest has not validated may be swapped, too, is not confirmed; the flag for it in the entry
 * would have no use otherwise.
 */
const SOURCE_STATES: Readonly<Record<SwapPageType, readonly PageState[]>> = {
  [SWAP_PAGE_TYPE.DATA]: ['Pre-Swap', 'Pre-Guest'],
  [SWAP_PAGE_TYPE.METADATA]: ['Metadata'],
  [SWAP_PAGE_TYPE.VMSA]: ['Pre-Swap'],
};

/** The checks in their order, which is not confirmed. */
function accept(
  machine: FirmwareMachine,
  guest: GuestContext,
  params: PageSwapOutParams,
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
  const src = pageOf(machine, from);
  const dst = pageOf(machine, to);
  const wrongPage =
    sizeRefusal(src, NAME) ??
    stateRefusal(src, NAME, SOURCE_STATES[type]) ??
    kindRefusal(src, type) ??
    (isMetadata ? metadataOwnerRefusal(src, guest, NAME) : ownerRefusal(src, guest, NAME)) ??
    sizeRefusal(dst, NAME) ??
    stateRefusal(dst, NAME, ['Firmware']) ??
    placePageRefusal(machine, NAME, guest, place, isMetadata ? params.src : undefined);
  if (wrongPage) return { refusal: wrongPage };
  if (readPlace(machine, guest, place).valid) {
    return { refusal: refuse(SWAP_MDATA_FREE, { entry: placeName(place) }) };
  }
  if (guest.oekIvCount >= COUNT_MAX) {
    return { refusal: refuse(SWAP_COUNT, { count: hex(guest.oekIvCount) }) };
  }
  return { type, src, dst };
}

/** A VMSA is swapped as one, another page is not (U): the wrong kind counts as a wrong state. */
function kindRefusal({ field, page, entry, state }: FoundPage, type: SwapPageType): FirmwareResult | undefined {
  if (entry.vmsa === (type === SWAP_PAGE_TYPE.VMSA)) return undefined;
  const [is, needed] = entry.vmsa ? ['a VMSA', 'PAGE_TYPE 2'] : ['no VMSA', 'a VMSA for PAGE_TYPE 2'];
  return refuse(PAGE_STATE, { field, page: hex(page), state: `${state}, ${is}`, needed }, NAME);
}

/** What becomes of the page: it keeps owner and address, but nothing that the guest gave it. */
function after(entry: RmpEntry, type: SwapPageType): RmpEntry {
  if (type === SWAP_PAGE_TYPE.METADATA) return { ...entry, gpa: gpa(0) };
  return { ...entry, validated: false, vmsa: false, vmpl: [VMPL_ALL, 0, 0, 0] };
}

/**
 * SNP_PAGE_SWAP_OUT (0x0C0): the page goes encrypted to DST, its tag into a metadata entry; Pre-Swap → Pre-Guest,
 * Metadata → Firmware. AMD pub. 56860, SNP_PAGE_SWAP_OUT.
 */
export function snpPageSwapOut(machine: FirmwareMachine, params: PageSwapOutParams): Op<FirmwareResult> {
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
    const { type, src, dst } = accepted;
    const isMetadata = type === SWAP_PAGE_TYPE.METADATA;
    const iv = guest.oekIvCount + 1n;
    const plain: MetadataEntry = {
      softwareData: params.softwareData,
      iv,
      tag: new Uint8Array(16),
      valid: true,
      pageValidated: src.entry.validated,
      vmsa: src.entry.vmsa,
      metadata: isMetadata,
      pageSize2M: params.pageSize2M,
      // The tag of a metadata page is the address of its context, which differs on another host.
      gpa: isMetadata ? gpa(0) : src.entry.gpa,
      vmpl: isMetadata ? [0, 0, 0, 0] : src.entry.vmpl,
    };
    const count = framesOf(params.pageSize2M);
    const bytes = readRegion(machine.memory, src.frame, count, isMetadata ? 0 : guest.vek);
    const { ciphertext, entry } = sealPage(guest.oek, plain, copyBytes(bytes));
    guest.oekIvCount = iv;
    writeRegion(machine.memory, dst.frame, ciphertext, 0);
    const place = { root: params.rootMdata, address: params.mdata };
    writePlace(machine, guest, place, entry);
    yield rmpEvent(machine.stack, NAME, writeEntry(machine.rmp, src.frame, after(src.entry, type)));
    yield logEvent(
      machine.stack,
      'firmware',
      `${swapTypeName(type)} page swapped out with count ${iv}; ${placeName(place).replace('The', 'the')} holds its tag`,
    );
    return SUCCESS;
  });
}
