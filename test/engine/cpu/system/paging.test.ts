import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isGuestException } from '../../../../engine/cpu/exception.js';
import { type WalkRequest, type WalkResult, walk } from '../../../../engine/cpu/system/paging.js';
import { createSystemState, type SystemState } from '../../../../engine/cpu/system/system-state.js';

const PHYSICAL_BITS = 48;
const PAGE = 0x1234_5000n;
const SHIFTS = [39n, 30n, 21n, 12n] as const;

interface Entry {
  readonly present: boolean;
  readonly write: boolean;
  readonly user: boolean;
  readonly large: boolean;
  readonly noExecute: boolean;
  readonly reserved: boolean;
}

interface Setup {
  readonly entries: readonly Entry[];
  readonly wp: boolean;
  readonly nxe: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly request: WalkRequest;
}

const often = fc.integer({ min: 0, max: 7 }).map((n) => n !== 0);
const rarely = fc.integer({ min: 0, max: 11 }).map((n) => n === 0);
const entry: fc.Arbitrary<Entry> = fc.record({
  present: often,
  write: often,
  user: often,
  large: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
  noExecute: rarely,
  reserved: rarely,
});
const setup: fc.Arbitrary<Setup> = fc.record({
  entries: fc.array(entry, { minLength: 4, maxLength: 4 }),
  wp: fc.boolean(),
  nxe: fc.boolean(),
  smep: fc.boolean(),
  smap: fc.boolean(),
  request: fc.record({
    linear: fc.bigInt({ min: 0n, max: (1n << 47n) - 1n }),
    access: fc.constantFrom('read' as const, 'write' as const, 'execute' as const),
    user: fc.boolean(),
    alignmentCheck: fc.boolean(),
  }),
});

/** One table for each level at 0x1000, 0x2000, …; the mapped page where no level is large is PAGE. */
function build({ entries, request }: Setup): Map<number, bigint> {
  const memory = new Map<number, bigint>();
  entries.forEach((e, depth) => {
    const shift = SHIFTS[depth] ?? 0n;
    const large = e.large && (depth === 1 || depth === 2);
    const next = large ? 0x4000_0000n : depth === 3 ? PAGE : BigInt(0x2000 + 0x1000 * depth);
    let raw = next | (e.present ? 1n : 0n) | (e.write ? 2n : 0n) | (e.user ? 4n : 0n);
    if (e.large && depth !== 3) raw |= 0x80n;
    if (e.noExecute) raw |= 1n << 63n;
    if (e.reserved) raw |= 1n << 50n;
    memory.set(0x1000 + 0x1000 * depth + Number((request.linear >> shift) & 0x1ffn) * 8, raw);
  });
  return memory;
}

function stateOf({ wp, nxe, smep, smap }: Setup): SystemState {
  const state = createSystemState();
  state.cr0 = 0x8000_0001 | (wp ? 0x1_0000 : 0);
  state.cr3 = 0x1000n;
  state.cr4 = 0x20 | (smep ? 0x10_0000 : 0) | (smap ? 0x20_0000 : 0);
  state.efer = 0x500 | (nxe ? 0x800 : 0);
  return state;
}

type Outcome = { readonly page: bigint } | { readonly error: number };

/** The rules once more, in the words of the manual and without regard for how the walker does it. */
function model({ entries, wp, nxe, smep, smap, request }: Setup): Outcome {
  const { access, user, alignmentCheck, linear } = request;
  const base = (access === 'write' ? 2 : 0) | (user ? 4 : 0) | (access === 'execute' && (nxe || smep) ? 16 : 0);
  const used: Entry[] = [];
  let size = 12n;
  for (const [depth, e] of entries.entries()) {
    if (!e.present) return { error: base };
    const large = e.large && (depth === 1 || depth === 2);
    if (e.reserved || (e.noExecute && !nxe) || (e.large && depth === 0)) return { error: base | 9 };
    used.push(e);
    if (large) {
      size = SHIFTS[depth] ?? 12n;
      break;
    }
  }
  const userPage = used.every((e) => e.user);
  const refused =
    (user && !userPage) ||
    (access === 'write' && !used.every((e) => e.write) && (user || wp)) ||
    (access === 'execute' && (used.some((e) => e.noExecute) || (!user && userPage && smep))) ||
    (access !== 'execute' && !user && userPage && smap && !alignmentCheck);
  if (refused) return { error: base | 1 };
  const inside = linear & ((1n << size) - 1n) & ~0xfffn;
  return { page: size === 12n ? PAGE : 0x4000_0000n + inside };
}

function run(s: Setup): { outcome: Outcome; result?: WalkResult; memory: Map<number, bigint> } {
  const memory = build(s);
  const tables = {
    read: (address: number) => memory.get(address) ?? 0n,
    write: (address: number, _: 4 | 8, value: bigint) => void memory.set(address, value),
  };
  try {
    const result = walk(stateOf(s), tables, s.request, PHYSICAL_BITS);
    return { outcome: { page: BigInt(result.address) }, result, memory };
  } catch (thrown) {
    if (!isGuestException(thrown)) throw thrown;
    assert.equal(thrown.address, s.request.linear);
    return { outcome: { error: thrown.errorCode ?? -1 }, memory };
  }
}

describe('page walk', () => {
  it('agrees with a plain model of the rules in page and error code', () => {
    fc.assert(
      fc.property(setup, (s) => assert.deepEqual(run(s).outcome, model(s))),
      { numRuns: 3000 },
    );
  });

  it('sets accessed on the way and dirty on a write, and nothing when it faults', () => {
    fc.assert(
      fc.property(setup, (s) => {
        const before = build(s);
        const { result, memory } = run(s);
        const changed = [...memory].filter(([at, value]) => before.get(at) !== value);
        if (!result) assert.deepEqual(changed, []);
        else {
          assert.ok(changed.length >= 2);
          for (const [at, value] of changed) assert.equal(value & ~0x60n, before.get(at));
          assert.equal(
            changed.filter(([, value]) => (value & 0x40n) !== 0n).length,
            s.request.access === 'write' ? 1 : 0,
          );
          assert.equal(result.writable && s.request.access !== 'write', false);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
