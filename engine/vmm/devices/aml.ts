/**
 * ACPI Machine Language, as much as the DSDT of the board needs: each function gives the bytes of one term. ACPI 6.4
 * chapter 20.
 */
export type Aml = readonly number[];

const encoder = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

/** PkgLength counts itself. */
function withLength(body: Aml): Aml {
  if (body.length + 1 < 0x40) return [body.length + 1, ...body];
  const two = body.length + 2;
  if (two < 0x1000) return [0x40 | (two & 15), two >> 4, ...body];
  const three = body.length + 3;
  return [0x80 | (three & 15), (three >> 4) & 0xff, three >> 12, ...body];
}

/** NameSeg or `\NAME`; names are filled with underscores. */
export function name(text: string): Aml {
  const root = text.startsWith('\\');
  const segment = text.slice(root ? 1 : 0).padEnd(4, '_');
  return [...(root ? [0x5c] : []), ...encoder(segment)];
}

export function integer(value: number): Aml {
  if (value === 0 || value === 1) return [value];
  if (value < 0x100) return [0x0a, value];
  if (value < 0x1_0000) return [0x0b, value & 0xff, value >> 8];
  return [0x0c, value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
}

export function text(value: string): Aml {
  return [0x0d, ...encoder(value), 0];
}

/** An id of the form `PNP0A03`, packed into an integer. */
export function eisaId(id: string): Aml {
  const letters = [...id.slice(0, 3)].reduce((sum, c) => (sum << 5) | (c.charCodeAt(0) - 0x40), 0);
  const number = Number.parseInt(id.slice(3), 16);
  return [0x0c, letters >> 8, letters & 0xff, number >> 8, number & 0xff];
}

export function define(label: string, value: Aml): Aml {
  return [0x08, ...name(label), ...value];
}

export function scope(label: string, ...terms: readonly Aml[]): Aml {
  return [0x10, ...withLength([...name(label), ...terms.flat()])];
}

export function device(label: string, ...terms: readonly Aml[]): Aml {
  return [0x5b, 0x82, ...withLength([...name(label), ...terms.flat()])];
}

export function list(...elements: readonly Aml[]): Aml {
  return [0x12, ...withLength([elements.length, ...elements.flat()])];
}

export function buffer(bytes: Aml): Aml {
  return [0x11, ...withLength([...integer(bytes.length), ...bytes])];
}

/** A resource template: descriptors, then the end tag. */
export function resources(...descriptors: readonly Aml[]): Aml {
  return buffer([...descriptors.flat(), 0x79, 0]);
}

/** Ports, decoded with 16 bits. */
export function io(first: number, count: number): Aml {
  return [0x47, 1, first & 0xff, first >> 8, first & 0xff, first >> 8, 1, count];
}

/** Interrupt of the ISA bus: edge, active high. */
export function irq(line: number): Aml {
  const mask = 1 << line;
  return [0x22, mask & 0xff, mask >> 8];
}

export function memory32(base: number, size: number): Aml {
  return [0x86, 9, 0, 1, 0, ...le(base, 4), ...le(size, 4)];
}

export function busNumbers(first: number, last: number): Aml {
  return [
    0x88,
    13,
    0,
    2,
    0x0c,
    0,
    ...le(0, 2),
    ...le(first, 2),
    ...le(last, 2),
    ...le(0, 2),
    ...le(last - first + 1, 2),
  ];
}

export function portWindow(first: number, last: number): Aml {
  return [
    0x88,
    13,
    0,
    1,
    0x0c,
    3,
    ...le(0, 2),
    ...le(first, 2),
    ...le(last, 2),
    ...le(0, 2),
    ...le(last - first + 1, 2),
  ];
}

export function memoryWindow(first: number, last: number): Aml {
  const range = [...le(0, 4), ...le(first, 4), ...le(last, 4), ...le(0, 4), ...le(last - first + 1, 4)];
  return [0x87, 23, 0, 0, 0x0c, 1, ...range];
}

export function le(value: number, size: number): number[] {
  const bytes: number[] = [];
  for (let i = 0, rest = value; i < size; i++, rest = Math.floor(rest / 256)) bytes.push(rest % 256);
  return bytes;
}
