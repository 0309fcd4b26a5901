import { hex } from '../../address.js';
import { Cpu, type CpuOptions } from '../cpu.js';
import type { CodeSize, Instruction } from '../decoder/instruction.js';
import type { Access, CpuEnvironment, Translation } from '../environment.js';
import { type CpuStop, exception, type GuestException, isGuestException, stopMissing, VECTOR } from '../exception.js';
import { type CodeMode, usesVectors } from '../interpreter/code-cache.js';
import { DR6, DR7 } from '../interpreter/debug-matches.js';
import { RFLAGS } from '../semantics/flags.js';
import { ALIGNED_CONTEXT, MXCSR, PAGE } from '../state/layout.js';
import { systemInstruction } from './instructions.js';
import { deliverEvent } from './interrupts.js';
import { type PageTableMemory, type WalkResult, walk } from './paging.js';
import type { Ports } from './ports.js';
import { CR0, CR4, createSystemState, has, isLongMode, type SystemState } from './system-state.js';
import { checkVectors } from './vector-state.js';
import { X87Registers } from './x87/registers.js';

/** An access to guest-physical memory, after the guest's own paging. */
export interface PhysicalAccess {
  /** Of the page; may carry the C-bit. */
  readonly address: number;
  /** `walk`: a page-table entry is read; `walk-write`: its A or D bit is set. */
  readonly kind: Access | 'walk' | 'walk-write';
  /** The access counts as one of CPL 3. */
  readonly user: boolean;
  /** The guest's page tables have a place for the C-bit: with PAE or in long mode. */
  readonly hasCBit: boolean;
  /** What is being translated, page tables included: CR2 of a #VC. */
  readonly linear: bigint;
  /** Of the access in its page, for page tables; that of others is in `linear`. */
  readonly offset?: number;
}

export interface InjectedEvent {
  readonly vector: number;
  readonly errorCode: number | undefined;
  /** It makes a double fault with another one. */
  readonly exception: boolean;
}

/** Guest-physical memory as the vCPU needs it; nested paging and the RMP are behind it. */
export interface PhysicalMemory {
  /** Page of linear memory. Throws a GuestException or a CpuStop if the access is refused. */
  page(access: PhysicalAccess): Translation;
}

export interface VcpuOptions extends CpuOptions {
  /** Width of physical addresses in page tables, C-bit included. */
  readonly physicalBits: number;
  /**
   * Asked before every instruction that TypeScript executes, privileged or not: true if it has been dealt with.
   * Intercepts of the host and #VC belong here. It may throw.
   */
  readonly intercept?: (vcpu: Vcpu, instruction: Instruction) => boolean;
  /** What the guest gets in place of an exception: intercepts of exceptions belong here. DR6 and CR2 are set already. */
  readonly reflect?: (vcpu: Vcpu, exception: GuestException) => GuestException;
  /** Told of each exception before it is delivered; RIP is where it happened. */
  readonly delivering?: (vcpu: Vcpu, exception: GuestException) => void;
  /** Without it IN and OUT raise the Fault of a missing instruction. */
  readonly ports?: Ports;
  /** Numbers of RDRAND and RDSEED, undefined for "none now"; the machine's seed decides, so that runs repeat. */
  readonly random?: (bytes: number) => bigint | undefined;
  /**
   * Ticks of the time-stamp counter for each instruction; default 32. With the 2 GHz of a TSC that CPUID or a host may
   * name, an instruction then takes 16 ns of the guest's time: loops that wait for time to pass stay short.
   */
  readonly tscPerInstruction?: number;
  /** CPUID by leaf and subleaf. */
  readonly cpuid: (leaf: number, subleaf: number) => readonly [eax: number, ebx: number, ecx: number, edx: number];
}

const TSC_PER_INSTRUCTION = 32;
const CS = 1;
const SS = 2;
/** MXCSR that generated code takes, but for other sticky flags: to nearest, all masked, PE set already. */
const PLAIN_MXCSR = 0x1fa0;
const CODE_LONG = 0x200;
const BIG = 0x400;

