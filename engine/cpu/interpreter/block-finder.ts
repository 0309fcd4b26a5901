import type { CpuEnvironment } from '../environment.js';
import { type CpuStop, exception, VECTOR } from '../exception.js';
import { RFLAGS } from '../semantics/flags.js';
import { RIP, SYSTEM_FLAGS } from '../state/layout.js';
import type { Registers } from '../state/registers.js';
import type { Block, CodeCache } from './code-cache.js';
import { wrap } from './code-mode.js';
import type { DebugMatches } from './debug-matches.js';
import type { Execution } from './guest-access.js';
import type { InstructionCount } from './instruction-count.js';
import type { JumpCache } from './jump-cache.js';
import { ASK_JUMP_CACHE, RECORD } from './record.js';
import type { SoftwareTlb } from './software-tlb.js';

const CS = 1;
const BREAKPOINT: CpuStop = { kind: 'stop', reason: 'breakpoint', fault: undefined };

/** The parts of the core among which blocks are looked for. */
export interface CodeParts {
  readonly view: DataView;
  readonly environment: CpuEnvironment;
  readonly registers: Registers;
  readonly code: CodeCache;
  readonly jumps: JumpCache;
  readonly tlb: SoftwareTlb;
  readonly execution: Execution;
  readonly count: InstructionCount;
  readonly debug: DebugMatches;
}

interface Place {
  readonly linear: bigint;
  readonly page: number;
  /** Page of linear memory that follows. */
  readonly second: () => number;
}

/** From RIP to the block that generated code enters, past the breakpoints of debugger and guest. */
export class BlockFinder {
  /** RIP at which a breakpoint of the debugger does not stop now. */
  passed: bigint | undefined;
  /** The instruction at which the slice began had RFLAGS.RF: breakpoints of the guest do not count. */
  resuming = false;
  /** Count at which a repeated instruction with a breakpoint went on: it has passed that. */
  private repeatingAt = -1;

  constructor(private readonly parts: CodeParts) {}

  /** RIP of a record's instruction. */
  ripOf(record: number): bigint {
    const { view, environment } = this.parts;
    const next = view.getBigUint64(record + RECORD.next, true);
    return wrap(next - BigInt(view.getUint8(record + RECORD.length)), environment.mode.codeSize);
  }

  private linearOf(rip: bigint): bigint {
    const { environment, registers } = this.parts;
    if (environment.mode.codeSize === 64) return rip;
    const cs = registers.segment(CS);
    if (rip > BigInt(cs.limit)) throw exception(VECTOR.GP, { errorCode: 0 });
    return BigInt.asUintN(32, cs.base + rip);
  }

  private pageOf(linear: bigint): number {
    const { tlb, environment } = this.parts;
    const known = tlb.findCode(linear);
    if (known !== undefined) return known;
    const { page } = environment.translate(linear, 'execute');
    tlb.fillCode(linear, page);
    return page;
  }

  private place(linear: bigint): Place {
    return { linear, page: this.pageOf(linear), second: () => this.pageOf((linear | 0xfffn) + 1n) };
  }

  /** Address of the block at RIP, decoded if need be. RIP is committed first: a fetch that faults belongs to it. */
  find(anyRip: bigint): number {
    return this.findBlock(anyRip).address;
  }

  private findBlock(anyRip: bigint): Block {
    const { view, execution, jumps } = this.parts;
    const rip = BigInt.asUintN(64, anyRip);
    execution.record = 0;
    view.setBigUint64(RIP, rip, true);
    const linear = this.linearOf(rip);
    this.checkGuest(linear);
    const block = this.blockAt(rip, linear);
    // A block with a breakpoint is looked up each time, so that it is seen each time.
    if (this.stopsAt(rip, linear)) this.checkDebugger(rip);
    else jumps.remember(rip, block.address);
    return block;
  }

  private stopsAt(rip: bigint, linear: bigint): boolean {
    return this.parts.code.breakpoints.has(rip) || this.parts.debug.instructions.has(linear);
  }

  private checkDebugger(rip: bigint): void {
    const passed = this.passed === rip;
    this.passed = undefined;
    if (!passed && this.parts.code.breakpoints.has(rip)) throw BREAKPOINT;
  }

  /** An instruction breakpoint in the guest's debug registers comes before the fetch, unless RFLAGS.RF is set. */
  private checkGuest(linear: bigint): void {
    const bits = this.parts.debug.instructions.get(linear);
    if (bits === undefined || this.resuming) return;
    if ((this.parts.view.getInt32(SYSTEM_FLAGS, true) & RFLAGS.RF) !== 0) return;
    throw exception(VECTOR.DB, { debug: bits });
  }

  private blockAt(rip: bigint, linear: bigint): Block {
    const { code, environment } = this.parts;
    const { page, second } = this.place(linear);
    const known = code.find(page, rip, environment.mode);
    if (known && (known.secondPage < 0 || known.secondPage === second())) return known;
    return code.build(page, linear, rip, environment.mode, second);
  }

  /** A block of at most so many instructions, good until the next one is asked for. */
  partial(rip: bigint, count: number): number {
    const { code, environment } = this.parts;
    const { linear, page, second } = this.place(this.linearOf(rip));
    return code.build(page, linear, rip, environment.mode, second, count).address;
  }

  /** Follows a direct branch for the first time and links the records if both lie in one page. */
  chain(record: number, linkOffset: number): number {
    const { view, code, count } = this.parts;
    const { generation } = code;
    const from = this.ripOf(record);
    const rip = view.getBigUint64(record + (linkOffset === RECORD.targetLink ? RECORD.immediate : RECORD.next), true);
    const { resuming } = this;
    if (rip === from && view.getUint8(record + RECORD.repeated) !== 0) {
      this.repeatingAt = count.executed;
      this.passed = rip;
      this.resuming = true;
    }
    const block = this.findBlock(rip);
    this.resuming = resuming;
    const [here, there] = [this.linearOf(from), this.linearOf(rip)];
    if (generation === code.generation) {
      const linked = here >> 12n === there >> 12n && block.secondPage < 0 ? block.address : ASK_JUMP_CACHE;
      view.setInt32(record + linkOffset, this.stopsAt(rip, there) ? 0 : linked, true);
    }
    return block.address;
  }

  /** A repeated instruction with a breakpoint went on, and nothing has run since. */
  repeatsAt(executed: number): boolean {
    return executed === this.repeatingAt;
  }
}
