import { decode } from '../decoder/decode.js';
import { copyInstruction, createInstruction, type Instruction } from '../decoder/instruction.js';
import { PAGE } from '../state/layout.js';
import { type CodeMode, modeNumber } from './code-mode.js';
import { analyseFlags, type FlagUser } from './flag-analysis.js';
import type { StaticForm } from './form-library.js';
import type { Handlers } from './handlers.js';
import type { KeptInstruction, Undecodable } from './kept-instruction.js';
import { BLOCK, Handler, RECORD } from './record.js';
import { endsBlock, isRelative, RecordWriter } from './record-writer.js';

export { type CodeMode, usesVectors } from './code-mode.js';

export interface Block {
  readonly address: number;
  readonly rip: bigint;
  /** Number of the page in linear memory, and of the second one if its instruction crosses. */
  readonly page: number;
  readonly secondPage: number;
  /** Offsets in the page: first byte, first byte after. */
  readonly start: number;
  readonly end: number;
  /** Length of its instructions. */
  readonly bytes: number;
}

interface CodePage {
  readonly blocks: Map<bigint, Block>;
  start: number;
  end: number;
}

const MAX_INSTRUCTIONS = 64;
const MOST_BLOCK_BYTES = BLOCK.size + (MAX_INSTRUCTIONS + 1) * RECORD.size;
const NEVER_NEXT: ReadonlySet<string> = new Set(['JMP', 'JMP_INDIRECT', 'RET']);
/** Bytes of an instruction. */
const MAX_LENGTH = 15;
const NO_TRAITS: FlagUser = { whenLive: undefined, whenDead: undefined };

/** Decodes blocks into the arena, and knows which pages of guest memory hold decoded code. */
export class CodeCache {
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly pages = new Map<number, CodePage>();
  private readonly arenaStart: number;
  private next: number;
  /** Counts how often the arena was emptied: addresses of blocks before mean nothing any more. */
  generation = 0;
  kept: KeptInstruction[] = [];
  /** The instructions of the block in the making. */
  private readonly decoded: readonly Instruction[] = Array.from({ length: MAX_INSTRUCTIONS }, createInstruction);
  private readonly trouble: (Undecodable | undefined)[] = [];
  private readonly forms: (StaticForm | undefined)[] = [];
  private readonly users: FlagUser[] = [];
  private readonly writer: RecordWriter;
  /** Blocks that end with a slice lie in one place, and so do their instructions in `kept`. */
  private readonly partialStart: number;
  private partial: Block | undefined;
  private partialKept = { start: 0, end: 0 };
  /** How the block that was made last ends. */
  private leadsToTarget = false;
  private leadsToNext = false;
  readonly breakpoints = new Set<bigint>();
  /** Figures for the benchmark. */
  readonly statistics = { blocks: 0, instructions: 0, dropped: 0 };

  constructor(
    buffer: ArrayBuffer,
    private readonly handlers: Handlers,
    arenaStart: number,
    private readonly arenaEnd: number,
    private readonly onEmptied: () => void,
    private readonly onPageDecoded: (page: number) => void,
    /** Breakpoints in the guest's debug registers, by linear address. */
    private readonly guestBreakpoints: ReadonlyMap<bigint, number>,
  ) {
    this.view = new DataView(buffer);
    this.bytes = new Uint8Array(buffer);
    this.writer = new RecordWriter(this.view);
    this.partialStart = arenaStart;
    this.arenaStart = arenaStart + MOST_BLOCK_BYTES;
    this.next = this.arenaStart;
  }

  private static key(rip: bigint, mode: CodeMode): bigint {
    return rip * 64n + BigInt(modeNumber(mode));
  }

  find(page: number, rip: bigint, mode: CodeMode): Block | undefined {
    return this.pages.get(page)?.blocks.get(CodeCache.key(rip, mode));
  }

  hasCode(page: number): boolean {
    return this.pages.has(page);
  }

  /** Drops everything: the arena is full. */
  empty(): void {
    this.generation++;
    this.pages.clear();
    this.kept = [];
    this.partial = undefined;
    this.partialKept = { start: 0, end: 0 };
    this.next = this.arenaStart;
    this.onEmptied();
  }

  /** Drops the page's blocks if a write touches decoded bytes; true if it did. */
  written(page: number, offset: number, length: number): readonly Block[] {
    const code = this.pages.get(page);
    if (!code || offset >= code.end || offset + length <= code.start) return [];
    this.pages.delete(page);
    if (this.partial?.page === page || this.partial?.secondPage === page) this.stop(this.partial);
    const dropped = [...code.blocks.values()];
    this.statistics.dropped += dropped.length;
    for (const block of dropped) {
      this.stop(block);
      for (const other of [block.page, block.secondPage]) {
        if (other !== page) this.removeFrom(other, block);
      }
    }
    return dropped;
  }

