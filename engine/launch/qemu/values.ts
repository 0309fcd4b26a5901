/** Values as QEMU parses them. QEMU util/cutils.c, qapi/qobject-input-visitor.c, util/qemu-option.c. */

/** Decimal, `0x` hexadecimal or `0` octal, as strtoull with base 0; undefined if it is none or too large. */
export function parseUnsigned(text: string): bigint | undefined {
  const digits = text.trim().replace(/^\+/, '');
  if (!/^(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.test(digits)) return undefined;
  const value = /^0[0-7]+$/.test(digits) ? BigInt(`0o${digits.slice(1)}`) : BigInt(digits);
  return value < 1n << 64n ? value : undefined;
}

/** `on` and `off`; also yes, no, true, false, y, n. */
export function parseSwitch(text: string): boolean | undefined {
  if (['on', 'yes', 'true', 'y'].includes(text)) return true;
  return ['off', 'no', 'false', 'n'].includes(text) ? false : undefined;
}

const UNITS: Readonly<Record<string, number>> = { B: 0, K: 1, M: 2, G: 3, T: 4, P: 5, E: 6 };

/** A size with suffix B, K, M, G, T, P or E in powers of 1024; `unit` without one. Up to 2^53. */
export function parseSize(text: string, unit: keyof typeof UNITS): number | undefined {
  const match = /^(\d+(?:\.\d+)?|0x[0-9a-f]+)([BKMGTPE]?)$/i.exec(text.trim());
  if (!match) return undefined;
  const power = UNITS[(match[2] || unit).toString().toUpperCase()] ?? 0;
  const size = Number(match[1]) * 1024 ** power;
  return Number.isSafeInteger(size) ? size : undefined;
}

/** The largest unit in which a size is a whole number: `512M`. */
export function formatSize(size: number): string {
  for (const [suffix, power] of [
    ['T', 4],
    ['G', 3],
    ['M', 2],
    ['K', 1],
  ] as const) {
    if (size > 0 && size % 1024 ** power === 0) return `${size / 1024 ** power}${suffix}`;
  }
  return `${size}B`;
}
