import { hex } from '../address.js';
import { toHex } from '../bytes.js';
import type { CpuEnvironment } from './environment.js';
import {
  type CpuStop,
  exception,
  type GuestException,
  isCpuStop,
  isGuestException,
  stopMissing,
  stopUnimplemented,
  VECTOR,
} from './exception.js';
import { type Block, CodeCache, wrap } from './interpreter/code-cache.js';
import { type Execution, GuestAccess } from './interpreter/guest-access.js';
import { type GeneratedCode, Handlers } from './interpreter/handlers.js';
import { InstructionCount } from './interpreter/instruction-count.js';
import { JumpCache } from './interpreter/jump-cache.js';
import { ASK_JUMP_CACHE, BLOCK, Handler, RECORD } from './interpreter/record.js';
import { SoftwareTlb } from './interpreter/software-tlb.js';
import type { RunResult } from './run-result.js';
import { RFLAGS } from './semantics/flags.js';
import type { ImportedHelper } from './semantics/helpers.js';
import {
  ARENA,
  CONTEXT,
  CONTEXT_SIZE,
  CONTEXTS,
  MXCSR,
  PAGE,
  RIP,
  SEGMENT_SIZE,
  SEGMENT_TABLE,
  SYSTEM_FLAGS,
} from './state/layout.js';
import { Registers } from './state/registers.js';

export interface CpuOptions {
  /** Bytes of guest pages behind the arena. */
  readonly guestBytes: number;
  /** Bytes for decoded blocks; default 8 MiB. */
  readonly arenaBytes?: number;
}

/** Generated code has no on-stack replacement: it must return now and then to be replaced by optimised code. */
const SLICE = 1 << 21;
/** After this many instructions the forms that ran most move into the main function; then four times as many. */
const FIRST_CONSOLIDATION = 300_000;
const WASM_PAGE = 0x1_0000;

/** One vCPU's core: decoded code, software TLB, run loop. The environment says what a fetch or an exception means. */
export class Cpu {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly registers: Registers;
  readonly code: CodeCache;
  /** Offset of the first guest page in linear memory. */
  readonly guestStart: number;
  private readonly tlb: SoftwareTlb;
  private readonly jumps: JumpCache;
  private readonly handlers: Handlers;
  private generated: GeneratedCode;
  private readonly count: InstructionCount;
  private nextConsolidation = FIRST_CONSOLIDATION;
  private consolidatedForms = 0;
  private readonly execution: Execution = { record: 0 };
  private readonly access: GuestAccess;
  /** The instructions of this slice began with RFLAGS.TF set: it has just one. */
  private stepping = false;
  private trapSuppressed = false;
  /** RIP at which a breakpoint does not stop now. */
  private passedBreakpoint: bigint | undefined;

  constructor(
    options: CpuOptions,
    private readonly environment: CpuEnvironment,
  ) {
    const arenaEnd = ARENA + (options.arenaBytes ?? 0x80_0000);
    this.guestStart = arenaEnd;
    this.memory = new WebAssembly.Memory({ initial: Math.ceil((arenaEnd + options.guestBytes) / WASM_PAGE) });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    this.count = new InstructionCount(this.view);
    this.tlb = new SoftwareTlb(this.view);
    this.access = new GuestAccess(
      this.view,
      this.bytes,
      this.tlb,
      environment,
      this.execution,
      (page) => this.code.hasCode(page),
      (offset, count) => this.written(offset, count),
    );
    this.jumps = new JumpCache(this.view);
    this.jumps.flush();
    this.handlers = new Handlers(this.memory, this.imports());
    this.generated = this.handlers.main;
    this.registers = new Registers(this.memory.buffer, (type, a, b) => this.generated.statusFlags(type, a, b));
    this.code = new CodeCache(
      this.memory.buffer,
      this.handlers,
      ARENA,
      arenaEnd,
      () => this.jumps.flush(),
      (page) => this.tlb.forbidWrites(page),
    );
    this.registers.flags = 2;
    this.view.setUint32(MXCSR, 0x1f80, true);
    this.contextChanged();
  }

