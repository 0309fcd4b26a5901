import { type Gfn, gfn, type Hva, PAGES_PER_2M, type Pfn, pfn, type Spa } from '../../engine/address.js';
import type { GuestContext } from '../../engine/asp/state.js';
import { hostBoot } from '../../engine/kvm/host-boot.js';
import { kvmCreateGuestMemfd } from '../../engine/kvm/ioctl/kvm-create-guest-memfd.js';
import { kvmCreateVcpu } from '../../engine/kvm/ioctl/kvm-create-vcpu.js';
import { kvmCreateVm } from '../../engine/kvm/ioctl/kvm-create-vm.js';
import { kvmEnableExitHypercall } from '../../engine/kvm/ioctl/kvm-enable-cap.js';
import { kvmSetMemoryAttributes } from '../../engine/kvm/ioctl/kvm-set-memory-attributes.js';
import { kvmSetSregs } from '../../engine/kvm/ioctl/kvm-set-sregs.js';
import { kvmSetUserMemoryRegion2 } from '../../engine/kvm/ioctl/kvm-set-user-memory-region2.js';
import type { IoctlResult } from '../../engine/kvm/result.js';
import { vcpuRunState } from '../../engine/kvm/run/vcpu-run-state.js';
import { type KvmVm, slotOf } from '../../engine/kvm/state.js';
import {
  encodeCreateGuestMemfd,
  encodeMemoryAttributes,
  encodeMemoryRegion2,
  KVM_MEM_GUEST_MEMFD,
} from '../../engine/kvm/uapi/memory-structs.js';
import {
  encodeSevInit,
  encodeSnpLaunchFinish,
  encodeSnpLaunchStart,
  encodeSnpLaunchUpdate,
} from '../../engine/kvm/uapi/sev-structs.js';
import { VM_TYPE } from '../../engine/kvm/uapi/vm-type.js';
import type { Machine } from '../../engine/machine.js';
import { allocHugePage, allocPage } from '../../engine/memory/system-memory.js';
import { mapAnonymous, mapUser } from '../../engine/memory/user-memory.js';
import { headOf, type RmpChange } from '../../engine/rmp/table.js';
import { PAGE_TYPE } from '../../engine/spec/page-type.js';
import type { KvmRelease } from '../../engine/spec/versions.js';
import type { Op } from '../../engine/timeline/event.js';
import { createVmm, passStruct, sevIoctl, type Vmm } from '../../engine/vmm/context.js';
import { createMachine } from '../../engine/vmm/create-machine.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { testPlan, testVmsas } from '../support/plans.js';

/** A host with three guests, and what the test knows of them. */

export const GUESTS = 3;
/** The guest that validates whatever it is asked to. The others keep a record. */
export const RECKLESS = 2;
/** Guest memory: 4 MiB from 4 MiB on, all of it private at first. */
export const FIRST_GFN = 0x400;
export const RAM_PAGES = 1024;
/** Pages of it that operations are about: few, so that operations meet. */
export const PAGES = [0, 1, 2, 3, 511, 512, 513, 600, 1023] as const;
/** Launched with content, and launched as zeros. */
const LAUNCHED = 0;
const ZEROED = 3;
export const LAUNCHED_VALUE = 0x6c61_756e_6368_6564n;

export interface Guest {
  readonly vm: KvmVm;
  readonly vmm: Vmm;
  readonly ram: Hva;
  /** Its context as it was at launch. */
  readonly context: GuestContext;
  readonly key: number;
  /** Frames that it has validated, and what it last wrote to them; undefined: nothing yet. */
  readonly record: Map<Gfn, bigint | undefined>;
  /** It has noticed something and does nothing more. */
  dead: boolean;
}

