import { type Gfn, gfn, gfnOf, gpa, gpaOf, PAGES_PER_2M, type Pfn, pfn, spaOf } from '../../engine/address.js';
import type { FirmwareResult } from '../../engine/asp/command.js';
import { snpActivate } from '../../engine/asp/commands/snp-activate.js';
import { snpDbgDecrypt } from '../../engine/asp/commands/snp-dbg-decrypt.js';
import { snpDbgEncrypt } from '../../engine/asp/commands/snp-dbg-encrypt.js';
import { snpDecommission } from '../../engine/asp/commands/snp-decommission.js';
import { snpDfFlush } from '../../engine/asp/commands/snp-df-flush.js';
import { snpGctxCreate } from '../../engine/asp/commands/snp-gctx-create.js';
import { snpGuestStatus } from '../../engine/asp/commands/snp-guest-status.js';
import { snpInit } from '../../engine/asp/commands/snp-init.js';
import { snpLaunchFinish } from '../../engine/asp/commands/snp-launch-finish.js';
import { snpLaunchStart } from '../../engine/asp/commands/snp-launch-start.js';
import { snpLaunchUpdate } from '../../engine/asp/commands/snp-launch-update.js';
import { snpPageMdInit } from '../../engine/asp/commands/snp-page-md-init.js';
import { snpPageMove } from '../../engine/asp/commands/snp-page-move.js';
import { snpPageReclaim } from '../../engine/asp/commands/snp-page-reclaim.js';
import { snpPageUnsmash } from '../../engine/asp/commands/snp-page-unsmash.js';
import { snpPlatformStatus } from '../../engine/asp/commands/snp-platform-status.js';
import { snpShutdownEx } from '../../engine/asp/commands/snp-shutdown.js';
import { wbinvdOnAllCores } from '../../engine/asp/state.js';
import { nptMap, nptZap } from '../../engine/cpu/svm/nested-page-table.js';
import { kvmGmemPunchHole } from '../../engine/kvm/mmu/kvm-gmem-punch-hole.js';
import { sevVmDestroy } from '../../engine/kvm/sev-vm-destroy.js';
import { encodeSnpLaunchUpdate } from '../../engine/kvm/uapi/sev-structs.js';
import { hostWrite } from '../../engine/rmp/host-write.js';
import { psmash } from '../../engine/rmp/psmash.js';
import { rmpUpdate } from '../../engine/rmp/rmpupdate.js';
import { headOf } from '../../engine/rmp/table.js';
import type { Op } from '../../engine/timeline/event.js';
import { sevIoctl } from '../../engine/vmm/context.js';
import { kvmConvertMemory } from '../../engine/vmm/kvm-convert-memory.js';
import { checkDestroyed } from './checks.js';
import { canRun, usePage } from './guest-side.js';
import { movePage, type Swapped, swapIn, swapOut } from './page-swap.js';
import { type Numbers, pick } from './source.js';
import {
  backingFrame,
  behindKvm,
  FIRST_GFN,
  type Guest,
  launchGuest,
  PAGES,
  perform,
  RAM_PAGES,
  setAttributes,
  type World,
} from './world.js';

/** What a host can do: honest by KVM's ioctls, or with instructions and firmware commands of its own choice. */

export function anyGuest(world: World, n: Numbers): { readonly index: number; readonly guest: Guest | undefined } {
  const index = n.below(world.guests.length);
  return { index, guest: world.guests[index] };
}

export const anyPage = (n: Numbers) => gfn(FIRST_GFN + pick(n, PAGES));

/** A frame that means something to somebody. */
function anyFrame(world: World, n: Numbers): Pfn {
  const { guest } = anyGuest(world, n);
  const what = n.below(8);
  const page = anyPage(n);
  const own = guest && (what < 4 ? backingFrame(guest, page) : what === 4 ? guest.vm.vcpus[0]?.vmsaPfn : undefined);
  if (own !== undefined) return own;
  if (guest && what === 5 && guest.vm.snpContext !== undefined) return guest.vm.snpContext;
  if (guest && what === 6 && guest.vm.guestReq)
    return n.below(2) ? guest.vm.guestReq.request : guest.vm.guestReq.response;
  const host = world.hostPages[n.below(world.hostPages.length)] ?? pfn(0);
  return n.below(4) === 0 ? pfn(host + n.below(3)) : host;
}

function anyContext(world: World, n: Numbers) {
  const { guest } = anyGuest(world, n);
  return guest && n.below(8) > 0 ? guest.context.address : spaOf(anyFrame(world, n));
}

type HostOperation = (world: World, n: Numbers) => boolean;

