import { hex } from '../address.js';
import { toHex } from '../bytes.js';
import type { Fault } from '../fault.js';
import type { Instruction } from './decoder/instruction.js';
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
import { type Block, CodeCache, type CodeMode, wrap } from './interpreter/code-cache.js';
import { type GeneratedCode, Handlers } from './interpreter/handlers.js';
import { JumpCache } from './interpreter/jump-cache.js';
import { ASK_JUMP_CACHE, BLOCK, Handler, RECORD, STACK_ACCESS } from './interpreter/record.js';
import { SoftwareTlb } from './interpreter/software-tlb.js';
import { RFLAGS } from './semantics/flags.js';
import type { ImportedHelper } from './semantics/helpers.js';
import {
  ARENA,
  CONTEXT,
  CONTEXT_SIZE,
  CONTEXTS,
  LEFT,
  MXCSR,
  PAGE,
  RIP,
  SCRATCH,
  SEGMENT_SIZE,
  SEGMENT_TABLE,
  SYSTEM_FLAGS,
} from './state/layout.js';
import { Registers } from './state/registers.js';

export type Access = 'read' | 'write' | 'execute';

/** Answer of a translation: which page of linear memory, and whether writes need not ask again. */
export interface Translation {
  /** Number of the page in linear memory (offset / 4096). */
  readonly page: number;
  readonly writable: boolean;
}

/** What surrounds the core: address translation, exceptions, and the instructions that are written in TypeScript. */
export interface CpuEnvironment {
  readonly mode: CodeMode;
  /** 0 supervisor, 1 user, 2 supervisor that may touch user pages (RFLAGS.AC): selects TLB and jump cache. */
  readonly context: number;
  /** Linear address to page; throws a GuestException. Called once for each page of an access. */
  translate(linear: bigint, access: Access): Translation;
  /** Executes an instruction; false if it has none. RIP is already that of the next instruction. */
  execute(instruction: Instruction): boolean;
  /** Delivers an exception to the guest; false ends the run. RIP is where the exception belongs. */
  deliver(exception: GuestException): boolean;
}

