import { hex, PAGE_SIZE, pfnOf, type Spa } from '../../address.js';
import { copyBytes, view } from '../../bytes.js';
import type { Fault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { plainPage, writePage } from '../../memory/system-memory.js';
import { markSeen } from '../../rmp/table.js';
import { asVmpl } from '../../rmp/vmpl.js';
import { decodeExitCode } from '../../spec/exit-code.js';
import { inFrame, type Op } from '../../timeline/event.js';
import { isCpuStop } from '../exception.js';
import type { RunResult } from '../run-result.js';
import { RFLAGS } from '../semantics/flags.js';
import { type Core, flushTranslations, type PendingExit, type RunningGuest } from './core.js';
import { createCore } from './create-core.js';
import { decodeEvent, encodeException, isValidEvent } from './event.js';
import { EXIT, type Vmcb } from './vmcb.js';
import { type VmrunRefusal, vmrunRefusal } from './vmrun-checks.js';
import { DEBUG_VIRTUALIZATION, loadVmsa, storeVmsa, VMSA_AT, VMSA_STATE_BYTES } from './vmsa-state.js';

/**
 * VMRUN: runs vCPU `vcpu` with the state in its VMSA until #VMEXIT, which the last event, of kind `exit`, reports and
 * the VMCB holds. `deadline`: when the machine has retired this many instructions the host's timer interrupts the
 * guest (INTR). With `vmcb.emulatorFault` set there was no exit: the emulated processor cannot go on.
 */
export function vmrun(machine: Machine, vcpu: number, vmcb: Vmcb, deadline: number): Op<void> {
  return inFrame(
    machine.stack,
    'guest',
    `vCPU ${vcpu}`,
    { args: { vcpu } },
    () => enter(machine, vcpu, vmcb, deadline),
    () => ({ result: exitText(vmcb) }),
  );
}

function exitText(vmcb: Vmcb): string {
  return `#VMEXIT ${decodeExitCode(vmcb.exitCode)?.name ?? hex(vmcb.exitCode)}`;
}

/** Instructions that the machine's guests have retired so far: its clock. */
export function retired(machine: Machine): number {
  return machine.core?.vcpu.cpu.instructions ?? 0;
}

function* enter(machine: Machine, index: number, vmcb: Vmcb, deadline: number): Op<void> {
  machine.core ??= createCore(machine);
  const { core } = machine;
  vmcb.exitFault = undefined;
  vmcb.emulatorFault = undefined;
  const unchanged = vmcb.vmsa !== undefined && holdsState(machine, core, vmcb.vmsa);
  const refusal = vmrunRefusal(machine, vmcb, unchanged);
  if (refusal) {
    yield refuse(machine, core, index, vmcb, refusal);
    return;
  }
  const vmsa = vmcb.vmsa as Spa;
  core.guest = guestOf(machine, index, vmcb, vmsa);
  core.ghcb = vmcb.ghcb;
  core.exit = undefined;
  core.pauses = 0;
  vmcb.exitIntInfo = 0n;
  if (unchanged) hideHostDebug(core);
  else vmcb.emulatorFault = loadState(machine, core, vmsa);
  dropStaleTranslations(machine, core, vmcb);
  if (vmcb.emulatorFault) {
    core.guest = undefined;
    return;
  }
  const exit = inject(core, vmcb) ?? (yield* run(machine, core, deadline));
  if (exit) noteInterrupted(core, vmcb);
  saveState(machine, core, vmsa, exit);
  core.guest = undefined;
  if (!exit) return;
  vmcb.exitCode = exit.code;
  vmcb.exitInfo1 = exit.info1;
  vmcb.exitInfo2 = exit.info2;
  vmcb.ghcb = core.ghcb;
  vmcb.exitFault = exit.fault;
  yield exitEvent(machine, core, index, exit);
}

function guestOf(machine: Machine, vcpu: number, vmcb: Vmcb, vmsa: Spa): RunningGuest {
  const bytes = plainPage(machine.memory, pfnOf(vmsa)).content.bytes;
  const context = machine.asp.activeAsids.get(vmcb.asid);
  const guest = context === undefined ? undefined : machine.asp.guests.get(context);
  return {
    vcpu,
    vmcb,
    asid: vmcb.asid,
    vmpl: asVmpl(bytes[VMSA_AT.vmpl] ?? 0) ?? 0,
    sevFeatures: view(bytes).getBigUint64(VMSA_AT.sevFeatures, true),
    key: guest?.vek ?? 0,
  };
}

/** The registers still hold the state if this VMSA was saved last and nobody has written to it. */
function holdsState({ memory }: Machine, { loaded, saved }: Core, vmsa: Spa): boolean {
  return loaded === vmsa && sameState(saved, plainPage(memory, pfnOf(vmsa)).content.bytes);
}

/** A Fault if the state needs what the emulated processor does not have. */
function loadState(machine: Machine, core: Core, vmsa: Spa): Fault | undefined {
  const { bytes } = plainPage(machine.memory, pfnOf(vmsa)).content;
  const { vcpu } = core;
  core.loaded = undefined;
  flushTranslations(core);
  vcpu.takeInterrupted();
  vcpu.cpu.dropUndelivered();
  try {
    loadVmsa(vcpu, bytes);
    return undefined;
  } catch (thrown) {
    if (isCpuStop(thrown) && thrown.fault) return thrown.fault;
    throw thrown;
  }
}

/** Without DebugVirtualization an exit does not save DR0 to DR3, and the next entry finds those of the host. */
function hideHostDebug({ guest, vcpu }: Core): void {
  const { debug } = vcpu.state;
  if (!guest || (guest.sevFeatures & DEBUG_VIRTUALIZATION) !== 0n) return;
  if (debug[0] === 0n && debug[1] === 0n && debug[2] === 0n && debug[3] === 0n) return;
  debug.fill(0n, 0, 4);
  vcpu.debugChanged();
}

function sameState(a: Uint8Array, b: Uint8Array): boolean {
  if (b.byteOffset % 4 !== 0) return false;
  const count = VMSA_STATE_BYTES / 4;
  const [x, y] = [new Int32Array(a.buffer, a.byteOffset, count), new Int32Array(b.buffer, b.byteOffset, count)];
  for (let i = 0; i < count; i++) if (x[i] !== y[i]) return false;
  return true;
}

/** What the host changed in RMP or nested page table while the guest was out. */
function dropStaleTranslations(machine: Machine, core: Core, vmcb: Vmcb): void {
  const table = vmcb.nestedPageTable;
  const same = core.nestedPageTable === table && core.nptRevision === table.revision && !touchesResident(machine);
  if (!same) flushTranslations(core);
  core.nestedPageTable = table;
  core.nptRevision = table.revision;
  markSeen(machine.rmp);
}

/** Translations lead to pages in linear memory: a change of other RMP entries makes none of them void. */
function touchesResident({ rmp, memory }: Machine): boolean {
  return rmp.unseenMore || rmp.unseen.some((frame) => memory.pages.get(frame)?.slot !== undefined);
}

function saveState(machine: Machine, core: Core, vmsa: Spa, exit: PendingExit | undefined): void {
  const frame = pfnOf(vmsa);
  const page = plainPage(machine.memory, frame);
  if (page.content.frozen) {
    writePage(machine.memory, frame, { bytes: copyBytes(page.content.bytes), frozen: false }, page.key);
  }
  // The guest may have the page in its own memory, too.
  if (page.slot !== undefined) core.vcpu.cpu.written(page.slot * PAGE_SIZE, PAGE_SIZE);
  const { bytes } = plainPage(machine.memory, frame).content;
  storeVmsa(core.vcpu, bytes);
  if (exit) tellGuest(core, exit, view(bytes));
  core.saved.set(bytes.subarray(0, VMSA_STATE_BYTES));
  core.loaded = vmsa;
}

const INTERRUPT_SHADOW = 1n;
const INTERRUPTS_ENABLED = 2n;

/** GUEST_EXITCODE and its like, which a more privileged VMPL reads. That GUEST_NRIP is zero otherwise is not confirmed. */
function tellGuest({ guest, vcpu }: Core, exit: PendingExit, v: DataView): void {
  if (!guest) return;
  const { vmcb } = guest;
  v.setBigUint64(VMSA_AT.guestExitCode, exit.code, true);
  v.setBigUint64(VMSA_AT.guestExitInfo1, exit.info1, true);
  v.setBigUint64(VMSA_AT.guestExitInfo2, exit.info2, true);
  v.setBigUint64(VMSA_AT.guestExitIntInfo, vmcb.exitIntInfo, true);
  v.setBigUint64(VMSA_AT.guestNrip, exit.done ? vcpu.registers.rip : 0n, true);
  const enabled = (vcpu.registers.flags & RFLAGS.IF) !== 0;
  vmcb.intState = (vcpu.interruptShadow ? INTERRUPT_SHADOW : 0n) | (enabled ? INTERRUPTS_ENABLED : 0n);
}

/** EVENTINJ: delivered before the first instruction. Its own nested page fault ends VMRUN at once. */
function inject(core: Core, vmcb: Vmcb): PendingExit | undefined {
  const event = vmcb.eventInj;
  vmcb.eventInj = 0n;
  if (!isValidEvent(event)) return undefined;
  for (;;) {
    try {
      return core.vcpu.inject(decodeEvent(event)) ? undefined : SHUTDOWN;
    } catch (thrown) {
      if (!isCpuStop(thrown)) throw thrown;
      if (thrown.fault) {
        vmcb.emulatorFault = thrown.fault;
        return undefined;
      }
      if (madeRoom(core)) continue;
      vmcb.exitIntInfo = event;
      return core.exit;
    }
  }
}

const SHUTDOWN: PendingExit = { code: EXIT.SHUTDOWN, info1: 0n, info2: 0n };
const INTERRUPTED: PendingExit = { code: EXIT.INTR, info1: 0n, info2: 0n };

/**
 * EXITINTINFO: the exception whose delivery the exit has cut off. An INT n that was cut off has not begun: the guest
 * executes it again (not confirmed: as injection of type 4 is illegal, there is no other way to repeat it).
 */
function noteInterrupted({ vcpu }: Core, vmcb: Vmcb): void {
  const interrupted = vcpu.takeInterrupted();
  vcpu.cpu.dropUndelivered();
  if (interrupted) vmcb.exitIntInfo = encodeException(interrupted);
}

/** The stop was none of the guest's: linear memory was full, and is no longer. */
function madeRoom(core: Core): boolean {
  if (!core.needsRoom) return false;
  core.needsRoom = false;
  // The trap that comes after an instruction with an exit of its own: the host injects it again.
  if (core.exit) return false;
  core.vcpu.takeInterrupted();
  core.slots.makeRoom();
  return true;
}

/** To the next #VMEXIT; undefined: the emulated processor cannot go on. */
function* run(machine: Machine, core: Core, deadline: number): Op<PendingExit | undefined> {
  const { vcpu, guest, stoppedAt } = core;
  if (!guest || guest.vmcb.emulatorFault) return undefined;
  const { cpu, registers } = vcpu;
  yield* drain(core);
  let seen = stoppedAt.get(guest.vcpu) === registers.rip;
  for (;;) {
    const control = machine.guestControl;
    if (control.breakpoints !== core.breakpoints) {
      core.breakpoints = control.breakpoints;
      cpu.setBreakpoints(control.breakpoints);
    }
    const before = cpu.instructions;
    const left = deadline - before;
    if (left <= 0) return INTERRUPTED;
    const result: RunResult = cpu.run(Math.max(1, Math.min(left, control.slice)), seen);
    if (cpu.instructions !== before) stoppedAt.delete(guest.vcpu);
    yield* drain(core);
    switch (result.reason) {
      case 'left':
        if (core.exit) return core.exit;
        break;
      case 'limit':
        break;
      case 'breakpoint':
        stoppedAt.set(guest.vcpu, registers.rip);
        seen = true;
        yield controlEvent(machine, core, 'breakpoint');
        continue;
      case 'exit':
        if (madeRoom(core)) break;
        return core.exit;
      case 'exception': {
        const { fault } = result.exception;
        return fault ? { ...SHUTDOWN, fault } : SHUTDOWN;
      }
      case 'halt':
        throw new Error('HLT is intercepted');
      case 'fault':
        guest.vmcb.emulatorFault = result.fault;
        return undefined;
    }
    seen = result.reason === 'limit' || stoppedAt.get(guest.vcpu) === registers.rip;
    if (cpu.instructions - before >= control.slice) yield controlEvent(machine, core, 'slice');
  }
}

function* drain(core: Core): Op<void> {
  while (core.events.length > 0) for (const event of core.events.splice(0)) yield event;
}

function position(machine: Machine, core: Core, vcpu: number) {
  const { cpu, registers } = core.vcpu;
  return { depth: machine.stack.frames.length, vcpu, rip: registers.rip, instructions: cpu.instructions };
}

function controlEvent(machine: Machine, core: Core, reason: 'slice' | 'breakpoint') {
  return { kind: 'control', reason, ...position(machine, core, core.guest?.vcpu ?? 0) } as const;
}

function exitEvent(machine: Machine, core: Core, vcpu: number, exit: PendingExit) {
  const { code: exitCode, info1: exitInfo1, info2: exitInfo2, fault } = exit;
  const event = {
    kind: 'exit',
    ...position(machine, core, vcpu),
    exitCode,
    exitInfo1,
    exitInfo2,
    ghcb: core.ghcb,
  } as const;
  return fault ? { ...event, fault } : event;
}

function refuse(machine: Machine, core: Core, vcpu: number, vmcb: Vmcb, { exitCode, fault }: VmrunRefusal) {
  Object.assign(vmcb, { exitCode, exitInfo1: 0n, exitInfo2: 0n, exitIntInfo: 0n });
  vmcb.exitFault = fault;
  return exitEvent(machine, core, vcpu, { code: exitCode, info1: 0n, info2: 0n, fault });
}
