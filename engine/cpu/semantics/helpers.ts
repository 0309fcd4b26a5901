import { RECORD } from '../interpreter/record.js';
import { CONTEXT, JUMP_CACHE, JUMP_CACHE_ENTRIES, SECOND_RESULT, SEGMENT } from '../state/layout.js';
import { FunctionBuilder, I32, I64, type Value, type WasmType } from '../wasm/function-builder.js';
import type { ModuleBuilder } from '../wasm/module-builder.js';
import { FlagType } from './flags.js';

/** Functions that generated code calls, written in the same form. */

export type ArithmeticHelper = 'statusFlags' | 'condition' | 'multiplyHigh' | 'divide128' | 'crc32c';
/** Functions in TypeScript that generated code calls. */
export type ImportedHelper =
  | 'readSlow'
  | 'writeSlow'
  | 'flushScratch'
  | 'written'
  | 'raise'
  | 'segmentFault'
  | 'lookup'
  | 'chain'
  | 'rare';
export type HelperName = ArithmeticHelper | ImportedHelper | 'find' | 'follow' | 'segmentLinear';
export type Helpers = Readonly<Record<HelperName, number>>;

const signBit = (f: FunctionBuilder, v: Value, flag: number): Value => f.shl(f.zeroExtend(f.shrU(v, 63), 32), flag);

/** (type, A, B) → the six status flags. */
function statusFlags(): FunctionBuilder {
  const f = new FunctionBuilder([I32, I64, I64], [I32]);
  const [type, a, b] = [f.parameter(0), f.parameter(1), f.parameter(2)];
  const result = f.variable(64);
  const word = f.variable(32);
  const kind = f.let(f.and(type, 15));
  // 64 minus the operand's width: shift up and back to sign-extend.
  const unused = f.let(f.zeroExtend(f.sub(f.constant(32, 64), f.shl(f.constant(32, 8), f.shrU(type, 4))), 64));
  const normal = (v: Value): Value => f.shrS(f.shl(v, unused), unused);
  const adjust = (x: Value, y: Value, r: Value): Value => f.and(f.zeroExtend(f.xor(f.xor(x, y), r), 32), 0x10);
  const r = f.get(result);
  f.if(f.isZero(kind), () => f.return(f.zeroExtend(a, 32)));
  f.if(
    f.compare('eq', kind, FlagType.add),
    () => {
      f.set(result, b);
      const second = f.let(normal(f.sub(b, a)));
      const overflow = signBit(f, f.and(f.xor(a, b), f.xor(second, b)), 11);
      f.set(word, f.or(f.or(f.compare('ltU', b, a), overflow), adjust(a, second, b)));
    },
    () =>
      f.if(
        f.compare('eq', kind, FlagType.sub),
        () => {
          f.set(result, normal(f.sub(a, b)));
          const overflow = signBit(f, f.and(f.xor(a, b), f.xor(a, r)), 11);
          f.set(word, f.or(f.or(f.compare('ltU', a, b), overflow), adjust(a, b, r)));
        },
        () => {
          f.set(result, a);
          f.set(word, f.zeroExtend(b, 32));
        },
      ),
  );
  const parity = f.not(f.and(f.countBits('popcnt', f.and(f.zeroExtend(r, 32), 0xff)), 1));
  f.put(f.or(f.or(f.get(word), f.shl(f.isZero(r), 6)), f.or(f.shl(f.compare('ltS', r, 0), 7), f.shl(parity, 2))));
  return f;
}

/** (condition number, type, A, B) → 0 or 1. */
function condition(flagsHelper: number): FunctionBuilder {
  const f = new FunctionBuilder([I32, I32, I64, I64], [I32]);
  const code = f.parameter(0);
  const word = f.let(f.call(flagsHelper, 32, [f.parameter(1), f.parameter(2), f.parameter(3)]));
  const pair = f.let(f.shrU(code, 1));
  const less = (): Value => f.and(f.xor(f.shrU(word, 7), f.shrU(word, 11)), 1);
  const result = f.variable(32);
  // O, B, Z, BE, S, P test bits; L and LE compare SF with OF.
  f.set(result, f.or(less(), f.select(f.compare('eq', pair, 7), f.and(word, 0x40), f.constant(32, 0))));
  for (const [n, mask] of [0x800, 0x1, 0x40, 0x41, 0x80, 0x4].entries()) {
    f.if(f.compare('eq', pair, n), () => f.set(result, f.and(word, mask)));
  }
  f.put(f.xor(f.notZero(f.get(result)), f.and(code, 1)));
  return f;
}

