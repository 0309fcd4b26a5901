import { hex } from '../../engine/address.js';
import { toHex } from '../../engine/bytes.js';

/** What comparisons and arithmetic see of a value. */
export type Scalar = bigint | boolean | string;

/** A value as the Variables view, the hover and the evaluator show it. Children are made when somebody unfolds it. */
export interface View {
  readonly text: string;
  readonly type?: string;
  readonly scalar?: Scalar;
  /** Named children; their names can follow a dot in an expression. */
  readonly members?: () => readonly Member[];
  /** Numbered children, fetched in pages. */
  readonly items?: Items;
  /** Memory reference for readMemory. */
  readonly memory?: string;
  /** Changes the value in the machine; false if it cannot be changed now. Views without it are read-only. */
  readonly assign?: (value: bigint) => boolean;
}

export interface Member {
  readonly name: string;
  readonly view: View;
  /** No software can read this on a real machine. */
  readonly hidden?: boolean;
}

export interface Items {
  readonly count: number;
  readonly at: (index: number) => Member;
}

export const NOT_VISIBLE = 'not visible on real hardware';

export function numberView(value: number | bigint): View {
  const n = BigInt(value);
  return { text: n >= -9n && n <= 9n ? String(n) : `${hex(n)} (${n})`, type: 'number', scalar: n };
}

export function hexView(value: number | bigint): View {
  return { text: hex(value), type: 'number', scalar: BigInt(value) };
}

export function countView(value: number): View {
  return { text: String(value), type: 'number', scalar: BigInt(value) };
}

export function flagView(value: boolean): View {
  return { text: String(value), type: 'boolean', scalar: value };
}

export function textView(value: string): View {
  return { text: value, type: 'text', scalar: value };
}

export function absentView(why: string): View {
  return { text: why };
}

/** Short values (digests, ids) as hex text, comparable with a text of hex digits. */
export function bytesView(bytes: Uint8Array): View {
  return { text: toHex(bytes), type: `${bytes.length} bytes`, scalar: toHex(bytes) };
}

const ROW = 16;

/** Contents of a page: a preview, and rows of 16 bytes. */
export function dumpView(bytes: Uint8Array, memory?: string): View {
  const preview = toHex(bytes.subarray(0, ROW));
  return {
    text: bytes.length > ROW ? `${preview}…` : preview,
    type: `${bytes.length} bytes`,
    memory,
    items: {
      count: Math.ceil(bytes.length / ROW),
      at: (index) => {
        const row = bytes.subarray(index * ROW, (index + 1) * ROW);
        return { name: hex(index * ROW), view: { text: dumpRow(row) } };
      },
    },
  };
}

function dumpRow(row: Uint8Array): string {
  const digits = [...row].map((b) => b.toString(16).padStart(2, '0')).join(' ');
  const letters = [...row].map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.')).join('');
  return `${digits.padEnd(ROW * 3 - 1)}  ${letters}`;
}

export function groupView(text: string, members: () => readonly Member[], type?: string): View {
  return { text, members, ...(type ? { type } : {}) };
}

export function listView(items: Items, noun: string): View {
  return { text: `${items.count} ${noun}${items.count === 1 ? '' : 's'}`, items };
}

export function member(name: string, view: View, hidden = false): Member {
  return hidden ? { name, view, hidden } : { name, view };
}
