import { SEGMENT, STRING_LIMIT } from '../state/layout.js';
import type { FunctionBuilder, Value, Width } from '../wasm/function-builder.js';
import type { Local } from '../wasm/value.js';
import { Register, type SemanticContext } from './context.js';
import { RFLAGS } from './flags.js';
import { define } from './registry.js';

/**
 * String instructions. With REP they go in runs: as many elements as lie in one page (of source and of destination)
 * count as one instruction, after which RCX, RSI and RDI are committed and the instruction starts again. Where a run
 * ends depends on addresses alone, and no element of a run can fault but its first.
 */

/** One of the two places that a string instruction walks through. */
interface Walker {
  readonly register: Register.RSI | Register.RDI;
  readonly segment: 'operand' | 'ES';
  readonly write: boolean;
}
const SOURCE: Walker = { register: Register.RSI, segment: 'operand', write: false };
const TARGET: Walker = { register: Register.RDI, segment: 'ES', write: true };
const COMPARED: Walker = { register: Register.RDI, segment: 'ES', write: false };

/** Shorter runs than this many bytes are not worth a call of the host's copy. */
const LEAST_COPY = 64;

const elementBytes = (i: SemanticContext): number => i.form.operandSize;

/** Offset in the segment, 64 bits. */
const offsetOf = (i: SemanticContext, w: Walker): Value =>
  i.f.let(i.f.zeroExtend(i.register(w.register, i.addressWidth), 64));

const linearOf = (i: SemanticContext, w: Walker, offset: Value): Value =>
  i.linear(w.segment, offset, elementBytes(i), w.write);

/** 0, or −1 with DF set; 64 bits. */
function direction(i: SemanticContext): Value {
  const { f } = i;
  const set = f.zeroExtend(f.and(f.shrU(i.systemFlags(), Math.log2(RFLAGS.DF)), 1), 64);
  return f.let(f.sub(f.constant(64, 0), set));
}

/** ±bytes: down with DF set. */
const signed = (f: FunctionBuilder, bytes: Value, down: Value): Value => f.sub(f.xor(bytes, down), down);

function advance(i: SemanticContext, w: Walker, from: Value, distance: Value): void {
  i.setRegister(w.register, i.f.zeroExtend(i.f.add(from, distance), i.addressWidth));
}

// --- runs ---

/** Elements of a walker from here to the end of its page, its segment and its addresses; at least one. */
function room(i: SemanticContext, w: Walker, offset: Value, linear: Value, down: Value): Value[] {
  const { f } = i;
  const size = elementBytes(i);
  const isDown = (): Value => f.zeroExtend(down, 32);
  const elements = (upwards: Value, downwards: Value): Value =>
    f.let(f.shrU(f.select(isDown(), downwards, upwards), Math.log2(size)));
  const inPage = f.let(f.and(linear, f.constant(64, 0xfff)));
  const rooms = [elements(f.sub(f.constant(64, 0x1000), inPage), f.add(inPage, size))];
  if (size > 1) {
    // An element in two pages is a run of its own.
    const page = rooms[0] ?? inPage;
    rooms[0] = f.let(f.select(f.compare('leU', inPage, 0x1000 - size), page, f.constant(64, 1)));
  }
  const { codeSize } = i.form;
  const width = i.addressWidth;
  if (width === 16 || (width === 32 && codeSize === 64))
    rooms.push(elements(f.sub(f.constant(64, 1n << BigInt(width)), offset), f.add(offset, size)));
  if (codeSize !== 64) {
    const state = f.let(i.segmentState(w.segment));
    const limit = (at: number): Value => f.zeroExtend(f.load(32, state, at), 64);
    rooms.push(
      elements(f.add(f.sub(limit(SEGMENT.last), offset), 1), f.add(f.sub(offset, limit(SEGMENT.first)), size)),
    );
  }
  return rooms;
}

/** Lets a variable be at most each of the values, and at least 1. */
function bound(f: FunctionBuilder, variable: Local, limits: readonly Value[]): Value {
  for (const limit of limits) f.if(f.compare('ltU', limit, f.get(variable)), () => f.set(variable, limit));
  f.if(f.isZero(f.get(variable)), () => f.set(variable, f.constant(64, 1)));
  return f.get(variable);
}

interface Run {
  /** Elements, at least one; 64 bits. */
  readonly elements: Value;
  readonly down: Value;
  /** Offset and linear address of the first element, by walker. */
  readonly offsets: readonly Value[];
  readonly linears: readonly Value[];
}

/**
 * A run of a repeated instruction, if RCX is not zero. `body` does the elements and returns how many it has done;
 * then `finished`, asked after registers are committed, ends the repetition early.
 */