/** High half of an unsigned product of 64 by 64 bits. */
function multiplyHigh(): FunctionBuilder {
  const f = new FunctionBuilder([I64, I64], [I64]);
  const low = (v: Value): Value => f.let(f.and(v, f.constant(64, 0xffff_ffffn)));
  const high = (v: Value): Value => f.let(f.shrU(v, 32));
  const [a, b] = [f.parameter(0), f.parameter(1)];
  const [al, ah, bl, bh] = [low(a), high(a), low(b), high(b)];
  const u = f.let(f.add(f.mul(ah, bl), f.shrU(f.mul(al, bl), 32)));
  const v = f.let(f.add(f.mul(al, bh), low(u)));
  f.put(f.add(f.add(f.mul(ah, bh), f.shrU(u, 32)), f.shrU(v, 32)));
  return f;
}

/** (high, low, divisor) → quotient; remainder in SECOND_RESULT. The high half is below the divisor. */
function divide128(): FunctionBuilder {
  const f = new FunctionBuilder([I64, I64, I64], [I64]);
  const high = f.variable(64);
  const low = f.variable(64);
  const count = f.variable(32);
  const divisor = f.parameter(2);
  f.set(high, f.parameter(0));
  f.set(low, f.parameter(1));
  f.if(f.isZero(f.get(high)), () => {
    f.storeAt(SECOND_RESULT, f.arithmetic('remU', f.get(low), divisor));
    f.return(f.arithmetic('divU', f.get(low), divisor));
  });
  f.set(count, f.constant(32, 64));
  f.loop((again) => {
    const top = f.let(f.shrU(f.get(high), 63));
    f.set(high, f.or(f.shl(f.get(high), 1), f.shrU(f.get(low), 63)));
    f.set(low, f.shl(f.get(low), 1));
    f.if(f.or(f.zeroExtend(top, 32), f.compare('geU', f.get(high), divisor)), () => {
      f.set(high, f.sub(f.get(high), divisor));
      f.set(low, f.or(f.get(low), 1));
    });
    f.set(count, f.sub(f.get(count), 1));
    f.branchIf(again, f.get(count));
  });
  f.storeAt(SECOND_RESULT, f.get(high));
  f.put(f.get(low));
  return f;
}

/** (crc, value, bytes) → CRC-32C, polynomial 0x1EDC6F41 reflected. */
function crc32c(): FunctionBuilder {
  const f = new FunctionBuilder([I32, I64, I32], [I32]);
  const crc = f.variable(32);
  const value = f.variable(64);
  const bits = f.variable(32);
  f.set(crc, f.parameter(0));
  f.set(value, f.parameter(1));
  f.set(bits, f.shl(f.parameter(2), 3));
  f.loop((again) => {
    const bit = f.let(f.and(f.xor(f.get(crc), f.zeroExtend(f.get(value), 32)), 1));
    f.set(crc, f.xor(f.shrU(f.get(crc), 1), f.and(f.sub(f.constant(32, 0), bit), f.constant(32, 0x82f6_3b78))));
    f.set(value, f.shrU(f.get(value), 1));
    f.set(bits, f.sub(f.get(bits), 1));
    f.branchIf(again, f.get(bits));
  });
  f.put(f.get(crc));
  return f;
}

/** (RIP) → block, from the jump cache of the current context or from TypeScript. */
function find(lookup: number): FunctionBuilder {
  const f = new FunctionBuilder([I64], [I32]);
  const rip = f.parameter(0);
  const hash = f.and(f.zeroExtend(f.xor(rip, f.shrU(rip, 12)), 32), JUMP_CACHE_ENTRIES - 1);
  const entry = f.let(f.add(f.loadAt(32, CONTEXT), f.shl(hash, 4)));
  f.if(f.compare('eq', f.load(64, entry, JUMP_CACHE), rip), () => f.return(f.load(32, entry, JUMP_CACHE + 8)));
  f.put(f.call(lookup, 32, [rip]));
  return f;
}