  /** Instructions executed so far, exact at every call out of generated code. */
  get instructions(): number {
    const pending = this.execution.record === 0 ? 0 : this.view.getUint8(this.execution.record + RECORD.left);
    return this.count.executed - pending;
  }

  /** RIP of the instruction in execution; between instructions that of the next. */
  get instructionRip(): bigint {
    return this.execution.record === 0 ? this.registers.rip : this.ripOf(this.execution.record);
  }

  // --- running ---

  /**
   * Executes up to `limit` instructions; a fault or a stop may end it before. A breakpoint stops before its
   * instruction, but not where the run begins: that one has been seen.
   */
  run(limit: number): RunResult {
    const end = this.instructions + limit;
    this.passedBreakpoint = this.registers.rip;
    while (this.instructions < end) {
      const stopped = this.runSlice(Math.min(SLICE, end - this.instructions));
      if (stopped) return stopped;
      if (this.instructions >= this.nextConsolidation) this.consolidate();
    }
    return { reason: 'limit' };
  }

  private runSlice(limit: number): RunResult | undefined {
    this.stepping = this.singleStep;
    const end = this.instructions + 1;
    this.count.startSlice(this.stepping ? 1 : limit);
    try {
      this.generated.run(this.stepping ? this.stepBlock(this.registers.rip) : this.lookup(this.registers.rip));
      // The next block is longer than what is left of the slice: a block of just that many instructions.
      const { left } = this.count;
      if (left > 0) this.generated.run(this.partialBlock(this.registers.rip, left));
      this.passedBreakpoint = undefined;
      return this.stepping ? this.stepped() : undefined;
    } catch (thrown) {
      // What comes after the stepped instruction comes after its trap.
      const done = this.stepping && this.execution.record === 0 && this.instructions === end;
      return done ? this.stepped() : this.stopped(thrown);
    } finally {
      this.execution.record = 0;
      this.count.endSlice();
    }
  }

  private get singleStep(): boolean {
    return (this.view.getInt32(SYSTEM_FLAGS, true) & RFLAGS.TF) !== 0;
  }

  /** #DB after an instruction that began with RFLAGS.TF set. It takes no time of its own. */
  private stepped(): RunResult | undefined {
    if (this.trapSuppressed) {
      this.trapSuppressed = false;
      return undefined;
    }
    return this.deliver(exception(VECTOR.DB, { trap: true }));
  }

  private deliver(pending: GuestException): RunResult | undefined {
    try {
      return this.environment.deliver(pending) ? undefined : { reason: 'exception', exception: pending };
    } catch (again) {
      if (!isCpuStop(again) || !again.fault) throw again;
      return { reason: 'fault', fault: again.fault };
    }
  }

  /** For instructions in TypeScript after which there is no single-step trap: INT n, a load of SS. */
  suppressTrap(): void {
    this.trapSuppressed = this.stepping;
  }

  private stopped(thrown: unknown): RunResult | undefined {
    if (isCpuStop(thrown)) {
      this.settle(thrown.reason === 'halt');
      // The trap after HLT wakes the processor at once.
      if (thrown.reason === 'halt' && this.stepping) return this.stepped();
      if (thrown.fault) return { reason: 'fault', fault: thrown.fault };
      return { reason: thrown.reason === 'breakpoint' ? 'breakpoint' : 'halt' };
    }
    if (!isGuestException(thrown)) throw thrown;
    this.settle(thrown.trap);
    const failed = this.deliver(thrown);
    // Delivery takes the time of one instruction, so that a loop of faults ends.
    if (!failed) this.count.add(1);
    return failed;
  }

  /** Makes count and RIP right after generated code was left in the middle of a block. */
  private settle(done: boolean): void {
    if (this.execution.record === 0) return;
    const left = this.view.getUint8(this.execution.record + RECORD.left);
    this.count.giveBack(left - (done ? 1 : 0));
    if (!done) this.registers.rip = this.ripOf(this.execution.record);
    this.execution.record = 0;
  }

