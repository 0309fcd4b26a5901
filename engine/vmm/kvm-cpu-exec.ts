import { hex } from '../address.js';
import { type Fault, type FaultDefinition, makeFault, type Operands } from '../fault.js';
import type { IoctlResult } from '../kvm/result.js';
import type { KvmExit } from '../kvm/run/kvm-exit.js';
import { kvmRun } from '../kvm/run/kvm-run.js';
import type { KvmVcpu } from '../kvm/state.js';
import { ERRNO, errnoName } from '../spec/errno.js';
import { decodeExitCode } from '../spec/exit-code.js';
import { decodeTermination } from '../spec/guest-termination.js';
import type { Op } from '../timeline/event.js';
import type { GuestExit } from '../timeline/run.js';
import { boardEnv, boardOf } from './board-of.js';
import { report, vmOf } from './context.js';
import type { Board } from './devices/board.js';
import { reportLines } from './devices/console.js';
import { accessMmio, type BusResult, readPort, writePort } from './devices/io-bus.js';
import {
  CONVERT_REFUSED,
  DEVICE_MISSING,
  type End,
  GUEST_ENTRY_FAILED,
  GUEST_INTERNAL_ERROR,
  GUEST_RUN_FAILED,
  GUEST_SHUTDOWN,
  GUEST_TERMINATED,
} from './guest-end-faults.js';
import { endFault, withStory } from './guest-story.js';
import { kvmConvertMemory } from './kvm-convert-memory.js';
import { provideCertificates } from './provide-certificates.js';
import type { GuestRun } from './run-vm.js';

/** Why a vCPU thread leaves kvm_cpu_exec(). */
export type CpuExec =
  | { readonly kind: 'exit'; readonly exit: GuestExit }
  /** The quantum is over, or the vCPU gave it up. */
  | { readonly kind: 'interrupted' }
  /** The vCPU sleeps in the kernel. */
  | { readonly kind: 'blocked' };

/** KVM_HC_MAP_GPA_RANGE and its attribute word. Linux include/uapi/linux/kvm_para.h. */
const KVM_HC_MAP_GPA_RANGE = 12;
const MAP_GPA_RANGE_ENCRYPTED = 1n << 4n;
const KVM_SYSTEM_EVENT_SEV_TERM = 6;
const MEMORY_EXIT_FLAG_PRIVATE = 8;

/** Nanoseconds of an exit to the VMM, beside those of the #VMEXIT: an order of magnitude. */
const USERSPACE_TIME = 10_000;

/** QEMU kvm_cpu_exec(): KVM_RUN again and again, and what the exits ask for in between. */
export function* kvmCpuExec(run: GuestRun, vcpu: KvmVcpu, deadline: number): Op<CpuExec> {
  const { vmm, processor } = run;
  for (;;) {
    const result = yield* kvmRun(vmm.machine, vmOf(vmm), vcpu, deadline, processor);
    const done = yield* afterRun(run, vcpu, result);
    if (done) return done;
  }
}

/** Undefined: KVM_RUN again. */
function* afterRun(run: GuestRun, vcpu: KvmVcpu, result: IoctlResult): Op<CpuExec | undefined> {
  const exit = vcpu.arch?.exit;
  if (result.ret < 0) {
    if (result.ret === -ERRNO.EINTR || result.ret === -ERRNO.EAGAIN) return { kind: 'interrupted' };
    if (!(result.ret === -ERRNO.EFAULT && exit?.reason === 'KVM_EXIT_MEMORY_FAULT')) {
      const error = `-${errnoName(result.ret) ?? -result.ret}`;
      yield report(run.vmm, `error: kvm run failed ${error}`);
      return ended(run, vcpu, GUEST_RUN_FAILED, { error }, result.fault);
    }
  }
  if (!exit) throw new Error('KVM_RUN returned to userspace without an exit');
  run.vmm.machine.hostTime += USERSPACE_TIME;
  return yield* handleExit(run, vcpu, exit);
}

