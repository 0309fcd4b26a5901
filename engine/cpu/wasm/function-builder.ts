import { ByteWriter } from './byte-writer.js';
import { ExpressionBuilder } from './expression-builder.js';
import { I64, type Label, type Local, V128, type Value, type ValueWidth, type WasmType, wasmType } from './value.js';

export { I32, I64, V128, type Value, type ValueWidth, type WasmType, type Width } from './value.js';

/** One WebAssembly function under construction: typed expressions and structured statements. */
export class FunctionBuilder extends ExpressionBuilder {
  private depth = 0;
  private readonly locals: WasmType[] = [];
  private readonly pool = new Map<WasmType, number[]>();
  private readonly inUse = new Map<WasmType, number>();

  constructor(
    readonly parameters: readonly WasmType[],
    readonly results: readonly WasmType[],
  ) {
    super();
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
