import type { Hva } from '../address.js';
import { type Gpa, hva } from '../address.js';
import { copyBytes } from '../bytes.js';
import type { Fault, Operands } from '../fault.js';
import { memoryEncryptOp } from '../kvm/ioctl/memory-encrypt-op.js';
import type { IoctlResult } from '../kvm/result.js';
import type { KvmVm } from '../kvm/state.js';
import { decodeSevCmd, encodeSevCmd, SEV_CMD, SEV_CMD_SIZE, type SevCmdName } from '../kvm/uapi/sev-cmd.js';
import type { LaunchPlan } from '../launch/plan.js';
import type { Machine } from '../machine.js';
import { mapUser, readUser, writeUser } from '../memory/user-memory.js';
import { inFrame, logEvent, type Op } from '../timeline/event.js';

/** The VMM process during a launch. */
export interface Vmm {
  readonly plan: LaunchPlan;
  readonly machine: Machine;
  /** One page for the structs that ioctls take. */
  readonly stack: Hva;
  readonly regions: RamRegion[];
  vm?: KvmVm;
  sevFd: number;
  nextSlot: number;
}

/** Guest memory as the VMM has it: a range of guest addresses and its own mapping. */
export interface RamRegion {
  readonly name: string;
  readonly gpa: Gpa;
  readonly size: number;
  readonly hva: Hva;
}

const STACK_SIZE = 4096;
/** Where on the stack page the command's own struct lies, behind struct kvm_sev_cmd. */
const DATA_OFFSET = 0x100;

export function createVmm(plan: LaunchPlan, machine: Machine): Vmm {
  const stack = mapUser(machine.user, 'stack', new Uint8Array(STACK_SIZE));
  return { plan, machine, stack, regions: [], sevFd: -1, nextSlot: 0 };
}

/** The VM, which every step after KVM_CREATE_VM has. */
export function vmOf(vmm: Vmm): KvmVm {
  if (!vmm.vm) throw new Error('VMM step before KVM_CREATE_VM');
  return vmm.vm;
}

/** Places the argument of an ioctl in user memory. */
export function passStruct(vmm: Vmm, bytes: Uint8Array): Hva {
  const address = hva(vmm.stack + DATA_OFFSET);
  writeUser(vmm.machine.user, address, bytes);
  return address;
}

/** The struct as the kernel left it. */
export function takeStruct(vmm: Vmm, size: number): Uint8Array {
  return copyBytes(readUser(vmm.machine.user, vmm.stack + DATA_OFFSET, size) ?? new Uint8Array(size));
}

/** QEMU sev_ioctl(): `fwError` is what the kernel wrote to kvm_sev_cmd.error. */
export function* sevIoctl(vmm: Vmm, command: SevCmdName, data: Uint8Array): Op<IoctlResult> {
  const { user } = vmm.machine;
  const address = passStruct(vmm, data);
  writeUser(user, vmm.stack, encodeSevCmd({ id: SEV_CMD[command], data: address, error: 0, sevFd: vmm.sevFd }));
  const result = yield* memoryEncryptOp(vmm.machine, vmOf(vmm), vmm.stack);
  const cmd = readUser(user, vmm.stack, SEV_CMD_SIZE);
  return { ...result, fwError: cmd ? decodeSevCmd(cmd).error : 0 };
}

/** A step of the VMM: undefined if it worked, otherwise the fault because of which the VMM exits. */
export type VmmStep = Op<Fault | undefined>;

/** Runs a step as a frame of layer `vmm`, named after the function of QEMU. */
export function inVmm(vmm: Vmm, name: string, args: Operands, body: () => VmmStep): VmmStep {
  return inFrame(vmm.machine.stack, 'vmm', name, { args }, body, describeStep);
}

export function describeStep(fault: Fault | undefined): { result: string; fault?: Fault } {
  return fault ? { result: 'exit(1)', fault } : { result: 'ok' };
}

/** A line on the VMM's standard error. */
export function report(vmm: Vmm, text: string) {
  return logEvent(vmm.machine.stack, 'vmm', text);
}
