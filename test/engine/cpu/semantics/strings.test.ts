import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Cpu } from '../../../../engine/cpu/cpu.js';
import type { CodeSize } from '../../../../engine/cpu/decoder/instruction.js';
import type { CpuEnvironment } from '../../../../engine/cpu/environment.js';
import { exception, isGuestException, VECTOR } from '../../../../engine/cpu/exception.js';

const [RAX, RCX, RSI, RDI] = [0, 1, 6, 7];
const FLAGS = 0x8d5;
const DF = 0x400;
const CODE = 0x1000;
const PAGES = 10;
/** Virtual pages 2 to 9 lie on these physical ones: two aliases, and holes. */
const PHYSICAL = [undefined, 1, 2, 3, 2, 4, undefined, 5, 6, undefined] as const;
const OPCODES = { MOVS: 0xa4, CMPS: 0xa6, STOS: 0xaa, LODS: 0xac, SCAS: 0xae } as const;
type Operation = keyof typeof OPCODES;

interface Case {
  readonly operation: Operation;
  readonly size: number;
  readonly codeSize: CodeSize;
  readonly repeat: 0 | 0xf2 | 0xf3;
  readonly down: boolean;
  readonly count: number;
  readonly source: number;
  readonly target: number;
  readonly value: bigint;
  readonly seed: number;
  /** Last offset of DS and ES outside of 64-bit mode. */
  readonly limit: number;
}

/** Near the ends of the pages of data, which are mostly mapped. */
const address = fc
  .tuple(fc.integer({ min: 2, max: 9 }), fc.integer({ min: -40, max: 40 }), fc.boolean())
  .map(([page, offset, middle]) => page * 4096 + (middle ? 2000 : 0) + offset);

const anyCase: fc.Arbitrary<Case> = fc.record({
  operation: fc.constantFrom(...(Object.keys(OPCODES) as Operation[])),
  size: fc.constantFrom(1, 2, 4, 8),
  codeSize: fc.constantFrom<CodeSize>(16, 32, 64),
  repeat: fc.constantFrom(0 as const, 0xf2 as const, 0xf3 as const),
  down: fc.boolean(),
  count: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 20, max: 6000 })),
  source: address,
  target: address,
  value: fc.oneof(fc.constant(0n), fc.constant(0x2020_2020_2020_2020n), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })),
  seed: fc.integer({ min: 0, max: 3 }),
  limit: fc.constantFrom(0xffff, 0x5fff, 0x3007),
});

/** Outside of 64-bit mode there are no operands of 8 bytes. */
const sizeOf = (c: Case): number => (c.codeSize === 64 ? c.size : Math.min(c.size, 4));

function codeOf(c: Case): number[] {
  const size = sizeOf(c);
  const code: number[] = c.repeat ? [c.repeat] : [];
  if (size === 2 ? c.codeSize !== 16 : size === 4 && c.codeSize === 16) code.unshift(0x66);
  if (size === 8) code.push(0x48);
  code.push(OPCODES[c.operation] + (size === 1 ? 0 : 1), 0xf4);
  return code;
}

/** Data in which long equal runs occur, so that comparisons go on for a while. */
const contentOf = ({ seed }: Case, at: number): number =>
  seed === 0 ? 0x20 : seed === 1 ? (at % 3000 === 2999 ? 1 : 0) : (at * 7 + (at >> 8) * 13) & 0xff;

interface State {
  readonly registers: readonly bigint[];
  readonly memory: Uint8Array;
  readonly flags: number | undefined;
  readonly fault: string;
}

const signExtend = (value: bigint, size: number): bigint => BigInt.asIntN(size * 8, value);

function flagsOfSub(a: bigint, b: bigint, size: number): number {
  const bits = BigInt(size * 8);
  const r = BigInt.asUintN(size * 8, a - b);
  let parity = 1;
  for (let bit = 0n; bit < 8n; bit++) parity ^= Number((r >> bit) & 1n);
  const overflow = signExtend(a, size) - signExtend(b, size) !== signExtend(r, size);
  return (
    (a < b ? 1 : 0) |
    (parity << 2) |
    Number((a ^ b ^ r) & 0x10n) |
    (r === 0n ? 0x40 : 0) |
    (Number(r >> (bits - 1n)) << 7) |
    (overflow ? 0x800 : 0)
  );
}