export interface World {
  readonly machine: Machine;
  readonly guests: (Guest | undefined)[];
  /** Pages of the host itself: single ones, and 2 MiB. */
  readonly hostPages: readonly Pfn[];
  /** Frames whose entry was changed behind KVM's back. */
  readonly foreign: Set<Pfn>;
  /** Entries that the operation at hand has changed: cause, change. */
  readonly changes: { readonly cause: string; readonly change: RmpChange }[];
  /** A metadata page of each guest, and how many of its entries are in use. */
  readonly metadata: Map<GuestContext, { readonly page: Spa; used: number }>;
  /** All ciphertext that was ever swapped out. */
  readonly swapped: {
    readonly context: GuestContext;
    readonly frame: Pfn;
    readonly mdata: Spa;
    readonly address: number;
  }[];
  /** Next value that a guest writes. */
  next: bigint;
  /** How often each kind of operation had an effect. */
  readonly effects: Map<string, number>;
}

/** Runs an operation of the host to its end and notes what it changes in the RMP. */
export function perform<T>(world: World, op: Op<T>): T {
  for (;;) {
    const step = op.next();
    if (step.done) return step.value;
    if (step.value.kind === 'rmp') world.changes.push({ cause: step.value.cause, change: step.value.change });
  }
}

export function createWorld(kvm: KvmRelease, hugePages: boolean): World {
  const plan = testPlan({ kvm, hostMemory: 0x1000_0000, memory: 0x80_0000 });
  const machine = createMachine({ host: { ...plan.host, hugePages } }, { crypto: nativeCrypto });
  const world: World = {
    machine,
    guests: Array.from({ length: GUESTS }, () => undefined),
    hostPages: [],
    foreign: new Set(),
    changes: [],
    metadata: new Map(),
    swapped: [],
    next: 1n,
    effects: new Map(),
  };
  perform(world, hostBoot(machine));
  machine.stack.quiet = true;
  const pages = [
    allocHugePage(machine.memory, 'host'),
    ...Array.from({ length: 6 }, () => allocPage(machine.memory, 'host')),
  ];
  (world.hostPages as Pfn[]).push(...pages.filter((page) => page !== undefined));
  for (let i = 0; i < GUESTS; i++) world.guests[i] = launchGuest(world);
  return world;
}

/** Runs an operation that KVM knows nothing of: what it changes may later be found in a state that KVM left otherwise. */
export function behindKvm<T>(world: World, op: Op<T>): T {
  const before = world.changes.length;
  const result = perform(world, op);
  for (const { change } of world.changes.slice(before)) {
    world.foreign.add(change.pfn);
    if (change.before.pageSize2M || change.after.pageSize2M) {
      for (let i = 0; i < PAGES_PER_2M; i++) world.foreign.add(pfn(headOf(change.pfn) + i));
    }
  }
  return result;
}

/** A new guest, launched and not run yet; undefined where the host has nothing left for it. */
export function launchGuest(world: World): Guest | undefined {
  const { machine } = world;
  const vmm = createVmm(testPlan({ kvm: machine.kvmProfile.release }), machine);
  const must = (op: Op<IoctlResult>): IoctlResult => {
    const result = perform(world, op);
    if (result.fault) throw new LaunchFailed(result.fault.check);
    return result;
  };
  try {
    const fd = must(kvmCreateVm(machine, VM_TYPE.KVM_X86_SNP_VM)).ret;
    const vm = machine.kvm.vms.get(fd);
    if (!vm) throw new Error('KVM_CREATE_VM');
    vmm.vm = vm;
    vmm.sevFd = 3;
    machine.kvm.sevFds.add(3);
    must(sevIoctl(vmm, 'KVM_SEV_INIT2', encodeSevInit({ vmsaFeatures: 0n, flags: 0, ghcbVersion: 0 })));
    must(
      sevIoctl(
        vmm,
        'KVM_SEV_SNP_LAUNCH_START',
        encodeSnpLaunchStart({ policy: 0x3_0000n, gosvw: new Uint8Array(16), flags: 0 }),
      ),
    );
    must(kvmCreateVcpu(machine, vm, 0));
    const ram = addMemory(world, vmm, vm, must);
    const [vmsa = new Uint8Array(4096)] = testVmsas('qemu', 1, 1n);
    for (const vcpu of vm.vcpus) must(kvmSetSregs(machine, vcpu, vmsa));
    launchPage(vmm, must, LAUNCHED, PAGE_TYPE.NORMAL);
    launchPage(vmm, must, ZEROED, PAGE_TYPE.ZERO);
    const finish = { idBlockUaddr: 0, idAuthUaddr: 0, idBlockEn: false, authKeyEn: false, vcekDisabled: false };
    const hostData = new Uint8Array(32);
    must(sevIoctl(vmm, 'KVM_SEV_SNP_LAUNCH_FINISH', encodeSnpLaunchFinish({ ...finish, hostData, flags: 0 })));
    must(kvmEnableExitHypercall(machine, vm, 1 << 12));
    for (const vcpu of vm.vcpus) vcpuRunState(machine, vm, vcpu);
    const context = vm.snpContext === undefined ? undefined : machine.asp.guests.get((vm.snpContext * 4096) as never);
    if (!context) throw new LaunchFailed('no context');
    const record = new Map<Gfn, bigint | undefined>([
      [gfn(FIRST_GFN + LAUNCHED), LAUNCHED_VALUE],
      [gfn(FIRST_GFN + ZEROED), 0n],
    ]);
    return { vm, vmm, ram, context, key: context.vek, record, dead: false };
  } catch (error) {
    // The host of the test has spoilt something that the launch needs: a free frame, an ASID, the platform.
    if (error instanceof LaunchFailed) return undefined;
    throw error;
  }
}

