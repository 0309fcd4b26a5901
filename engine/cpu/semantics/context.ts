import { OperandPlace } from '../decoder/instruction.js';
import type { Form } from '../interpreter/form.js';
import { STACK_ACCESS } from '../interpreter/record.js';
import { CONTEXT, GPR, SCRATCH, SEGMENT_SIZE, SEGMENT_TABLE, SYSTEM_FLAGS, TLB, XMM } from '../state/layout.js';
import type { FunctionBuilder, Value, ValueWidth, Width } from '../wasm/function-builder.js';
import type { Comparison } from '../wasm/opcodes.js';
import { FlagType, RFLAGS } from './flags.js';
import type { HelperName, Helpers } from './helpers.js';

export enum Register {
  RAX = 0,
  RCX = 1,
  RDX = 2,
  RBX = 3,
  RSP = 4,
  RBP = 5,
  RSI = 6,
  RDI = 7,
}

/** What a definition does with flags and memory; found by running it, never written down a second time. */
export interface Traits {
  /** Type of flags that it leaves, undefined if none. */
  sets: FlagType | undefined;
  readsFlags: boolean;
  /** May leave the old flags (shift by zero). */
  keepsFlags: boolean;
  /** May fault: flags of earlier instructions must be in place. */
  faults: boolean;
}

type Thunk = () => Value;

/** Where an access to guest memory goes: pointer into linear memory, and what is needed should it be a detour. */
export interface Place {
  readonly linear: Value;
  readonly pointer: Value;
  readonly bytes: number;
}

/**
 * Operands, guest memory and flags as a definition sees them. A binding says where operands come from: the record
 * of the interpreter, or constants. Registers must be written after the last access that can fault.
 */
export abstract class SemanticContext {
  readonly traits: Traits = { sets: undefined, readsFlags: false, keepsFlags: false, faults: false };
  private effectiveOffset: Value | undefined;
  private modified: Place | undefined;

  constructor(
    readonly f: FunctionBuilder,
    readonly form: Form,
    protected readonly helpers: Helpers,
  ) {}

  // --- what a binding supplies ---
  /** Address of the register that operand n names. */
  protected abstract registerAddress(n: number): Value;
  abstract immediate(width: Width): Value;
  protected abstract baseIndexDisplacement(): Value;
  /** Address of the state of the memory operand's segment. */
  protected abstract segmentAddress(): Value;
  protected abstract conditionNumber(): Value;
  /** RIP of the next instruction. */
  abstract next(): Value;
  abstract goto(to: 'next' | 'target'): void;
  abstract gotoIndirect(rip: Value): void;
  protected abstract slowRead(linear: Value, bytes: number): Value;
  protected abstract slowWrite(linear: Value, bytes: number): Value;
  protected abstract flushScratch(linear: Value, bytes: number): void;
  /** Raises #DE and its like; does not return. */
  abstract raise(vector: number): void;
  /** Linear address in a segment that needs more than nothing: base, and limit outside of 64-bit mode. */
  protected abstract segmentLinear(segment: Value, offset: Value, bytes: number, write: boolean): Value;

  // --- widths ---
  get width(): Width {
    return (this.form.operandSize * 8) as Width;
  }
  private operandWidth(n: number): ValueWidth {
    return ((this.form.operands[n]?.size ?? 0) * 8) as ValueWidth;
  }
  isMemory(n: number): boolean {
    return this.form.operands[n]?.place === OperandPlace.memory;
  }

  // --- operands ---
  /** Operand n as a bound value of its own width (or a narrower one). */
  read(n: number, width = this.operandWidth(n)): Value {
    switch (this.form.operands[n]?.place) {
      case OperandPlace.memory:
        return this.load(width, this.operandLinear(width / 8, false));
      case OperandPlace.immediate:
        return this.f.let(this.immediate(width as Width));
      default:
        return this.f.let(this.f.load(width, this.registerAddress(n)));
    }
  }

