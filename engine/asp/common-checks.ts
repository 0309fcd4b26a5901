import { hex, PAGE_SIZE, PAGE_SIZE_2M, PAGES_PER_2M, type Pfn, pfnOf, type Spa } from '../address.js';
import { defineFault } from '../fault.js';
import type { RmpEntry } from '../rmp/entry.js';
import { type PageState, pageState } from '../rmp/page-state.js';
import { effectiveEntry } from '../rmp/table.js';
import { type FirmwareMachine, type FirmwareResult, refuse, status } from './command.js';
import type { GuestContext, GuestState } from './state.js';

/** Checks that many commands begin with. Each fault carries the name of the command that made it. */

const FAMILY = 'SNP_*';

export const PLATFORM_NOT_INIT = defineFault<{ state: string }>({
  check: 'fw-platform-state',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_PLATFORM_STATE'),
  title: 'SNP platform not initialised',
  message: (o) => `The SNP platform is in state ${o.state}; this command needs INIT.`,
  why: 'Until SNP_INIT has built the RMP the firmware can protect no guest, so every command that works on guests or on their pages is refused.',
  hint: 'Run SNP_INIT or SNP_INIT_EX first. On Linux that is the task of the ccp driver: look there if it failed.',
  reference: 'AMD pub. 56860, platform states',
  confirmed: true,
});

export const ADDRESS_ALIGNMENT = defineFault<{ field: string; address: string; size: string }>({
  check: 'fw-address-alignment',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_ADDRESS'),
  title: 'Page address not aligned',
  message: (o) => `${o.field} ${o.address} is not aligned to ${o.size}.`,
  why: 'The firmware works on whole pages; their addresses must be multiples of the page size.',
  hint: 'Pass the system physical address of the first byte of the page.',
  reference: 'AMD pub. 56860, status codes',
  confirmed: false,
});

export const ADDRESS_RANGE = defineFault<{ field: string; address: string; memory: string }>({
  check: 'fw-address-range',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_ADDRESS'),
  title: 'Address outside of system memory',
  message: (o) => `${o.field} ${o.address} does not lie in system memory, which ends at ${o.memory}.`,
  why: 'The firmware reads and writes memory by system physical address and accepts DRAM only.',
  hint: 'Pass an address of installed memory.',
  reference: 'AMD pub. 56860, status codes',
  confirmed: false,
});

export const NOT_A_CONTEXT = defineFault<{ gctx: string; state: string }>({
  check: 'fw-guest-context',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_GUEST'),
  title: 'Not a guest context page',
  message: (o) => `The page at ${o.gctx} is in state ${o.state}, not a Context page of a guest.`,
  why: 'The guest context is the handle of a guest. Only SNP_GCTX_CREATE makes one, and SNP_DECOMMISSION ends it.',
  hint: 'Pass the address that SNP_GCTX_CREATE was given.',
  reference: 'AMD pub. 56860, SNP_GCTX_CREATE',
  confirmed: true,
});

export const GUEST_STATE = defineFault<{ state: string; needed: string }>({
  check: 'fw-guest-state',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_GUEST_STATE'),
  title: 'Guest in the wrong state',
  message: (o) => `The guest is in state ${o.state}; this command needs ${o.needed}.`,
  why: 'A launch runs in one direction: INIT, then SNP_LAUNCH_START to LAUNCH, then SNP_LAUNCH_FINISH to RUNNING. What has been measured must not change afterwards.',
  hint: 'Issue the commands in that order, each of START and FINISH once.',
  reference: 'AMD pub. 56860, guest states',
  confirmed: true,
});

export const OUTPUT_PAGE_STATE = defineFault<{ field: string; address: string; state: string; needed: string }>({
  check: 'fw-output-page-state',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_PAGE_STATE'),
  title: 'Result page in the wrong state',
  message: (o) =>
    `${o.field} ${o.address} is in state ${o.state}; the firmware writes only to pages in state ${o.needed}.`,
  why: 'If the firmware wrote to any page that the host names, the host could use it to overwrite guest memory. It therefore writes only to pages that were given to it.',
  hint: 'Make the page a Firmware page with RMPUPDATE before the command, and reclaim it afterwards.',
  reference: 'AMD pub. 56860, page states; Linux drivers/crypto/ccp/sev-dev.c snp_map_cmd_buf_desc()',
  confirmed: true,
});

