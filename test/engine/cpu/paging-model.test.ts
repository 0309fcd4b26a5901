import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isGuestException } from '../../../engine/cpu/exception.js';
import { walk } from '../../../engine/cpu/system/paging.js';
import { CR0, CR4, createSystemState, EFER, type SystemState } from '../../../engine/cpu/system/system-state.js';
import { type ModelRequest, type ModelResult, type ModelState, modelWalk, type Tables } from './paging-model.js';

const often = fc.integer({ min: 0, max: 9 }).map((n) => n !== 0);
const rarely = often.map((x) => !x);
const chance = (oneIn: number) => fc.integer({ min: 1, max: oneIn }).map((n) => n === 1);

/** One entry: usual bits, now and then one bit anywhere. */
interface Entry {
  readonly flags: bigint;
  /** Frame that it points to; low ones are tables. */
  readonly frame: bigint;
  readonly cBit: boolean;
  readonly strayBit: number | undefined;
}
const flag = (often: fc.Arbitrary<boolean>, n: number) => often.map((set) => (set ? 1n << BigInt(n) : 0n));
const entry: fc.Arbitrary<Entry> = fc.record({
  flags: fc
    .tuple(
      flag(
        chance(50).map((absent) => !absent),
        0,
      ),
      flag(often, 1),
      flag(often, 2),
      flag(fc.boolean(), 5),
      flag(fc.boolean(), 6),
      flag(chance(5), 7),
      flag(chance(20), 8),
      flag(rarely, 63),
    )
    .map((all) => all.reduce((sum, one) => sum | one, 0n)),
  // A large page's frame must be aligned, else it is a reserved bit: mostly so.
  frame: fc.oneof(
    fc.bigInt({ min: 0n, max: 0xffn }).map((n) => n << 18n),
    fc.bigInt({ min: 0x100n, max: 0xf_ffffn }),
  ),
  cBit: fc.boolean(),
  strayBit: fc.oneof(
    { weight: 9, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 63 }) },
  ),
});

interface Setup {
  readonly state: ModelState;
  readonly entries: readonly Entry[];
  /** All tables are one page whose entries point to it: as kernels do with a self-map. */
  readonly selfMap: boolean;
  readonly request: ModelRequest;
}

const setup: fc.Arbitrary<Setup> = fc
  .record({
    mode: fc.constantFrom('long' as const, 'long' as const, 'pae' as const, 'legacy' as const, 'off' as const),
    // The C-bit is the highest address bit: 51 on EPYC, lower elsewhere to make the bits above count.
    physicalBits: fc.constantFrom(52, 48, 40),
    flags: fc.record({ pse: often, wp: fc.boolean(), nxe: often, smep: fc.boolean(), smap: fc.boolean() }),
    root: fc.integer({ min: 1, max: 0xf_ffff }),
    low: fc.integer({ min: 0, max: 0xfff }),
    entries: fc.array(entry, { minLength: 4, maxLength: 4 }),
    selfMap: rarely,
    linear: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    canonical: often,
    access: fc.constantFrom('read' as const, 'write' as const, 'execute' as const),
    user: fc.boolean(),
    alignmentCheck: fc.boolean(),
  })
  .map(({ mode, physicalBits, flags, root, low, entries, selfMap, linear, canonical, ...request }) => {
    const inMode =
      mode !== 'long' ? linear & 0xffff_ffffn : canonical ? BigInt.asUintN(64, BigInt.asIntN(48, linear)) : linear;
    const cBit = mode === 'long' ? 1n << BigInt(physicalBits - 1) : 0n;
    const cr3 = (BigInt(root) << 12n) | BigInt(low) | (low % 2 === 1 ? cBit : 0n);
    const state = { mode, physicalBits, cr3, ...flags };
    return { state, entries, selfMap, request: { linear: inMode, ...request } };
  });

