import { type Hva, PAGE_SIZE } from '../../../../engine/address.js';
import { copyBytes, view } from '../../../../engine/bytes.js';
import type { Fault } from '../../../../engine/fault.js';
import { sevEsUnmapGhcb } from '../../../../engine/kvm/ghcb/sev-es-unmap-ghcb.js';
import { sevHandleVmgexit } from '../../../../engine/kvm/ghcb/sev-handle-vmgexit.js';
import { kvmCreateVcpu } from '../../../../engine/kvm/ioctl/kvm-create-vcpu.js';
import { kvmEnableExitHypercall } from '../../../../engine/kvm/ioctl/kvm-enable-cap.js';
import type { ExitHandling, KvmExit } from '../../../../engine/kvm/run/kvm-exit.js';
import { vcpuRunState } from '../../../../engine/kvm/run/vcpu-run-state.js';
import type { KvmVcpu, KvmVm, VcpuRunState } from '../../../../engine/kvm/state.js';
import { VM_TYPE } from '../../../../engine/kvm/uapi/vm-type.js';
import type { Machine } from '../../../../engine/machine.js';
import { mapUser, readUser, writeUser } from '../../../../engine/memory/user-memory.js';
import {
  GHCB_FIELD,
  GHCB_PROTOCOL_VERSION,
  GHCB_USAGE,
  GHCB_VALID_BITMAP,
  type GhcbFieldName,
  validBit,
} from '../../../../engine/spec/ghcb-layout.js';
import type { KvmRelease, ProcessorName } from '../../../../engine/spec/versions.js';
import type { EngineEvent, Op } from '../../../../engine/timeline/event.js';
import { vcpuCpuid } from '../../../../engine/vmm/kvm-arch-init-vcpu.js';
import {
  bootedHost,
  createMemfd,
  init2,
  launchFinish,
  launchStart,
  newVm,
  run,
  setAttributes,
  setRegion,
} from '../../../support/kvm-host.js';
import { testVmsas } from '../../../support/plans.js';

/** A guest without a processor: it writes a GHCB into shared memory and lets KVM handle a VMGEXIT. */
export interface FakeGuest {
  readonly machine: Machine;
  readonly vm: KvmVm;
  readonly vcpu: KvmVcpu;
  readonly arch: VcpuRunState;
  readonly ram: Hva;
  /** Of the last VMGEXIT or return to KVM. */
  events: EngineEvent[];
}

/** Shared; the second half of the 4 MiB of RAM is private. */
export const GHCB_GPA = 0x5000;
export const SHARED_BUFFER = GHCB_GPA + 0x800;
export const PRIVATE_GPA = 0x20_0000;
export const RAM_SIZE = 0x40_0000;

export interface FakeGuestOptions {
  readonly kvm?: KvmRelease;
  readonly processor?: ProcessorName;
  readonly vcpus?: number;
  /** Default true; otherwise an SEV-ES guest. */
  readonly snp?: boolean;
  /** Default true: KVM_CAP_EXIT_HYPERCALL is on. */
  readonly hypercalls?: boolean;
  /** Default true: the GHCB is registered. */
  readonly registered?: boolean;
}

export function fakeGuest(options: FakeGuestOptions = {}): FakeGuest {
  const { kvm = '6.11', vcpus = 1, snp = true } = options;
  const machine = bootedHost(options.processor ? { kvm, processor: options.processor } : { kvm });
  const vm = newVm(machine, snp ? VM_TYPE.KVM_X86_SNP_VM : VM_TYPE.KVM_X86_SEV_ES_VM);
  succeed(init2(machine, vm));
  const vmsas = testVmsas('qemu', vcpus, 1n);
  for (let id = 0; id < vcpus; id++) {
    succeed(run(kvmCreateVcpu(machine, vm, id)));
    const vcpu = vm.vcpus[id];
    if (!vcpu) throw new Error('no vCPU');
    vcpu.vmsa = vmsas[id] ?? vcpu.vmsa;
    vcpu.cpuid = vcpuCpuid('EPYC-Milan-v2', machine.processor, vcpus, id);
  }
  if (options.hypercalls !== false) succeed(run(kvmEnableExitHypercall(machine, vm, 0x1000)));
  const ram = mapUser(machine.user, 'ram', new Uint8Array(RAM_SIZE));
  if (snp) {
    const guestMemfd = succeed(createMemfd(machine, vm, RAM_SIZE)).ret;
    succeed(setRegion(machine, vm, { memorySize: RAM_SIZE, userspaceAddr: ram, guestMemfd }));
    succeed(setAttributes(machine, vm, PRIVATE_GPA, RAM_SIZE - PRIVATE_GPA));
    succeed(launchStart(machine, vm));
    succeed(launchFinish(machine, vm));
  } else succeed(setRegion(machine, vm, { memorySize: RAM_SIZE, userspaceAddr: ram, flags: 0 }));
  for (const vcpu of vm.vcpus) vcpuRunState(machine, vm, vcpu);
  const [vcpu] = vm.vcpus;
  if (!vcpu?.arch) throw new Error('no vCPU');
  const guest = { machine, vm, vcpu, arch: vcpu.arch, ram, events: [] };
  if (options.registered !== false) msrRequest(guest, BigInt(GHCB_GPA) | 0x012n);
  return guest;
}

function succeed<T extends { readonly ret: number; readonly fault?: Fault }>(result: T): T {
  if (result.fault) throw new Error(`${result.fault.check}: ${result.fault.message}`);
  return result;
}

