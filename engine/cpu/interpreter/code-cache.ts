import { decode } from '../decoder/decode.js';
import {
  type CodeSize,
  copyInstruction,
  createInstruction,
  type Instruction,
  OperandPlace,
} from '../decoder/instruction.js';
import { definitionOf, isFloat } from '../semantics/index.js';
import { GPR, PAGE, SEGMENT_SIZE, SEGMENT_TABLE, XMM, ZERO } from '../state/layout.js';
import { analyseFlags, type FlagUser, traitsOf } from './flag-analysis.js';
import { formKey, makeForm, staticKey } from './form.js';
import type { Handlers } from './handlers.js';
import { ASK_JUMP_CACHE, BLOCK, Handler, RECORD } from './record.js';

/** What decoding depends on beside the bytes. */
export interface CodeMode {
  readonly codeSize: CodeSize;
  readonly stackSize: CodeSize;
  /** XMM instructions are executed; where they are not, TypeScript raises #UD or #NM. */
  readonly vectors: boolean;
  /** MXCSR is as semantics of floating point have it: nearest, all exceptions masked, denormals count. */
  readonly floats: boolean;
}

export type Undecodable = 'invalid' | 'tooLong' | 'unknown';

/** An instruction that TypeScript executes, or a reason why there is none. */
export interface KeptInstruction {
  readonly instruction: Instruction;
  readonly undecodable: Undecodable | undefined;
  readonly bytes: Uint8Array;
}

export interface Block {
  readonly address: number;
  readonly rip: bigint;
  /** Number of the page in linear memory, and of the second one if its instruction crosses. */
  readonly page: number;
  readonly secondPage: number;
  /** Offsets in the page: first byte, first byte after. */
  readonly start: number;
  readonly end: number;
}

interface CodePage {
  readonly blocks: Map<bigint, Block>;
  start: number;
  end: number;
}

const MAX_INSTRUCTIONS = 64;

interface StaticForm {
  readonly key: string;
  readonly user: FlagUser;
}
const staticForms = new Map<string, StaticForm>();

/** Decodes blocks into the arena, and knows which pages of guest memory hold decoded code. */
export class CodeCache {
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly pages = new Map<number, CodePage>();
  private next: number;
  /** Counts how often the arena was emptied: addresses of blocks before mean nothing any more. */
  generation = 0;
  kept: KeptInstruction[] = [];
  /** What the last call of `build` decoded last. */
  readonly decoded = createInstruction();
  readonly breakpoints = new Set<bigint>();
  /** Figures for the benchmark. */
  readonly statistics = { blocks: 0, instructions: 0, dropped: 0 };

  constructor(
    buffer: ArrayBuffer,
    private readonly handlers: Handlers,
    private readonly arenaStart: number,
    private readonly arenaEnd: number,
    private readonly onEmptied: () => void,
    private readonly onPageDecoded: (page: number) => void,
  ) {
    this.view = new DataView(buffer);
    this.bytes = new Uint8Array(buffer);
    this.next = arenaStart;
  }

  private static key(rip: bigint, mode: CodeMode): bigint {
    return (
      rip * 64n +
      BigInt((mode.vectors ? 16 : 0) + (mode.floats ? 32 : 0) + (mode.codeSize >> 5) * 4 + (mode.stackSize >> 5))
    );
  }

  find(page: number, rip: bigint, mode: CodeMode): Block | undefined {
    return this.pages.get(page)?.blocks.get(CodeCache.key(rip, mode));
  }

  hasCode(page: number): boolean {
    return this.pages.has(page);
  }

  /** Drops everything: the arena is full, or breakpoints changed. */
  empty(): void {
    this.generation++;
    this.pages.clear();
    this.kept = [];
    this.next = this.arenaStart;
    this.onEmptied();
  }