/** (record, offset of the link) → block at the target of a direct branch that has no link. */
function follow(findHelper: number, chain: number): FunctionBuilder {
  const f = new FunctionBuilder([I32, I32], [I32]);
  const [record, offset] = [f.parameter(0), f.parameter(1)];
  f.if(f.isZero(f.load(32, f.add(record, offset))), () => f.return(f.call(chain, 32, [record, offset])));
  const isTarget = f.compare('eq', offset, RECORD.targetLink);
  const rip = f.select(isTarget, f.load(64, record, RECORD.immediate), f.load(64, record, RECORD.next));
  f.put(f.call(findHelper, 32, [rip]));
  return f;
}

/** (segment, offset, bytes and write << 8, record) → linear address outside of 64-bit mode. */
function segmentLinear(segmentFault: number): FunctionBuilder {
  const f = new FunctionBuilder([I32, I64, I32, I32], [I64]);
  const [segment, offset, access, record] = [f.parameter(0), f.parameter(1), f.parameter(2), f.parameter(3)];
  const limit = (at: number): Value => f.zeroExtend(f.load(32, segment, at), 64);
  const last = f.let(f.add(offset, f.zeroExtend(f.sub(f.and(access, 0xff), 1), 64)));
  const permitted = f.select(
    f.and(access, 0x100),
    f.load(8, segment, SEGMENT.writable),
    f.load(8, segment, SEGMENT.readable),
  );
  const outside = f.or(f.compare('gtU', last, limit(SEGMENT.last)), f.compare('ltU', offset, limit(SEGMENT.first)));
  f.if(f.or(outside, f.isZero(permitted)), () => {
    f.callStatement(segmentFault, [segment, record]);
    f.unreachable();
  });
  f.put(f.and(f.add(f.load(64, segment, SEGMENT.base), offset), f.constant(64, 0xffff_ffffn)));
  return f;
}

const IMPORTS: Readonly<
  Record<ImportedHelper, readonly [parameters: readonly WasmType[], results: readonly WasmType[]]>
> = {
  readSlow: [[I64, I32, I32], [I32]],
  writeSlow: [[I64, I32, I32], [I32]],
  flushScratch: [[I64, I32], []],
  written: [[I32, I32], []],
  raise: [[I32, I32], []],
  segmentFault: [[I32, I32], []],
  lookup: [[I64], [I32]],
  chain: [[I32, I32], [I32]],
  rare: [[I32], [I32]],
};

type GeneratedHelper = Exclude<HelperName, ImportedHelper>;

/** In an order in which each calls only those before it. */
const GENERATED: Readonly<Record<GeneratedHelper, (h: Helpers) => FunctionBuilder>> = {
  statusFlags,
  condition: (h) => condition(h.statusFlags),
  multiplyHigh,
  divide128,
  crc32c,
  find: (h) => find(h.lookup),
  follow: (h) => follow(h.find, h.chain),
  segmentLinear: (h) => segmentLinear(h.segmentFault),
};

/** Declares the imports, adds the functions and exports them; the result names their indexes. */
export function addHelpers(m: ModuleBuilder): Helpers {
  const indexes: Partial<Record<HelperName, number>> = {};
  for (const name of Object.keys(IMPORTS) as ImportedHelper[]) indexes[name] = m.import(name, ...IMPORTS[name]);
  for (const name of Object.keys(GENERATED) as GeneratedHelper[])
    indexes[name] = m.add(GENERATED[name](indexes as Helpers), name);
  return indexes as Helpers;
}

const signatures = new Map<HelperName, readonly [parameters: readonly WasmType[], results: readonly WasmType[]]>();

function signatureOf(name: HelperName): readonly [readonly WasmType[], readonly WasmType[]] {
  if (name in IMPORTS) return IMPORTS[name as ImportedHelper];
  let signature = signatures.get(name);
  if (!signature) {
    const { parameters, results } = GENERATED[name as GeneratedHelper](NO_HELPERS);
    signature = [parameters, results];
    signatures.set(name, signature);
  }
  return signature;
}

/** Indexes do not matter: for code that is thrown away. */
export const NO_HELPERS = new Proxy({} as Helpers, { get: () => 0 });

/** Imports all helpers, each when its index is first asked for. */
export function importHelpers(m: ModuleBuilder): Helpers {
  const indexes = new Map<string, number>();
  return new Proxy({} as Helpers, {
    get: (_, name: HelperName) => {
      const known = indexes.get(name);
      if (known !== undefined) return known;
      const index = m.import(name, ...signatureOf(name));
      indexes.set(name, index);
      return index;
    },
  });
}