/** One virtual CPU in all modes: the core with paging, segmentation, exceptions and privileged instructions. */
export class Vcpu {
  readonly cpu: Cpu;
  readonly state: SystemState = createSystemState();
  private mode: CodeMode = { codeSize: 16, stackSize: 16, vectors: false, floats: true };
  private context = 0;
  /** DR7 as the core knows it. */
  private debugControl: bigint | undefined = this.state.debug[7];
  private walking: { readonly linear: bigint; readonly user: boolean } = { linear: 0n, user: false };
  private readonly pageTables: PageTableMemory;
  /** The exception whose delivery an exit has cut off. */
  private interrupted: GuestException | undefined;
  readonly cpuid: VcpuOptions['cpuid'];

  constructor(
    private readonly options: VcpuOptions,
    private readonly memory: PhysicalMemory,
  ) {
    this.cpuid = options.cpuid;
    const self = this;
    const environment: CpuEnvironment = {
      get mode() {
        return self.mode;
      },
      get context() {
        return self.context;
      },
      translate: (linear, access) => this.translate(linear, access, this.state.cpl === 3),
      execute: (instruction) => this.execute(instruction),
      deliver: (thrown) => this.deliver(thrown),
    };
    this.cpu = new Cpu(options, environment);
    this.pageTables = {
      read: (address, bytes) => {
        const at = this.tableOffset(address, 'walk');
        return bytes === 8 ? this.cpu.view.getBigUint64(at, true) : BigInt(this.cpu.view.getUint32(at, true));
      },
      write: (address, bytes, value) => {
        const at = this.tableOffset(address, 'walk-write');
        this.cpu.written(at, bytes);
        if (bytes === 8) this.cpu.view.setBigUint64(at, BigInt.asUintN(64, value), true);
        else this.cpu.view.setUint32(at, Number(value), true);
      },
    };
    for (let n = 0; n < 8; n++) {
      const attributes = n === CS ? 0x9b : n === 6 ? 0x82 : n === 7 ? 0x8b : 0x93;
      this.registers.setSegment(n, { selector: 0, attributes, limit: 0xffff, base: 0n });
    }
    new X87Registers(this.cpu.view).reset();
    this.modeChanged();
  }

  /** The time-stamp counter: a function of the count of instructions alone, so that runs repeat. */
  get timeStamp(): bigint {
    const perInstruction = BigInt(this.options.tscPerInstruction ?? TSC_PER_INSTRUCTION);
    const { tscScale, tscOffset } = this.state;
    const ticks = (BigInt(this.cpu.instructions) * perInstruction * tscScale) >> 32n;
    return BigInt.asUintN(64, ticks + tscOffset);
  }

  get ports(): Ports | undefined {
    return this.options.ports;
  }

  get random(): VcpuOptions['random'] {
    return this.options.random;
  }

  get registers() {
    return this.cpu.registers;
  }

  private tableOffset(address: number, kind: 'walk' | 'walk-write'): number {
    const offset = address % PAGE;
    const { linear, user } = this.walking;
    const access = { address: address - offset, kind, user, hasCBit: true, linear, offset };
    return this.memory.page(access).page * PAGE + offset;
  }

  /** The guest's own paging: guest-physical address of the page, which may carry the C-bit. Throws #PF and #GP. */
  guestPage(linear: bigint, access: Access, user: boolean): WalkResult & { readonly hasCBit: boolean } {
    const { state } = this;
    const alignmentCheck = has(this.registers.flags, RFLAGS.AC);
    this.walking = { linear, user };
    const request = { linear, access, user, alignmentCheck };
    const { address, writable } = walk(state, this.pageTables, request, this.options.physicalBits);
    return { address, writable, hasCBit: has(state.cr0, CR0.PG) && has(state.cr4, CR4.PAE) };
  }

  private translate(linear: bigint, access: Access, user: boolean): Translation {
    const { address, writable, hasCBit } = this.guestPage(linear, access, user);
    const page = this.memory.page({ address, kind: access, user, hasCBit, linear });
    return { page: page.page, writable: writable && page.writable };
  }

