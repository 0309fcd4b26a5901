import { type Gpa, type Hva, hva } from '../../engine/address.js';
import type { Fault } from '../../engine/fault.js';
import { hostBoot } from '../../engine/kvm/host-boot.js';
import { kvmCreateGuestMemfd } from '../../engine/kvm/ioctl/kvm-create-guest-memfd.js';
import { kvmCreateVcpu } from '../../engine/kvm/ioctl/kvm-create-vcpu.js';
import { kvmCreateVm } from '../../engine/kvm/ioctl/kvm-create-vm.js';
import { kvmSetMemoryAttributes } from '../../engine/kvm/ioctl/kvm-set-memory-attributes.js';
import { kvmSetUserMemoryRegion2 } from '../../engine/kvm/ioctl/kvm-set-user-memory-region2.js';
import { memoryEncryptOp } from '../../engine/kvm/ioctl/memory-encrypt-op.js';
import type { IoctlResult } from '../../engine/kvm/result.js';
import type { KvmVm } from '../../engine/kvm/state.js';
import {
  encodeCreateGuestMemfd,
  encodeMemoryAttributes,
  encodeMemoryRegion2,
  type UserspaceMemoryRegion2,
} from '../../engine/kvm/uapi/memory-structs.js';
import { decodeSevCmd, encodeSevCmd, SEV_CMD, SEV_CMD_SIZE, type SevCmdName } from '../../engine/kvm/uapi/sev-cmd.js';
import {
  decodeSnpLaunchUpdate,
  encodeSevInit,
  encodeSnpLaunchFinish,
  encodeSnpLaunchStart,
  encodeSnpLaunchUpdate,
  type SevInit,
  SNP_LAUNCH_UPDATE_SIZE,
  type SnpLaunchFinish,
  type SnpLaunchStart,
  type SnpLaunchUpdate,
} from '../../engine/kvm/uapi/sev-structs.js';
import { VM_TYPE } from '../../engine/kvm/uapi/vm-type.js';
import type { Machine } from '../../engine/machine.js';
import { mapUser, readUser } from '../../engine/memory/user-memory.js';
import { PAGE_TYPE } from '../../engine/spec/page-type.js';
import type { EngineEvent, Op } from '../../engine/timeline/event.js';
import { createMachine } from '../../engine/vmm/create-machine.js';
import { filled, type TestPlan, testPlan, testVmsas } from './plans.js';

/** KVM driven by hand: each function is one system call, run to its end. */

export const UNMAPPED = 0x1000;

export function run<T>(op: Op<T>): T {
  for (;;) {
    const step = op.next();
    if (step.done) return step.value;
  }
}

export function trace<T>(op: Op<T>): { value: T; events: EngineEvent[] } {
  const events: EngineEvent[] = [];
  for (;;) {
    const step = op.next();
    if (step.done) return { value: step.value, events };
    events.push(step.value);
  }
}

/** The faults of all `leave` events, the causes included. */
export function faultsOf(events: readonly EngineEvent[]): Fault[] {
  const faults: Fault[] = [];
  for (const event of events) {
    if (event.kind !== 'leave') continue;
    for (let fault = event.fault; fault; fault = fault.cause) faults.push(fault);
  }
  return faults;
}

/** A host after boot, with /dev/sev open as descriptor 3. */
export function bootedHost(options: TestPlan = {}, change: (machine: Machine) => Machine = (m) => m): Machine {
  const machine = change(createMachine(testPlan(options)));
  run(hostBoot(machine));
  machine.kvm.sevFds.add(3);
  return machine;
}

export function newVm(machine: Machine, type: number = VM_TYPE.KVM_X86_SNP_VM): KvmVm {
  const { ret } = run(kvmCreateVm(machine, type));
  const vm = machine.kvm.vms.get(ret);
  if (!vm) throw new Error('KVM_CREATE_VM failed');
  return vm;
}

export interface SevResult extends IoctlResult {
  /** kvm_sev_cmd.error as the caller sees it. */
  readonly error: number;
  /** The command's struct after the call. */
  readonly data: Uint8Array;
}

/** KVM_MEMORY_ENCRYPT_OP with the command's struct in user memory. */
export function sevCommand(machine: Machine, vm: KvmVm, id: number, data: Uint8Array, sevFd = 3): SevResult {
  const address = mapUser(machine.user, 'command', data);
  const argp = mapUser(machine.user, 'kvm_sev_cmd', encodeSevCmd({ id, data: address, error: 0, sevFd }));
  const result = run(memoryEncryptOp(machine, vm, argp));
  const cmd = readUser(machine.user, argp, SEV_CMD_SIZE);
  return {
    ...result,
    error: cmd ? decodeSevCmd(cmd).error : -1,
    data: readUser(machine.user, address, data.length) ?? data,
  };
}

/** The same with a struct address of the caller's choice. */
export function sevCommandAt(machine: Machine, vm: KvmVm, command: SevCmdName, address: number): IoctlResult {
  const cmd = encodeSevCmd({ id: SEV_CMD[command], data: address, error: 0, sevFd: 3 });
  return run(memoryEncryptOp(machine, vm, mapUser(machine.user, 'kvm_sev_cmd', cmd)));
}

