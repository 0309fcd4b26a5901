import { gfnOf, gpa, gpaOf, type Pfn, type Spa, spa, spaOf } from '../../engine/address.js';
import { snpPageMdInit } from '../../engine/asp/commands/snp-page-md-init.js';
import { snpPageMove } from '../../engine/asp/commands/snp-page-move.js';
import { snpPageReclaim } from '../../engine/asp/commands/snp-page-reclaim.js';
import { snpPageSwapIn } from '../../engine/asp/commands/snp-page-swap-in.js';
import { snpPageSwapOut } from '../../engine/asp/commands/snp-page-swap-out.js';
import { SWAP_PAGE_TYPE } from '../../engine/asp/page-swap.js';
import { nptMap } from '../../engine/cpu/svm/nested-page-table.js';
import { allocPage } from '../../engine/memory/system-memory.js';
import { rmpUpdate } from '../../engine/rmp/rmpupdate.js';
import { effectiveEntry } from '../../engine/rmp/table.js';
import { canRun, usePage } from './guest-side.js';
import type { Numbers } from './source.js';
import { backingFrame, behindKvm, type Guest, type World } from './world.js';

/**
 * Pages that the host moves, swaps out and swaps in behind the guest's back, as AMD means it, and then once more with
 * ciphertext that is stale: each a chain of steps, in which random operations would hardly ever succeed.
 */

const ENTRY_SIZE = 64;

/** RMPUPDATE; false if it is refused. */
function update(world: World, frame: Pfn, address: number, asid: number, immutable: boolean, assigned = true): boolean {
  const state = { assigned, pageSize2M: false, immutable, gpa: gpa(address), asid };
  return behindKvm(world, rmpUpdate(world.machine, frame, state)).code === 0;
}

function newPage(world: World): Pfn | undefined {
  const frame = allocPage(world.machine.memory, 'swap');
  if (frame !== undefined) world.foreign.add(frame);
  return frame;
}

/** The page of a guest as it is mapped: the frame and its address, if it is a small page of the guest. */
function pageOf(world: World, guest: Guest, n: Numbers): { readonly frame: Pfn; readonly address: number } | undefined {
  const known = [...guest.record.keys()];
  const gfn = known[n.below(Math.max(1, known.length))];
  if (gfn === undefined) return undefined;
  const frame = guest.vm.nestedPageTable?.entries.get(gfn)?.pfn ?? backingFrame(guest, gfn);
  if (frame === undefined) return undefined;
  const entry = effectiveEntry(world.machine.rmp, frame);
  if (!entry.assigned || entry.pageSize2M || entry.asid !== guest.vm.asid || entry.gpa !== gpaOf(gfn)) return undefined;
  return { frame, address: entry.gpa };
}

/** The guest finds its page at another frame. */
function remap(guest: Guest, address: number, frame: Pfn): void {
  if (!guest.vm.nestedPageTable) return;
  const entry = { pfn: frame, writable: true, size2M: false, reserved: false };
  nptMap(guest.vm.nestedPageTable, gfnOf(gpa(address)), entry);
}

export interface Swapped {
  readonly done: boolean;
  /** Address of the guest that the operation was about. */
  readonly address?: number;
}

const NOTHING: Swapped = { done: false };

/** Pre-Swap → another frame → back to the guest. */
export function movePage(world: World, _index: number, guest: Guest, n: Numbers): Swapped {
  const page = pageOf(world, guest, n);
  const target = page && newPage(world);
  if (!page || target === undefined) return NOTHING;
  const { asid } = guest.vm;
  if (!update(world, page.frame, page.address, asid, true)) return NOTHING;
  // Now and then for the address of another page, which must fail.
  const address = n.below(4) > 0 ? page.address : (pageOf(world, guest, n)?.address ?? page.address);
  if (!update(world, target, address, asid, true)) return NOTHING;
  const { machine } = world;
  const operands = { gctx: guest.context.address, pageSize2M: false, src: spaOf(page.frame), dst: spaOf(target) };
  const moved = !behindKvm(world, snpPageMove(machine, operands)).fault;
  // Both pages leave the hands of the firmware; only one of them is valid.
  behindKvm(world, snpPageReclaim(machine, { page: spaOf(page.frame), pageSize2M: false }));
  behindKvm(world, snpPageReclaim(machine, { page: spaOf(target), pageSize2M: false }));
  remap(guest, address, n.below(4) > 0 ? target : page.frame);
  return { done: moved, address };
}

