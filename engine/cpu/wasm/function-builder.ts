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

/** Width of an integer value in bits. */
export type Width = 8 | 16 | 32 | 64;
/** 128 is a vector. */
export type ValueWidth = Width | 128;

export const I32 = 0x7f;
export const I64 = 0x7e;
export const V128 = 0x7b;
export type WasmType = typeof I32 | typeof I64 | typeof V128;

const wasmType = (width: ValueWidth): WasmType => (width === 128 ? V128 : width === 64 ? I64 : I32);

/**
 * An expression that is emitted where it is used. Each may be used once; a value needed twice is bound to a local
 * with `let`. Values of 8 and 16 bits live in an i32 whose upper bits are garbage unless `clean`.
 */
export interface Value {
  readonly width: ValueWidth;
  readonly emit: () => void;
  readonly clean: boolean;
  /** May be used any number of times: a local or a constant. */
  readonly reusable: boolean;
  readonly constant?: bigint;
  used: boolean;
}

export interface Local {
  readonly width: ValueWidth;
  readonly index: number;
}

/** Depth of a block, for branches to it. */
export type Label = number;
export type Operand = Value | number;

/** One WebAssembly function under construction: typed expressions and structured statements. */
export class FunctionBuilder {
  readonly code = new ByteWriter();
  private depth = 0;
  private readonly locals: WasmType[] = [];
  private readonly pool = new Map<WasmType, number[]>();
  private readonly inUse = new Map<WasmType, number>();

  constructor(
    readonly parameters: readonly WasmType[],
    readonly results: readonly WasmType[],
  ) {}

  // --- values ---

  private value(width: ValueWidth, emit: () => void, clean = true): Value {
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

  // --- calls ---

  call(callee: number, width: ValueWidth, operands: readonly Value[]): Value {
    return this.value(width, () => this.callStatement(callee, operands));
  }

  callStatement(callee: number, operands: readonly Value[]): void {
    for (const operand of operands) this.put(operand);
    this.code.u8(0x10);
    this.code.unsigned(callee);
  }

  callIndirect(type: number, width: ValueWidth, operands: readonly Value[], index: Value): Value {
    return this.value(width, () => {
      for (const operand of operands) this.put(operand);
      this.put(index);
      this.code.u8(0x11);
      this.code.unsigned(type);
      this.code.u8(0);
    });
  }

  // --- locals ---

  parameter(index: number): Value {
    const type = this.parameters[index];
    return this.get({ width: type === V128 ? 128 : type === I64 ? 64 : 32, index });
  }

  /** A local for the whole function. */
  variable(width: ValueWidth): Local {
    this.locals.push(wasmType(width));
    return { width, index: this.parameters.length + this.locals.length - 1 };
  }

  /** A local until the enclosing `scope` ends. */
  temporary(width: ValueWidth): Local {
    const type = wasmType(width);
    const pool = this.pool.get(type) ?? [];
    this.pool.set(type, pool);
    const position = this.inUse.get(type) ?? 0;
    this.inUse.set(type, position + 1);
    const index = pool[position] ?? this.variable(width).index;
    pool[position] = index;
    return { width, index };
  }

  scope(body: () => void): void {
    const saved = new Map(this.inUse);
    body();
    for (const type of this.inUse.keys()) this.inUse.set(type, saved.get(type) ?? 0);
  }

  get(local: Local, clean = true): Value {
    const emit = (): void => {
      this.code.u8(0x20);
      this.code.unsigned(local.index);
    };
    return { width: local.width, emit, clean, reusable: true, used: false };
  }

  set(local: Local, value: Value): void {
    this.put(value);
    this.code.u8(0x21);
    this.code.unsigned(local.index);
  }

  /** Binds a value to a temporary, so that it can be used often and later writes do not change it. */
  let(value: Value): Value {
    if (value.constant !== undefined) return value;
    const local = this.temporary(value.width);
    this.set(local, value);
    return this.get(local, value.clean);
  }

  // --- control flow ---

  private open(opcode: number): Label {
    this.code.u8(opcode);
    this.code.u8(0x40);
    return ++this.depth;
  }

  private close(): void {
    this.code.u8(0x0b);
    this.depth--;
  }

  /** Branches to the label leave the block. */
  block(body: (leave: Label) => void): void {
    body(this.open(0x02));
    this.close();
  }

  /** Branches to the label start the loop again. */
  loop(body: (again: Label) => void): void {
    body(this.open(0x03));
    this.close();
  }

  branch(label: Label): void {
    this.code.u8(0x0c);
    this.code.unsigned(this.depth - label);
  }

  branchIf(label: Label, condition: Value): void {
    this.put(condition);
    this.code.u8(0x0d);
    this.code.unsigned(this.depth - label);
  }

  /**
   * One nested block for each case: selector n jumps to the code of case `table[n]`, or to `otherwise` where that
   * is undefined. The code of a case must not fall through.
   */
  switch(
    selector: Value,
    table: readonly (number | undefined)[],
    cases: readonly (() => void)[],
    otherwise: () => void,
  ): void {
    const opened = [otherwise, ...cases].map(() => this.open(0x02));
    const fallback = opened[0] ?? 0;
    // The innermost block ends first: it leads to the first case.
    const byCase = opened.slice(1).reverse();
    this.put(selector);
    this.code.u8(0x0e);
    this.code.unsigned(table.length);
    for (const n of table) this.code.unsigned(this.depth - (n === undefined ? fallback : (byCase[n] ?? fallback)));
    this.code.unsigned(this.depth - fallback);
    for (const body of [...cases, otherwise]) {
      this.close();
      body();
    }
  }

  if(condition: Value, then: () => void, otherwise?: () => void): void {
    this.put(condition);
    this.open(0x04);
    then();
    if (otherwise) {
      this.code.u8(0x05);
      otherwise();
    }
    this.close();
  }

  return(value?: Value): void {
    if (value) this.put(value);
    this.code.u8(0x0f);
  }

  unreachable(): void {
    this.code.u8(0x00);
  }

  /** The function's body as the code section wants it: runs of locals, code, end. */
  body(): ByteWriter {
    const out = new ByteWriter();
    const runs: { count: number; type: WasmType }[] = [];
    for (const type of this.locals) {
      const last = runs[runs.length - 1];
      if (last?.type === type) last.count++;
      else runs.push({ count: 1, type });
    }
    out.unsigned(runs.length);
    for (const run of runs) {
      out.unsigned(run.count);
      out.u8(run.type);
    }
    out.append(this.code);
    out.u8(0x0b);
    return out;
  }
}