/** One element after the other, byte by byte, in the words of the manual. */
function model(c: Case): State {
  const memory = Uint8Array.from({ length: 8 * 4096 }, (_, at) => contentOf(c, at));
  const size = sizeOf(c);
  const bits = c.codeSize;
  let rax = c.value;
  let [rcx, rsi, rdi] = [BigInt(c.count), BigInt(c.source), BigInt(c.target)];
  let flags: number | undefined;
  let fault = 'halt';
  const place = (offset: bigint): number => {
    if (bits !== 64 && offset + BigInt(size - 1) > BigInt(c.limit)) throw exception(VECTOR.GP, { errorCode: 0 });
    return Number(offset);
  };
  const check = (offset: bigint): number[] => {
    const at = place(offset);
    return Array.from({ length: size }, (_, n) => {
      const page = PHYSICAL[(at + n) >> 12];
      if (page === undefined) throw exception(VECTOR.PF, { address: BigInt(n === 0 ? at : ((at >> 12) + 1) << 12) });
      return page * 4096 + ((at + n) & 4095);
    });
  };
  const load = (offset: bigint): bigint =>
    check(offset).reduceRight((value, at) => (value << 8n) | BigInt(memory[at] ?? 0), 0n);
  const store = (offset: bigint, value: bigint): void =>
    check(offset).forEach((at, n) => {
      memory[at] = Number((value >> BigInt(8 * n)) & 0xffn);
    });
  const step = (offset: bigint): bigint => BigInt.asUintN(bits, offset + BigInt(c.down ? -size : size));
  const a = (): bigint => BigInt.asUintN(size * 8, rax);
  try {
    for (;;) {
      if (c.repeat && rcx === 0n) break;
      let equal: boolean | undefined;
      const compare = (x: bigint, y: bigint): void => {
        flags = flagsOfSub(x, y, size);
        equal = x === y;
      };
      if (c.operation === 'MOVS') {
        place(rdi);
        store(rdi, load(rsi));
      } else if (c.operation === 'STOS') store(rdi, a());
      else if (c.operation === 'LODS') {
        const value = load(rsi);
        rax = size >= 4 ? value : (rax & ~((1n << BigInt(size * 8)) - 1n)) | value;
      } else if (c.operation === 'CMPS') {
        place(rdi);
        compare(load(rsi), load(rdi));
      } else compare(a(), load(rdi));
      if (c.operation !== 'STOS' && c.operation !== 'SCAS') rsi = step(rsi);
      if (c.operation !== 'LODS') rdi = step(rdi);
      if (!c.repeat) break;
      rcx--;
      if (equal !== undefined && equal !== (c.repeat === 0xf3)) break;
    }
  } catch (thrown) {
    if (!isGuestException(thrown)) throw thrown;
    fault = `#${thrown.vector} ${thrown.address}`;
  }
  return { registers: [rax, rcx, rsi, rdi], memory, flags, fault };
}

function machine(c: Case): Cpu {
  const environment: CpuEnvironment = {
    mode: { codeSize: c.codeSize, stackSize: c.codeSize, vectors: true, floats: true },
    context: 0,
    translate: (linear, access) => {
      const page = access === 'execute' ? 0 : PHYSICAL[Number(linear >> 12n)];
      if (page === undefined) throw exception(VECTOR.PF, { errorCode: 0, address: linear });
      return { page: cpu.guestStart / 4096 + page, writable: true };
    },
    execute: () => {
      throw { kind: 'stop', reason: 'halt', fault: undefined };
    },
    deliver: (pending) => {
      if (pending.vector !== VECTOR.DB) return false;
      traps.set(cpu, (traps.get(cpu) ?? 0) + 1);
      return true;
    },
  };
  const cpu: Cpu = new Cpu({ guestBytes: PAGES * 4096, arenaBytes: 0x8000 }, environment);
  for (let n = 0; n < 6; n++)
    cpu.registers.setSegment(n, { selector: 0, attributes: n === 1 ? 0xc9b : 0xc93, limit: c.limit, base: 0n });
  for (let at = 0; at < 8 * 4096; at++) cpu.bytes[cpu.guestStart + at] = contentOf(c, at);
  cpu.bytes.set(codeOf(c), cpu.guestStart);
  cpu.registers.rip = BigInt(CODE);
  for (const [n, value] of [
    [RAX, c.value],
    [RCX, BigInt(c.count)],
    [RSI, BigInt(c.source)],
    [RDI, BigInt(c.target)],
  ] as const)
    cpu.registers.set(n, value);
  cpu.registers.flags = 2 | (c.down ? DF : 0);
  return cpu;
}
const traps = new WeakMap<Cpu, number>();