export type RunResult =
  | { readonly reason: 'limit' | 'breakpoint' | 'halt' }
  | { readonly reason: 'exception'; readonly exception: GuestException }
  | { readonly reason: 'fault'; readonly fault: Fault };

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
  /** Instructions executed before this slice, and the length of this slice. */
  private executedBefore = 0;
  private slice = 0;
  private nextConsolidation = FIRST_CONSOLIDATION;
  private consolidatedForms = 0;
  /** Record in execution when TypeScript was called; 0 when no instruction is half done. */
  private current = 0;
  /** The instructions of this slice began with RFLAGS.TF set: it has just one. */
  private stepping = false;
  private trapSuppressed = false;
  /** RIP at which a breakpoint does not stop now. */
  private passedBreakpoint: bigint | undefined;
  /** What a write across pages in SCRATCH stands for. */
  private crossing: { first: number; second: number } = { first: 0, second: 0 };

  constructor(
    options: CpuOptions,
    private readonly environment: CpuEnvironment,
  ) {
    const arenaEnd = ARENA + (options.arenaBytes ?? 0x80_0000);
    this.guestStart = arenaEnd;
    this.memory = new WebAssembly.Memory({ initial: Math.ceil((arenaEnd + options.guestBytes) / WASM_PAGE) });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    this.tlb = new SoftwareTlb(this.view);
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
    const left = this.view.getInt32(LEFT, true);
    const pending = this.current === 0 ? 0 : this.view.getUint8(this.current + RECORD.left);
    return this.executedBefore + this.slice - left - pending;
  }

  /** RIP of the instruction in execution; between instructions that of the next. */
  get instructionRip(): bigint {
    return this.current === 0 ? this.registers.rip : this.ripOf(this.current);
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
    this.startSlice(this.stepping ? 1 : limit);
    try {
      this.generated.run(this.stepping ? this.stepBlock(this.registers.rip) : this.lookup(this.registers.rip));
      // The next block is longer than what is left of the slice: a block of just that many instructions.
      const left = this.view.getInt32(LEFT, true);
      if (left > 0) this.generated.run(this.partialBlock(this.registers.rip, left));
      this.passedBreakpoint = undefined;
      return this.stepping ? this.stepped() : undefined;
    } catch (thrown) {
      // What comes after the stepped instruction comes after its trap.
      const done = this.stepping && this.current === 0 && this.instructions === end;
      return done ? this.stepped() : this.stopped(thrown);
    } finally {
      this.current = 0;
      this.startSlice(0);
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

  private startSlice(count: number): void {
    this.executedBefore = this.instructions;
    this.slice = count;
    this.view.setInt32(LEFT, count, true);
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
    if (!failed) this.executedBefore++;
    return failed;
  }

  /** Makes count and RIP right after generated code was left in the middle of a block. */
  private settle(done: boolean): void {
    if (this.current === 0) return;
    const left = this.view.getUint8(this.current + RECORD.left);
    this.view.setInt32(LEFT, this.view.getInt32(LEFT, true) + left - (done ? 1 : 0), true);
    if (!done) this.registers.rip = this.ripOf(this.current);
    this.current = 0;
  }

  private ripOf(record: number): bigint {
    const next = this.view.getBigUint64(record + RECORD.next, true);
    return wrap(next - BigInt(this.view.getUint8(record + RECORD.length)), this.environment.mode.codeSize);
  }

  /** Lets the slice end with the instruction that has just been executed. */
  private endSlice(): void {
    this.slice -= this.view.getInt32(LEFT, true);
    this.view.setInt32(LEFT, 0, true);
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
    this.current = 0;
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

  private blockAt(rip: bigint): Block {
    const linear = this.codeLinear(rip);
    const { page } = this.environment.translate(linear, 'execute');
    const known = this.code.find(page, rip, this.environment.mode);
    const second = (): number => this.environment.translate((linear | 0xfffn) + 1n, 'execute').page;
    if (known && (known.secondPage < 0 || known.secondPage === second())) return known;
    return this.code.build(page, Number(linear & 0xfffn), rip, this.environment.mode, second);
  }

  private partialBlock(rip: bigint, count: number): number {
    const linear = this.codeLinear(rip);
    const { page } = this.environment.translate(linear, 'execute');
    const second = (): number => this.environment.translate((linear | 0xfffn) + 1n, 'execute').page;
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
      view.setInt32(LEFT, view.getInt32(LEFT, true) + left, true);
      return this.lookup(this.ripOf(record));
    }
    this.current = record;
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
    view.setInt32(LEFT, view.getInt32(LEFT, true) + left - 1, true);
    this.current = 0;
    if (this.singleStep !== this.stepping) this.endSlice();
    const next = this.registers.rip;
    return this.jumps.find(next) ?? this.lookup(next);
  }

  // --- memory ---

  private imports(): Record<ImportedHelper, unknown> {
    return {
      readSlow: (linear: bigint, count: number, record: number) => this.readSlow(linear, count, record),
      writeSlow: (linear: bigint, count: number, record: number) => this.writeSlow(linear, count, record),
      flushScratch: (linear: bigint, count: number) => this.flushScratch(linear, count),
      raise: (vector: number, record: number) => {
        this.current = record;
        throw exception(vector, vector === VECTOR.GP ? { errorCode: 0 } : {});
      },
      segmentFault: (segment: number, record: number) => {
        this.current = record;
        const isStack = segment === SEGMENT_TABLE + SEGMENT_SIZE * 2;
        throw exception(isStack ? VECTOR.SS : VECTOR.GP, { errorCode: 0 });
      },
      lookup: (rip: bigint) => this.lookup(rip),
      chain: (record: number, linkOffset: number) => this.chain(record, linkOffset),
      rare: (record: number) => this.rare(record),
    };
  }

  /** Linear memory offset of an access, through the TLB. Fills it; pages with decoded code are never writable in it. */
  private translate(linear: bigint, access: 'read' | 'write'): number {
    const { page, writable } = this.environment.translate(BigInt.asUintN(64, linear), access);
    this.tlb.fill(linear, page, writable && !this.code.hasCode(page));
    return page * PAGE + Number(linear & 0xfffn);
  }

  /** Outside of the 48 bits that page tables translate: #SS for the stack segment, #GP for all others. */
  private checkCanonical(linear: bigint, access: number, record: number): void {
    if (this.environment.mode.codeSize !== 64) return;
    const count = access & (STACK_ACCESS - 1);
    for (const address of [linear, linear + BigInt(count - 1)]) {
      const sign = BigInt.asIntN(64, address) >> 47n;
      if (sign === 0n || sign === -1n) continue;
      const segment = this.view.getUint16(record + RECORD.segment, true);
      const isStack = (access & STACK_ACCESS) !== 0 || segment === SEGMENT_TABLE + SEGMENT_SIZE * 2;
      throw exception(isStack ? VECTOR.SS : VECTOR.GP, { errorCode: 0 });
    }
  }

  private readSlow(linear: bigint, access: number, record: number): number {
    this.current = record;
    this.checkCanonical(linear, access, record);
    const count = access & (STACK_ACCESS - 1);
    const first = this.translate(linear, 'read');
    const here = PAGE - (first & (PAGE - 1));
    if (here < count) {
      const second = this.translate(linear + BigInt(here), 'read');
      this.bytes.copyWithin(SCRATCH, first, first + here);
      this.bytes.copyWithin(SCRATCH + here, second, second + count - here);
      this.current = 0;
      return SCRATCH;
    }
    this.current = 0;
    return first;
  }

  private writeSlow(linear: bigint, access: number, record: number): number {
    this.current = record;
    this.checkCanonical(linear, access, record);
    const count = access & (STACK_ACCESS - 1);
    const first = this.translate(linear, 'write');
    const here = PAGE - (first & (PAGE - 1));
    let result = first;
    if (here < count) {
      const second = this.translate(linear + BigInt(here), 'write');
      this.bytes.copyWithin(SCRATCH, first, first + here);
      this.bytes.copyWithin(SCRATCH + here, second, second + count - here);
      this.crossing = { first, second };
      this.written(second, count - here);
      result = SCRATCH;
    }
    this.written(first, Math.min(here, count));
    this.current = 0;
    return result;
  }

  private flushScratch(linear: bigint, count: number): void {
    const here = PAGE - Number(BigInt.asUintN(12, linear));
    this.bytes.copyWithin(this.crossing.first, SCRATCH, SCRATCH + here);
    this.bytes.copyWithin(this.crossing.second, SCRATCH + here, SCRATCH + count);
  }

  /** Drops what was decoded from bytes of guest memory that are about to be written. */
  written(offset: number, count: number): void {
    const page = offset >>> 12;
    if (!this.code.hasCode(page)) return;
    for (const { rip, address } of this.code.written(page, offset & (PAGE - 1), count)) this.jumps.forget(rip, address);
  }

  /** For instructions in TypeScript: linear memory offset of an access within one page. */
  dataOffset(linear: bigint, access: 'read' | 'write', count: number): number {
    const known = this.tlb.find(linear, access);
    if (known !== undefined) return known;
    const offset = this.translate(linear, access);
    if (access === 'write') this.written(offset, count);
    return offset;
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
