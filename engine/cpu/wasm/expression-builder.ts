import { ByteWriter } from './byte-writer.js';
import {
  ARITHMETIC,
  type Arithmetic,
  BIT_COUNT,
  type BitCount,
  COMPARISON,
  type Comparison,
  EXTRACT_LANE,
  LOAD,
  REPLACE_LANE,
  SPLAT,
  STORE,
  VECTOR,
  VECTOR_SHIFT,
  VECTOR_TEST,
  type VectorOperation,
  type VectorShift,
  type VectorTest,
} from './opcodes.js';

import type { Operand, Value, ValueWidth, Width } from './value.js';

/** Typed expressions: integers, vectors, linear memory. Statements and control flow are the FunctionBuilder's. */
export abstract class ExpressionBuilder {
  readonly code = new ByteWriter();

  // --- values ---

  protected value(width: ValueWidth, emit: () => void, clean = true): Value {
    return { width, emit, clean, reusable: false, used: false };
  }

  /** Emits a value; using an unbound one twice is a bug of ours and throws. */
  put(value: Value): void {
    if (!value.reusable) {
      if (value.used) throw new Error('value used twice: bind it with let()');
      value.used = true;
    }
    value.emit();
  }

  constant(width: Width, value: number | bigint): Value {
    const constant = BigInt.asIntN(width, BigInt(value));
    const emit = (): void => {
      this.code.u8(width === 64 ? 0x42 : 0x41);
      if (width === 64) this.code.signed64(constant);
      else this.code.signed(Number(BigInt.asUintN(width, constant)));
    };
    return { width, emit, clean: true, reusable: true, constant, used: false };
  }

  /** A constant fits any width; `like` is a value of the width wanted. */
  private lift(operand: Operand, width: ValueWidth): Value {
    if (typeof operand !== 'number') return operand;
    if (width === 128) throw new Error('no vector constants');
    return this.constant(width, operand);
  }

  private operation(width: ValueWidth, opcode: number, operands: readonly Value[], clean = true): Value {
    return this.value(
      width,
      () => {
        for (const operand of operands) this.put(operand);
        this.code.u8(opcode);
      },
      clean,
    );
  }

  arithmetic(name: Arithmetic, a: Value, operand: Operand): Value {
    const b = this.lift(operand, a.width);
    if (a.width !== b.width) throw new Error(`${name}: widths ${a.width} and ${b.width}`);
    if (b.constant === 0n && name !== 'mul' && name !== 'and') return a;
    const opcode = ARITHMETIC[name][a.width === 64 ? 1 : 0];
    let clean = a.width >= 32;
    if (!clean) {
      if (name === 'shrU' || name === 'divU' || name === 'remU') {
        a = this.clean(a);
        clean = true;
      } else if (name === 'shrS') a = this.signed(a);
      else if (name === 'and') clean = a.clean || b.clean;
      else if (name === 'or' || name === 'xor') clean = a.clean && b.clean;
    }
    return this.operation(a.width, opcode, [a, b], clean);
  }

  add = (a: Value, b: Operand): Value => this.arithmetic('add', a, b);
  sub = (a: Value, b: Operand): Value => this.arithmetic('sub', a, b);
  mul = (a: Value, b: Operand): Value => this.arithmetic('mul', a, b);
  and = (a: Value, b: Operand): Value => this.arithmetic('and', a, b);
  or = (a: Value, b: Operand): Value => this.arithmetic('or', a, b);
  xor = (a: Value, b: Operand): Value => this.arithmetic('xor', a, b);
  shl = (a: Value, b: Operand): Value => this.arithmetic('shl', a, b);
  shrU = (a: Value, b: Operand): Value => this.arithmetic('shrU', a, b);
  shrS = (a: Value, b: Operand): Value => this.arithmetic('shrS', a, b);

  /** 0 or 1 in 32 bits. */
  compare(name: Comparison, a: Value, operand: Operand): Value {
    const b = this.lift(operand, a.width);
    if (a.width !== b.width) throw new Error(`${name}: widths ${a.width} and ${b.width}`);
    const normal = name.endsWith('S') ? (v: Value) => this.signed(v) : (v: Value) => this.clean(v);
    const wide = a.width === 64 ? 1 : 0;
    if (name === 'eq' && b.constant === 0n) return this.operation(32, wide ? 0x50 : 0x45, [normal(a)]);
    return this.operation(32, COMPARISON[name][wide], [normal(a), normal(b)]);
  }

  isZero = (a: Value): Value => this.compare('eq', a, 0);
  notZero = (a: Value): Value => this.compare('ne', a, 0);
  /** Of a 32-bit truth value. */
  not = (condition: Value): Value => this.operation(32, 0x45, [condition]);
  /** On 32 or 64 bits. */
  countBits = (name: BitCount, a: Value): Value =>
    this.operation(a.width, BIT_COUNT[name][a.width === 64 ? 1 : 0], [a]);

