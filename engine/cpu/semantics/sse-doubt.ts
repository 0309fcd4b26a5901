import type { FunctionBuilder, Value } from '../wasm/function-builder.js';
import type { SemanticContext } from './context.js';

/** Cases of floating point that generated code leaves to TypeScript, because they could set a flag in MXCSR. */

export type Lanes = 'f32x4' | 'f64x2';
export interface FloatForm {
  readonly lanes: Lanes;
  readonly bits: 32 | 64;
  readonly scalar: boolean;
}
export const FORMS: Readonly<Record<string, FloatForm>> = {
  PS: { lanes: 'f32x4', bits: 32, scalar: false },
  PD: { lanes: 'f64x2', bits: 64, scalar: false },
  SS: { lanes: 'f32x4', bits: 32, scalar: true },
  SD: { lanes: 'f64x2', bits: 64, scalar: true },
};

const INFINITY = { 32: 0x7f80_0000n, 64: 0x7ff0n << 48n } as const;
const SMALLEST_NORMAL = { 32: 0x0080_0000n, 64: 0x0010n << 48n } as const;
const MAGNITUDE = { 32: 0x7fff_ffffn, 64: (1n << 63n) - 1n } as const;

/** Collects masks of doubtful lanes. All vectors must be bound. */
export class Doubt {
  private mask: Value | undefined;

  constructor(
    private readonly f: FunctionBuilder,
    private readonly form: FloatForm,
  ) {}

  private splat(bits: bigint): Value {
    return this.f.splat(this.f.constant(this.form.bits, bits));
  }
  private magnitude(v: Value): Value {
    return this.f.vector('v128.and', v, this.splat(MAGNITUDE[this.form.bits]));
  }
  private isZero(v: Value): Value {
    return this.f.vector(`${this.form.lanes}.eq`, v, this.splat(0n));
  }
  private add(mask: Value): this {
    this.mask = this.mask === undefined ? mask : this.f.vector('v128.or', this.mask, mask);
    return this;
  }

  nan(v: Value): this {
    return this.add(this.f.vector(`${this.form.lanes}.ne`, v, v));
  }
  /** Infinite, or NaN. */
  special(v: Value): this {
    const { f, form } = this;
    const finite = f.vector(`${form.lanes}.lt`, this.magnitude(v), this.splat(INFINITY[form.bits]));
    return this.add(f.vector('v128.not', finite));
  }
  denormal(v: Value): this {
    const { f, form } = this;
    const small = f.vector(`${form.lanes}.lt`, this.magnitude(v), this.splat(SMALLEST_NORMAL[form.bits]));
    return this.add(f.vector('v128.andnot', small, this.isZero(v)));
  }
  /** A result that may have been rounded below the normal numbers: no such thing if a factor is zero. */
  tiny(v: Value, ...factors: readonly Value[]): this {
    const { f, form } = this;
    let small = f.vector(`${form.lanes}.le`, this.magnitude(v), this.splat(SMALLEST_NORMAL[form.bits]));
    for (const factor of factors) small = f.vector('v128.andnot', small, this.isZero(factor));
    return this.add(small);
  }

  /** Before anything is written: TypeScript executes the instruction if any lane that counts is in doubt. */
  leave(i: SemanticContext): void {
    const { f, form, mask } = this;
    if (mask === undefined) return;
    const lowest = Array.from({ length: 16 }, (_, n) => (n < form.bits / 8 ? 0xff : 0));
    const counted = form.scalar ? f.vector('v128.and', mask, f.vectorConstant(lowest)) : mask;
    f.if(f.vectorTest('v128.any_true', counted), () => i.continueInTypeScript());
  }
}