/** Lays the entries where a walk of the address reads them, whatever the walk does with them. */
function tablesOf({ state, entries, selfMap, request }: Setup): Tables {
  const { mode, physicalBits, cr3 } = state;
  const bytes = mode === 'legacy' ? 4n : 8n;
  const shifts = { long: [39n, 30n, 21n, 12n], pae: [30n, 21n, 12n], legacy: [22n, 12n], off: [] }[mode];
  const width = mode === 'legacy' ? 10n : 9n;
  const cBit = 1n << BigInt(physicalBits - 1);
  const addressMask = mode === 'legacy' ? 0xffff_f000n : (1n << BigInt(physicalBits)) - 0x1000n;
  let table = mode === 'pae' ? cr3 & 0xffff_ffe0n : cr3 & addressMask;
  const tables: Tables = new Map();
  shifts.forEach((shift, level) => {
    const e = entries[level];
    if (!e) return;
    const indexWidth = mode === 'pae' && level === 0 ? 2n : width;
    const at = table + ((request.linear >> shift) & ((1n << indexWidth) - 1n)) * bytes;
    let raw = e.flags | (e.frame << 12n) | (e.cBit ? cBit : 0n);
    if (selfMap && level < shifts.length - 1) raw = (raw & 0xfffn) | (table & ~0xfffn);
    // Rights are in the way in a pointer table.
    if (mode === 'pae' && level === 0 && e.strayBit === undefined) raw &= ~0x8000_0000_0000_01e6n;
    if (e.strayBit !== undefined) raw ^= 1n << BigInt(e.strayBit);
    raw = BigInt.asUintN(Number(bytes) * 8, raw);
    if (!tables.has(at)) tables.set(at, raw);
    table = (tables.get(at) ?? 0n) & addressMask;
  });
  return tables;
}

function systemState({ mode, cr3, pse, wp, nxe, smep, smap }: ModelState): SystemState {
  const state = createSystemState();
  state.cr0 = (mode === 'off' ? CR0.PE : CR0.PE + CR0.PG) + (wp ? CR0.WP : 0);
  state.cr3 = cr3;
  state.cr4 =
    (mode === 'long' || mode === 'pae' ? CR4.PAE : 0) +
    (pse ? CR4.PSE : 0) +
    (smep ? CR4.SMEP : 0) +
    (smap ? CR4.SMAP : 0);
  state.efer = (mode === 'long' ? EFER.LME + EFER.LMA : 0) + (nxe ? EFER.NXE : 0);
  return state;
}

function engineWalk({ state, request }: Setup, tables: Tables): ModelResult {
  const memory = {
    read: (address: number, bytes: 4 | 8) => {
      assert.equal(bytes, state.mode === 'legacy' ? 4 : 8);
      return tables.get(BigInt(address)) ?? 0n;
    },
    write: (address: number, bytes: 4 | 8, value: bigint) => {
      assert.equal(bytes, state.mode === 'legacy' ? 4 : 8);
      tables.set(BigInt(address), value);
    },
  };
  try {
    const { address, writable } = walk(systemState(state), memory, request, state.physicalBits);
    return { page: BigInt(address), writable };
  } catch (thrown) {
    if (!isGuestException(thrown)) throw thrown;
    if (thrown.vector === 14) assert.equal(thrown.address, request.linear);
    return { vector: thrown.vector as 13 | 14, errorCode: thrown.errorCode ?? -1 };
  }
}

describe('page walk and a plain model of it', () => {
  it('agree on page, permissions, error code, and A and D bits', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(setup, (s) => {
        const expectedTables = tablesOf(s);
        const tables = new Map(expectedTables);
        const expected = modelWalk(s.state, expectedTables, s.request);
        assert.deepEqual(engineWalk(s, tables), expected);
        assert.deepEqual(tables, expectedTables);
        const kind = 'page' in expected ? (expected.writable ? 'writable' : 'page') : `#${expected.vector}`;
        const what = `${s.state.mode} ${kind}${'errorCode' in expected ? ` ${expected.errorCode & 9}` : ''}`;
        seen.set(what, (seen.get(what) ?? 0) + 1);
      }),
      { numRuns: 12_000 },
    );
    const kinds = ['page', 'writable', '#14 0', '#14 1', '#14 9'];
    const wanted = [
      'long #13 0',
      'off writable',
      ...['long', 'pae', 'legacy'].flatMap((m) => kinds.map((k) => `${m} ${k}`)),
    ];
    for (const what of wanted) assert.ok((seen.get(what) ?? 0) > 5, `${what}: ${seen.get(what) ?? 0} times`);
  });
});
