import { OperandPlace } from '../decoder/instruction.js';
import { STACK_ACCESS } from '../interpreter/record.js';
import { CONTEXT, GPR, SCRATCH, SEGMENT_SIZE, SEGMENT_TABLE, TLB, XMM } from '../state/layout.js';
import type { Value, ValueWidth, Width } from '../wasm/function-builder.js';
import { FlagContext } from './flag-context.js';

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
export abstract class SemanticContext extends FlagContext {
  private effectiveOffset: Value | undefined;
  private modified: Place | undefined;

  // --- what a binding supplies ---
  /** Address of the register that operand n names. */
  protected abstract registerAddress(n: number): Value;
  abstract immediate(width: Width): Value;
  protected abstract baseIndexDisplacement(): Value;
  /** Address of the state of the memory operand's segment. */
  protected abstract segmentAddress(): Value;
  /** RIP of the next instruction. */
  abstract next(): Value;
  abstract goto(to: 'next' | 'target'): void;
  abstract gotoIndirect(rip: Value): void;
  protected abstract slowRead(linear: Value, bytes: number): Value;
  protected abstract slowWrite(linear: Value, bytes: number): Value;
  protected abstract flushScratch(linear: Value, bytes: number): void;
  /** Raises #DE and its like; does not return. */
  abstract raise(vector: number): void;
  /** TypeScript executes the instruction instead; nothing may have been written. Ends the handler. */
  abstract continueInTypeScript(): void;
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
    return f.let(this.segmentLinear(this.segmentState(segment), offset, bytes, write));
  }

  /** Address of a segment's state. */
  segmentState(segment: 'operand' | 'ES' | 'SS'): Value {
    if (segment === 'operand') return this.segmentAddress();
    return this.f.constant(32, SEGMENT_TABLE + SEGMENT_SIZE * (segment === 'ES' ? 0 : 2));
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
    return this.f.let(this.f.load(width, this.readable(linear, width / 8, stack)));
  }

  /** Pointer to bytes that can be read. */
  readable(linear: Value, bytes: number, stack = false): Value {
    const f = this.f;
    this.traits.faults = true;
    const pointer = f.temporary(32);
    const entry = this.entry(linear);
    f.if(
      this.hits(linear, entry, bytes, TLB.read),
      () => f.set(pointer, f.add(f.zeroExtend(linear, 32), f.load(32, entry, TLB.delta))),
      () => f.set(pointer, this.slowRead(linear, bytes | (stack ? STACK_ACCESS : 0))),
    );
    return f.get(pointer);
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

  /**
   * A place whose old content can be read and which can be written without a fault. `asked` emits what is to happen
   * where the TLB did not know.
   */
  writable(linear: Value, bytes: number, asked: (pointer: Value) => void = () => {}): Place {
    const f = this.f;
    this.traits.faults = true;
    const pointer = f.temporary(32);
    const entry = this.entry(linear);
    f.if(
      this.hits(linear, entry, bytes, TLB.write),
      () => f.set(pointer, f.add(f.zeroExtend(linear, 32), f.load(32, entry, TLB.delta))),
      () => {
        f.set(pointer, this.slowWrite(linear, bytes));
        asked(f.get(pointer));
      },
    );
    return { linear, pointer: f.get(pointer), bytes };
  }

  /** Drops what was decoded from bytes that are about to be written. */
  written(pointer: Value, bytes: Value): void {
    this.f.callStatement(this.helpers.written, [pointer, bytes]);
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
}