class LaunchFailed extends Error {}

function addMemory(world: World, vmm: Vmm, vm: KvmVm, must: (op: Op<IoctlResult>) => IoctlResult): Hva {
  const { machine } = world;
  const size = RAM_PAGES * 4096;
  const address = FIRST_GFN * 4096;
  const ram = mapAnonymous(machine.user, machine, 'ram', size);
  const fd = must(kvmCreateGuestMemfd(machine, vm, passStruct(vmm, encodeCreateGuestMemfd({ size, flags: 0n })))).ret;
  const region = encodeMemoryRegion2({
    slot: 0,
    flags: KVM_MEM_GUEST_MEMFD,
    guestPhysAddr: address,
    memorySize: size,
    userspaceAddr: ram,
    guestMemfdOffset: 0,
    guestMemfd: fd,
  });
  must(kvmSetUserMemoryRegion2(machine, vm, passStruct(vmm, region)));
  must(setAttributes(world, { vm, vmm }, FIRST_GFN, RAM_PAGES, true));
  return ram;
}

function launchPage(vmm: Vmm, must: (op: Op<IoctlResult>) => IoctlResult, page: number, type: number): void {
  const content = new Uint8Array(4096);
  new DataView(content.buffer).setBigUint64(0, LAUNCHED_VALUE, true);
  const uaddr = type === PAGE_TYPE.ZERO ? 0n : BigInt(mapUser(vmm.machine.user, 'content', content));
  const update = { gfnStart: BigInt(FIRST_GFN + page), uaddr, len: 0x1000n, type, flags: 0 };
  must(sevIoctl(vmm, 'KVM_SEV_SNP_LAUNCH_UPDATE', encodeSnpLaunchUpdate(update)));
}

export function setAttributes(
  { machine }: World,
  { vm, vmm }: Pick<Guest, 'vm' | 'vmm'>,
  first: number,
  pages: number,
  toPrivate: boolean,
): Op<IoctlResult> {
  const attributes = toPrivate ? 8n : 0n;
  const range = { address: first * 4096, size: pages * 4096, attributes, flags: 0n };
  return kvmSetMemoryAttributes(machine, vm, passStruct(vmm, encodeMemoryAttributes(range)));
}

/** The page of guest_memfd behind a frame, if there is one. */
export function backingFrame({ vm }: Guest, frame: number): Pfn | undefined {
  const slot = slotOf(vm, frame);
  const gmem = slot?.gmemFd === undefined ? undefined : vm.gmems.get(slot.gmemFd);
  return slot && gmem?.folios.get(slot.gmemPage + frame - slot.gfn)?.pfn;
}