  select(condition: Value, a: Value, b: Value): Value {
    return this.value(
      a.width,
      () => {
        this.put(a);
        this.put(b);
        this.put(condition);
        this.code.u8(0x1b);
      },
      a.clean && b.clean,
    );
  }

  /** Upper bits of an 8- or 16-bit value made zero. */
  clean(a: Value): Value {
    if (a.clean || a.width >= 32) return a;
    return this.operation(a.width, 0x71, [a, this.constant(32, a.width === 8 ? 0xff : 0xffff)]);
  }

  private signed(a: Value): Value {
    if (a.width >= 32) return a;
    if (a.constant !== undefined) return this.constant(32, a.constant);
    return this.operation(a.width, a.width === 8 ? 0xc0 : 0xc1, [a]);
  }

  /** Zero-extended or truncated. */
  zeroExtend(a: Value, width: Width): Value {
    if (a.width === width) return a;
    if (a.width === 128) throw new Error('zeroExtend of a vector');
    if (a.constant !== undefined) return this.constant(width, BigInt.asUintN(a.width, a.constant));
    if (width < a.width) {
      if (a.width === 64) return this.operation(width, 0xa7, [a], width === 32);
      return { ...a, width, clean: false, emit: () => this.put(a) };
    }
    const clean = this.clean(a);
    if (width === 64) return this.operation(64, 0xad, [clean]);
    return { ...clean, width, clean: true, emit: () => this.put(clean) };
  }

  signExtend(a: Value, width: Width): Value {
    if (a.width === width) return a;
    if (a.constant !== undefined) return this.constant(width, a.constant);
    const signed = this.signed(a);
    if (width === 64) return this.operation(64, 0xac, [signed]);
    return { ...signed, width, clean: width === 32, emit: () => this.put(signed) };
  }

  // --- vectors ---

  vector(name: VectorOperation, ...operands: readonly Value[]): Value {
    return this.vectorOperation(128, VECTOR[name], operands);
  }

  vectorShift(name: VectorShift, a: Value, count: Value): Value {
    return this.vectorOperation(128, VECTOR_SHIFT[name], [a, count]);
  }

  vectorTest(name: VectorTest, a: Value): Value {
    return this.vectorOperation(32, VECTOR_TEST[name], [a]);
  }

  splat(a: Value): Value {
    return this.vectorOperation(128, SPLAT[a.width as Width], [a]);
  }

  /** The lane as an unsigned value. */
  extractLane(width: Width, a: Value, lane: number): Value {
    return this.vectorOperation(width, EXTRACT_LANE[width], [a], [lane]);
  }

  replaceLane(a: Value, lane: number, value: Value): Value {
    return this.vectorOperation(128, REPLACE_LANE[value.width as Width], [a, value], [lane]);
  }

  /** Bytes of two vectors (0 to 15 of the first, 16 to 31 of the second). */
  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    return this.vectorOperation(128, 0x0d, [a, b], lanes);
  }

  vectorConstant(bytes: readonly number[]): Value {
    return { ...this.vectorOperation(128, 0x0c, [], bytes), reusable: true };
  }

  private vectorOperation(
    width: ValueWidth,
    opcode: number,
    operands: readonly Value[],
    immediates: readonly number[] = [],
  ): Value {
    return this.value(width, () => {
      for (const operand of operands) this.put(operand);
      this.code.u8(0xfd);
      this.code.unsigned(opcode);
      for (const byte of immediates) this.code.u8(byte);
    });
  }

  /** Operands and opcode bytes in the order of the stack machine, for what has no method here. */
  sequence(width: Width, parts: readonly (Value | number)[]): Value {
    return this.value(width, () => {
      for (const part of parts) {
        if (typeof part === 'number') this.code.u8(part);
        else this.put(part);
      }
    });
  }

  // --- linear memory ---

  load(width: ValueWidth, address: Value, offset = 0): Value {
    return this.value(width, () => {
      this.put(address);
      if (width === 128) {
        this.code.u8(0xfd);
        this.code.u8(0);
      } else this.code.u8(LOAD[width]);
      this.code.u8(0);
      this.code.unsigned(offset);
    });
  }

  store(address: Value, offset: number, value: Value): void {
    this.put(address);
    this.put(value);
    if (value.width === 128) {
      this.code.u8(0xfd);
      this.code.u8(11);
    } else this.code.u8(STORE[value.width]);
    this.code.u8(0);
    this.code.unsigned(offset);
  }

  /** Load from, store to a fixed address. */
  loadAt = (width: ValueWidth, offset: number): Value => this.load(width, this.constant(32, 0), offset);
  storeAt = (offset: number, value: Value): void => this.store(this.constant(32, 0), offset, value);

  copyMemory(to: Value, from: Value, count: Value): void {
    for (const operand of [to, from, count]) this.put(operand);
    for (const byte of [0xfc, 10, 0, 0]) this.code.u8(byte);
  }

  fillMemory(to: Value, byteValue: Value, count: Value): void {
    for (const operand of [to, byteValue, count]) this.put(operand);
    for (const byte of [0xfc, 11, 0]) this.code.u8(byte);
  }
}