  private ripOf(record: number): bigint {
    const next = this.view.getBigUint64(record + RECORD.next, true);
    return wrap(next - BigInt(this.view.getUint8(record + RECORD.length)), this.environment.mode.codeSize);
  }

  private consolidate(): void {
    this.nextConsolidation = this.instructions * 4;
    if (this.handlers.forms.length === this.consolidatedForms) return;
    this.consolidatedForms = this.handlers.forms.length;
    this.handlers.consolidate(this.code.heat());
    this.generated = this.handlers.main;
  }

  // --- code ---

  private codeLinear(rip: bigint): bigint {
    const { codeSize } = this.environment.mode;
    if (codeSize === 64) return rip;
    const cs = this.registers.segment(1);
    if (rip > BigInt(cs.limit)) throw exception(VECTOR.GP, { errorCode: 0 });
    return BigInt.asUintN(32, cs.base + rip);
  }

  /** The block at RIP, decoded if need be. RIP is committed first: a fetch that faults belongs to it. */
  private lookup(rip: bigint): number {
    this.execution.record = 0;
    this.view.setBigUint64(RIP, BigInt.asUintN(64, rip), true);
    const block = this.blockAt(BigInt.asUintN(64, rip));
    // A block with a breakpoint is looked up each time, so that it is seen each time.
    if (this.code.breakpoints.has(block.rip)) this.checkBreakpoint(block.rip);
    else this.jumps.remember(block.rip, block.address);
    return block.address;
  }

  private checkBreakpoint(rip: bigint): void {
    const passed = this.passedBreakpoint === rip;
    this.passedBreakpoint = undefined;
    if (passed) return;
    const stop: CpuStop = { kind: 'stop', reason: 'breakpoint', fault: undefined };
    throw stop;
  }

  /** RIPs before which a run stops. Everything decoded is dropped: blocks end at breakpoints. */
  setBreakpoints(addresses: Iterable<bigint>): void {
    this.code.breakpoints.clear();
    for (const address of addresses) this.code.breakpoints.add(address);
    this.code.empty();
  }

  /** Where code at RIP lies, and what gives the page after it. */
  private fetch(rip: bigint) {
    const linear = this.codeLinear(rip);
    const { page } = this.environment.translate(linear, 'execute');
    const second = (): number => this.environment.translate((linear | 0xfffn) + 1n, 'execute').page;
    return { linear, page, second };
  }

  private blockAt(rip: bigint): Block {
    const { linear, page, second } = this.fetch(rip);
    const known = this.code.find(page, rip, this.environment.mode);
    if (known && (known.secondPage < 0 || known.secondPage === second())) return known;
    return this.code.build(page, Number(linear & 0xfffn), rip, this.environment.mode, second);
  }

  private partialBlock(rip: bigint, count: number): number {
    const { linear, page, second } = this.fetch(rip);
    return this.code.build(page, Number(linear & 0xfffn), rip, this.environment.mode, second, count).address;
  }

  /** A block of the one instruction after which #DB comes. */
  private stepBlock(rip: bigint): number {
    this.lookup(rip);
    const address = this.partialBlock(rip, 1);
    const { encoding, repeat } = this.code.decoded;
    if (repeat !== 0 && encoding !== undefined && encoding.repeat !== 'none')
      throw stopMissing('a trap after each element of a repeated string instruction (RFLAGS.TF)', hex(rip));
    return address;
  }

  /** Follows a direct branch for the first time and links the records if both lie in one page. */
  private chain(record: number, linkOffset: number): number {
    const { generation } = this.code;
    const from = this.ripOf(record);
    const source = linkOffset === RECORD.targetLink ? RECORD.immediate : RECORD.next;
    const rip = this.view.getBigUint64(record + source, true);
    const address = this.lookup(rip);
    const samePage = this.codeLinear(from) >> 12n === this.codeLinear(rip) >> 12n;
    const target = this.blockAt(rip);
    if (generation === this.code.generation) {
      const linked = samePage && target.secondPage < 0 && !this.code.breakpoints.has(rip);
      this.view.setInt32(record + linkOffset, linked ? address : ASK_JUMP_CACHE, true);
    }
    return address;
  }