  /** Reads operand n so that a write of it cannot fault any more. */
  readForWrite(n: number): Value {
    if (!this.isMemory(n)) return this.read(n);
    const width = this.operandWidth(n);
    this.modified = this.writable(this.operandLinear(width / 8, true), width / 8);
    return this.f.let(this.f.load(width, this.modified.pointer));
  }

  /** A 32-bit register write clears the upper half; byte and word writes leave the rest. */
  write(n: number, value: Value): void {
    if (!this.isMemory(n)) this.storeRegister(this.registerAddress(n), 0, value);
    else if (this.modified) this.storeTo(this.modified, value);
    else this.store(this.operandLinear(value.width / 8, true), value);
  }

  private storeRegister(address: Value, offset: number, value: Value): void {
    this.f.store(address, offset, value.width === 32 ? this.f.zeroExtend(value, 64) : value);
  }

  vectorRegister(number: number): Value {
    return this.f.loadAt(128, XMM + 16 * number);
  }

  register(number: number, width: Width): Value {
    return this.f.loadAt(width, this.registerOffset(number));
  }
  setRegister(number: number, value: Value): void {
    this.storeRegister(this.f.constant(32, 0), this.registerOffset(number), value);
  }
  private registerOffset(number: number): number {
    return GPR + 8 * number;
  }

  // --- addresses ---
  get addressWidth(): Width {
    return this.form.addressSize;
  }

  /** Cuts an offset to the width of addresses. */
  wrapAddress(offset: Value, width: Width = this.addressWidth): Value {
    const f = this.f;
    if (width === 64) return offset;
    return f.and(offset, f.constant(64, width === 32 ? 0xffff_ffffn : 0xffffn));
  }

  /** Offset of the memory operand in its segment, 64 bits wide. */
  effective(): Value {
    this.effectiveOffset ??= this.f.let(this.wrapAddress(this.baseIndexDisplacement()));
    return this.effectiveOffset;
  }

  operandLinear(bytes: number, write: boolean, offset: Value = this.effective()): Value {
    return this.linear('operand', offset, bytes, write);
  }

  /** Linear address of an offset in the operand's segment, in ES (strings) or in the stack. */
  linear(segment: 'operand' | 'ES' | 'SS', offset: Value, bytes: number, write: boolean): Value {
    const flat = segment === 'operand' ? this.form.flatSegment : this.form.codeSize === 64;
    if (flat) return offset;
    this.traits.faults = true;
    const f = this.f;
    const state =
      segment === 'operand'
        ? this.segmentAddress()
        : f.constant(32, SEGMENT_TABLE + SEGMENT_SIZE * (segment === 'ES' ? 0 : 2));
    return f.let(this.segmentLinear(state, offset, bytes, write));
  }

  // --- guest memory: software TLB inline, everything else out of line ---
  private entry(linear: Value): Value {
    const f = this.f;
    const index = f.and(f.shrU(f.zeroExtend(linear, 32), 7), 0x7fe0);
    return f.let(f.add(index, f.loadAt(32, CONTEXT)));
  }

  private hits(linear: Value, entry: Value, bytes: number, tag: number): Value {
    const f = this.f;
    const last = bytes > 1 ? f.add(linear, bytes - 1) : linear;
    return f.compare('eq', f.and(last, -4096), f.load(64, entry, tag));
  }

  load(width: ValueWidth, linear: Value, stack = false): Value {
    const f = this.f;
    this.traits.faults = true;
    const pointer = f.temporary(32);
    const entry = this.entry(linear);
    f.if(
      this.hits(linear, entry, width / 8, TLB.read),
      () => f.set(pointer, f.add(f.zeroExtend(linear, 32), f.load(32, entry, TLB.delta))),
      () => f.set(pointer, this.slowRead(linear, (width / 8) | (stack ? STACK_ACCESS : 0))),
    );
    return f.let(f.load(width, f.get(pointer)));
  }