  /** After any change of CS, SS, CPL, RFLAGS.AC, CR0, CR4, EFER or MXCSR. */
  modeChanged(): void {
    const { registers, state } = this;
    const cs = registers.segment(CS);
    const codeSize: CodeSize =
      isLongMode(state) && has(cs.attributes, CODE_LONG) ? 64 : has(cs.attributes, BIG) ? 32 : 16;
    const stackSize: CodeSize = codeSize === 64 ? 64 : has(registers.segment(SS).attributes, BIG) ? 32 : 16;
    const supervisorAc = has(registers.flags, RFLAGS.AC) && has(state.cr4, CR4.SMAP);
    const alignment = has(state.cr0, CR0.AM) && has(registers.flags, RFLAGS.AC);
    this.context = state.cpl === 3 ? (alignment ? ALIGNED_CONTEXT : 1) : supervisorAc ? 2 : 0;
    const vectors = has(state.cr4, CR4.OSFXSR) && (state.cr0 & (CR0.EM | CR0.TS)) === 0;
    const { mode } = this;
    const floats = (this.cpu.view.getUint32(MXCSR, true) & 0xffe0) === PLAIN_MXCSR;
    const changed = codeSize !== mode.codeSize || stackSize !== mode.stackSize;
    this.mode = { codeSize, stackSize, vectors, floats };
    // Outside of 64-bit mode RIP alone does not say where code lies.
    const unitChanged = vectors !== mode.vectors || floats !== mode.floats;
    if (changed || unitChanged || codeSize !== 64) this.cpu.flushJumpCaches();
    this.cpu.contextChanged();
    if (state.debug[7] !== this.debugControl) this.debugChanged();
  }

  /** After a change of DR0 to DR3 or DR7. */
  debugChanged(): void {
    const { debug, cr4 } = this.state;
    this.debugControl = debug[7];
    this.cpu.setDebugRegisters(debug, Number(debug[7] ?? 0n), has(cr4, CR4.DE));
  }

  /** To throw where the guest needs what is not there. */
  missing(behaviour: string): CpuStop {
    return stopMissing(behaviour, hex(this.cpu.instructionRip));
  }

  get codeSize(): CodeSize {
    return this.mode.codeSize;
  }
  get stackSize(): CodeSize {
    return this.mode.stackSize;
  }

  // --- memory for instructions and tables in TypeScript ---

  /** Little-endian, up to 8 bytes; `implicit` accesses (descriptor tables, task state) count as supervisor's. */
  readLinear(linear: bigint, bytes: number, implicit = false): bigint {
    if (!implicit) this.cpu.checkAlignment(linear, bytes);
    const [at, next, here] = this.places(linear, bytes, 'read', implicit);
    const { view } = this.cpu;
    if (here >= bytes && bytes === 8) return view.getBigUint64(at, true);
    if (here >= bytes && bytes === 4) return BigInt(view.getUint32(at, true));
    let value = 0n;
    for (let n = bytes - 1; n >= 0; n--) {
      value = (value << 8n) | BigInt(this.cpu.bytes[n < here ? at + n : next + n - here] ?? 0);
    }
    return value;
  }

  /** Checks all bytes before it writes the first. */
  writeLinear(linear: bigint, bytes: number, value: bigint, implicit = false): void {
    if (!implicit) this.cpu.checkAlignment(linear, bytes);
    const [at, next, here] = this.places(linear, bytes, 'write', implicit);
    this.cpu.written(at, Math.min(here, bytes));
    if (here < bytes) this.cpu.written(next, bytes - here);
    if (here >= bytes && bytes === 8) {
      this.cpu.view.setBigUint64(at, value, true);
      return;
    }
    for (let n = 0; n < bytes; n++) {
      this.cpu.bytes[n < here ? at + n : next + n - here] = Number((value >> BigInt(8 * n)) & 0xffn);
    }
  }

  /** Where an access lies in linear memory: its first byte, the first one of the second page, bytes in the first page. */
  private places(linear: bigint, bytes: number, access: 'read' | 'write', implicit: boolean): [number, number, number] {
    const here = PAGE - Number(linear & 0xfffn);
    const at = this.place(this.wrapLinear(linear), access, Math.min(here, bytes), implicit);
    if (here >= bytes) return [at, at, here];
    return [at, this.place(this.wrapLinear(linear + BigInt(here)), access, bytes - here, implicit), here];
  }

