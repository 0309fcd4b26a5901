/** Distinguished encoding rules, as far as certificates need them: values only, no reading. ITU-T X.690. */

export type Der = Uint8Array;

function length(n: number): readonly number[] {
  if (n < 0x80) return [n];
  const bytes: number[] = [];
  for (let rest = n; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}

function tagged(tag: number, ...parts: readonly (Der | readonly number[])[]): Der {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return new Uint8Array(Buffer.concat([Buffer.from([tag, ...length(content.length)]), content]));
}

export const sequence = (...parts: readonly Der[]): Der => tagged(0x30, ...parts);
export const set = (...parts: readonly Der[]): Der => tagged(0x31, ...parts);
export const octetString = (bytes: Der): Der => tagged(0x04, bytes);
export const bitString = (bytes: Der, unusedBits = 0): Der => tagged(0x03, [unusedBits], bytes);
export const boolean = (value: boolean): Der => tagged(0x01, [value ? 0xff : 0]);
export const nothing = (): Der => tagged(0x05);
export const utf8String = (text: string): Der => tagged(0x0c, Buffer.from(text));
export const ia5String = (text: string): Der => tagged(0x16, Buffer.from(text, 'latin1'));
/** [n] EXPLICIT. */
export const explicit = (n: number, part: Der): Der => tagged(0xa0 | n, part);
/** [n] IMPLICIT of a primitive type. */
export const implicit = (n: number, bytes: Der): Der => tagged(0x80 | n, bytes);

/** A number that is not negative. */
export function integer(value: number | bigint): Der {
  const digits = BigInt(value).toString(16);
  const bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
  return tagged(0x02, (bytes[0] ?? 0) >= 0x80 ? [0] : [], bytes);
}

/** `1.3.6.1`. */
export function objectId(text: string): Der {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc % 128];
    for (let n = Math.floor(arc / 128); n > 0; n = Math.floor(n / 128)) digits.unshift(0x80 | (n % 128));
    return digits;
  });
  return tagged(0x06, bytes);
}

/** UTCTime up to 2049, GeneralizedTime from 2050 on. RFC 5280, 4.1.2.5. */
export function time(date: Date): Der {
  const text = `${date.toISOString().replace(/[-:T]|\.\d+/g, '')}`;
  return date.getUTCFullYear() < 2050 ? tagged(0x17, Buffer.from(text.slice(2))) : tagged(0x18, Buffer.from(text));
}