function* handleExit(run: GuestRun, vcpu: KvmVcpu, exit: KvmExit): Op<CpuExec | undefined> {
  const { vmm } = run;
  switch (exit.reason) {
    case 'KVM_EXIT_IO':
      return yield* kvmHandleIo(run, vcpu, exit);
    case 'KVM_EXIT_MMIO': {
      return yield* handleMmio(run, vcpu, exit);
    }
    case 'KVM_EXIT_HYPERCALL':
      return yield* kvmHandleHypercall(run, vcpu, exit);
    case 'KVM_EXIT_MEMORY_FAULT': {
      const { flags, gpa, size, fault } = exit;
      if ((flags & ~MEMORY_EXIT_FLAG_PRIVATE) !== 0) {
        yield report(vmm, `KVM_EXIT_MEMORY_FAULT: Unknown flag ${hex(flags)}`);
        return ended(run, vcpu, GUEST_RUN_FAILED, { error: `KVM_EXIT_MEMORY_FAULT with flags ${hex(flags)}` }, fault);
      }
      return yield* convert(run, vcpu, gpa, size, (flags & MEMORY_EXIT_FLAG_PRIVATE) !== 0, fault);
    }
    case 'KVM_EXIT_SYSTEM_EVENT':
      // A request by the GHCB page leaves the address of the page in data[0]; its reason stands beside the struct.
      return yield* systemEvent(run, vcpu, exit.type, wordOf(exit.termination) ?? exit.data[0] ?? 0n, exit.fault);
    case 'KVM_EXIT_SHUTDOWN': {
      yield report(vmm, 'cpus are not resettable, terminating');
      const fault = endFault(run, vcpu, GUEST_SHUTDOWN, {}, exit.fault);
      return { kind: 'exit', exit: { reason: 'shutdown', fault } };
    }
    case 'KVM_EXIT_FAIL_ENTRY': {
      const code = exit.hardwareEntryFailureReason;
      const { name, meaning } = decodeExitCode(code) ?? { name: hex(code), meaning: 'not defined' };
      yield report(vmm, `KVM: entry failed, hardware error ${hex(code)}`);
      const operands = { vcpu: vcpu.index, reason: `${name} (${hex(code)})`, meaning };
      const fault = makeFault(GUEST_ENTRY_FAILED, operands, exit.fault ? { cause: exit.fault } : {});
      return { kind: 'exit', exit: { reason: 'fault', fault: withStory(fault) } };
    }
    case 'KVM_EXIT_INTERNAL_ERROR': {
      const { suberror } = exit;
      yield report(vmm, `KVM internal error. Suberror: ${suberror}`);
      const code = vcpu.arch?.vmcb.exitCode ?? 0n;
      const name = decodeExitCode(code)?.name ?? hex(code);
      return ended(run, vcpu, GUEST_INTERNAL_ERROR, { suberror, exit: name }, exit.fault);
    }
    case 'KVM_EXIT_VMGEXIT':
      yield* provideCertificates(vmm, exit);
      return undefined;
    case 'KVM_EXIT_INTR':
      return { kind: 'interrupted' };
    case 'blocked':
      return { kind: 'blocked' };
    case 'emulator':
      return { kind: 'exit', exit: { reason: 'fault', fault: exit.fault } };
  }
}

/** The end of the guest by a fault of VMM or KVM. */
function ended<O extends Operands>(
  run: GuestRun,
  vcpu: KvmVcpu,
  definition: FaultDefinition<End & O>,
  more: O,
  below?: Fault,
): CpuExec {
  return { kind: 'exit', exit: { reason: 'fault', fault: endFault(run, vcpu, definition, more, below) } };
}

function missingDevice(
  run: GuestRun,
  vcpu: KvmVcpu,
  { missing }: BusResult,
  address: string,
  access: string,
): CpuExec | undefined {
  return missing && ended(run, vcpu, DEVICE_MISSING, { device: missing.name, address, access });
}

type IoExit = Extract<KvmExit, { reason: 'KVM_EXIT_IO' }>;

/** QEMU kvm_handle_io(): element by element. */
function* kvmHandleIo(run: GuestRun, vcpu: KvmVcpu, exit: IoExit): Op<CpuExec | undefined> {
  const { machine } = run.vmm;
  const board = boardOf(machine, run.vmm.plan);
  const env = boardEnv(machine, vmOf(run.vmm));
  const isIn = exit.direction === 'in';
  for (let i = 0; i < exit.count; i++) {
    const data = exit.data.subarray(i * exit.size, (i + 1) * exit.size);
    const result = isIn ? readPort(board, exit.port, data, env) : writePort(board, exit.port, data, env);
    const missing = missingDevice(run, vcpu, result, `port ${hex(exit.port)}`, isIn ? 'read' : 'wrote to');
    if (missing) return missing;
  }
  yield* reportLines(machine);
  return yield* afterAccess(run, board);
}