  private wrapLinear(linear: bigint): bigint {
    return BigInt.asUintN(isLongMode(this.state) ? 64 : 32, linear);
  }

  private place(linear: bigint, access: 'read' | 'write', bytes: number, implicit: boolean): number {
    // Out of user mode the software TLB has what a supervisor may do.
    const known = this.context === 0 && !has(Number(this.debugControl ?? 0n), DR7.enabled);
    if (!implicit || known) return this.cpu.dataOffset(linear, access, bytes);
    return this.translate(linear, access, false).page * PAGE + Number(linear & 0xfffn);
  }

  // --- exceptions ---

  private execute(instruction: Instruction): boolean {
    if (this.options.intercept?.(this, instruction)) return true;
    if (usesVectors(instruction)) checkVectors(this);
    const handler = systemInstruction(instruction.encoding?.semantics ?? '');
    if (!handler) return false;
    if (instruction.encoding?.privileged && this.state.cpl !== 0) {
      throw exception(VECTOR.GP, { errorCode: 0 });
    }
    return handler(this, instruction) !== false;
  }

  /** False when even #DF cannot be delivered: the processor shuts down. */
  private deliver(thrown: GuestException): boolean {
    let pending = thrown;
    for (let attempt = 0; attempt < 3; attempt++) {
      if (pending.address !== undefined) this.state.cr2 = pending.address;
      if (pending.vector === VECTOR.DB) this.noteDebug(pending.debug);
      pending = this.options.reflect?.(this, pending) ?? pending;
      this.options.delivering?.(this, pending);
      this.interrupted = pending;
      const resumes = !pending.trap && (pending.vector !== VECTOR.DB || pending.debug === DR6.BD);
      try {
        deliverEvent(this, { vector: pending.vector, errorCode: pending.errorCode, software: false, resumes });
        this.interrupted = undefined;
        return true;
      } catch (again) {
        if (!isGuestException(again)) throw again;
        if (pending.vector === VECTOR.DF) return false;
        pending = isDouble(pending.vector, again.vector) ? exception(VECTOR.DF, { errorCode: 0 }) : again;
      }
    }
    return false;
  }

  /** #DB says why in DR6, and opens the debug registers to its handler. */
  private noteDebug(bits: number): void {
    const { debug } = this.state;
    debug[6] = (debug[6] ?? 0n) | BigInt(bits);
    debug[7] = (debug[7] ?? 0n) & ~BigInt(DR7.generalDetect);
  }

  /** No interrupt before the next instruction is done: STI or a load of SS came just before. */
  get interruptShadow(): boolean {
    return this.state.shadowAt === this.cpu.instructions;
  }

  /** Delivers an external interrupt; the caller has looked at RFLAGS.IF and the interrupt shadow. False: shutdown. */
  interrupt(vector: number): boolean {
    return this.inject({ vector, errorCode: undefined, exception: false });
  }

  /** Delivers an event of the host before the next instruction. False when it ends in a shutdown. */
  inject({ vector, errorCode, exception: isException }: InjectedEvent): boolean {
    this.interrupted = undefined;
    try {
      deliverEvent(this, { vector, errorCode, software: false });
      return true;
    } catch (thrown) {
      if (!isGuestException(thrown)) throw thrown;
      if (isException && vector === VECTOR.DF) return false;
      const double = isException && isDouble(vector, thrown.vector);
      return this.deliver(double ? exception(VECTOR.DF, { errorCode: 0 }) : thrown);
    }
  }

  /** The exception whose delivery ended in the last exit, if one was: a trap of it will not come by itself again. */
  takeInterrupted(): GuestException | undefined {
    const { interrupted } = this;
    this.interrupted = undefined;
    this.cpu.dropUndelivered();
    return interrupted;
  }
}

const CONTRIBUTORY: readonly number[] = [VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP, VECTOR.VC];

/** Do two exceptions make a double fault? APM volume 2, table 8-3. */
function isDouble(first: number, second: number): boolean {
  if (first === VECTOR.PF) return second === VECTOR.PF || CONTRIBUTORY.includes(second);
  return CONTRIBUTORY.includes(first) && CONTRIBUTORY.includes(second);
}
