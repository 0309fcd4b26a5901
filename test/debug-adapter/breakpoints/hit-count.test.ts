import assert from 'node:assert/strict';
import { hitCondition } from '../../../debug-adapter/breakpoints/hit-count.js';

describe('hit conditions', () => {
  /** Which of the first ten hits stop. */
  const stops = (source: string): number[] => {
    const condition = hitCondition(source);
    assert.ok(condition);
    const hits = Array.from({ length: 10 }, (_, i) => i + 1);
    return hits.filter(() => condition.passes(undefined as never));
  };

  const cases: [string, number[]][] = [
    ['3', [3]],
    ['== 3', [3]],
    ['=3', [3]],
    ['> 8', [9, 10]],
    ['>=9', [9, 10]],
    ['<3', [1, 2]],
    ['<= 2', [1, 2]],
    ['% 4', [4, 8]],
    ['% 0', []],
  ];
  for (const [source, expected] of cases) it(source, () => assert.deepEqual(stops(source), expected));

  for (const source of ['', 'x', '3 times', '!= 3', '-1', '1e3', '99999999999']) {
    it(`refuses ${source || 'nothing'}`, () => assert.equal(hitCondition(source), undefined));
  }
});
