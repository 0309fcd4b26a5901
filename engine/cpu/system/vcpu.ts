import { hex } from '../../address.js';
import { Cpu, type CpuOptions } from '../cpu.js';
import type { CodeSize, Instruction } from '../decoder/instruction.js';
import type { Access, CpuEnvironment, Translation } from '../environment.js';
import { type CpuStop, exception, type GuestException, isGuestException, stopMissing, VECTOR } from '../exception.js';
import { type CodeMode, usesVectors } from '../interpreter/code-cache.js';
import { RFLAGS } from '../semantics/flags.js';
import { isFloat } from '../semantics/index.js';
import { MXCSR, PAGE } from '../state/layout.js';
import { systemInstruction } from './instructions.js';
import { deliverEvent } from './interrupts.js';
import { type PageTableMemory, walk } from './paging.js';
import type { Ports } from './ports.js';
import { CR0, CR4, createSystemState, has, isLongMode, type SystemState } from './system-state.js';
import { checkVectors } from './vector-state.js';

/** Guest-physical memory as the vCPU needs it; nested paging and the RMP are behind it. */
export interface PhysicalMemory {
  /**
   * Page of linear memory that holds a guest-physical page; the address may carry the C-bit. Throws a
   * GuestException or a CpuStop if the access is refused.
   */
  page(address: number, access: Access | 'walk', linear: bigint): Translation;
}

export interface VcpuOptions extends CpuOptions {
  /** Width of physical addresses in page tables, C-bit included. */
  readonly physicalBits: number;
  /**
   * Asked before every instruction that TypeScript executes, privileged or not: true if it has been dealt with.
   * Intercepts of the host and #VC belong here. It may throw.
   */
  readonly intercept?: (vcpu: Vcpu, instruction: Instruction) => boolean;
  /** Without it IN and OUT raise the Fault of a missing instruction. */
  readonly ports?: Ports;
  /** Numbers of RDRAND and RDSEED, undefined for "none now"; the machine's seed decides, so that runs repeat. */
  readonly random?: (bytes: number) => bigint | undefined;
  /** CPUID by leaf and subleaf. */
  readonly cpuid: (leaf: number, subleaf: number) => readonly [eax: number, ebx: number, ecx: number, edx: number];
}

/** DR6.BS: the exception is that of single stepping. */
const DR6_STEP = 0x4000n;
const CS = 1;
const SS = 2;
/** MXCSR without its sticky flags: rounding to nearest, all exceptions masked. */
const PLAIN_MXCSR = 0x1f80;
const CODE_LONG = 0x200;
const BIG = 0x400;

