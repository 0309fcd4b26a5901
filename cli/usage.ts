import { type ParseArgsConfig, parseArgs } from 'node:util';
import { parseNumber } from '../engine/launch/grammar/number.js';
import { nearest } from '../engine/launch/grammar/suggest.js';

/** The command line is wrong: exit status 2. */
export class UsageError extends Error {
  constructor(
    message: string,
    /** The verb whose help may answer it. */
    readonly verb?: string,
  ) {
    super(message);
  }
}

type Options = NonNullable<ParseArgsConfig['options']>;

/** node:util parseArgs with messages for people; every verb understands `--help`. */
export function parseCommand<O extends Options>(verb: string, args: readonly string[], options: O) {
  const all = { ...options, help: { type: 'boolean', short: 'h' } } as const;
  try {
    return parseArgs({ args: [...args], options: all, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(describe(error, Object.keys(all)), verb);
  }
}

function describe(error: unknown, names: readonly string[]): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const option = /'-?(-[^\s',]+)/.exec(message)?.[1];
  const given = /'(--?[^\s',<]+)/.exec(message)?.[1] ?? option ?? '';
  switch (code) {
    case 'ERR_PARSE_ARGS_UNKNOWN_OPTION': {
      const meant = nearest(given.replace(/^-+/, ''), names);
      return `unknown option ${given}${meant ? `; did you mean --${meant}?` : ''}`;
    }
    case 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE': {
      const name = /(--[a-z-]+)/.exec(message)?.[1] ?? given;
      if (/does not take/.test(message)) return `${name} takes no value`;
      return /ambiguous/.test(message)
        ? `${name} needs a value; one that starts with a dash is written ${name}=VALUE`
        : `${name} needs a value`;
    }
    default:
      return message;
  }
}

/** Unsigned integer in decimal or `0x` hex. */
export function parseCount(text: string, option: string, verb: string, max: number): number {
  const value = parseInteger(text);
  if (value === undefined) throw new UsageError(`${option} wants a number, not '${text}'`, verb);
  if (value < 0n || value > BigInt(max)) throw new UsageError(`${option} wants a number from 0 to ${max}`, verb);
  return Number(value);
}

/** Decimal or `0x` hex, with or without a minus; undefined if it is none. */
export function parseInteger(text: string): bigint | undefined {
  const parsed = parseNumber(text.trim(), false);
  return parsed.ok ? parsed.value : undefined;
}
