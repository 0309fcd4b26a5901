import type { CpuEnvironment } from './environment.js';
import { exception, type GuestException, isCpuStop, isGuestException, VECTOR } from './exception.js';
import { BlockFinder } from './interpreter/block-finder.js';
import { type Block, CodeCache } from './interpreter/code-cache.js';
import { DebugMatches, DR6 } from './interpreter/debug-matches.js';
import { AGAIN_ALONE, type Execution, GuestAccess } from './interpreter/guest-access.js';
import { type GeneratedCode, Handlers } from './interpreter/handlers.js';
import { importsOf } from './interpreter/imports.js';
import { InstructionCount } from './interpreter/instruction-count.js';
import { JumpCache } from './interpreter/jump-cache.js';
import { executeKept } from './interpreter/kept-instruction.js';
import { BLOCK, Handler, RECORD } from './interpreter/record.js';
import { SoftwareTlb } from './interpreter/software-tlb.js';
import { type RunResult, resultOf } from './run-result.js';
import { RFLAGS } from './semantics/flags.js';
import {
  ARENA,
  CONTEXT,
  CONTEXT_SIZE,
  CONTEXTS,
  EXIT_BLOCK,
  MXCSR,
  PAGE,
  STRING_LIMIT,
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
  private readonly execution: Execution = { record: 0 };
  private readonly access: GuestAccess;
  private readonly debug = new DebugMatches();
  private readonly blocks: BlockFinder;
  /** The instructions of this slice began with RFLAGS.TF set: it has just one. */
  private stepping = false;
  private trapSuppressed = false;
  /** `leave` was called: the run ends when the instruction or delivery in hand is complete. */
  private leaving = false;
  /** An instruction is to be executed again, alone in its slice. */
  private again = false;
  /** A trap whose delivery was cut off by an exit: it comes first in the next run. */
  private undelivered: GuestException | undefined;
  /** The last run ended after an instruction: nobody has seen a breakpoint at its RIP yet. */
  private arrived = false;

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
      this.debug,
      (page) => this.code.hasCode(page),
      (offset, count) => this.written(offset, count),
    );
    this.jumps = new JumpCache(this.view);
    const imports = importsOf(
      this.execution,
      this.access,
      () => this.blocks,
      (offset, size) => this.written(offset, size),
      (record) => this.rare(record),
    );
    this.handlers = new Handlers(this.memory, imports);
    this.generated = this.handlers.main;
    this.registers = new Registers(this.memory.buffer, (type, a, b) => this.generated.statusFlags(type, a, b));
    this.code = new CodeCache(
      this.memory.buffer,
      this.handlers,
      ARENA,
      arenaEnd,
      () => this.jumps.flush(),
      (page) => this.tlb.forbidWrites(page),
      this.debug.instructions,
    );
    const { view, registers, code, jumps, tlb, execution, count, debug } = this;
    this.blocks = new BlockFinder({ view, environment, registers, code, jumps, tlb, execution, count, debug });
    this.registers.flags = 2;
    this.view.setUint32(MXCSR, 0x1f80, true);
    this.view.setInt32(EXIT_BLOCK + BLOCK.count, 0x7fff_ffff, true);
    this.contextChanged();
  }

  /** Instructions executed so far, exact at every call out of generated code. */
  get instructions(): number {
    const pending = this.execution.record === 0 ? 0 : this.view.getUint8(this.execution.record + RECORD.left);
    return this.count.executed - pending;
  }

  /** RIP of the instruction in execution; between instructions that of the next. */
  get instructionRip(): bigint {
    return this.execution.record === 0 ? this.registers.rip : this.blocks.ripOf(this.execution.record);
  }

  // --- running ---

  /**
   * Executes up to `limit` instructions; a fault or a stop may end it before. A breakpoint stops before its
   * instruction, but not where the run begins if it has been `seen`: after a run that said `breakpoint` (also at its
   * limit), `limit` or `fault`, say. `left` and its like do not tell, so there it stops before the first instruction.
   */
  run(limit: number, seen = !this.arrived): RunResult {
    const end = this.instructions + limit;
    this.blocks.passed = seen ? this.registers.rip : undefined;
    this.arrived = false;
    const result = this.runTo(end);
    if (result.reason === 'left') this.arrived = true;
    return result;
  }

  private runTo(end: number): RunResult {
    this.leaving = false;
    if (this.undelivered) {
      const pending = this.undelivered;
      this.undelivered = undefined;
      const ended = this.deliver(pending);
      if (ended) return ended;
    }
    while (this.instructions < end) {
      const stopped = this.runSlice(Math.min(SLICE, end - this.instructions));
      if (stopped) return stopped;
      if (this.instructions >= this.nextConsolidation) this.consolidate();
    }
    const { rip } = this.registers;
    return { reason: this.code.breakpoints.has(rip) && this.blocks.passed !== rip ? 'breakpoint' : 'limit' };
  }

  /**
   * For instructions in TypeScript (`CpuEnvironment.execute`) and deliveries: the run ends with `left` as soon as they
   * are complete, before anything of the next instruction happens.
   */
  leave(): void {
    this.leaving = true;
  }

  /**
   * A slice of many instructions, or of one where that may be followed by a trap: RFLAGS.TF, a breakpoint for data. RF
   * counts for one instruction.
   */
  private runSlice(limit: number): RunResult | undefined {
    const { count, blocks, access, registers } = this;
    const flags = this.view.getInt32(SYSTEM_FLAGS, true);
    const resuming = (flags & RFLAGS.RF) !== 0;
    this.stepping = (flags & RFLAGS.TF) !== 0;
    const alone = this.stepping || resuming || access.alone;
    access.alone = alone;
    blocks.resuming = resuming || blocks.repeatsAt(this.instructions);
    this.view.setInt32(SYSTEM_FLAGS, flags & ~RFLAGS.RF, true);
    const end = this.instructions + 1;
    count.startSlice(alone ? 1 : limit);
    this.limitStrings();
    try {
      let block = blocks.find(registers.rip);
      if (alone) block = blocks.partial(registers.rip, 1);
      else blocks.resuming = false;
      this.generated.run(block);
      // The next block is longer than what is left of the slice: a block of just that many instructions.
      if (count.left > 0 && !this.leaving) this.generated.run(blocks.partial(registers.rip, count.left));
      blocks.passed = blocks.repeatsAt(this.instructions) ? registers.rip : undefined;
      return this.completed();
    } catch (thrown) {
      // What comes after an instruction that was alone comes after its trap.
      if (alone && this.execution.record === 0 && this.instructions === end) return this.completed();
      return this.stopped(thrown, resuming);
    } finally {
      this.execution.record = 0;
      access.alone = this.again;
      this.again = false;
      count.endSlice();
    }
  }

  /** Where each element may be followed by a trap, each counts as an instruction. */
  private limitStrings(): void {
    const most = this.access.alone || this.debug.data.length > 0 ? 1 : 0xffff_ffff;
    this.view.setUint32(STRING_LIMIT, most, true);
  }

  /** After an instruction: its traps, in one #DB that takes no time of its own. */
  private completed(): RunResult | undefined {
    const step = this.stepping && !this.trapSuppressed ? DR6.BS : 0;
    this.trapSuppressed = false;
    const debug = this.debug.takeHits() | step;
    if (debug !== 0) return this.deliver(exception(VECTOR.DB, { trap: true, debug }));
    return this.leaving ? { reason: 'left' } : undefined;
  }

  private deliver(pending: GuestException): RunResult | undefined {
    try {
      if (!this.environment.deliver(pending)) return { reason: 'exception', exception: pending };
      return this.leaving ? { reason: 'left' } : undefined;
    } catch (again) {
      if (!isCpuStop(again)) throw again;
      // A fault comes again when its instruction is executed again; a trap would be lost.
      if (again.reason === 'exit' && pending.trap) this.undelivered = pending;
      return resultOf(again);
    }
  }

  /** A trap whose delivery was cut off is somebody else's business now. */
  dropUndelivered(): void {
    this.undelivered = undefined;
  }

  /** For instructions in TypeScript after which there is no single-step trap: INT n, a load of SS. */
  suppressTrap(): void {
    this.trapSuppressed = this.stepping;
  }

  /** `resuming`: RFLAGS.RF was set, and is again if the instruction has not been executed. */
  private stopped(thrown: unknown, resuming: boolean): RunResult | undefined {
    if (isGuestException(thrown)) return this.raised(thrown);
    const fetching = this.execution.record === 0;
    const stop = isCpuStop(thrown) ? thrown : undefined;
    const done = stop?.reason === 'halt' || stop?.reason === 'exit-after';
    this.settle(done);
    if (!done && resuming) this.view.setInt32(SYSTEM_FLAGS, this.view.getInt32(SYSTEM_FLAGS, true) | RFLAGS.RF, true);
    if (!stop) {
      if (thrown !== AGAIN_ALONE) throw thrown;
      this.again = true;
      return undefined;
    }
    this.arrived = done || (fetching && stop.reason === 'exit' && this.blocks.passed !== this.registers.rip);
    if (!done) {
      this.debug.hits = 0;
      return resultOf(stop);
    }
    // The trap after HLT wakes the processor at once.
    const wakes = stop.reason === 'halt' && this.stepping;
    const trapped = this.completed();
    return wakes ? trapped : (trapped ?? resultOf(stop));
  }

  private raised(thrown: GuestException): RunResult | undefined {
    this.settle(thrown.trap);
    this.debug.hits = 0;
    const ended = this.deliver(thrown);
    // Delivery takes the time of one instruction, so that a loop of faults ends.
    if (!ended || ended.reason === 'left') this.count.add(1);
    return ended;
  }

  /** Makes count and RIP right after generated code was left in the middle of a block. */
  private settle(done: boolean): void {
    if (this.execution.record === 0) return;
    const left = this.view.getUint8(this.execution.record + RECORD.left);
    this.count.giveBack(left - (done ? 1 : 0));
    if (!done) this.registers.rip = this.blocks.ripOf(this.execution.record);
    this.execution.record = 0;
  }

  private consolidate(): void {
    this.nextConsolidation = this.instructions * 4;
    this.handlers.consolidate(this.code.heat());
    this.generated = this.handlers.main;
  }

  // --- code ---

  /** RIPs before which a run stops. Decoded code around new ones is dropped, as blocks end at breakpoints. */
  setBreakpoints(addresses: Iterable<bigint>): void {
    const wanted = new Set(addresses);
    const known = this.code.breakpoints;
    const added = [...wanted].filter((rip) => !known.has(rip));
    known.clear();
    for (const rip of wanted) known.add(rip);
    if (added.length > 0) this.forgetBlocks(this.code.dropAt(added));
  }

  private forgetBlocks(blocks: readonly Block[]): void {
    for (const { rip, address } of blocks) this.jumps.forget(rip, address);
  }

  /** An instruction in TypeScript, or a block that was dropped under its own feet. */
  private rare(record: number): number {
    const { view } = this;
    const left = view.getUint8(record + RECORD.left);
    if (view.getUint16(record + RECORD.handler, true) === Handler.resync) {
      this.count.giveBack(left);
      return this.blocks.find(this.blocks.ripOf(record));
    }
    this.execution.record = record;
    const kept = this.code.kept[view.getInt32(record + RECORD.instruction, true)];
    if (!kept) throw new Error('record without instruction');
    this.registers.rip = view.getBigUint64(record + RECORD.next, true);
    const { environment, blocks } = this;
    executeKept(
      kept,
      (instruction) => environment.execute(instruction),
      () => blocks.ripOf(record),
    );
    this.count.giveBack(left - 1);
    this.execution.record = 0;
    const next = this.registers.rip;
    const flags = view.getInt32(SYSTEM_FLAGS, true);
    const resumes = (flags & RFLAGS.RF) !== 0;
    if (this.leaving || this.debug.hits !== 0 || resumes || ((flags & RFLAGS.TF) !== 0) !== this.stepping) {
      this.count.endSlice();
      view.setBigUint64(EXIT_BLOCK + BLOCK.rip, next, true);
      return EXIT_BLOCK;
    }
    return this.jumps.find(next) ?? this.blocks.find(next);
  }

  // --- memory ---

  /** Drops what was decoded from bytes of guest memory that are about to be written. */
  written(offset: number, count: number): void {
    const page = offset >>> 12;
    if (!this.code.hasCode(page)) return;
    this.forgetBlocks(this.code.written(page, offset & (PAGE - 1), count));
  }

  /**
   * Drops decoded code and translations of a page of linear memory (offset / 4096): the host is about to change its
   * bytes or their key, or takes it away.
   */
  forgetPage(page: number): void {
    this.written(page * PAGE, PAGE);
    this.tlb.forgetPage(page);
  }

  /** For instructions in TypeScript: linear memory offset of an access within one page. */
  dataOffset(linear: bigint, access: 'read' | 'write', count: number): number {
    return this.access.dataOffset(linear, access, count);
  }

  /** Alignment check of user mode, for instructions in TypeScript that then ask for their operand byte by byte. */
  checkAlignment(linear: bigint, count: number): void {
    this.access.checkAlignment(linear, count);
  }

  /** For IN, OUT and their like: breakpoints for ports. */
  portAccess(port: number, bytes: number): void {
    this.debug.port(port, bytes);
  }

  /** The guest has set breakpoints for instructions in DR0 to DR3. */
  get hasInstructionBreakpoints(): boolean {
    return this.debug.instructions.size > 0;
  }

  // --- invalidation ---

  /** After a change of DR0 to DR3, DR7 or CR4.DE, which allows breakpoints for ports. Costs nothing while none is set. */
  setDebugRegisters(addresses: readonly bigint[], control: number, ports: boolean): void {
    const before = [...this.debug.instructions.keys()].join();
    if (!this.debug.load(addresses, control, ports)) return;
    if (before !== [...this.debug.instructions.keys()].join()) this.code.empty();
    this.tlb.flush();
    this.limitStrings();
  }

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
    return this.handlers.count;
  }
}
