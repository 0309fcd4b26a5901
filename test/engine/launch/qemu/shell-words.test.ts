import assert from 'node:assert/strict';
import fc from 'fast-check';
import { escapeCommas, parseKeyValues } from '../../../../engine/launch/qemu/keyval.js';
import { quoteShell, splitShell } from '../../../../engine/launch/qemu/shell-words.js';
import { formatSize, parseSize, parseSwitch, parseUnsigned } from '../../../../engine/launch/qemu/values.js';

const words = (text: string): string[][] =>
  splitShell(text).commands.map((command) => command.map((word) => word.text));

describe('words of a shell', () => {
  const cases: readonly (readonly [string, string, readonly (readonly string[])[]])[] = [
    ['words and white space', 'a  b\tc', [['a', 'b', 'c']]],
    ['single quotes', "a 'b \\ \"c' d", [['a', 'b \\ "c', 'd']]],
    ['double quotes', 'a "b \\" \\\\ \\x $" c', [['a', 'b " \\ \\x $', 'c']]],
    ['an escape', 'a\\ b c', [['a b', 'c']]],
    ['adjacent quotes', 'a\'b\'"c"d', [['abcd']]],
    ['empty words', `a '' ""`, [['a', '', '']]],
    ['a continued line', 'a \\\n  b\\\nc', [['a', 'bc']]],
    ['a continued line of Windows', 'a \\\r\n b', [['a', 'b']]],
    ['a line with a dash', 'a -b\n  -c d\ne', [['a', '-b', '-c', 'd'], ['e']]],
    [
      'a comment',
      '# x\na b # c\nd e#f',
      [
        ['a', 'b'],
        ['d', 'e#f'],
      ],
    ],
    ['several commands', 'a; b && c | d & e', [['a'], ['b'], ['c'], ['d'], ['e']]],
    ['redirections', 'a >/dev/null b 2>&1 < f c', [['a', 'b', 'c']]],
    ['variables', 'X=1 Y="a b"\nexport Z=3\nrun $X "$Y" $'.concat('{Z}x $Y'), [['run', '1', 'a b', '3x', 'a', 'b']]],
    ['an unset variable', 'a $b "$c"', [['a', '$b', '$c']]],
    ['a dollar sign alone', 'a $ "b$"', [['a', '$', 'b$']]],
  ];
  for (const [what, text, expected] of cases) it(what, () => assert.deepEqual(words(text), expected));

  it('what only a shell knows is reported', () => {
    const text = 'a $b $(c) `d` "e';
    assert.deepEqual(
      splitShell(text).problems.map((p) => [p.kind, text.slice(p.range.start, p.range.end)]),
      [
        ['variable', '$b'],
        ['substitution', '$('],
        ['substitution', '`'],
        ['substitution', '`'],
        ['quote', '"'],
      ],
    );
  });

  it('each character knows its place', () => {
    const text = `run "a\\"b" 'c'd`;
    const [, first, second] = splitShell(text).commands[0] ?? [];
    assert.deepEqual(
      first?.offsets.map((at) => text.charAt(at)),
      [...(first?.text ?? '')],
    );
    assert.deepEqual(
      second?.offsets.map((at) => text.charAt(at)),
      ['c', 'd'],
    );
  });

  it('what is quoted comes back', () => {
    const word = fc.string({ unit: 'grapheme' }).filter((w) => !w.includes('\0'));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1 }), (list) => {
        const line = list.map((w) => (w === '' ? "''" : quoteShell(w))).join(' ');
        assert.deepEqual(words(`run ${line}`), [['run', ...list]]);
      }),
    );
  });
});

describe('key=value lists of QEMU', () => {
  const pairs = (text: string, implied?: string) =>
    parseKeyValues(splitShell(`run ${quoteShell(text)}`).commands[0]?.[1] ?? assert.fail(), implied).map((p) => [
      p.key,
      p.value,
      p.short,
    ]);
  const cases: readonly (readonly [string, string | undefined, readonly (readonly [string, string, boolean])[]])[] = [
    [
      'a=1,b=2',
      undefined,
      [
        ['a', '1', false],
        ['b', '2', false],
      ],
    ],
    [
      'q35,a=1',
      'type',
      [
        ['type', 'q35', false],
        ['a', '1', false],
      ],
    ],
    [
      'a=x,,y,b=',
      undefined,
      [
        ['a', 'x,y', false],
        ['b', '', false],
      ],
    ],
    [
      'a,b=1,c',
      undefined,
      [
        ['a', 'on', true],
        ['b', '1', false],
        ['c', 'on', true],
      ],
    ],
    ['a=b=c', undefined, [['a', 'b=c', false]]],
  ];
  for (const [text, implied, expected] of cases) it(text, () => assert.deepEqual(pairs(text, implied), expected));

  it('escaped commas come back', () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }).filter((v) => !/[\0\r\n]/.test(v)),
        (value) => {
          assert.deepEqual(pairs(`k=${escapeCommas(value)},l=1`), [
            ['k', value, false],
            ['l', '1', false],
          ]);
        },
      ),
    );
  });
});

describe('values of QEMU', () => {
  it('numbers', () => {
    assert.deepEqual(['51', '0x30000', '010', '-1', 'abc', '0x1_0', `${1n << 64n}`].map(parseUnsigned), [
      51n,
      0x3_0000n,
      8n,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
  it('switches', () =>
    assert.deepEqual(['on', 'off', 'yes', 'false', '1'].map(parseSwitch), [true, false, true, false, undefined]));
  it('sizes', () => {
    assert.deepEqual(
      ['512', '4G', '1.5g', '64k', '2T', 'x', '12Q'].map((t) => parseSize(t, 'M')),
      [2 ** 29, 2 ** 32, 1.5 * 2 ** 30, 2 ** 16, 2 ** 41, undefined, undefined],
    );
    assert.equal(parseSize('4096', 'B'), 4096);
  });
  it('a size that is written is read again', () => {
    fc.assert(
      fc.property(
        fc.nat(2 ** 31).map((n) => n * 1024),
        (size) => assert.equal(parseSize(formatSize(size), 'M'), size),
      ),
    );
  });
});
