import type { Form } from '../interpreter/form.js';
import { SYSTEM_FLAGS } from '../state/layout.js';
import type { FunctionBuilder, Value, ValueWidth } from '../wasm/function-builder.js';
import type { Comparison } from '../wasm/opcodes.js';
import { FlagType, RFLAGS } from './flags.js';
import type { HelperName, Helpers } from './helpers.js';

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

/** Flags and conditions as a definition sees them; a binding says where the lazy flags are kept. */
export abstract class FlagContext {
  readonly traits: Traits = { sets: undefined, readsFlags: false, keepsFlags: false, faults: false };

  constructor(
    readonly f: FunctionBuilder,
    readonly form: Form,
    protected readonly helpers: Helpers,
  ) {}

  // --- helpers ---
  help(name: HelperName, width: ValueWidth, operands: readonly Value[]): Value {
    return this.f.call(this.helpers[name], width, operands);
  }

  // --- flags ---
  /** Are the flags that this instruction sets needed? */
  get live(): boolean {
    return this.form.liveFlags;
  }

  /** Condition number of the instruction, 32 bits. */
  protected abstract conditionNumber(): Value;
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