function perform(guest: FakeGuest, op: Op<ExitHandling>): ExitHandling {
  guest.events = [];
  for (;;) {
    const step = op.next();
    if (step.done) return step.value;
    guest.events.push(step.value);
  }
}

/** VMGEXIT with this value in the GHCB MSR; what stands there afterwards is `guest.arch.vmcb.ghcb`. */
export function msrRequest(guest: FakeGuest, value: bigint): ExitHandling {
  guest.arch.vmcb.ghcb = value;
  return perform(guest, sevHandleVmgexit(guest.machine, guest.vm, guest.vcpu));
}

export interface Request {
  readonly code: bigint;
  readonly info1?: bigint;
  readonly info2?: bigint;
  /** Values, marked valid. */
  readonly fields?: Partial<Record<GhcbFieldName, bigint>>;
  /** Fields whose valid bit stays clear nevertheless. */
  readonly forget?: readonly GhcbFieldName[];
  readonly usage?: number;
  /** Into the shared buffer; SW_SCRATCH then points there. */
  readonly buffer?: Uint8Array;
  /** Where the GHCB lies; default GHCB_GPA. */
  readonly gpa?: number;
}

/** Writes the GHCB and executes VMGEXIT. */
export function vmgexit(guest: FakeGuest, request: Request): ExitHandling {
  const at = request.gpa ?? GHCB_GPA;
  writeGuest(guest, at, ghcbPageOf(request));
  return msrRequest(guest, BigInt(at));
}

export function ghcbPageOf(request: Request): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  const v = view(page);
  const { code, info1 = 0n, info2 = 0n, buffer } = request;
  const scratch = buffer ? { SW_SCRATCH: BigInt((request.gpa ?? GHCB_GPA) + 0x800) } : {};
  const fields: Partial<Record<GhcbFieldName, bigint>> = {
    SW_EXITCODE: code,
    SW_EXITINFO1: info1,
    SW_EXITINFO2: info2,
    ...scratch,
    ...request.fields,
  };
  for (const [name, value] of Object.entries(fields) as [GhcbFieldName, bigint][]) {
    const { offset, size } = GHCB_FIELD[name];
    if (size === 1) v.setUint8(offset, Number(value));
    else v.setBigUint64(offset, value, true);
    if (request.forget?.includes(name)) continue;
    const bit = validBit(name);
    const byte = GHCB_VALID_BITMAP + (bit >> 3);
    v.setUint8(byte, v.getUint8(byte) | (1 << (bit & 7)));
  }
  if (buffer) page.set(buffer, 0x800);
  v.setUint16(GHCB_PROTOCOL_VERSION, 2, true);
  v.setUint32(GHCB_USAGE, request.usage ?? 0, true);
  return page;
}

/** KVM_RUN is entered again: the completion that userspace's exit has left. */
export function complete(guest: FakeGuest): ExitHandling {
  const { complete: completion } = guest.arch;
  if (!completion) throw new Error('nothing to complete');
  guest.arch.exit = undefined;
  guest.arch.complete = undefined;
  return perform(guest, completion());
}

/** What happens before the next VMRUN. */
export function enter(guest: FakeGuest): void {
  const op = sevEsUnmapGhcb(guest.machine, guest.vm, guest.vcpu);
  guest.events = [];
  for (let step = op.next(); !step.done; step = op.next()) guest.events.push(step.value);
}

export function exitOf<R extends KvmExit['reason']>(
  guest: FakeGuest,
  reason: R,
): Extract<KvmExit, { readonly reason: R }> {
  const { exit } = guest.arch;
  if (exit?.reason !== reason) throw new Error(`expected ${reason}, not ${exit?.reason ?? 'no exit'}`);
  return exit as Extract<KvmExit, { readonly reason: R }>;
}

/** A field of the GHCB as the guest finds it. */
export function field(guest: FakeGuest, name: GhcbFieldName, at = GHCB_GPA): bigint {
  const { offset, size } = GHCB_FIELD[name];
  const bytes = readGuest(guest, at + offset, size);
  return size === 1 ? BigInt(bytes[0] ?? 0) : view(bytes).getBigUint64(0, true);
}

export function isMarked(guest: FakeGuest, name: GhcbFieldName): boolean {
  const bit = validBit(name);
  const [byte = 0] = readGuest(guest, GHCB_GPA + GHCB_VALID_BITMAP + (bit >> 3), 1);
  return ((byte >> (bit & 7)) & 1) === 1;
}

/** SW_EXITINFO1 and SW_EXITINFO2. */
export function answer(guest: FakeGuest, at = GHCB_GPA): readonly [bigint, bigint] {
  return [field(guest, 'SW_EXITINFO1', at), field(guest, 'SW_EXITINFO2', at)];
}

export function readGuest(guest: FakeGuest, gpa: number, length: number): Uint8Array {
  const bytes = readUser(guest.machine.user, guest.ram + gpa, length);
  if (!bytes) throw new Error(`no memory at ${gpa}`);
  return copyBytes(bytes);
}

export function writeGuest(guest: FakeGuest, gpa: number, bytes: Uint8Array): void {
  if (!writeUser(guest.machine.user, guest.ram + gpa, bytes)) throw new Error(`no memory at ${gpa}`);
}

export const bytesOf = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** Names of the frames that were entered. */
export function framesOf(guest: FakeGuest): string[] {
  return guest.events.flatMap((event) => (event.kind === 'enter' ? [event.frame.name] : []));
}

export function logOf(guest: FakeGuest): string[] {
  return guest.events.flatMap((event) => (event.kind === 'log' ? [event.text] : []));
}