export function init2(machine: Machine, vm: KvmVm, init: Partial<SevInit> = {}): SevResult {
  const data = encodeSevInit({ vmsaFeatures: 0n, flags: 0, ghcbVersion: 0, ...init });
  return sevCommand(machine, vm, SEV_CMD.KVM_SEV_INIT2, data);
}

export function launchStart(machine: Machine, vm: KvmVm, start: Partial<SnpLaunchStart> = {}, fd = 3): SevResult {
  const data = encodeSnpLaunchStart({ policy: 0x3_0000n, gosvw: new Uint8Array(16), flags: 0, ...start });
  return sevCommand(machine, vm, SEV_CMD.KVM_SEV_SNP_LAUNCH_START, data, fd);
}

export interface UpdateResult extends SevResult {
  readonly params: SnpLaunchUpdate;
}

export function launchUpdate(machine: Machine, vm: KvmVm, update: Partial<SnpLaunchUpdate> = {}, fd = 3): UpdateResult {
  const whole = { gfnStart: 1n, uaddr: 0n, len: 0x1000n, type: PAGE_TYPE.ZERO, flags: 0, ...update };
  const result = sevCommand(machine, vm, SEV_CMD.KVM_SEV_SNP_LAUNCH_UPDATE, encodeSnpLaunchUpdate(whole), fd);
  return { ...result, params: decodeSnpLaunchUpdate(result.data.subarray(0, SNP_LAUNCH_UPDATE_SIZE)) };
}

export function launchFinish(machine: Machine, vm: KvmVm, finish: Partial<SnpLaunchFinish> = {}, fd = 3): SevResult {
  const data = encodeSnpLaunchFinish({
    idBlockUaddr: 0,
    idAuthUaddr: 0,
    idBlockEn: false,
    authKeyEn: false,
    vcekDisabled: false,
    hostData: new Uint8Array(32),
    flags: 0,
    ...finish,
  });
  return sevCommand(machine, vm, SEV_CMD.KVM_SEV_SNP_LAUNCH_FINISH, data, fd);
}

export function createMemfd(machine: Machine, vm: KvmVm, size: number | bigint, flags = 0n): IoctlResult {
  return run(kvmCreateGuestMemfd(machine, vm, mapUser(machine.user, 'arg', encodeCreateGuestMemfd({ size, flags }))));
}

export function setRegion(
  machine: Machine,
  vm: KvmVm,
  region: Partial<UserspaceMemoryRegion2<number | bigint>>,
): IoctlResult {
  const whole = {
    slot: 0,
    flags: 4,
    guestPhysAddr: 0,
    memorySize: 0x10_0000,
    userspaceAddr: 0x1000_0000,
    guestMemfdOffset: 0,
    guestMemfd: -1 >>> 0,
    ...region,
  };
  return run(kvmSetUserMemoryRegion2(machine, vm, mapUser(machine.user, 'arg', encodeMemoryRegion2(whole))));
}

export function setAttributes(
  machine: Machine,
  vm: KvmVm,
  address: number | bigint,
  size: number | bigint,
  attributes = 8n,
  flags = 0n,
): IoctlResult {
  const argp = mapUser(machine.user, 'arg', encodeMemoryAttributes({ address, size, attributes, flags }));
  return run(kvmSetMemoryAttributes(machine, vm, argp));
}

/** A VM with INIT2, one vCPU and 1 MiB of private memory at 0. */
export function preparedVm(machine: Machine, vcpus = 1): KvmVm {
  const vm = newVm(machine);
  expectSuccess(init2(machine, vm));
  const vmsas = testVmsas('qemu', vcpus, 1n);
  for (let id = 0; id < vcpus; id++) {
    expectSuccess(run(kvmCreateVcpu(machine, vm, id)));
    const vcpu = vm.vcpus[id];
    const vmsa = vmsas[id];
    if (vcpu && vmsa) vcpu.vmsa = vmsa;
  }
  const fd = createMemfd(machine, vm, 0x10_0000);
  expectSuccess(fd);
  expectSuccess(setRegion(machine, vm, { guestMemfd: fd.ret }));
  expectSuccess(setAttributes(machine, vm, 0, 0x10_0000));
  return vm;
}

/** The same after KVM_SEV_SNP_LAUNCH_START. */
export function startedVm(machine: Machine, vcpus = 1): KvmVm {
  const vm = preparedVm(machine, vcpus);
  expectSuccess(launchStart(machine, vm));
  return vm;
}

function expectSuccess(result: IoctlResult): void {
  if (result.fault) throw new Error(`${result.fault.check}: ${result.fault.message}`);
}

/** `pages` pages of content in user memory. */
export function userPages(machine: Machine, pages: number, value = 0x90): Hva {
  return mapUser(machine.user, 'content', filled(pages * 0x1000, value));
}

/** The address as the structs hold it. */
export const uaddr = (address: Hva | Gpa): bigint => BigInt(address);

export const nowhere: Hva = hva(UNMAPPED);