/** One virtual CPU in all modes: the core with paging, segmentation, exceptions and privileged instructions. */
export class Vcpu {
  readonly cpu: Cpu;
  readonly state: SystemState = createSystemState();
  private mode: CodeMode = { codeSize: 16, stackSize: 16, vectors: false, floats: true };
  private context = 0;
  private readonly pageTables: PageTableMemory;
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
        const at = this.tableOffset(address);
        return bytes === 8 ? this.cpu.view.getBigUint64(at, true) : BigInt(this.cpu.view.getUint32(at, true));
      },
      write: (address, bytes, value) => {
        const at = this.tableOffset(address);
        this.cpu.written(at, bytes);
        if (bytes === 8) this.cpu.view.setBigUint64(at, BigInt.asUintN(64, value), true);
        else this.cpu.view.setUint32(at, Number(value), true);
      },
    };
    for (let n = 0; n < 8; n++) {
      const attributes = n === CS ? 0x9b : n === 6 ? 0x82 : n === 7 ? 0x8b : 0x93;
      this.registers.setSegment(n, { selector: 0, attributes, limit: 0xffff, base: 0n });
    }
    this.modeChanged();
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

  private tableOffset(address: number): number {
    return this.memory.page(address - (address % PAGE), 'walk', 0n).page * PAGE + (address % PAGE);
  }

  private translate(linear: bigint, access: Access, user: boolean): Translation {
    const alignmentCheck = has(this.registers.flags, RFLAGS.AC);
    const { address, writable } = walk(
      this.state,
      this.pageTables,
      { linear, access, user, alignmentCheck },
      this.options.physicalBits,
    );
    const page = this.memory.page(address, access, linear);
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
    const alignment = state.cpl === 3 && has(state.cr0, CR0.AM) && has(registers.flags, RFLAGS.AC);
    if (alignment) throw this.missing('alignment checks (CR0.AM and RFLAGS.AC in user mode)');
    this.context = state.cpl === 3 ? 1 : supervisorAc ? 2 : 0;
    const vectors = has(state.cr4, CR4.OSFXSR) && (state.cr0 & (CR0.EM | CR0.TS)) === 0;
    const { mode } = this;
    const floats = (this.cpu.view.getUint32(MXCSR, true) & 0xffc0) === PLAIN_MXCSR;
    const changed = codeSize !== mode.codeSize || stackSize !== mode.stackSize;
    this.mode = { codeSize, stackSize, vectors, floats };
    // Outside of 64-bit mode RIP alone does not say where code lies.
    const unitChanged = vectors !== mode.vectors || floats !== mode.floats;
    if (changed || unitChanged || codeSize !== 64) this.cpu.flushJumpCaches();
    this.cpu.contextChanged();
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
    let value = 0n;
    for (let n = bytes - 1; n >= 0; n--) {
      const at = this.byteOffset(this.wrapLinear(linear + BigInt(n)), 'read', implicit);
      value = (value << 8n) | BigInt(this.cpu.bytes[at] ?? 0);
    }
    return value;
  }

  /** Checks all bytes before it writes the first. */
  writeLinear(linear: bigint, bytes: number, value: bigint, implicit = false): void {
    const offsets = Array.from({ length: bytes }, (_, n) =>
      this.byteOffset(this.wrapLinear(linear + BigInt(n)), 'write', implicit),
    );
    for (const [n, at] of offsets.entries()) {
      this.cpu.written(at, 1);
      this.cpu.bytes[at] = Number((value >> BigInt(8 * n)) & 0xffn);
    }
  }

  private wrapLinear(linear: bigint): bigint {
    return BigInt.asUintN(isLongMode(this.state) ? 64 : 32, linear);
  }

  private byteOffset(linear: bigint, access: 'read' | 'write', implicit: boolean): number {
    if (!implicit) return this.cpu.dataOffset(linear, access, 1);
    return this.translate(linear, access, false).page * PAGE + Number(linear & 0xfffn);
  }

  // --- exceptions ---

  private execute(instruction: Instruction): boolean {
    if (this.options.intercept?.(this, instruction)) return true;
    if (usesVectors(instruction)) checkVectors(this);
    if (isFloat(instruction.encoding?.semantics ?? ''))
      throw this.missing('floating point with other rounding, unmasked exceptions or flushed denormals (MXCSR)');
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
      if (pending.vector === VECTOR.PF && pending.address !== undefined) this.state.cr2 = pending.address;
      if (pending.vector === VECTOR.DB && pending.trap) this.state.debug[6] = (this.state.debug[6] ?? 0n) | DR6_STEP;
      try {
        deliverEvent(this, { vector: pending.vector, errorCode: pending.errorCode, software: false });
        return true;
      } catch (again) {
        if (!isGuestException(again)) throw again;
        if (pending.vector === VECTOR.DF) return false;
        pending = isDouble(pending.vector, again.vector) ? exception(VECTOR.DF, { errorCode: 0 }) : again;
      }
    }
    return false;
  }

  /** No interrupt before the next instruction is done: STI or a load of SS came just before. */
  get interruptShadow(): boolean {
    return this.state.shadowAt === this.cpu.instructions;
  }

  /** Delivers an external interrupt; the caller has looked at RFLAGS.IF and the interrupt shadow. */
  interrupt(vector: number): void {
    try {
      deliverEvent(this, { vector, errorCode: undefined, software: false });
    } catch (thrown) {
      if (!isGuestException(thrown) || !this.deliver(thrown)) throw thrown;
    }
  }
}

const CONTRIBUTORY: readonly number[] = [VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP, VECTOR.VC];

/** Do two exceptions make a double fault? APM volume 2, table 8-3. */
function isDouble(first: number, second: number): boolean {
  if (first === VECTOR.PF) return second === VECTOR.PF || CONTRIBUTORY.includes(second);
  return CONTRIBUTORY.includes(first) && CONTRIBUTORY.includes(second);
}