function repeat(
  i: SemanticContext,
  walkers: readonly Walker[],
  body: (run: Run) => Value,
  finished?: () => Value,
): void {
  const { f } = i;
  const width = i.addressWidth;
  const count = f.let(f.zeroExtend(i.register(Register.RCX, width), 64));
  f.if(f.isZero(count), () => i.goto('next'));
  const down = direction(i);
  const offsets = walkers.map((w) => offsetOf(i, w));
  const linears = walkers.map((w, n) => linearOf(i, w, offsets[n] ?? count));
  const elements = f.temporary(64);
  f.set(elements, count);
  bound(f, elements, [
    f.let(f.zeroExtend(f.loadAt(32, STRING_LIMIT), 64)),
    ...walkers.flatMap((w, n) => room(i, w, offsets[n] ?? count, linears[n] ?? count, down)),
  ]);
  const done = f.let(body({ elements: f.get(elements), down, offsets, linears }));
  const distance = f.let(signed(f, f.shl(done, Math.log2(elementBytes(i))), down));
  for (const [n, w] of walkers.entries()) advance(i, w, offsets[n] ?? count, distance);
  const left = f.let(f.sub(count, done));
  i.setRegister(Register.RCX, f.zeroExtend(left, width));
  f.if(finished ? f.or(f.isZero(left), finished()) : f.isZero(left), () => i.goto('next'));
  // The target of a repeated instruction is itself.
  i.goto('target');
}

const isRun = (f: FunctionBuilder, { elements }: Run): Value => f.compare('gtU', elements, 1);
const lengthOf = (i: SemanticContext, { elements }: Run): Value =>
  i.f.let(i.f.zeroExtend(i.f.shl(elements, Math.log2(elementBytes(i))), 32));

/** From the pointer to a run's first element that to its lowest byte. */
function lowest(i: SemanticContext, pointer: Value, length: Value, down: Value): Value {
  const { f } = i;
  return f.let(f.select(f.zeroExtend(down, 32), f.sub(pointer, f.sub(length, elementBytes(i))), pointer));
}

/** Pointer to the first element of a run that is written. What was decoded from any of it is dropped. */
function writablePointer(i: SemanticContext, run: Run, linear: Value, length: Value): Value {
  return i.writable(linear, elementBytes(i), (pointer) => i.written(lowest(i, pointer, length, run.down), length))
    .pointer;
}

/** ±1 element, 32 bits, for pointers. */
const stepOf = (i: SemanticContext, { down }: Run): Value =>
  i.f.let(i.f.zeroExtend(signed(i.f, i.f.constant(64, elementBytes(i)), down), 32));

/** Runs the body `elements` times, with pointers that move from element to element. */
function eachElement(
  i: SemanticContext,
  run: Run,
  pointers: readonly Value[],
  body: (pointers: readonly Value[]) => void,
  goOn?: (done: Value) => Value,
): Value {
  const { f } = i;
  const step = stepOf(i, run);
  const moving = pointers.map((pointer) => {
    const local = f.temporary(32);
    f.set(local, pointer);
    return local;
  });
  const done = f.temporary(64);
  f.set(done, f.constant(64, 0));
  f.loop((again) => {
    body(moving.map((local) => f.get(local)));
    for (const local of moving) f.set(local, f.add(f.get(local), step));
    f.set(done, f.add(f.get(done), 1));
    const more = f.compare('ltU', f.get(done), run.elements);
    f.branchIf(again, goOn ? f.and(more, goOn(f.get(done))) : more);
  });
  return f.get(done);
}

// --- instructions ---

/** The run's elements one by one where source and destination overlap, so that a pattern repeats itself. */
function copyRun(i: SemanticContext, run: Run): void {
  const { f } = i;
  const [sourceLinear = run.down, targetLinear = run.down] = run.linears;
  const length = lengthOf(i, run);
  const source = i.readable(sourceLinear, elementBytes(i));
  const target = writablePointer(i, run, targetLinear, length);
  // The destination lies ahead of the source, by less than the run's length.
  const ahead = f.zeroExtend(f.sub(target, source), 64);
  const distance = f.zeroExtend(signed(f, f.zeroExtend(ahead, 64), run.down), 32);
  const overlaps = f.compare('ltU', f.sub(distance, 1), f.sub(length, 1));
  f.if(
    f.or(overlaps, f.compare('ltU', length, LEAST_COPY)),
    () =>
      void eachElement(i, run, [source, target], ([from = source, to = target]) =>
        f.store(to, 0, f.load(i.width, from)),
      ),
    () => f.copyMemory(lowest(i, target, length, run.down), lowest(i, source, length, run.down), length),
  );
}

define('MOVS', (i, f) => {
  if (i.form.repeat === 0) {
    const [from, to] = [offsetOf(i, SOURCE), offsetOf(i, TARGET)];
    const value = i.load(i.width, linearOf(i, SOURCE, from));
    i.store(linearOf(i, TARGET, to), value);
    const distance = f.let(signed(f, f.constant(64, elementBytes(i)), direction(i)));
    advance(i, SOURCE, from, distance);
    advance(i, TARGET, to, distance);
    return;
  }
  repeat(i, [SOURCE, TARGET], (run) => {
    const [from = run.down, to = run.down] = run.linears;
    f.if(
      isRun(f, run),
      () => copyRun(i, run),
      () => i.store(to, i.load(i.width, from)),
    );
    return run.elements;
  });
});