const dbg = (w: World, n: Numbers) => ({
  gctx: anyContext(w, n),
  src: spaOf(anyFrame(w, n)),
  dst: spaOf(anyFrame(w, n)),
});

const FIRMWARE: readonly [
  (w: World, n: Numbers) => Op<FirmwareResult>,
  ...((w: World, n: Numbers) => Op<FirmwareResult>)[],
] = [
  ({ machine }) => snpDfFlush(machine),
  (w, n) => snpActivate(w.machine, { gctx: anyContext(w, n), asid: n.below(6) }),
  (w, n) => snpGctxCreate(w.machine, { page: spaOf(anyFrame(w, n)) }),
  (w, n) => snpGuestStatus(w.machine, { gctx: anyContext(w, n), status: spaOf(anyFrame(w, n)) }),
  (w, n) => snpPlatformStatus(w.machine, { status: spaOf(anyFrame(w, n)) }),
  (w, n) => snpPageReclaim(w.machine, { page: spaOf(anyFrame(w, n)), pageSize2M: n.below(4) === 0 }),
  (w, n) => snpPageReclaim(w.machine, { page: spaOf(anyFrame(w, n)), pageSize2M: false }),
  (w, n) =>
    snpLaunchStart(w.machine, {
      gctx: anyContext(w, n),
      policy: 0x3_0000n,
      gosvw: new Uint8Array(16),
      maEnabled: false,
      imiEnabled: false,
    }),
  (w, n) =>
    snpLaunchUpdate(w.machine, {
      gctx: anyContext(w, n),
      page: spaOf(anyFrame(w, n)),
      pageSize2M: n.below(8) === 0,
      pageType: 1 + n.below(6),
      vmplMasks: [n.below(16), n.below(16), n.below(16)],
      imiPage: false,
    }),
  (w, n) => snpPageMdInit(w.machine, { gctx: anyContext(w, n), page: spaOf(anyFrame(w, n)) }),
  (w, n) => snpPageUnsmash(w.machine, { page: spaOf(headOf(anyFrame(w, n))) }),
  (w, n) => snpDbgDecrypt(w.machine, dbg(w, n)),
  (w, n) => snpDbgEncrypt(w.machine, dbg(w, n)),
  (w, n) =>
    snpPageMove(w.machine, {
      gctx: anyContext(w, n),
      pageSize2M: n.below(8) === 0,
      src: spaOf(anyFrame(w, n)),
      dst: spaOf(anyFrame(w, n)),
    }),
  (w, n) =>
    snpLaunchFinish(w.machine, {
      gctx: anyContext(w, n),
      idBlock: spaOf(anyFrame(w, n)),
      idAuth: spaOf(anyFrame(w, n)),
      idBlockEnabled: n.below(2) === 0,
      authKeyEnabled: false,
      vcekDisabled: false,
      hostData: new Uint8Array(32),
    }),
];

