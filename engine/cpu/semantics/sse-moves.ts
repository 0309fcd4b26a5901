import type { FunctionBuilder } from '../wasm/function-builder.js';
import { Register, type SemanticContext } from './context.js';
import { define } from './registry.js';
import { requireAligned, source128, vectorConstantZero } from './sse-operands.js';

/** Moves between XMM registers, memory and general registers. */

const loadWhole =
  (aligned: boolean) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    if (aligned) requireAligned(i, f, 1);
    i.write(0, i.read(1, 128));
  };
const storeWhole =
  (aligned: boolean) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    if (aligned) requireAligned(i, f, 0);
    i.write(0, i.read(1, 128));
  };
define('MOVAPS_LOAD MOVAPD_LOAD MOVDQA_LOAD', loadWhole(true));
define('MOVUPS_LOAD MOVUPD_LOAD MOVDQU_LOAD', loadWhole(false));
define('MOVAPS_STORE MOVAPD_STORE MOVDQA_STORE', storeWhole(true));
define('MOVUPS_STORE MOVUPD_STORE MOVDQU_STORE', storeWhole(false));

/** From memory the rest of the register becomes zero; from a register it stays. */
const loadScalar =
  (width: 32 | 64, keepsRest: boolean) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const value = i.read(1, width);
    const rest = keepsRest && !i.isMemory(1) ? i.read(0, 128) : vectorConstantZero(f);
    i.write(0, f.replaceLane(rest, 0, value));
  };
const storeScalar =
  (width: 32 | 64, clearsRest: boolean) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const value = i.read(1, width);
    if (i.isMemory(0)) i.write(0, value);
    else i.write(0, f.replaceLane(clearsRest ? vectorConstantZero(f) : i.read(0, 128), 0, value));
  };
define('MOVSS_LOAD', loadScalar(32, true));
define('MOVSD_LOAD', loadScalar(64, true));
define('MOVQ_LOAD', loadScalar(64, false));
define('MOVSS_STORE', storeScalar(32, false));
define('MOVSD_STORE', storeScalar(64, false));
define('MOVQ_STORE', storeScalar(64, true));

define('MOVD_LOAD', (i, f) => i.write(0, f.replaceLane(vectorConstantZero(f), 0, i.read(1))));
define('MOVD_STORE', (i) => i.write(0, i.read(1, i.form.operands[0]?.size === 8 ? 64 : 32)));

define('MOVLPS_LOAD', (i, f) => {
  const value = i.read(1, 64);
  i.write(0, f.replaceLane(i.read(0, 128), 0, value));
});
define('MOVHPS_LOAD', (i, f) => {
  const value = i.read(1, 64);
  i.write(0, f.replaceLane(i.read(0, 128), 1, value));
});
define('MOVLPS_STORE', (i) => i.write(0, i.read(1, 64)));
define('MOVHPS_STORE', (i, f) => i.write(0, f.extractLane(64, i.read(1, 128), 1)));
define('MOVHLPS', (i, f) => i.write(0, f.replaceLane(i.read(0, 128), 0, f.extractLane(64, i.read(1, 128), 1))));
define('MOVLHPS', (i, f) => i.write(0, f.replaceLane(i.read(0, 128), 1, i.read(1, 64))));

define('MOVDDUP', (i, f) => i.write(0, f.splat(i.read(1, 64))));
const duplicate = (first: number) => (i: SemanticContext, f: FunctionBuilder) => {
  const v = f.let(source128(i, f));
  const lanes = [0, 0, 2, 2].flatMap((lane) => [0, 1, 2, 3].map((byte) => (lane + first) * 4 + byte));
  i.write(0, f.shuffle(v, v, lanes));
};
define('MOVSLDUP', duplicate(0));
define('MOVSHDUP', duplicate(1));

const mask =
  (test: 'i8x16.bitmask' | 'i32x4.bitmask' | 'i64x2.bitmask') => (i: SemanticContext, f: FunctionBuilder) => {
    i.write(0, f.vectorTest(test, i.read(1, 128)));
  };
define('PMOVMSKB', mask('i8x16.bitmask'));
define('MOVMSKPS', mask('i32x4.bitmask'));
define('MOVMSKPD', mask('i64x2.bitmask'));

// --- elements by number: the immediate is part of the form ---
const lane = (i: SemanticContext, count: number): number => i.form.selector & (count - 1);
define('PINSRB', (i, f) => {
  const value = f.zeroExtend(i.read(1, 8), 8);
  i.write(0, f.replaceLane(i.read(0, 128), lane(i, 16), value));
});
define('PINSRW', (i, f) => {
  const value = i.read(1, 16);
  i.write(0, f.replaceLane(i.read(0, 128), lane(i, 8), value));
});
define('PINSRD', (i, f) => {
  const value = i.read(1);
  i.write(0, f.replaceLane(i.read(0, 128), lane(i, value.width === 64 ? 2 : 4), value));
});
/** A register takes 32 bits with zeros above, memory the element. */
const extract = (width: 8 | 16) => (i: SemanticContext, f: FunctionBuilder) => {
  const value = f.extractLane(width, i.read(1, 128), lane(i, 128 / width));
  i.write(0, i.isMemory(0) ? value : f.zeroExtend(value, 32));
};
define('PEXTRB', extract(8));
define('PEXTRW PEXTRW_STORE', extract(16));
define('PEXTRD', (i, f) => {
  const width = i.form.operands[0]?.size === 8 ? 64 : 32;
  i.write(0, f.extractLane(width, i.read(1, 128), lane(i, 128 / width)));
});
define('EXTRACTPS', (i, f) => i.write(0, f.extractLane(32, i.read(1, 128), lane(i, 4))));
define('INSERTPS', (i, f) => {
  const selector = i.form.selector;
  // From memory the element is what the address points to, from a register the one selected.
  const element = f.let(i.isMemory(1) ? i.read(1, 32) : f.extractLane(32, i.read(1, 128), selector >> 6));
  let result = f.replaceLane(i.read(0, 128), (selector >> 4) & 3, element);
  for (let n = 0; n < 4; n++) {
    if ((selector >> n) & 1) result = f.replaceLane(result, n, f.constant(32, 0));
  }
  i.write(0, result);
});

define('MASKMOVDQU', (i, f) => {
  const base = f.zeroExtend(i.register(Register.RDI, i.addressWidth), 64);
  const place = i.writable(i.operandLinear(16, true, f.let(base)), 16);
  const selected = f.vector('i8x16.gt_s', vectorConstantZero(f), i.read(1, 128));
  const mixed = f.vector('v128.bitselect', i.read(0, 128), f.load(128, place.pointer), selected);
  i.storeTo(place, mixed);
});