  /** Drops the blocks that have one of these RIPs, first or further on. */
  dropAt(rips: readonly bigint[]): readonly Block[] {
    const dropped = new Set<Block>();
    for (const code of this.pages.values()) {
      for (const block of code.blocks.values()) {
        const end = block.rip + BigInt(block.bytes);
        if (rips.some((rip) => rip >= block.rip && rip < end)) dropped.add(block);
      }
    }
    for (const block of dropped) {
      this.stop(block);
      for (const page of [block.page, block.secondPage]) this.removeFrom(page, block);
    }
    return [...dropped];
  }

  private removeFrom(page: number, block: Block): void {
    const code = this.pages.get(page);
    if (!code) return;
    for (const [key, candidate] of code.blocks) if (candidate === block) code.blocks.delete(key);
  }

  /** A dropped block may be in execution: whatever record comes next asks again what to do. */
  private stop(block: Block): void {
    const count = this.view.getInt32(block.address + BLOCK.count, true);
    for (let n = 0; n < count; n++) {
      this.view.setUint16(block.address + BLOCK.size + n * RECORD.size, Handler.resync, true);
    }
  }

  /**
   * Decodes the block at a linear address in a page of linear memory. `secondPage` gives the page that follows, when an
   * instruction crosses into it. With `limit` the block has at most that many instructions and is good until the next
   * such call.
   */
  build(page: number, linear: bigint, rip: bigint, mode: CodeMode, secondPage: () => number, limit?: number): Block {
    if (limit === undefined && this.next + MOST_BLOCK_BYTES > this.arenaEnd) this.empty();
    const block = this.make(page, linear, rip, mode, secondPage, limit);
    if (!block) throw new Error('a block that cannot be made');
    if (limit === undefined && this.handlers.hasPending) this.makeNeighbours(block, linear, mode);
    this.handlers.flush();
    return block;
  }

  /**
   * Decodes where a block leads to, as far as that lies in its page: a module for the new forms of several blocks costs
   * hardly more than one for those of a single block, and most of them will run.
   */
  private makeNeighbours(block: Block, linear: bigint, mode: CodeMode): void {
    const wanted = this.exitsOf(block);
    const enough = this.statistics.instructions + MAX_INSTRUCTIONS;
    while (this.statistics.instructions < enough && this.next + MOST_BLOCK_BYTES <= this.arenaEnd) {
      const rip = wanted.shift();
      if (rip === undefined) return;
      const there = linear + BigInt.asIntN(64, rip - block.rip);
      if (there >> 12n !== linear >> 12n || this.find(block.page, rip, mode)) continue;
      const neighbour = this.make(block.page, there, rip, mode);
      if (neighbour) wanted.push(...this.exitsOf(neighbour));
    }
  }

  /** RIPs behind the block that has just been made, unless nothing falls through, and at the target of its branch. */
  private exitsOf(block: Block): bigint[] {
    const { view } = this;
    const last = block.address + BLOCK.size + (view.getInt32(block.address + BLOCK.count, true) - 1) * RECORD.size;
    const { leadsToNext, leadsToTarget } = this;
    const exits: bigint[] = [];
    if (leadsToNext) exits.push(view.getBigUint64(last + RECORD.next, true));
    if (leadsToTarget) exits.push(view.getBigUint64(last + RECORD.immediate, true));
    return exits;
  }

  /** Without `secondPage` undefined if its first instruction crosses. */
  private make(
    page: number,
    linear: bigint,
    rip: bigint,
    mode: CodeMode,
    secondPage?: () => number,
    limit?: number,
  ): Block | undefined {
    const offset = Number(linear & BigInt(PAGE - 1));
    const most = Math.min(limit ?? MAX_INSTRUCTIONS, MAX_INSTRUCTIONS);
    const first = page * PAGE;
    let at = first + offset;
    let crossing = -1;
    let code = this.bytes;
    let count = 0;
    while (count < most) {
      if (count > 0 && this.stopsBefore(rip, linear, at - first - offset)) break;
      const instruction = this.decoded[count];
      if (!instruction) break;
      let status = decode(code, at, first + PAGE, mode.codeSize, instruction);
      if (status === 'incomplete') {
        if (count > 0) break;
        if (!secondPage) return undefined;
        crossing = secondPage();
        code = this.joined(at, first + PAGE, crossing);
        status = decode(code, 0, code.length, mode.codeSize, instruction);
        if (status === 'incomplete') status = 'tooLong';
      }
      this.trouble[count] = status === 'ok' ? undefined : status;
      count++;
      at += instruction.length;
      if (status !== 'ok' || endsBlock(instruction) || crossing >= 0 || at >= first + PAGE) break;
    }
    const address = limit === undefined ? this.next : this.partialStart;
    const length = at - first - offset;
    const end = Math.min(offset + length, PAGE);
    const block = { address, rip, page, secondPage: crossing, start: offset, end, bytes: length };
    if (limit !== undefined && this.kept.length === this.partialKept.end) this.kept.length = this.partialKept.start;
    const keptBefore = this.kept.length;
    this.write(block, count, mode, code === this.bytes ? first + offset : 0, code);
    this.statistics.blocks++;
    this.statistics.instructions += count;
    if (limit === undefined) {
      this.next = this.writer.at;
      this.keep(page, block.start, end).set(CodeCache.key(rip, mode), block);
      if (crossing >= 0) this.keep(crossing, 0, length + offset - PAGE).set(-1n - CodeCache.key(rip, mode), block);
    } else {
      this.partial = block;
      this.partialKept = { start: keptBefore, end: this.kept.length };
      this.keep(page, block.start, end);
      if (crossing >= 0) this.keep(crossing, 0, length + offset - PAGE);
    }
    return block;
  }