export const OUTPUT_CROSSES_PAGE = defineFault<{ field: string; address: string; size: number }>({
  check: 'fw-output-crosses-page',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_ADDRESS'),
  title: 'Result crosses a page boundary',
  message: (o) => `The result of ${o.size} bytes at ${o.field} ${o.address} does not end in the same page.`,
  why: 'The state of one page is checked before the firmware writes to it, so the result must lie in one page.',
  hint: 'Put the result at the beginning of a page.',
  reference: 'AMD pub. 56860, status codes',
  confirmed: false,
});

/** Undefined: INIT. */
export function needInit(machine: FirmwareMachine, command: string): FirmwareResult | undefined {
  if (machine.asp.platform === 'INIT') return undefined;
  return refuse(PLATFORM_NOT_INIT, { state: machine.asp.platform }, command);
}

/** Undefined: the page or region at `address` is aligned and lies in memory. */
export function addressRefusal(
  machine: FirmwareMachine,
  command: string,
  field: string,
  address: Spa,
  size2M = false,
): FirmwareResult | undefined {
  const size = size2M ? PAGE_SIZE_2M : PAGE_SIZE;
  if (address % size !== 0) {
    return refuse(ADDRESS_ALIGNMENT, { field, address: hex(address), size: size2M ? '2 MiB' : '4 KiB' }, command);
  }
  if (address < 0 || address + size > machine.memory.size) {
    return refuse(ADDRESS_RANGE, { field, address: hex(address), memory: hex(machine.memory.size) }, command);
  }
  return undefined;
}

/** Undefined: all `length` bytes from `address` lie in memory. */
export function bufferRefusal(
  machine: FirmwareMachine,
  command: string,
  field: string,
  address: Spa,
  length: number,
): FirmwareResult | undefined {
  if (address >= 0 && address + length <= machine.memory.size) return undefined;
  return refuse(ADDRESS_RANGE, { field, address: hex(address), memory: hex(machine.memory.size) }, command);
}

export type Found = { readonly guest: GuestContext } | { readonly refusal: FirmwareResult };

/** Platform INIT, GCTX a Context page, guest in one of `states`: the first three checks of guest commands. */
export function findGuest(machine: FirmwareMachine, command: string, gctx: Spa, states?: readonly GuestState[]): Found {
  const notReady = needInit(machine, command) ?? addressRefusal(machine, command, 'GCTX_PADDR', gctx);
  if (notReady) return { refusal: notReady };
  const guest = machine.asp.guests.get(gctx);
  if (!guest) {
    return { refusal: refuse(NOT_A_CONTEXT, { gctx: hex(gctx), state: stateAt(machine, pfnOf(gctx)) }, command) };
  }
  if (states && !states.includes(guest.state)) {
    return { refusal: refuse(GUEST_STATE, { state: guest.state, needed: states.join(' or ') }, command) };
  }
  return { guest };
}

export function entryAt(machine: FirmwareMachine, frame: Pfn): RmpEntry {
  return effectiveEntry(machine.rmp, frame);
}

export function stateAt(machine: FirmwareMachine, frame: Pfn): PageState {
  return pageState(effectiveEntry(machine.rmp, frame), machine.rmp.initialised);
}

/** Undefined: the firmware may write its result to the page. */
export function outputRefusal(
  machine: FirmwareMachine,
  command: string,
  field: string,
  address: Spa,
): FirmwareResult | undefined {
  const page = (address - (address % PAGE_SIZE)) as Spa;
  const wrong = addressRefusal(machine, command, field, page);
  if (wrong) return wrong;
  const state = stateAt(machine, pfnOf(page));
  const needed = machine.asp.platform === 'INIT' ? 'Firmware' : 'Default or Firmware or Hypervisor';
  const entry = entryAt(machine, pfnOf(page));
  // Locked Firmware pages are the RMP itself.
  if (machine.asp.platform === 'INIT' ? state === 'Firmware' && !entry.lock : !entry.assigned || state === 'Firmware') {
    return undefined;
  }
  return refuse(OUTPUT_PAGE_STATE, { field, address: hex(address), state, needed }, command);
}

/** Frames of a 4 KiB or 2 MiB operand. */
export function framesOf(size2M: boolean): number {
  return size2M ? PAGES_PER_2M : 1;
}