  /** Drops the page's blocks if a write touches decoded bytes; true if it did. */
  written(page: number, offset: number, length: number): readonly Block[] {
    const code = this.pages.get(page);
    if (!code || offset >= code.end || offset + length <= code.start) return [];
    this.pages.delete(page);
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
   * Decodes the block at an offset of a page. `secondPage` gives the page that follows, when an instruction crosses
   * into it. With `limit` the block has at most that many instructions and is not kept.
   */
  build(page: number, offset: number, rip: bigint, mode: CodeMode, secondPage: () => number, limit?: number): Block {
    if (this.next + BLOCK.size + (MAX_INSTRUCTIONS + 1) * RECORD.size > this.arenaEnd) this.empty();
    const instructions: Instruction[] = [];
    const trouble: (Undecodable | undefined)[] = [];
    const scratch = this.decoded;
    const most = Math.min(limit ?? MAX_INSTRUCTIONS, MAX_INSTRUCTIONS);
    const first = page * PAGE;
    let at = first + offset;
    let crossing = -1;
    let code = this.bytes;
    while (instructions.length < most) {
      const before = rip + BigInt(at - first - offset);
      if (instructions.length > 0 && this.breakpoints.has(before)) break;
      let status = decode(code, at, first + PAGE, mode.codeSize, scratch);
      if (status === 'incomplete') {
        if (instructions.length > 0) break;
        crossing = secondPage();
        code = this.joined(at, first + PAGE, crossing);
        status = decode(code, 0, code.length, mode.codeSize, scratch);
        if (status === 'incomplete') status = 'tooLong';
      }
      instructions.push(copyInstruction(scratch));
      trouble.push(status === 'ok' ? undefined : status);
      at += scratch.length;
      if (status !== 'ok' || scratch.encoding?.ends || crossing >= 0 || at >= first + PAGE) break;
    }
    const address = this.next;
    this.write(
      address,
      instructions,
      trouble,
      rip,
      mode,
      code === this.bytes ? first + offset : 0,
      code,
      crossing >= 0,
    );
    this.statistics.blocks++;
    this.statistics.instructions += instructions.length;
    const block = { address, rip, page, secondPage: crossing, start: offset, end: Math.min(at - first, PAGE) };
    if (limit === undefined) {
      this.keep(block, page, block.start, block.end, mode);
      if (crossing >= 0) this.keep(block, crossing, 0, at - first - PAGE, mode);
    }
    return block;
  }

  private joined(at: number, end: number, secondPage: number): Uint8Array {
    const bytes = new Uint8Array(15);
    bytes.set(this.bytes.subarray(at, Math.min(end, at + 15)));
    const have = end - at;
    if (have < 15) bytes.set(this.bytes.subarray(secondPage * PAGE, secondPage * PAGE + 15 - have), have);
    return bytes;
  }

  private keep(block: Block, page: number, start: number, end: number, mode: CodeMode): void {
    let code = this.pages.get(page);
    if (!code) {
      code = { blocks: new Map(), start, end };
      this.pages.set(page, code);
      this.onPageDecoded(page);
    }
    code.start = Math.min(code.start, start);
    code.end = Math.max(code.end, end);
    code.blocks.set(page === block.page ? CodeCache.key(block.rip, mode) : -1n - CodeCache.key(block.rip, mode), block);
  }

  private write(
    address: number,
    instructions: readonly Instruction[],
    trouble: readonly (Undecodable | undefined)[],
    rip: bigint,
    mode: CodeMode,
    codeAt: number,
    code: Uint8Array,
    crossing: boolean,
  ): void {
    const { view } = this;
    const forms = instructions.map((i, n) =>
      trouble[n] === undefined && definitionOf(i.encoding?.semantics ?? '') && isGenerated(i, mode)
        ? this.staticForm(i, mode)
        : undefined,
    );
    const flags = analyseFlags(forms.map((s) => s?.user ?? { whenLive: undefined, whenDead: undefined }));
    view.setInt32(address + BLOCK.count, instructions.length, true);
    view.setInt32(address + BLOCK.executions, 0, true);
    view.setBigUint64(address + BLOCK.rip, rip, true);
    let record = address + BLOCK.size;
    let nextRip = rip;
    instructions.forEach((i, n) => {
      nextRip = wrap(nextRip + BigInt(i.length), mode.codeSize);
      const form = forms[n];
      const flag = flags[n];
      let handler: number = Handler.rare;
      if (form && flag) {
        const conditional = i.encoding?.semantics.endsWith('cc') ? i.opcode & 15 : -1;
        const key = formKey(form.key, conditional, flag);
        handler = this.handlers.numberOf(key) ?? this.handlers.add(makeForm(i, mode.stackSize, flag, form.key));
      } else {
        const bytes = code.slice(codeAt, codeAt + (trouble[n] === undefined ? i.length : 15));
        view.setInt32(record + RECORD.instruction, this.kept.length, true);
        this.kept.push({ instruction: i, undecodable: trouble[n], bytes });
      }
      this.writeRecord(record, handler, i, nextRip, instructions.length - n, crossing);
      record += RECORD.size;
      codeAt += i.length;
    });
    const last = instructions[instructions.length - 1];
    if (last?.encoding?.ends !== true || trouble[instructions.length - 1]) {
      view.setUint16(record + RECORD.handler, Handler.fallThrough, true);
      view.setBigUint64(record + RECORD.next, nextRip, true);
      view.setInt32(record + RECORD.nextLink, crossing ? ASK_JUMP_CACHE : 0, true);
      record += RECORD.size;
    }
    this.next = record;
    this.handlers.flush();
  }

  private staticForm(i: Instruction, mode: CodeMode): StaticForm {
    const key = staticKey(i, mode.stackSize);
    let form = staticForms.get(key);
    if (!form) {
      const traits = (live: boolean) => traitsOf(makeForm(i, mode.stackSize, { live, known: undefined }, key));
      form = { key, user: { whenLive: traits(true), whenDead: traits(false) } };
      staticForms.set(key, form);
    }
    return form;
  }

  private writeRecord(
    at: number,
    handler: number,
    i: Instruction,
    next: bigint,
    left: number,
    crossing: boolean,
  ): void {
    const { view } = this;
    view.setUint16(at + RECORD.handler, handler, true);
    for (let n = 0; n < 3; n++) {
      const operand = i.operands[n as 0 | 1 | 2];
      const offset = RECORD.register[n] ?? 0;
      let register = 0;
      if (operand.place === OperandPlace.register) register = GPR + 8 * operand.register + (operand.highByte ? 1 : 0);
      else if (operand.place === OperandPlace.vector) register = XMM + 16 * operand.register;
      else if (operand.place === OperandPlace.segment) register = SEGMENT_TABLE + SEGMENT_SIZE * operand.register + 16;
      view.setUint16(at + offset, register, true);
    }
    view.setUint16(at + RECORD.base, i.base < 0 ? ZERO : GPR + 8 * i.base, true);
    view.setUint16(at + RECORD.index, i.index < 0 ? ZERO : GPR + 8 * i.index, true);
    view.setUint16(at + RECORD.segment, SEGMENT_TABLE + SEGMENT_SIZE * i.segment, true);
    view.setUint8(at + RECORD.scale, i.scale);
    view.setUint8(at + RECORD.condition, i.opcode & 15);
    const displacement = (BigInt(i.displacementHigh) << 32n) | BigInt(i.displacement >>> 0);
    view.setBigInt64(
      at + RECORD.displacement,
      i.ripRelative ? displacement + BigInt.asIntN(64, next) : displacement,
      true,
    );
    let immediate = (BigInt(i.immediateHigh) << 32n) | BigInt(i.immediate >>> 0);
    if (isRelative(i)) immediate = BigInt.asIntN(64, wrap(next + immediate, (i.operandSize * 8) as CodeSize));
    view.setBigInt64(at + RECORD.immediate, immediate, true);
    view.setBigUint64(at + RECORD.next, next, true);
    view.setInt32(at + RECORD.targetLink, crossing ? ASK_JUMP_CACHE : 0, true);
    view.setInt32(at + RECORD.nextLink, crossing ? ASK_JUMP_CACHE : 0, true);
    view.setUint8(at + RECORD.left, left);
    view.setUint8(at + RECORD.length, i.length);
  }

  /** Executions of each form, by handler number: how often its blocks ran times how often they contain it. */
  heat(): number[] {
    const heat: number[] = [];
    for (const page of this.pages.values()) {
      for (const { address } of page.blocks.values()) {
        const count = this.view.getInt32(address + BLOCK.count, true);
        const executions = this.view.getInt32(address + BLOCK.executions, true);
        for (let n = 0; n < count; n++) {
          const handler = this.view.getUint16(address + BLOCK.size + n * RECORD.size, true);
          heat[handler] = (heat[handler] ?? 0) + executions;
        }
      }
    }
    return heat;
  }
}

/** Has this mode generated code for an instruction that has semantics? */
const isGenerated = (i: Instruction, mode: CodeMode): boolean =>
  (mode.vectors || !usesVectors(i)) && (mode.floats || !isFloat(i.encoding?.semantics ?? ''));

export const usesVectors = (i: Instruction): boolean => i.operands.some((o) => o.place === OperandPlace.vector);

const isRelative = (i: Instruction): boolean => {
  const kind = i.encoding?.operands[0];
  return kind === 'Jb' || kind === 'Jz';
};

/** RIP has the width of the code (or, for a branch, of its operand). */
export function wrap(rip: bigint, size: CodeSize): bigint {
  return BigInt.asUintN(size, rip);
}
