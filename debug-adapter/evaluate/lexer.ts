export type Token =
  | { readonly kind: 'number'; readonly value: bigint; readonly start: number; readonly end: number }
  | { readonly kind: 'text'; readonly value: string; readonly start: number; readonly end: number }
  | { readonly kind: 'name'; readonly value: string; readonly start: number; readonly end: number }
  | { readonly kind: 'sign'; readonly value: string; readonly start: number; readonly end: number }
  | { readonly kind: 'end'; readonly value: ''; readonly start: number; readonly end: number };

/** An expression that cannot be parsed or answered; the message is for the person who typed it. */
export class ExpressionError extends Error {
  constructor(
    message: string,
    /** Offset in the expression, where there is one. */
    readonly offset?: number,
  ) {
    super(message);
    this.name = 'ExpressionError';
  }
}

export const MAX_EXPRESSION = 2000;

const SIZES: Readonly<Record<string, bigint>> = { kib: 1n << 10n, mib: 1n << 20n, gib: 1n << 30n, tib: 1n << 40n };
const SIGNS = /\|\||&&|==|!=|<=|>=|<<|>>|[-+*/%<>!~&|^().,:[\]]/y;
const NUMBER = /(0[xX][0-9a-fA-F_]+|0[bB][01_]+|\d[\d_]*)([A-Za-z]+)?/y;
const NAME = /[A-Za-z_$][\w$]*/y;
const TEXT = /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/y;

/** Throws an ExpressionError. The last token is always `end`. */
export function tokenize(source: string): readonly Token[] {
  if (source.length > MAX_EXPRESSION) throw new ExpressionError('The expression is too long.');
  const tokens: Token[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(source);
  };
  while (at < source.length) {
    if (/\s/.test(source[at] ?? '')) {
      at++;
      continue;
    }
    const start = at;
    const number = take(NUMBER);
    const name = number ? null : take(NAME);
    const text = number || name ? null : take(TEXT);
    const sign = number || name || text ? null : take(SIGNS);
    const match = number ?? name ?? text ?? sign;
    if (!match) throw new ExpressionError(`Unexpected character ${source[at]}.`, at);
    at += match[0].length;
    if (number) tokens.push({ kind: 'number', value: numberOf(number, start), start, end: at });
    else if (name) tokens.push({ kind: 'name', value: name[0], start, end: at });
    else if (text) tokens.push({ kind: 'text', value: text[0].slice(1, -1).replace(/\\(.)/g, '$1'), start, end: at });
    else tokens.push({ kind: 'sign', value: match[0], start, end: at });
  }
  tokens.push({ kind: 'end', value: '', start: source.length, end: source.length });
  return tokens;
}

function numberOf(match: RegExpExecArray, offset: number): bigint {
  const digits = (match[1] ?? '').replace(/_/g, '');
  const suffix = match[2]?.toLowerCase();
  const factor = suffix === undefined ? 1n : SIZES[suffix];
  if (factor === undefined || /^0[xb]$/i.test(digits)) {
    throw new ExpressionError(`${match[0]} is not a number; sizes end in KiB, MiB, GiB.`, offset);
  }
  return BigInt(digits) * factor;
}
