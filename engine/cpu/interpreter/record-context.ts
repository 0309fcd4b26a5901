import { SemanticContext } from '../semantics/context.js';
import type { Helpers } from '../semantics/helpers.js';
import { FLAG_A, FLAG_B, FLAG_TYPE } from '../state/layout.js';
import type { FunctionBuilder, Value, Width } from '../wasm/function-builder.js';
import type { Form } from './form.js';
import { ASK_JUMP_CACHE, RECORD } from './record.js';

/** Binding of semantics to the interpreter: operands are read from the record at run time. */
export class RecordContext extends SemanticContext {
  constructor(
    f: FunctionBuilder,
    form: Form,
    helpers: Helpers,
    /** Address of the record. */
    private readonly record: Value,
    /** Enters the block at an address; ends the handler. */
    private readonly enter: (block: Value) => void,
  ) {
    super(f, form, helpers);
  }

  private field(width: Width, offset: number): Value {
    return this.f.load(width, this.record, offset);
  }

  protected registerAddress(n: number): Value {
    return this.f.zeroExtend(this.field(16, RECORD.register[n] ?? 0), 32);
  }

  immediate(width: Width): Value {
    return this.field(width, RECORD.immediate);
  }

  protected baseIndexDisplacement(): Value {
    const f = this.f;
    const base = f.load(64, f.zeroExtend(this.field(16, RECORD.base), 32));
    const sum = f.add(base, this.field(64, RECORD.displacement));
    if (!this.form.hasIndex) return sum;
    const index = f.load(64, f.zeroExtend(this.field(16, RECORD.index), 32));
    return f.add(sum, f.shl(index, f.zeroExtend(this.field(8, RECORD.scale), 64)));
  }

  protected segmentAddress(): Value {
    return this.f.zeroExtend(this.field(16, RECORD.segment), 32);
  }

  protected conditionNumber(): Value {
    return this.f.zeroExtend(this.field(8, RECORD.condition), 32);
  }

  next(): Value {
    return this.field(64, RECORD.next);
  }

  goto(to: 'next' | 'target'): void {
    const f = this.f;
    const link = f.temporary(32);
    const offset = to === 'target' ? RECORD.targetLink : RECORD.nextLink;
    f.set(link, this.field(32, offset));
    f.if(f.compare('leU', f.get(link), ASK_JUMP_CACHE), () =>
      f.set(link, f.call(this.helpers.follow, 32, [this.record, f.constant(32, offset)])),
    );
    this.enter(f.get(link));
  }

  gotoIndirect(rip: Value): void {
    const f = this.f;
    this.enter(f.let(f.call(this.helpers.find, 32, [rip])));
  }

  protected slowRead(linear: Value, bytes: number): Value {
    return this.f.call(this.helpers.readSlow, 32, [linear, this.f.constant(32, bytes), this.record]);
  }

  protected slowWrite(linear: Value, bytes: number): Value {
    return this.f.call(this.helpers.writeSlow, 32, [linear, this.f.constant(32, bytes), this.record]);
  }

  protected flushScratch(linear: Value, bytes: number): void {
    this.f.callStatement(this.helpers.flushScratch, [linear, this.f.constant(32, bytes)]);
  }

  raise(vector: number): void {
    this.traits.faults = true;
    this.f.callStatement(this.helpers.raise, [this.f.constant(32, vector), this.record]);
    this.f.unreachable();
  }

  continueInTypeScript(): void {
    this.traits.faults = true;
    this.enter(this.f.let(this.f.call(this.helpers.rare, 32, [this.record])));
  }

  protected segmentLinear(segment: Value, offset: Value, bytes: number, write: boolean): Value {
    const f = this.f;
    if (this.form.codeSize === 64) return f.add(f.load(64, segment), offset);
    const access = f.constant(32, bytes | (write ? 0x100 : 0));
    return f.call(this.helpers.segmentLinear, 64, [segment, offset, access, this.record]);
  }

  protected storeFlags(type: number, a: Value, b: Value): void {
    const f = this.f;
    f.storeAt(FLAG_A, a);
    f.storeAt(FLAG_B, b);
    f.storeAt(FLAG_TYPE, f.constant(32, type));
  }
  protected flagA(): Value {
    return this.f.loadAt(64, FLAG_A);
  }
  protected flagB(): Value {
    return this.f.loadAt(64, FLAG_B);
  }
  protected flagType(): Value {
    return this.f.loadAt(32, FLAG_TYPE);
  }
}
