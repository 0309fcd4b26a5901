import { hex, type Pfn, pfnOf, type Spa } from '../address.js';
import { defineFault } from '../fault.js';
import type { RmpEntry } from '../rmp/entry.js';
import { type PageState, pageState } from '../rmp/page-state.js';
import { type FirmwareMachine, type FirmwareResult, refuse, status } from './command.js';
import { addressRefusal, entryAt } from './common-checks.js';
import { POLICY_BIT } from './policy-checks.js';
import type { GuestContext } from './state.js';

/** Checks that the page commands share. Each fault carries the name of the command that made it. */

const FAMILY = 'SNP_PAGE_*';
const PAGES = 'AMD pub. 56860, page management commands';

export const PAGE_SIZE_DIFFERS = defineFault<{ field: string; page: string; size: string; entry: string }>({
  check: 'fw-page-size',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_PAGE_SIZE'),
  title: 'Page size differs from the RMP entry',
  message: (o) => `The command takes ${o.field} ${o.page} as a ${o.size} page, but its RMP entry is ${o.entry}.`,
  why: 'A page is handled as a whole: a part of a 2 MiB page cannot change its state alone, and 512 small pages are not one large one.',
  hint: 'Pass the page size of the RMP entry; PSMASH splits a 2 MiB page, SNP_PAGE_UNSMASH joins small ones.',
  reference: PAGES,
  confirmed: false,
});

export const PAGE_STATE = defineFault<{ field: string; page: string; state: string; needed: string }>({
  check: 'fw-page-state',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_PAGE_STATE'),
  title: 'Page in the wrong state',
  message: (o) => `${o.field} ${o.page} is in state ${o.state}; this command needs ${o.needed}.`,
  why: 'The firmware works on pages that the host cannot change meanwhile: Immutable is set, so RMPUPDATE is refused. Guest pages get there with an RMPUPDATE that only sets Immutable, host pages by becoming Firmware pages.',
  hint: 'RMPUPDATE the page into that state first: Pre-Guest and Pre-Swap with Immutable = 1 and ASID, address and size unchanged; Firmware with Immutable = 1 and ASID 0.',
  reference: 'AMD pub. 56860, page states; AMDESE/sev-tool src/rmp.h, state table',
  confirmed: false,
});

export const PAGE_OWNER = defineFault<{ field: string; page: string; owner: string; guest: string }>({
  check: 'fw-page-owner',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_PAGE_OWNER'),
  title: 'Page belongs to another guest',
  message: (o) => `${o.field} ${o.page} belongs to ${o.owner}; the command is for ${o.guest}.`,
  why: 'Keys and metadata of one guest must never be used on pages of another one.',
  hint: 'Pass the context of the guest that owns the page.',
  reference: PAGES,
  confirmed: false,
});

export const GUEST_INACTIVE = defineFault<{ gctx: string }>({
  check: 'fw-guest-inactive',
  layer: 'firmware',
  command: FAMILY,
  code: status('INACTIVE'),
  title: 'Guest is not active',
  message: (o) => `The guest with context ${o.gctx} has no ASID.`,
  why: 'Pages of a guest carry its ASID; before SNP_ACTIVATE it can own none.',
  hint: 'Run SNP_ACTIVATE first.',
  reference: PAGES,
  confirmed: false,
});

export const POLICY_PAGE_SWAP = defineFault<{ policy: bigint }>({
  check: 'fw-policy-page-swap',
  layer: 'firmware',
  command: FAMILY,
  code: status('POLICY_FAILURE'),
  title: 'Policy forbids to move or swap pages',
  message: (o) => `Bit 25 (PAGE_SWAP_DISABLE) of the policy ${hex(o.policy)} is 1.`,
  why: 'Moving and swapping make the ciphertext of a page appear at another place, from which a host may learn whether it has changed. The guest owner can forbid both.',
  hint: 'Leave the pages where they are, or launch the guest without bit 25 (0x2000000).',
  reference: 'AMD pub. 56860, guest policy',
  confirmed: true,
});

export function swapPolicyRefusal(guest: GuestContext, command: string): FirmwareResult | undefined {
  if ((guest.policy & POLICY_BIT.PAGE_SWAP_DISABLE) === 0n) return undefined;
  return refuse(POLICY_PAGE_SWAP, { policy: guest.policy }, command);
}

export function inactiveRefusal(guest: GuestContext, command: string): FirmwareResult | undefined {
  return guest.asid === 0 ? refuse(GUEST_INACTIVE, { gctx: hex(guest.address) }, command) : undefined;
}

/** An operand that names a page. */
export interface PageOperand {
  /** As AMD spells it: SRC_PADDR. */
  readonly field: string;
  readonly page: Spa;
  readonly size2M: boolean;
}

export interface FoundPage extends PageOperand {
  readonly frame: Pfn;
  readonly entry: RmpEntry;
  readonly state: PageState;
}

export type FoundOrRefused = { readonly found: FoundPage } | { readonly refusal: FirmwareResult };

/** The entry of an operand whose address is fine. */
export function pageOf(machine: FirmwareMachine, operand: PageOperand): FoundPage {
  const frame = pfnOf(operand.page);
  const entry = entryAt(machine, frame);
  return { ...operand, frame, entry, state: pageState(entry, machine.rmp.initialised) };
}

export function operandRefusal(
  machine: FirmwareMachine,
  command: string,
  { field, page, size2M }: PageOperand,
): FirmwareResult | undefined {
  return addressRefusal(machine, command, field, page, size2M);
}

export function sizeRefusal({ field, page, size2M, entry }: FoundPage, command: string): FirmwareResult | undefined {
  if (entry.pageSize2M === size2M) return undefined;
  const text = (is2M: boolean): string => (is2M ? '2M' : '4K');
  return refuse(
    PAGE_SIZE_DIFFERS,
    { field, page: hex(page), size: text(size2M), entry: text(entry.pageSize2M) },
    command,
  );
}

/** Pages of the RMP itself are Firmware pages that nobody may use. */
export function stateRefusal(
  { field, page, entry, state }: FoundPage,
  command: string,
  allowed: readonly PageState[],
): FirmwareResult | undefined {
  const isRmp = state === 'Firmware' && entry.lock;
  if (allowed.includes(state) && !isRmp) return undefined;
  const operands = { field, page: hex(page), state: isRmp ? 'Firmware (the RMP itself)' : state };
  return refuse(PAGE_STATE, { ...operands, needed: allowed.join(' or ') }, command);
}

export function ownerRefusal(
  { field, page, entry }: FoundPage,
  guest: GuestContext,
  command: string,
): FirmwareResult | undefined {
  if (entry.asid === guest.asid) return undefined;
  const owner = entry.asid === 0 ? 'no guest' : `ASID ${entry.asid}`;
  return refuse(PAGE_OWNER, { field, page: hex(page), owner, guest: `ASID ${guest.asid}` }, command);
}

/** Metadata pages carry the address of their guest's context where other pages have a GPA (U). */
export function metadataOwnerRefusal(
  { field, page, entry }: FoundPage,
  guest: GuestContext,
  command: string,
): FirmwareResult | undefined {
  if ((entry.gpa as number) === (guest.address as number)) return undefined;
  const operands = {
    owner: `the guest with context ${hex(entry.gpa)}`,
    guest: `that with context ${hex(guest.address)}`,
  };
  return refuse(PAGE_OWNER, { field, page: hex(page), ...operands }, command);
}