function run(cpu: Cpu, slice: number): { readonly end: string; readonly count: number } {
  for (;;) {
    const result = cpu.run(slice);
    if (result.reason === 'limit') continue;
    const end =
      result.reason === 'exception' ? `#${result.exception.vector} ${result.exception.address}` : result.reason;
    return { end, count: cpu.instructions };
  }
}

/** Physical page 0 holds the code; the model's memory has data there. */
const dataOf = (memory: Uint8Array): Uint8Array => memory.subarray(4096);

function check(c: Case, cpu: Cpu, end: string): void {
  const expected = model(c);
  assert.equal(end, expected.fault);
  assert.deepEqual(
    [RAX, RCX, RSI, RDI].map((n) => cpu.registers.get(n)),
    expected.registers,
  );
  const memory = cpu.bytes.subarray(cpu.guestStart, cpu.guestStart + 8 * 4096);
  assert.equal(Buffer.compare(dataOf(memory), dataOf(expected.memory)), 0, 'memory');
  assert.equal(cpu.registers.flags & FLAGS, expected.flags ?? 0, 'flags');
  if (end !== 'halt') assert.equal(cpu.registers.rip, BigInt(CODE));
}

describe('string instructions', () => {
  it('leave what one element after the other leaves, with the fault where it belongs', () => {
    fc.assert(
      fc.property(anyCase, (c) => {
        const cpu = machine(c);
        check(c, cpu, run(cpu, 1e9).end);
      }),
      { numRuns: 1500 },
    );
  });

  it('take the same time and leave the same state in slices of any length', () => {
    fc.assert(
      fc.property(anyCase, fc.integer({ min: 1, max: 3 }), (c, slice) => {
        const whole = run(machine(c), 1e9);
        const cpu = machine(c);
        const cut = run(cpu, slice);
        assert.deepEqual(cut, whole);
        check(c, cpu, cut.end);
      }),
      { numRuns: 300 },
    );
  });

  it('take one instruction for each page that they touch', () => {
    const base: Case = {
      operation: 'STOS',
      size: 8,
      codeSize: 64,
      repeat: 0xf3,
      down: false,
      count: 1024,
      source: 0,
      target: 0x1ff8,
      value: 5n,
      seed: 0,
      limit: 0,
    };
    // One element in page 1, 512 in page 2, 511 in page 3; and HLT.
    assert.deepEqual(run(machine(base), 1e9), { end: 'halt', count: 4 });
    assert.deepEqual(run(machine({ ...base, count: 0 }), 1e9), { end: 'halt', count: 2 });
    // The element in two pages is one of its own.
    assert.deepEqual(run(machine({ ...base, target: 0x1ffc, count: 3 }), 1e9), { end: 'halt', count: 3 });
  });

  it('trap after each element with RFLAGS.TF', () => {
    const c: Case = {
      operation: 'MOVS',
      size: 1,
      codeSize: 64,
      repeat: 0xf3,
      down: false,
      count: 5,
      source: 0x2000,
      target: 0x3000,
      value: 0n,
      seed: 2,
      limit: 0,
    };
    const cpu = machine(c);
    cpu.registers.flags |= 0x100;
    cpu.run(5);
    assert.equal(traps.get(cpu), 5);
    assert.equal(cpu.registers.get(RCX), 0n);
    assert.equal(cpu.registers.rip, BigInt(CODE + 2));
  });

  it('drop code that they overwrite, their own too', () => {
    // rep stosb over the code behind it: nop → inc eax; then hlt
    const environment: CpuEnvironment = {
      mode: { codeSize: 64, stackSize: 64, vectors: true, floats: true },
      context: 0,
      translate: (linear) => ({ page: cpu.guestStart / 4096 + Number(linear >> 12n), writable: true }),
      execute: () => {
        throw { kind: 'stop', reason: 'halt', fault: undefined };
      },
      deliver: () => false,
    };
    const cpu: Cpu = new Cpu({ guestBytes: 0x4000 }, environment);
    const code = [0xf3, 0xaa, ...new Array(100).fill(0x90)];
    cpu.bytes.set(code, cpu.guestStart + 0x1000);
    cpu.registers.rip = 0x1002n;
    cpu.run(50);
    cpu.registers.rip = 0x1000n;
    cpu.registers.set(RAX, 0xf4n);
    cpu.registers.set(RCX, 100n);
    cpu.registers.set(RDI, 0x1002n);
    assert.equal(cpu.run(1000).reason, 'halt');
    assert.equal(cpu.registers.rip, 0x1003n);
  });
});
