import type { Encoding, MandatoryPrefix, OpcodeMap } from './encoding.js';
import { MMX } from './mmx.js';
import { NOT_EXECUTED } from './not-executed.js';
import { ONE_BYTE } from './one-byte.js';
import { SSE } from './sse.js';
import { TWO_BYTE } from './two-byte.js';
import { X87 } from './x87.js';

/** The one table of encodings, and its index for the decoder. */

export const ENCODINGS: readonly Encoding[] = [...ONE_BYTE, ...X87, ...TWO_BYTE, ...MMX, ...SSE, ...NOT_EXECUTED].map(
  (row, id) => ({ ...row, id }),
);

function specificity(encoding: Encoding): number {
  const { rm, extension, mod, prefix } = encoding;
  return [rm, extension, mod, prefix].reduce<number>((n, part) => n * 2 + (part === undefined ? 0 : 1), 0);
}

/** Rows by map and opcode byte, the most specific first, so that the first match is the right one. */
function buildIndex(): readonly (readonly (readonly Encoding[])[])[] {
  const index = [0, 1, 2, 3].map(() => Array.from({ length: 256 }, (): Encoding[] => []));
  for (const encoding of ENCODINGS) {
    const count = encoding.registerInOpcode ? 8 : 1;
    for (let k = 0; k < count; k++) index[encoding.map]?.[encoding.opcode + k]?.push(encoding);
  }
  for (const map of index) for (const rows of map) rows.sort((a, b) => specificity(b) - specificity(a));
  return index;
}

const INDEX = buildIndex();
const NONE: readonly Encoding[] = [];

/** All rows that share an opcode byte of a map. */
export function candidates(map: OpcodeMap, opcode: number): readonly Encoding[] {
  return INDEX[map]?.[opcode] ?? NONE;
}

/** Does any row of this opcode need a ModRM byte? All rows of one opcode agree in this within one mode. */
export function hasModRm(encoding: Encoding): boolean {
  return (
    encoding.extension !== undefined ||
    encoding.mod !== undefined ||
    encoding.operands.some((kind) => /^[EGMRVWUPQNCDS][a-z]/.test(kind) || kind === 'M')
  );
}

export type { Encoding, MandatoryPrefix, OpcodeMap };