  store(linear: Value, value: Value, stack = false): void {
    const f = this.f;
    this.traits.faults = true;
    const bytes = value.width / 8;
    const entry = this.entry(linear);
    const bound = f.let(value);
    f.if(
      this.hits(linear, entry, bytes, TLB.write),
      () => f.store(f.add(f.zeroExtend(linear, 32), f.load(32, entry, TLB.delta)), 0, bound),
      () => {
        const pointer = f.let(this.slowWrite(linear, bytes | (stack ? STACK_ACCESS : 0)));
        this.storeTo({ linear, pointer, bytes }, bound);
      },
    );
  }

  /** A place whose old content can be read and which can be written without a fault. */
  writable(linear: Value, bytes: number): Place {
    const f = this.f;
    this.traits.faults = true;
    const pointer = f.temporary(32);
    const entry = this.entry(linear);
    f.if(
      this.hits(linear, entry, bytes, TLB.write),
      () => f.set(pointer, f.add(f.zeroExtend(linear, 32), f.load(32, entry, TLB.delta))),
      () => f.set(pointer, this.slowWrite(linear, bytes)),
    );
    return { linear, pointer: f.get(pointer), bytes };
  }

  storeTo(place: Place, value: Value): void {
    this.f.store(place.pointer, 0, value);
    this.finishStore(place);
  }

  /** After direct stores to a place: what was put together in SCRATCH goes to its two pages. */
  finishStore(place: Place): void {
    const f = this.f;
    if (place.bytes === 1) return;
    f.if(f.compare('eq', place.pointer, SCRATCH), () => this.flushScratch(place.linear, place.bytes));
  }

  // --- stack ---
  stackPointer(): Value {
    return this.f.let(this.f.zeroExtend(this.register(Register.RSP, this.form.stackSize), 64));
  }
  setStackPointer(offset: Value): void {
    this.setRegister(Register.RSP, this.f.zeroExtend(offset, this.form.stackSize));
  }

  /** Stores below the stack pointer and returns the new one, which the caller commits. */
  pushed(value: Value, from: Value = this.stackPointer()): Value {
    const f = this.f;
    const bytes = value.width / 8;
    const bound = f.let(value);
    const pointer = f.let(this.wrapAddress(f.sub(from, bytes), this.form.stackSize));
    this.store(this.linear('SS', pointer, bytes, true), bound, true);
    return pointer;
  }

  push(value: Value): void {
    this.setStackPointer(this.pushed(value));
  }

  /** What is on top of the stack, and the stack pointer after it is taken. */
  popped(width: Width, extraBytes = 0): { value: Value; after: Value } {
    const f = this.f;
    const pointer = this.stackPointer();
    const value = this.load(width, this.linear('SS', pointer, width / 8, false), true);
    return { value, after: f.let(f.add(pointer, width / 8 + extraBytes)) };
  }

  // --- helpers ---
  help(name: HelperName, width: ValueWidth, operands: readonly Value[]): Value {
    return this.f.call(this.helpers[name], width, operands);
  }

  // --- flags ---
  /** Are the flags that this instruction sets needed? */
  get live(): boolean {
    return this.form.liveFlags;
  }

  protected abstract storeFlags(type: number, a: Value, b: Value): void;
  protected abstract flagA(): Value;
  protected abstract flagB(): Value;
  protected abstract flagType(): Value;

  private setFlags(type: FlagType, width: ValueWidth, a: Thunk, b: Thunk, evenIfDead = false): void {
    this.traits.sets = type;
    if (!this.live && !evenIfDead) return;
    const f = this.f;
    const first = f.let(f.signExtend(a(), 64));
    const second = f.let(f.signExtend(b(), 64));
    this.storeFlags(type | ((31 - Math.clz32(width / 8)) << 4), first, second);
  }

