import assert from 'node:assert/strict';
import { bindLine } from '../../../debug-adapter/breakpoints/bind-line.js';

describe('binding of line breakpoints', () => {
  const stops = [
    { entry: 0, line: 1, endLine: 3 },
    { entry: 1, line: 4, endLine: 20 },
    { entry: 2, line: 10, endLine: 12 },
    { entry: 3, line: 13, endLine: 13 },
    { entry: 4, line: 25, endLine: 26 },
  ];
  const cases: [string, number, number, number][] = [
    ['the first line of an entry', 1, 0, 1],
    ['a line inside it moves to the first', 3, 0, 1],
    ['the smallest of nested entries', 12, 2, 10],
    ['the outer one between its parts', 15, 1, 4],
    ['a line between entries moves down', 22, 4, 25],
    ['a line above all', 0, 0, 1],
  ];
  for (const [name, line, entry, at] of cases) {
    it(name, () => assert.deepEqual(bindLine(line, stops), { bound: true, entry, line: at }));
  }

  it('refuses a line below all entries', () => {
    const binding = bindLine(30, stops);
    assert.ok(!binding.bound);
    assert.match(binding.message, /does nothing/);
  });

  it('takes the first of entries on the same lines', () => {
    const same = [
      { entry: 5, line: 2, endLine: 4 },
      { entry: 6, line: 2, endLine: 4 },
    ];
    assert.deepEqual(bindLine(3, same), { bound: true, entry: 5, line: 2 });
  });
});