function fillRun(i: SemanticContext, run: Run, value: Value): void {
  const { f } = i;
  const length = lengthOf(i, run);
  const target = writablePointer(i, run, run.linears[0] ?? run.down, length);
  const byte = f.let(f.and(f.zeroExtend(value, 64), f.constant(64, 0xff)));
  const repeated = f.mul(byte, f.constant(64, (1n << BigInt(i.width)) / 0xffn));
  const sameBytes = f.compare('eq', f.zeroExtend(value, 64), repeated);
  f.if(
    f.and(sameBytes, f.compare('geU', length, LEAST_COPY)),
    () => f.fillMemory(lowest(i, target, length, run.down), f.zeroExtend(byte, 32), length),
    () => void eachElement(i, run, [target], ([to = target]) => f.store(to, 0, value)),
  );
}

define('STOS', (i, f) => {
  const value = f.let(i.register(Register.RAX, i.width as Width));
  if (i.form.repeat === 0) {
    const to = offsetOf(i, TARGET);
    i.store(linearOf(i, TARGET, to), value);
    advance(i, TARGET, to, signed(f, f.constant(64, elementBytes(i)), direction(i)));
    return;
  }
  repeat(i, [TARGET], (run) => {
    f.if(
      isRun(f, run),
      () => fillRun(i, run, value),
      () => i.store(run.linears[0] ?? run.down, value),
    );
    return run.elements;
  });
});

define('LODS', (i, f) => {
  if (i.form.repeat === 0) {
    const from = offsetOf(i, SOURCE);
    i.setRegister(Register.RAX, i.load(i.width, linearOf(i, SOURCE, from)));
    advance(i, SOURCE, from, signed(f, f.constant(64, elementBytes(i)), direction(i)));
    return;
  }
  repeat(i, [SOURCE], (run) => {
    // Only the last element is seen.
    const from = run.linears[0] ?? run.down;
    const bytes = f.shl(f.sub(run.elements, 1), Math.log2(elementBytes(i)));
    const pointer = f.temporary(32);
    f.set(pointer, i.readable(from, elementBytes(i)));
    const last = f.add(f.get(pointer), f.zeroExtend(signed(f, bytes, run.down), 32));
    i.setRegister(Register.RAX, f.load(i.width, last));
    return run.elements;
  });
});

/** Flags are those of the last pair compared; none if there was no element. */
function comparing(i: SemanticContext, walkers: readonly Walker[], first: (linear: Value | undefined) => Value): void {
  const { f } = i;
  const last = walkers.length - 1;
  if (i.form.repeat === 0) {
    const offsets = walkers.map((w) => offsetOf(i, w));
    const linears = walkers.map((w, n) => linearOf(i, w, offsets[n] ?? f.constant(64, 0)));
    const a = first(last > 0 ? linears[0] : undefined);
    const b = i.load(i.width, linears[last] ?? f.constant(64, 0));
    const distance = f.let(signed(f, f.constant(64, elementBytes(i)), direction(i)));
    for (const [n, w] of walkers.entries()) advance(i, w, offsets[n] ?? distance, distance);
    i.flagsOfSub(a, b);
    return;
  }
  i.keepFlags();
  const [a, b] = [f.temporary(i.width), f.temporary(i.width)];
  // REPE (F3) stops at a difference, REPNE (F2) at a match.
  const stops = (): Value => f.compare(i.form.repeat === 0xf3 ? 'ne' : 'eq', f.get(a, false), f.get(b, false));
  repeat(
    i,
    walkers,
    (run) => {
      const done = f.temporary(64);
      f.if(
        isRun(f, run),
        () => {
          const pointers = run.linears.map((linear) => i.readable(linear, elementBytes(i)));
          if (last === 0) f.set(a, first(undefined));
          const compared = (at: readonly Value[]): void => {
            if (last > 0) f.set(a, f.load(i.width, at[0] ?? run.down));
            f.set(b, f.load(i.width, at[last] ?? run.down));
          };
          f.set(
            done,
            eachElement(i, run, pointers, compared, () => f.not(stops())),
          );
        },
        () => {
          f.set(a, first(last > 0 ? run.linears[0] : undefined));
          f.set(b, i.load(i.width, run.linears[last] ?? run.down));
          f.set(done, f.constant(64, 1));
        },
      );
      return f.get(done);
    },
    () => {
      i.flagsOfSub(f.get(a, false), f.get(b, false));
      return stops();
    },
  );
}

define('CMPS', (i, f) => comparing(i, [SOURCE, COMPARED], (linear) => i.load(i.width, linear ?? f.constant(64, 0))));

define('SCAS', (i, f) => comparing(i, [COMPARED], () => f.let(i.register(Register.RAX, i.width as Width))));
