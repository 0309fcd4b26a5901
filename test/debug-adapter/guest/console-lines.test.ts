import assert from 'node:assert/strict';
import { addConsoleText, createConsoleLines, flushConsole } from '../../../debug-adapter/guest/console-lines.js';

describe("lines of the guest's consoles", () => {
  it('are shown when they end, each device apart from the other', () => {
    const lines = createConsoleLines();
    assert.deepEqual(addConsoleText(lines, 'serial', 'Hel'), []);
    assert.deepEqual(addConsoleText(lines, 'debugcon', 'x'), []);
    assert.deepEqual(addConsoleText(lines, 'serial', 'lo\r\nnext\nrest'), ['Hello\n', 'next\n']);
    assert.deepEqual(addConsoleText(lines, 'debugcon', 'y\n'), ['debugcon: xy\n']);
    assert.deepEqual(flushConsole(lines), ['rest\n']);
    assert.deepEqual(flushConsole(lines), []);
  });

  it('lose control sequences of terminals', () => {
    const lines = createConsoleLines();
    assert.deepEqual(addConsoleText(lines, 'serial', '\x1b[2J\x1b[1;31mred\x1b[0m\n'), ['red\n']);
  });

  it('are cut where they never end', () => {
    const lines = createConsoleLines();
    const pieces = addConsoleText(lines, 'serial', 'z'.repeat(10_000));
    assert.deepEqual(
      pieces.map((piece) => piece.length - 1),
      [4096, 4096],
    );
    assert.equal(flushConsole(lines)[0]?.length, 10_000 - 8192 + 1);
  });
});