export const HOST_OPERATIONS = {
  rmpupdate(world, n) {
    const size2M = n.below(6) === 0;
    const frame = size2M ? headOf(anyFrame(world, n)) : anyFrame(world, n);
    const { guest } = anyGuest(world, n);
    const assigned = n.below(3) > 0;
    const page = anyPage(n);
    const state = {
      assigned,
      pageSize2M: size2M,
      immutable: n.below(5) === 0,
      gpa: gpa(n.below(8) === 0 ? 0 : gpaOf(gfn(size2M ? page - (page % PAGES_PER_2M) : page))),
      asid: assigned && n.below(8) > 0 ? (guest?.vm.asid ?? n.below(6)) : 0,
    };
    return behindKvm(world, rmpUpdate(world.machine, frame, state)).code === 0;
  },
  psmash: (world, n) => behindKvm(world, psmash(world.machine, headOf(anyFrame(world, n)))).code === 0,
  firmware: (world, n) => !behindKvm(world, pick(n, FIRMWARE)(world, n)).fault,
  decommission(world, n) {
    if (n.below(20) > 0) return false;
    return !behindKvm(world, snpDecommission(world.machine, { gctx: anyContext(world, n) })).fault;
  },
  shutdown(world, n) {
    if (n.below(40) > 0) return false;
    const { machine } = world;
    const down = behindKvm(world, snpShutdownEx(machine));
    if (!down.fault && !behindKvm(world, snpInit(machine)).fault) {
      wbinvdOnAllCores(machine.asp);
      perform(world, snpDfFlush(machine));
    }
    return !down.fault;
  },
  wbinvd({ machine }) {
    wbinvdOnAllCores(machine.asp);
    return true;
  },
  write(world, n) {
    const bytes = Uint8Array.from({ length: 8 }, () => n.below(256));
    return !hostWrite(world.machine, anyFrame(world, n), 0, bytes);
  },
  /** The nested page table is the host's: any page anywhere. */
  map(world, n) {
    const { index, guest } = anyGuest(world, n);
    const table = guest?.vm.nestedPageTable;
    if (!guest || !table) return false;
    const page = anyPage(n);
    const other = n.below(2) === 0 ? backingFrame(guest, anyPage(n)) : undefined;
    const frame = other ?? anyFrame(world, n);
    const size2M = n.below(5) === 0;
    nptMap(table, size2M ? gfn(page - (page % PAGES_PER_2M)) : page, {
      pfn: size2M ? headOf(frame) : frame,
      writable: n.below(4) > 0,
      size2M,
      reserved: n.below(16) === 0,
    });
    look(world, index, guest, page);
    return true;
  },
  unmap(world, n) {
    const table = anyGuest(world, n).guest?.vm.nestedPageTable;
    const page = anyPage(n);
    return table !== undefined && nptZap(table, page, gfn(page + 1 + n.below(600)));
  },
  attributes(world, n) {
    const { guest } = anyGuest(world, n);
    if (!guest) return false;
    const [first, pages] = anyRange(n);
    return perform(world, setAttributes(world, guest, first, pages, n.below(3) > 0)).ret === 0;
  },
  /** KVM_HC_MAP_GPA_RANGE in the VMM: attributes, and the other backing is thrown away. */
  convert(world, n) {
    const { guest } = anyGuest(world, n);
    if (!guest) return false;
    if (guest.vmm.regions.length === 0) {
      guest.vmm.regions.push({ name: 'ram', gpa: gpa(FIRST_GFN * 4096), size: RAM_PAGES * 4096, hva: guest.ram });
    }
    const [first, pages] = anyRange(n);
    return perform(world, kvmConvertMemory(guest.vmm, first * 4096, pages * 4096, n.below(3) > 0)).ret === 0;
  },
  punch(world, n) {
    const { guest } = anyGuest(world, n);
    const gmem = guest && [...guest.vm.gmems.values()][0];
    if (!guest || !gmem) return false;
    const [first, pages] = anyRange(n);
    const op = kvmGmemPunchHole(world.machine, guest.vm, gmem, (first - FIRST_GFN) * 4096, pages * 4096);
    return perform(world, op).ret === 0;
  },
  'launch update'(world, n) {
    const { guest } = anyGuest(world, n);
    if (!guest) return false;
    const update = {
      gfnStart: BigInt(anyPage(n)),
      uaddr: BigInt(guest.ram),
      len: 0x1000n,
      type: 1 + n.below(6),
      flags: 0,
    };
    return perform(world, sevIoctl(guest.vmm, 'KVM_SEV_SNP_LAUNCH_UPDATE', encodeSnpLaunchUpdate(update))).ret === 0;
  },
  'page move': (world, n) => swap(world, n, movePage),
  'swap out': (world, n) => swap(world, n, swapOut),
  'swap in': (world, n) => swap(world, n, swapIn),
  /** Mostly of a guest that has ended, so that there is always somebody to attack. */
  destroy(world, n) {
    const { index, guest } = anyGuest(world, n);
    if (n.below(guest && canRun(world, guest) ? 40 : 3) > 0) return false;
    if (guest) {
      perform(world, sevVmDestroy(world.machine, guest.vm));
      checkDestroyed(world, guest);
    }
    world.guests[index] = launchGuest(world);
    return true;
  },
} as const satisfies Readonly<Record<string, HostOperation>>;

function swap(
  world: World,
  n: Numbers,
  operation: (world: World, index: number, guest: Guest, n: Numbers) => Swapped,
): boolean {
  const { index, guest } = anyGuest(world, n);
  if (!guest) return false;
  const { done, address } = operation(world, index, guest, n);
  if (address !== undefined) look(world, index, guest, gfnOf(gpa(address)));
  return done;
}

/** The guest uses the page before anything else happens to it. */
function look(world: World, index: number, guest: Guest, frame: Gfn): void {
  if (canRun(world, guest)) usePage(world, index, guest, frame, false);
}

/** A page, a few, or a whole region. */
function anyRange(n: Numbers): readonly [first: number, pages: number] {
  const page = anyPage(n);
  const size = n.below(6);
  if (size === 0) return [page - (page % PAGES_PER_2M), PAGES_PER_2M];
  return [page, Math.min(1 + n.below(3), FIRST_GFN + RAM_PAGES - page)];
}
