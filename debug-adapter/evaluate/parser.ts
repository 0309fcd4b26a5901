import { ExpressionError, type Token, tokenize } from './lexer.js';

export type Expression =
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'flag'; readonly value: boolean }
  | { readonly kind: 'name'; readonly name: string }
  /** `spa:0x1000`: a number in another address space. */
  | { readonly kind: 'address'; readonly space: string; readonly value: Expression }
  | { readonly kind: 'member'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'item'; readonly of: Expression; readonly index: Expression }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | { readonly kind: 'unary'; readonly sign: string; readonly of: Expression }
  | { readonly kind: 'binary'; readonly sign: string; readonly left: Expression; readonly right: Expression };

/** Loosest first. Comparison binds looser than the bit operators, unlike C: `gctx.policy & 1 == 1` means what it says. */
const LEVELS: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['==', '!=', '<', '<=', '>', '>='],
  ['|'],
  ['^'],
  ['&'],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
];
const MAX_DEPTH = 50;

/** Throws an ExpressionError. */
export function parseExpression(source: string): Expression {
  const parser = new Parser(tokenize(source));
  return parser.whole();
}

class Parser {
  private at = 0;
  private depth = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  whole(): Expression {
    if (this.peek().kind === 'end') throw new ExpressionError('Type an expression; help lists what there is.', 0);
    const expression = this.binary(0);
    const rest = this.peek();
    if (rest.kind !== 'end') throw new ExpressionError(`Unexpected ${rest.value}.`, rest.start);
    return expression;
  }

  private peek(): Token {
    // The last token is always `end`.
    return this.tokens[Math.min(this.at, this.tokens.length - 1)] ?? { kind: 'end', value: '', start: 0, end: 0 };
  }

  private sign(value: string): boolean {
    const token = this.peek();
    if (token.kind !== 'sign' || token.value !== value) return false;
    this.at++;
    return true;
  }

  private need(value: string): void {
    const token = this.peek();
    if (!this.sign(value)) throw new ExpressionError(`Expected ${value} at ${token.value || 'the end'}.`, token.start);
  }

  private binary(level: number): Expression {
    const signs = LEVELS[level];
    if (!signs) return this.unary();
    let left = this.binary(level + 1);
    for (;;) {
      const token = this.peek();
      if (token.kind !== 'sign' || !signs.includes(token.value)) return left;
      this.at++;
      left = { kind: 'binary', sign: token.value, left, right: this.binary(level + 1) };
    }
  }

  private unary(): Expression {
    const token = this.peek();
    if (token.kind === 'sign' && ['!', '-', '~'].includes(token.value)) {
      this.at++;
      return this.nested(() => ({ kind: 'unary', sign: token.value, of: this.unary() }));
    }
    return this.postfix();
  }

  private postfix(): Expression {
    let expression = this.primary();
    for (;;) {
      if (this.sign('.')) {
        const token = this.peek();
        if (token.kind !== 'name') throw new ExpressionError('Expected a field name after the dot.', token.start);
        this.at++;
        expression = { kind: 'member', of: expression, name: token.value };
      } else if (this.sign('[')) {
        const of = expression;
        const index = this.nested(() => this.binary(0));
        this.need(']');
        expression = { kind: 'item', of, index };
      } else return expression;
    }
  }

  private primary(): Expression {
    const token = this.peek();
    this.at++;
    switch (token.kind) {
      case 'number':
        return { kind: 'number', value: token.value };
      case 'text':
        return { kind: 'text', value: token.value };
      case 'name':
        return this.named(token.value);
      case 'sign':
        if (token.value !== '(') throw new ExpressionError(`Unexpected ${token.value}.`, token.start);
        return this.nested(() => {
          const inner = this.binary(0);
          this.need(')');
          return inner;
        });
      case 'end':
        throw new ExpressionError('The expression ends too early.', token.start);
    }
  }

  private named(name: string): Expression {
    if (name === 'true' || name === 'false') return { kind: 'flag', value: name === 'true' };
    if (this.sign(':')) return { kind: 'address', space: name, value: this.nested(() => this.unary()) };
    if (!this.sign('(')) return { kind: 'name', name };
    const args: Expression[] = [];
    if (!this.sign(')')) {
      do args.push(this.nested(() => this.binary(0)));
      while (this.sign(','));
      this.need(')');
    }
    return { kind: 'call', name, args };
  }

  /** Bounds the recursion: an expression is input from outside. */
  private nested<T>(parse: () => T): T {
    if (++this.depth > MAX_DEPTH) throw new ExpressionError('The expression is nested too deeply.');
    const result = parse();
    this.depth--;
    return result;
  }
}
