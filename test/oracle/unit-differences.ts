import { toHex } from '../../engine/bytes.js';
import type { GeneratedCase } from './generate.js';

/** Compares FXSAVE images of both, with what may differ between processors. */

interface Field {
  readonly name: string;
  readonly at: number;
  readonly bytes: number;
}
const FIELDS: readonly Field[] = [
  { name: 'fcw', at: 0, bytes: 2 },
  { name: 'fsw', at: 2, bytes: 2 },
  { name: 'ftw', at: 4, bytes: 1 },
  { name: 'fop', at: 6, bytes: 2 },
  // Kept with as many bits as the processor's linear addresses have: 48 or 57.
  { name: 'fip', at: 8, bytes: 6 },
  { name: 'fdp', at: 16, bytes: 6 },
  { name: 'mxcsr', at: 24, bytes: 4 },
  ...Array.from({ length: 8 }, (_, n) => ({ name: `st${n}`, at: 32 + 16 * n, bytes: 10 })),
  ...Array.from({ length: 16 }, (_, n) => ({ name: `xmm${n}`, at: 160 + 16 * n, bytes: 16 })),
];

const reversed = (bytes: Uint8Array): string => toHex(Uint8Array.from(bytes).reverse());

/** Functions that processors round in their own way, within one unit in the last place; C1 tells which way. */
export const APPROXIMATE = /^(RCP|RSQRT)|^(F2XM1|FYL2X|FYL2XP1|FPTAN|FPATAN|FSIN|FCOS|FSINCOS)$/;
const C1 = 0x200;

const near = (a: Uint8Array, b: Uint8Array): boolean => {
  // The integer bit does not count: the next exponent follows the largest significand.
  const value = (bytes: Uint8Array): bigint => {
    const bits = BigInt(`0x${reversed(bytes)}`);
    return ((bits >> 64n) << 63n) | (bits & ((1n << 63n) - 1n));
  };
  const distance = value(a) - value(b);
  return distance >= -1n && distance <= 1n;
};

/** Relative error of both processors' tables together: twice 1.5 × 2^-12. */
const TABLE_ERROR = 3 * 2 ** -12;

function nearLanes(a: Uint8Array, b: Uint8Array): boolean {
  const [x, y] = [a, b].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset, 16));
  if (!x || !y) return false;
  return [0, 4, 8, 12].every((at) => {
    if (x.getUint32(at, true) === y.getUint32(at, true)) return true;
    const [p, q] = [x.getFloat32(at, true), y.getFloat32(at, true)];
    return Number.isFinite(p) && Number.isFinite(q) && Math.abs(p - q) <= TABLE_ERROR * Math.abs(q);
  });
}

export function unitDifferences({ rows }: GeneratedCase, ours: Uint8Array, native: Uint8Array): string[] {
  const approximate = rows.some((row) => APPROXIMATE.test(row.semantics));
  return FIELDS.flatMap(({ name, at, bytes }) => {
    const [a, b] = [ours, native].map((image) => image.slice(at, at + bytes));
    if (a === undefined || b === undefined) return [];
    if (approximate && /^st/.test(name) && near(a, b)) return [];
    if (approximate && /^xmm/.test(name) && nearLanes(a, b)) return [];
    if (approximate && name === 'fsw') for (const word of [a, b]) word[1] = (word[1] ?? 0) & ~(C1 >> 8);
    return reversed(a) === reversed(b) ? [] : [`${name} ${reversed(a)}, native ${reversed(b)}`];
  });
}

/** The state before, where it can matter: of the x87 unit for x87 and MMX instructions, of the XMM unit for others. */
export function describeUnits({ unit, rows }: GeneratedCase): string {
  const x87 = rows.some(
    (row) => (row.map === 0 && row.opcode >= 0xd8 && row.opcode <= 0xdf) || /MMX/.test(row.semantics),
  );
  const vectors = rows.some((row) => row.operands.some((o) => /^[VWU]/.test(o)));
  const shown = (name: string): boolean =>
    /^(f[cst]w|st\d)$/.test(name) ? x87 : name === 'mxcsr' || /^xmm[0-7]$/.test(name) ? vectors : false;
  return FIELDS.filter(({ name }) => shown(name))
    .map(({ name, at, bytes }) => ` ${name}=${reversed(unit.subarray(at, at + bytes))}`)
    .join('');
}