  flagsOfAdd(a: Value, sum: Value): void {
    this.setFlags(
      FlagType.add,
      a.width,
      () => a,
      () => sum,
    );
  }
  /** `evenIfDead`: a repeated instruction that faults shows the flags of the iteration before. */
  flagsOfSub(a: Value, b: Value, evenIfDead = false): void {
    this.setFlags(
      FlagType.sub,
      a.width,
      () => a,
      () => b,
      evenIfDead,
    );
  }
  flagsOfLogic(result: Value): void {
    this.setFlags(
      FlagType.sub,
      result.width,
      () => result,
      () => this.f.constant(64, 0),
    );
  }

  /** SF, ZF and PF of a result; CF, OF, AF given as 0 or 1 in 32 bits. Asked only when the flags are live. */
  flagsOfResult(result: Value, carry: Thunk, overflow: Thunk, adjust?: Thunk): void {
    const f = this.f;
    this.setFlags(
      FlagType.result,
      result.width,
      () => result,
      () => {
        const co = f.or(carry(), f.shl(overflow(), 11));
        return f.zeroExtend(adjust ? f.or(co, f.shl(adjust(), 4)) : co, 64);
      },
    );
  }

  /** All six status flags in their places, 32 bits. */
  flagsRaw(word: Thunk): void {
    this.setFlags(
      FlagType.raw,
      64,
      () => this.f.zeroExtend(word(), 64),
      () => this.f.constant(64, 0),
    );
  }

  /** Declares that the old flags may survive this instruction. */
  keepFlags(): void {
    this.traits.keepsFlags = true;
    if (this.live) this.traits.readsFlags = true;
  }

  statusFlags(): Value {
    this.traits.readsFlags = true;
    return this.help('statusFlags', 32, [this.flagType(), this.flagA(), this.flagB()]);
  }

  systemFlags(): Value {
    return this.f.loadAt(32, SYSTEM_FLAGS);
  }
  setSystemFlags(value: Value): void {
    this.f.storeAt(SYSTEM_FLAGS, value);
  }

  carry(): Value {
    const f = this.f;
    this.traits.readsFlags = true;
    switch (this.form.knownFlags) {
      case FlagType.sub:
        return f.compare('ltU', this.flagA(), this.flagB());
      case FlagType.add:
        return f.compare('ltU', this.flagB(), this.flagA());
      case FlagType.result:
        return f.and(f.zeroExtend(this.flagB(), 32), RFLAGS.CF);
      default:
        return f.and(this.statusFlags(), RFLAGS.CF);
    }
  }

  /** The condition of Jcc, SETcc, CMOVcc as 0 or 1. */
  condition(): Value {
    const f = this.f;
    this.traits.readsFlags = true;
    const known = this.form.knownFlags;
    const code = this.form.condition;
    const direct = COMPARISON_AFTER_SUB[code];
    if (known === FlagType.sub && direct) return f.compare(direct, this.flagA(), this.flagB());
    if (known === FlagType.add || known === FlagType.result) {
      const result = (): Value => (known === FlagType.add ? this.flagB() : this.flagA());
      const negated = (code & 1) !== 0;
      if (code >> 1 === 1) return negated ? f.not(this.carry()) : this.carry();
      if (code >> 1 === 2) return f.compare(negated ? 'ne' : 'eq', result(), 0);
      if (code >> 1 === 4) return f.compare(negated ? 'geS' : 'ltS', result(), 0);
    }
    return this.help('condition', 32, [this.conditionNumber(), this.flagType(), this.flagA(), this.flagB()]);
  }
}

const COMPARISON_AFTER_SUB: Readonly<Record<number, Comparison>> = {
  2: 'ltU',
  3: 'geU',
  4: 'eq',
  5: 'ne',
  6: 'leU',
  7: 'gtU',
  12: 'ltS',
  13: 'geS',
  14: 'leS',
  15: 'gtS',
};
