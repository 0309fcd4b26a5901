import assert from 'node:assert/strict';
import fc from 'fast-check';
import { JumpCache } from '../../../../engine/cpu/interpreter/jump-cache.js';
import { SoftwareTlb } from '../../../../engine/cpu/interpreter/software-tlb.js';
import { ARENA, CONTEXT, CONTEXT_COUNT, CONTEXT_SIZE, CONTEXTS } from '../../../../engine/cpu/state/layout.js';

interface Fill {
  readonly context: number;
  readonly linear: bigint;
  readonly page: number;
  readonly kind: 'read' | 'write' | 'code';
}

const fill: fc.Arbitrary<Fill> = fc.record({
  context: fc.integer({ min: 0, max: CONTEXT_COUNT - 1 }),
  // Some share an entry: 1024 pages apart.
  linear: fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 1023 })).map(([high, low]) => {
    return BigInt(high * 1024 + low) << 12n;
  }),
  page: fc.integer({ min: 0, max: 5 }),
  kind: fc.constantFrom('read' as const, 'write' as const, 'code' as const),
});

function setUp() {
  const view = new DataView(new ArrayBuffer(ARENA));
  const tlb = new SoftwareTlb(view);
  const inContext = (n: number): void => view.setInt32(CONTEXT, CONTEXTS + n * CONTEXT_SIZE, true);
  const find = ({ context, linear, kind }: Fill): number | undefined => {
    inContext(context);
    const at = kind === 'code' ? tlb.findCode(linear) : tlb.find(linear, kind);
    return kind === 'code' || at === undefined ? at : at >> 12;
  };
  const add = ({ context, linear, page, kind }: Fill): void => {
    inContext(context);
    if (kind === 'code') tlb.fillCode(linear, page);
    else tlb.fill(linear, page, kind === 'write');
  };
  return { view, tlb, inContext, find, add };
}

/** A page has one place for as long as nothing is flushed: later fills of the same address agree with the first. */
function consistent(fills: readonly Fill[]): Fill[] {
  const pages = new Map<string, number>();
  return fills.map((f) => {
    const key = `${f.context} ${f.linear}`;
    const page = pages.get(key) ?? f.page;
    pages.set(key, page);
    return { ...f, page };
  });
}

const few = fc.array(fill, { maxLength: 40 });
const many = fc.array(fill, { minLength: 500, maxLength: 900 });

describe('software TLB', () => {
  it('finds what was filled last, never another page', () => {
    fc.assert(
      fc.property(few, (all) => {
        const { add, find } = setUp();
        const fills = consistent(all);
        for (const f of fills) {
          add(f);
          assert.equal(find(f), f.page);
        }
        for (const f of fills) assert.ok([undefined, f.page].includes(find(f)));
      }),
      { numRuns: 100 },
    );
  });

  it('knows nothing after a flush, and nothing of a page that is forgotten', () => {
    fc.assert(
      fc.property(fc.oneof(few, many), (all) => {
        const { tlb, add, find } = setUp();
        const fills = consistent(all);
        for (const f of fills) add(f);
        tlb.forgetPage(3);
        for (const f of fills) if (f.page === 3) assert.equal(find(f), undefined);
        tlb.forbidWrites(2);
        for (const f of fills) if (f.page === 2 && f.kind === 'write') assert.equal(find(f), undefined);
        tlb.flush();
        for (const f of fills) assert.equal(find(f), undefined);
      }),
      { numRuns: 60 },
    );
  });
});

describe('jump cache', () => {
  it('knows nothing after a flush, however much it has remembered', () => {
    for (const count of [0, 1, 511, 512, 513, 5000]) {
      const { view, inContext } = setUp();
      const jumps = new JumpCache(view);
      for (let n = 0; n < count; n++) {
        inContext(n % CONTEXT_COUNT);
        jumps.remember(BigInt(n * 7), 0x1000 + n);
        assert.equal(jumps.find(BigInt(n * 7)), 0x1000 + n);
      }
      jumps.flush();
      for (let n = 0; n < count; n++) {
        inContext(n % CONTEXT_COUNT);
        assert.equal(jumps.find(BigInt(n * 7)), undefined);
      }
      inContext(0);
      assert.equal(jumps.find(0xffff_ffff_ffff_ffffn), undefined);
    }
  });
});
