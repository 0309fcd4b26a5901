import * as assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { changedRange, nodeId, pageNodes, rangeNodes } from '../../../../client/views/rmp/nodes.js';
import { arrange, createUnfolded, type RangeRow, toggle } from '../../../../client/views/rmp/unfolded.js';
import type { RmpRange } from '../../../../debug-adapter/protocol.js';

const NO_LIMITS = new Map<string, number>();

/** Ranges by their first page and length. */
function ranges(...sizes: readonly (readonly [first: number, pages: number])[]): RmpRange[] {
  return sizes.map(([first, pages]) => ({
    start: `0x${(first * 4096).toString(16)}`,
    pages,
    state: 'Guest-Valid',
    asid: 1,
    changed: 0,
  }));
}

const open = (rows: ReadonlyMap<string, RangeRow>): string[] =>
  [...rows].filter(([, row]) => row.unfolded).map(([start]) => start);

describe('unfolded ranges', () => {
  const steps = (before: RmpRange[], unfold: string, after: RmpRange[], limits = NO_LIMITS) => {
    const unfolded = createUnfolded();
    arrange(unfolded, before, limits);
    const node = rangeNodes(before).find((each) => each.kind === 'range' && each.range.start === unfold);
    assert.ok(node);
    toggle(unfolded, node, true);
    return arrange(unfolded, after, limits);
  };

  const cases: [string, RmpRange[], string, RmpRange[], string[]][] = [
    ['stay when nothing changes', ranges([0, 4], [4, 4]), '0x4000', ranges([0, 4], [4, 4]), ['0x4000']],
    ['stay when they begin later', ranges([0, 4], [4, 8]), '0x4000', ranges([0, 5], [5, 7]), ['0x0', '0x5000']],
    [
      'are all the parts of a range that split',
      ranges([0, 9]),
      '0x0',
      ranges([0, 3], [3, 1], [4, 5]),
      ['0x0', '0x3000', '0x4000'],
    ],
    ['are the range that swallowed them', ranges([0, 4], [4, 1]), '0x4000', ranges([0, 5]), ['0x0']],
    ['are not the neighbours', ranges([0, 4], [4, 4], [8, 4]), '0x4000', ranges([0, 4], [4, 4], [8, 4]), ['0x4000']],
    ['are not the parts that were never on show', ranges([0, 5000]), '0x0', ranges([0, 3000], [3000, 2000]), ['0x0']],
  ];
  for (const [name, before, unfold, after, expected] of cases) {
    it(name, () => assert.deepEqual(open(steps(before, unfold, after)), expected));
  }

  it('count what "more" has shown', () => {
    const rows = steps(ranges([0, 5000]), '0x0', ranges([0, 300], [300, 4700]), new Map([['0x0', 512]]));
    assert.deepEqual(open(rows), ['0x0', '0x12c000']);
  });

  it('get another id where VS Code knows the row as folded, and keep it', () => {
    const after = ranges([0, 5]);
    const rows = steps(ranges([0, 4], [4, 1]), '0x4000', after);
    const [node] = rangeNodes(after, false, rows);
    const [before] = rangeNodes(ranges([0, 4]));
    assert.ok(node && before);
    assert.notEqual(nodeId(node), nodeId(before));
    const unfolded = createUnfolded();
    unfolded.rows = new Map([['0x0', { unfolded: true, turn: 1, pages: 5 }]]);
    assert.deepEqual(arrange(unfolded, after, NO_LIMITS).get('0x0'), { unfolded: true, turn: 1, pages: 5 });
  });

  it('stay folded once they are folded', () => {
    const unfolded = createUnfolded();
    const all = ranges([0, 4]);
    arrange(unfolded, all, NO_LIMITS);
    const [node] = rangeNodes(all);
    assert.ok(node);
    toggle(unfolded, node, true);
    arrange(unfolded, all, NO_LIMITS);
    toggle(unfolded, node, false);
    assert.deepEqual(open(arrange(unfolded, all, NO_LIMITS)), []);
  });

  it('show the fields of the same pages in any range', () => {
    const unfolded = createUnfolded();
    const page = { spa: '0x1000', state: 'Guest-Valid', changed: false, raw: '', fields: [] } as const;
    const [range] = ranges([0, 2]);
    assert.ok(range);
    const shown = () => pageNodes(range, [page], unfolded.pages).map((node) => node.kind === 'page' && node.unfolded);
    assert.deepEqual(shown().slice(0, 1), [false]);
    const [node] = pageNodes(range, [page]);
    assert.ok(node);
    toggle(unfolded, node, true);
    assert.deepEqual(shown().slice(0, 1), [true]);
  });

  it('never lose a page that was on show, however ranges split and merge', () => {
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 199 }), { maxLength: 12 });
    const table = (at: readonly number[]): RmpRange[] => {
      const edges = [0, ...[...at].sort((a, b) => a - b), 200];
      return ranges(...edges.slice(0, -1).map((edge, i): [number, number] => [edge, (edges[i + 1] ?? 0) - edge]));
    };
    fc.assert(
      fc.property(cuts, cuts, fc.nat(), (one, two, pick) => {
        const before = table(one);
        const chosen = before[pick % before.length];
        assert.ok(chosen);
        const rows = steps(before, chosen.start, table(two));
        const first = Number(chosen.start) / 4096;
        for (const { start, pages } of table(two)) {
          const at = Number(start) / 4096;
          assert.equal(rows.get(start)?.unfolded, at < first + chosen.pages && first < at + pages);
        }
      }),
    );
  });
});

describe('the change of a step', () => {
  it("is the guest's first, else the first", () => {
    const [a, b, c] = ranges([0, 1], [1, 1], [2, 1]);
    assert.ok(a && b && c);
    const host = { ...a, asid: 0, changed: 3 };
    assert.equal(changedRange([host, b, { ...c, changed: 1 }])?.start, c.start);
    assert.equal(changedRange([b, host])?.start, host.start);
    assert.equal(changedRange([b, c]), undefined);
  });
});