/** A free metadata entry of the guest. */
function metadataEntry(world: World, guest: Guest): Spa | undefined {
  const known = world.metadata.get(guest.context);
  if (known && known.used < 4096 / ENTRY_SIZE) return spa(known.page + ENTRY_SIZE * known.used++);
  const frame = newPage(world);
  if (frame === undefined || !update(world, frame, 0, 0, true)) return undefined;
  const page = spaOf(frame);
  if (behindKvm(world, snpPageMdInit(world.machine, { gctx: guest.context.address, page })).fault) return undefined;
  world.metadata.set(guest.context, { page, used: 1 });
  return page;
}

export function swapOut(world: World, index: number, guest: Guest, n: Numbers): Swapped {
  const page = pageOf(world, guest, n);
  const target = page && newPage(world);
  const mdata = page && metadataEntry(world, guest);
  if (!page || target === undefined || mdata === undefined) return NOTHING;
  if (!update(world, page.frame, page.address, guest.vm.asid, true) || !update(world, target, 0, 0, true))
    return NOTHING;
  const operands = {
    gctx: guest.context.address,
    src: spaOf(page.frame),
    dst: spaOf(target),
    mdata,
    softwareData: 0n,
    pageSize2M: false,
    pageType: SWAP_PAGE_TYPE.DATA,
    rootMdata: false,
  };
  const { machine } = world;
  const done = !behindKvm(world, snpPageSwapOut(machine, operands)).fault;
  behindKvm(world, snpPageReclaim(machine, { page: spaOf(page.frame), pageSize2M: false }));
  behindKvm(world, snpPageReclaim(machine, { page: spaOf(target), pageSize2M: false }));
  if (!done) return { done, address: page.address };
  const kept = { context: guest.context, frame: target, mdata, address: page.address };
  world.swapped.push(kept);
  // A guest that uses the page while it is away takes #VC for an attack: mostly it is back before that.
  if (n.below(4) > 0) twice(world, index, guest, kept, mdata, n);
  return { done, address: page.address };
}

/** Ciphertext that was made some time, with any entry: much is stale, and some of another guest. */
export function swapIn(world: World, index: number, guest: Guest, n: Numbers): Swapped {
  const { swapped } = world;
  // Mostly of what went out last, or the time before.
  const back = n.below(4) > 0 ? n.below(4) : n.below(Math.max(1, swapped.length));
  const kept = swapped.at(-1 - back);
  const entry = n.below(4) > 0 ? kept : swapped[n.below(Math.max(1, swapped.length))];
  if (!kept || !entry) return NOTHING;
  return { done: twice(world, index, guest, kept, entry.mdata, n), address: kept.address };
}

type Kept = World['swapped'][number];

/** Brings a page back, and half of the time once more, after the guest has changed it: the entry is used up then. */
function twice(world: World, index: number, guest: Guest, kept: Kept, mdata: Spa, n: Numbers): boolean {
  const done = bringBack(world, guest, kept, mdata);
  if (done && n.below(2) === 0 && canRun(world, guest)) {
    usePage(world, index, guest, gfnOf(gpa(kept.address)), true);
    bringBack(world, guest, kept, mdata);
  }
  return done;
}

function bringBack(world: World, guest: Guest, kept: Kept, mdata: Spa): boolean {
  const target = newPage(world);
  if (target === undefined || !update(world, target, kept.address, guest.vm.asid, true)) return false;
  const operands = {
    gctx: guest.context.address,
    src: spaOf(kept.frame),
    dst: spaOf(target),
    mdata,
    pageSize2M: false,
    pageType: SWAP_PAGE_TYPE.DATA,
    rootMdata: false,
    inPlace: false,
  };
  const done = !behindKvm(world, snpPageSwapIn(world.machine, operands)).fault;
  behindKvm(world, snpPageReclaim(world.machine, { page: spaOf(target), pageSize2M: false }));
  if (done) remap(guest, kept.address, target);
  return done;
}
