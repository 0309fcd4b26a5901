import { gpa, PAGE_SIZE, PAGES_PER_2M, type Pfn, pfn, pfnOf, type Spa, spaOf } from '../../../engine/address.js';
import { snpLaunchFinish } from '../../../engine/asp/commands/snp-launch-finish.js';
import { snpLaunchUpdate } from '../../../engine/asp/commands/snp-launch-update.js';
import { snpPageMdInit } from '../../../engine/asp/commands/snp-page-md-init.js';
import { type PageSwapInParams, snpPageSwapIn } from '../../../engine/asp/commands/snp-page-swap-in.js';
import { type PageSwapOutParams, snpPageSwapOut } from '../../../engine/asp/commands/snp-page-swap-out.js';
import type { Machine } from '../../../engine/machine.js';
import { allocHugePage, readPage, writePage } from '../../../engine/memory/system-memory.js';
import { pageState } from '../../../engine/rmp/page-state.js';
import { rmpUpdate } from '../../../engine/rmp/rmpupdate.js';
import { effectiveEntry } from '../../../engine/rmp/table.js';
import { PAGE_TYPE } from '../../../engine/spec/page-type.js';
import {
  type BareGuest,
  createInitialisedMachine,
  firmwarePage,
  launchGuest,
  must,
  preGuestPage,
} from '../../support/bare-machine.js';
import { finish } from './refusals/launch-finish.js';

/** A running guest with ASID 1 and the pages around it that page commands need. */
export interface PageBench extends BareGuest {
  readonly machine: Machine;
}

export function pageBench(
  options: {
    readonly machine?: Partial<Machine>;
    readonly policy?: bigint;
    readonly imiEnabled?: boolean;
    readonly running?: boolean;
  } = {},
): PageBench {
  const machine = createInitialisedMachine(options.machine);
  const made = launchGuest(machine, {
    ...(options.policy === undefined ? {} : { policy: options.policy }),
    imiEnabled: options.imiEnabled ?? false,
  });
  if (options.running ?? true) must(snpLaunchFinish(machine, finish(made.gctx)));
  return { machine, ...made };
}

export function stateOf(machine: Machine, page: Spa): string {
  return pageState(effectiveEntry(machine.rmp, pfnOf(page)), machine.rmp.initialised);
}

export function bytesOf(machine: Machine, page: Spa, key = 0): Uint8Array {
  return readPage(machine.memory, pfnOf(page), key).slice();
}

/** Sets or clears Immutable and nothing else, as a host does before and after a page command. */
export function setImmutable(machine: Machine, page: Spa, immutable: boolean): void {
  const frame = pfnOf(page);
  const { gpa: address, asid, pageSize2M } = effectiveEntry(machine.rmp, frame);
  must(rmpUpdate(machine, frame, { assigned: true, pageSize2M, immutable, gpa: address, asid }));
}

/** A page of the guest in state Guest-Valid with these contents; needs a guest in state LAUNCH. */
export function guestPage(
  { machine, gctx, guest }: PageBench,
  address: number,
  fill: number,
  more: { readonly type?: number; readonly vmplMasks?: readonly [number, number, number] } = {},
): Spa {
  const page = preGuestPage(machine, guest.asid, address);
  writePage(machine.memory, pfnOf(page), { bytes: new Uint8Array(PAGE_SIZE).fill(fill), frozen: true });
  const update = { gctx, page, pageSize2M: false, pageType: more.type ?? PAGE_TYPE.NORMAL, imiPage: guest.imiEnabled };
  must(snpLaunchUpdate(machine, { ...update, vmplMasks: more.vmplMasks ?? [0, 0, 0] }));
  return page;
}

/** The same in state Pre-Swap. */
export function preSwapPage(...args: Parameters<typeof guestPage>): Spa {
  const page = guestPage(...args);
  setImmutable(args[0].machine, page, true);
  return page;
}

export function metadataPage({ machine, gctx }: PageBench): Spa {
  const page = firmwarePage(machine);
  must(snpPageMdInit(machine, { gctx, page }));
  return page;
}

/** 512 frames in a row as one 2 MiB page of the RMP. */
export function largePage(machine: Machine, state: { asid: number; gpa: number; immutable: boolean }): Spa {
  const first: Pfn | undefined = allocHugePage(machine.memory, 'test');
  if (first === undefined) throw new Error('no memory left');
  const { asid, immutable } = state;
  must(rmpUpdate(machine, first, { assigned: true, pageSize2M: true, immutable, gpa: gpa(state.gpa), asid }));
  return spaOf(first);
}

/** 512 frames in a row as pages of 4 KiB with consecutive addresses. */
export function smallPages(
  machine: Machine,
  state: (i: number) => { asid: number; gpa: number; immutable: boolean },
): Spa {
  const first = allocHugePage(machine.memory, 'test');
  if (first === undefined) throw new Error('no memory left');
  for (let i = 0; i < PAGES_PER_2M; i++) {
    const { asid, immutable, gpa: address } = state(i);
    const operand = { assigned: true, pageSize2M: false, immutable, gpa: gpa(address), asid };
    must(rmpUpdate(machine, pfn(first + i), operand));
  }
  return spaOf(first);
}

export const swapOut = (
  { machine, gctx }: PageBench,
  params: Pick<PageSwapOutParams, 'src' | 'dst'> & Partial<PageSwapOutParams>,
) =>
  snpPageSwapOut(machine, {
    gctx,
    mdata: 0 as Spa,
    softwareData: 0n,
    pageSize2M: false,
    pageType: 0,
    rootMdata: params.mdata === undefined,
    ...params,
  });

export const swapIn = (
  { machine, gctx }: PageBench,
  params: Pick<PageSwapInParams, 'src' | 'dst'> & Partial<PageSwapInParams>,
) =>
  snpPageSwapIn(machine, {
    gctx,
    mdata: 0 as Spa,
    pageSize2M: false,
    pageType: 0,
    rootMdata: params.mdata === undefined,
    inPlace: false,
    ...params,
  });
