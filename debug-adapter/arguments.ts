import { userErrors } from './errors.js';

/** Reads arguments of a request: clients may send anything, and a wrong type is an answer, never a crash. */
export type RawArguments = Readonly<Record<string, unknown>>;

export function asRecord(value: unknown): RawArguments {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as RawArguments) : {};
}

export function text(args: RawArguments, name: string): string {
  const value = args[name];
  if (typeof value !== 'string') throw userErrors.badArgument(name, 'a text');
  return value;
}

export function optionalText(args: RawArguments, name: string): string | undefined {
  const value = args[name];
  if (value === undefined || value === null) return undefined;
  return text(args, name);
}

export function integer(args: RawArguments, name: string): number {
  const value = args[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw userErrors.badArgument(name, 'an integer');
  return value;
}

export function optionalInteger(args: RawArguments, name: string): number | undefined {
  const value = args[name];
  return value === undefined || value === null ? undefined : integer(args, name);
}

export function flag(args: RawArguments, name: string, otherwise: boolean): boolean {
  const value = args[name];
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== 'boolean') throw userErrors.badArgument(name, 'true or false');
  return value;
}

export function list(args: RawArguments, name: string): readonly unknown[] {
  const value = args[name];
  if (!Array.isArray(value)) throw userErrors.badArgument(name, 'a list');
  return value;
}

export function optionalList(args: RawArguments, name: string): readonly unknown[] {
  const value = args[name];
  return value === undefined || value === null ? [] : list(args, name);
}

export function texts(args: RawArguments, name: string): readonly string[] {
  return list(args, name).map((item) => {
    if (typeof item !== 'string') throw userErrors.badArgument(name, 'a list of texts');
    return item;
  });
}
