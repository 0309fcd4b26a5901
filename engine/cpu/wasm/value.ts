/** Width of an integer value in bits. */
export type Width = 8 | 16 | 32 | 64;
/** 128 is a vector. */
export type ValueWidth = Width | 128;

export const I32 = 0x7f;
export const I64 = 0x7e;
export const V128 = 0x7b;
export type WasmType = typeof I32 | typeof I64 | typeof V128;

export const wasmType = (width: ValueWidth): WasmType => (width === 128 ? V128 : width === 64 ? I64 : I32);

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