  private stopsBefore(rip: bigint, linear: bigint, distance: number): boolean {
    const { breakpoints, guestBreakpoints } = this;
    if (breakpoints.size > 0 && breakpoints.has(rip + BigInt(distance))) return true;
    return guestBreakpoints.size > 0 && guestBreakpoints.has(linear + BigInt(distance));
  }

  private joined(at: number, end: number, secondPage: number): Uint8Array {
    const bytes = new Uint8Array(15);
    bytes.set(this.bytes.subarray(at, Math.min(end, at + 15)));
    const have = end - at;
    if (have < 15) bytes.set(this.bytes.subarray(secondPage * PAGE, secondPage * PAGE + 15 - have), have);
    return bytes;
  }

  /** The page has decoded code from here to there; its blocks. */
  private keep(page: number, start: number, end: number): Map<bigint, Block> {
    let code = this.pages.get(page);
    if (!code) {
      code = { blocks: new Map(), start, end };
      this.pages.set(page, code);
      this.onPageDecoded(page);
    }
    code.start = Math.min(code.start, start);
    code.end = Math.max(code.end, end);
    return code.blocks;
  }

  /** Form of a decoded instruction, if this mode has generated code for it. */
  private formOf(n: number, mode: CodeMode): StaticForm | undefined {
    const instruction = this.decoded[n];
    if (!instruction || this.trouble[n] !== undefined) return undefined;
    const form = this.handlers.library.staticForm(instruction, mode.stackSize);
    if (!form?.user || (form.vectors && !mode.vectors) || (form.floats && !mode.floats)) return undefined;
    return form;
  }

  private write(block: Block, count: number, mode: CodeMode, codeAt: number, code: Uint8Array): void {
    const { writer, handlers, forms, users } = this;
    users.length = count;
    for (let n = 0; n < count; n++) {
      forms[n] = this.formOf(n, mode);
      users[n] = forms[n]?.user ?? NO_TRAITS;
    }
    const flags = analyseFlags(users);
    writer.startBlock(block.address, block.rip, count, mode.codeSize, block.secondPage >= 0);
    for (let n = 0; n < count; n++) {
      const i = this.decoded[n];
      const form = forms[n];
      const flag = flags[n];
      if (!i || !flag) break;
      if (form) {
        const handler = handlers.library.handler(form, i, mode.stackSize, flag);
        handlers.need(handler);
        // Generated code hands floating point over where it cannot tell what happens to MXCSR.
        const kept = form.floats ? this.kept.length : -1;
        if (form.floats) {
          const bytes = code.slice(codeAt, codeAt + i.length);
          this.kept.push({ instruction: copyInstruction(i), undecodable: undefined, bytes });
        }
        writer.instruction(i, handler, count - n, kept);
      } else {
        writer.instruction(i, Handler.rare, count - n, this.kept.length);
        const undecodable = this.trouble[n];
        const bytes = code.slice(codeAt, codeAt + (undecodable === undefined ? i.length : MAX_LENGTH));
        this.kept.push({ instruction: copyInstruction(i), undecodable, bytes });
      }
      codeAt += i.length;
    }
    const last = this.decoded[count - 1];
    if (!last || !endsBlock(last) || this.trouble[count - 1] !== undefined) writer.fallThrough();
    this.leadsToTarget = last !== undefined && isRelative(last);
    this.leadsToNext = forms[count - 1] !== undefined && !NEVER_NEXT.has(last?.encoding?.semantics ?? '');
  }

  /** Executions of each form, by handler number: how often its blocks ran times how often they contain it. */
  heat(): number[] {
    const heat: number[] = [];
    for (const page of this.pages.values()) {
      for (const { address } of page.blocks.values()) {
        const count = this.view.getInt32(address + BLOCK.count, true);
        const executions = this.view.getUint32(address + BLOCK.executions, true);
        for (let n = 0; n < count; n++) {
          const handler = this.view.getUint16(address + BLOCK.size + n * RECORD.size, true);
          heat[handler] = (heat[handler] ?? 0) + executions;
        }
      }
    }
    return heat;
  }
}