/** A device can ask for the end of the machine. */
function* afterAccess(run: GuestRun, board: Board): Op<CpuExec | undefined> {
  const { request } = board;
  if (!request) return undefined;
  board.request = undefined;
  if (request === 'reset') yield report(run.vmm, 'cpus are not resettable, terminating');
  return { kind: 'exit', exit: { reason: request } };
}

type MmioExit = Extract<KvmExit, { reason: 'KVM_EXIT_MMIO' }>;

/** address_space_rw(): a device, or memory that the guest has asked KVM to access as if it were one (flash). */
function* handleMmio(run: GuestRun, vcpu: KvmVcpu, exit: MmioExit): Op<CpuExec | undefined> {
  const { machine } = run.vmm;
  const { gpa, data, isWrite } = exit;
  const board = boardOf(machine, run.vmm.plan);
  const env = boardEnv(machine, vmOf(run.vmm));
  if (run.vmm.regions.some((region) => gpa >= region.gpa && gpa + data.length <= region.gpa + region.size)) {
    if (isWrite) env.writeMemory(gpa, data);
    else data.set(env.readMemory(gpa, data.length) ?? new Uint8Array(data.length));
    return undefined;
  }
  const result = accessMmio(board, gpa, data, isWrite, env);
  const missing = missingDevice(run, vcpu, result, hex(gpa), isWrite ? 'wrote to' : 'read');
  return missing ?? (yield* afterAccess(run, board));
}

type HypercallExit = Extract<KvmExit, { reason: 'KVM_EXIT_HYPERCALL' }>;

/** QEMU kvm_handle_hypercall(). A conversion that fails stops the VM: `ret` never carries an error. */
function* kvmHandleHypercall(run: GuestRun, vcpu: KvmVcpu, exit: HypercallExit): Op<CpuExec | undefined> {
  if (exit.nr !== KVM_HC_MAP_GPA_RANGE) {
    return ended(run, vcpu, GUEST_RUN_FAILED, { error: `hypercall ${exit.nr}, which QEMU does not know` });
  }
  const [gpa = 0n, pages = 0n, attributes = 0n] = exit.args;
  const toPrivate = (attributes & MAP_GPA_RANGE_ENCRYPTED) !== 0n;
  const failed = yield* convert(run, vcpu, Number(gpa), Number(pages) * 4096, toPrivate, exit.fault);
  if (!failed) exit.ret = 0n;
  return failed;
}

function* convert(
  run: GuestRun,
  vcpu: KvmVcpu,
  gpa: number,
  size: number,
  toPrivate: boolean,
  cause?: Fault,
): Op<CpuExec | undefined> {
  const { ret, what } = yield* kvmConvertMemory(run.vmm, gpa, size, toPrivate);
  if (ret === 0) return undefined;
  const to = toPrivate ? 'private' : 'shared';
  return ended(run, vcpu, CONVERT_REFUSED, { what: what ?? '', gpa: hex(gpa), size: hex(size), to }, cause);
}

/** The reason of a termination as the GHCB MSR would have it. */
function wordOf(termination: { readonly set: number; readonly code: number } | undefined): bigint | undefined {
  return termination && (BigInt(termination.code) << 16n) | (BigInt(termination.set) << 12n) | 0x100n;
}

/** QEMU has no words for KVM_SYSTEM_EVENT_SEV_TERM and stops in "internal error"; here the request is decoded. */
function* systemEvent(run: GuestRun, vcpu: KvmVcpu, type: number, data: bigint, below?: Fault): Op<CpuExec> {
  if (type !== KVM_SYSTEM_EVENT_SEV_TERM) {
    return ended(run, vcpu, GUEST_RUN_FAILED, { error: `KVM_EXIT_SYSTEM_EVENT of type ${type}` });
  }
  yield report(run.vmm, 'KVM: unknown exit reason 24');
  const { set, code, meaning, orderly } = decodeTermination(data);
  const end = { reason: 'termination', set, code, meaning } as const;
  if (orderly) return { kind: 'exit', exit: end };
  const fault = endFault(run, vcpu, GUEST_TERMINATED, { set, code, meaning }, below);
  // A general request says neither that something failed nor that nothing did.
  const general = set === 0 && code === 0 && !fault.cause;
  return { kind: 'exit', exit: general ? end : { ...end, fault } };
}
