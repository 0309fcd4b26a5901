import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ExpressionError } from '../../../debug-adapter/evaluate/lexer.js';
import { type Expression, parseExpression } from '../../../debug-adapter/evaluate/parser.js';

/** Fully parenthesised, to show how an expression was understood. */
function show(e: Expression): string {
  switch (e.kind) {
    case 'number':
      return String(e.value);
    case 'text':
      return JSON.stringify(e.value);
    case 'flag':
      return String(e.value);
    case 'name':
      return e.name;
    case 'address':
      return `${e.space}:${show(e.value)}`;
    case 'member':
      return `${show(e.of)}.${e.name}`;
    case 'item':
      return `${show(e.of)}[${show(e.index)}]`;
    case 'call':
      return `${e.name}(${e.args.map(show).join(', ')})`;
    case 'unary':
      return `(${e.sign}${show(e.of)})`;
    case 'binary':
      return `(${show(e.left)} ${e.sign} ${show(e.right)})`;
  }
}

describe('expression parser', () => {
  const understood: [string, string][] = [
    ['1 + 2 * 3', '(1 + (2 * 3))'],
    ['0x1000', '4096'],
    ['4KiB', '4096'],
    ['1_000', '1000'],
    ['0b101', '5'],
    ['gctx.policy & 1 == 1', '((gctx.policy & 1) == 1)'],
    ['1 << 2 + 3', '(1 << (2 + 3))'],
    ['a == 1 && b != 2 || !c', '(((a == 1) && (b != 2)) || (!c))'],
    ['rmp(spa:0x1000).asid', 'rmp(spa:4096).asid'],
    ['rmp(0x800000 + 4KiB)', 'rmp((8388608 + 4096))'],
    ['gctx.measured[3].gpa', 'gctx.measured[3].gpa'],
    ['a-b', '(a - b)'],
    ['a - b', '(a - b)'],
    ['5-3-1', '((5 - 3) - 1)'],
    [`state == 'LAUNCH'`, '(state == "LAUNCH")'],
    ['-(1)', '(-1)'],
    ['f()', 'f()'],
    ['f(1, 2)', 'f(1, 2)'],
  ];
  for (const [source, tree] of understood)
    it(`understands ${source}`, () => assert.equal(show(parseExpression(source)), tree));

  const refused: [string, RegExp][] = [
    ['', /Type an expression/],
    ['1 +', /ends too early/],
    ['(1', /Expected \) at the end/],
    ['1 2', /Unexpected 2/],
    ['a.', /Expected a field name/],
    ['a.1', /Expected a field name/],
    ['12abc', /12abc is not a number/],
    ['0x', /not a number/],
    ['#', /Unexpected character #/],
    [`'open`, /Unexpected character '/],
    ['f(1', /Expected \) at the end/],
    [')', /Unexpected \)/],
    ['('.repeat(200), /nested too deeply/],
    ['!'.repeat(200), /nested too deeply/],
    ['1'.repeat(3000), /too long/],
  ];
  for (const [source, message] of refused) {
    it(`refuses ${source.slice(0, 20) || 'nothing'}`, () => {
      assert.throws(
        () => parseExpression(source),
        (error) => error instanceof ExpressionError && message.test(error.message),
      );
    });
  }

  it('answers any text with a tree or an ExpressionError', () => {
    const words = fc.constantFrom(
      '(',
      ')',
      '[',
      ']',
      '.',
      ',',
      ':',
      'rmp',
      'gctx',
      '0x10',
      '1',
      '"a"',
      '-',
      '!',
      '&&',
      '==',
      ' ',
    );
    const sources = fc.oneof(
      fc.string(),
      fc.array(words, { maxLength: 40 }).map((list) => list.join('')),
    );
    fc.assert(
      fc.property(sources, (source) => {
        try {
          parseExpression(source);
        } catch (error) {
          assert.ok(error instanceof ExpressionError, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});