  /** An instruction in TypeScript, or a block that was dropped under its own feet. */
  private rare(record: number): number {
    const { view } = this;
    const left = view.getUint8(record + RECORD.left);
    if (view.getUint16(record + RECORD.handler, true) === Handler.resync) {
      this.count.giveBack(left);
      return this.lookup(this.ripOf(record));
    }
    this.execution.record = record;
    const kept = this.code.kept[view.getInt32(record + RECORD.instruction, true)];
    if (!kept) throw new Error('record without instruction');
    const { instruction, undecodable, bytes } = kept;
    if (undecodable === 'invalid') throw exception(VECTOR.UD);
    if (undecodable === 'tooLong') throw exception(VECTOR.GP, { errorCode: 0 });
    this.registers.rip = view.getBigUint64(record + RECORD.next, true);
    if (undecodable !== undefined || !this.environment.execute(instruction)) {
      throw stopUnimplemented({
        instruction: instruction.encoding && !undecodable ? instruction.encoding.text : 'an instruction without name',
        bytes: toHex(bytes),
        rip: hex(this.ripOf(record)),
      });
    }
    this.count.giveBack(left - 1);
    this.execution.record = 0;
    if (this.singleStep !== this.stepping) this.count.endSlice();
    const next = this.registers.rip;
    return this.jumps.find(next) ?? this.lookup(next);
  }

  // --- memory ---

  private imports(): Record<ImportedHelper, unknown> {
    return {
      readSlow: (linear: bigint, access: number, record: number) => this.access.readSlow(linear, access, record),
      writeSlow: (linear: bigint, access: number, record: number) => this.access.writeSlow(linear, access, record),
      flushScratch: (linear: bigint, count: number) => this.access.flushScratch(linear, count),
      raise: (vector: number, record: number) => {
        this.execution.record = record;
        throw exception(vector, vector === VECTOR.GP ? { errorCode: 0 } : {});
      },
      segmentFault: (segment: number, record: number) => {
        this.execution.record = record;
        const isStack = segment === SEGMENT_TABLE + SEGMENT_SIZE * 2;
        throw exception(isStack ? VECTOR.SS : VECTOR.GP, { errorCode: 0 });
      },
      lookup: (rip: bigint) => this.lookup(rip),
      chain: (record: number, linkOffset: number) => this.chain(record, linkOffset),
      rare: (record: number) => this.rare(record),
    };
  }

  /** Drops what was decoded from bytes of guest memory that are about to be written. */
  written(offset: number, count: number): void {
    const page = offset >>> 12;
    if (!this.code.hasCode(page)) return;
    for (const { rip, address } of this.code.written(page, offset & (PAGE - 1), count)) this.jumps.forget(rip, address);
  }

  /** For instructions in TypeScript: linear memory offset of an access within one page. */
  dataOffset(linear: bigint, access: 'read' | 'write', count: number): number {
    return this.access.dataOffset(linear, access, count);
  }

  // --- invalidation ---

  /** After a change of privilege or AC: other TLB, other jump cache. */
  contextChanged(): void {
    this.view.setInt32(CONTEXT, CONTEXTS + this.environment.context * CONTEXT_SIZE, true);
  }

  /** Forgets all translations, and where RIP leads: after a change of page tables, or of the code segment. */
  flushTlb(): void {
    this.tlb.flush();
    this.jumps.flush();
  }

  flushJumpCaches(): void {
    this.jumps.flush();
  }

  /** Executions of blocks so far, for profiles. */
  executionsOf(block: Block): number {
    return this.view.getInt32(block.address + BLOCK.executions, true);
  }

  get formCount(): number {
    return this.handlers.forms.length;
  }
}
