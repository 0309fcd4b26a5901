/** Numbers as people write them: decimal, hex, and sizes with binary units. */

const UNITS: Readonly<Record<string, bigint>> = {
  KiB: 1n << 10n,
  MiB: 1n << 20n,
  GiB: 1n << 30n,
  TiB: 1n << 40n,
};

export type ParsedNumber =
  | { readonly ok: true; readonly value: bigint }
  /** `suggestion`: the text that was probably meant. */
  | {
      readonly ok: false;
      readonly reason: 'not-a-number' | 'unit' | 'fraction' | 'octal';
      readonly suggestion?: string;
    };

/** `units`: sizes such as 512MiB are allowed. White space around is not. */
export function parseNumber(text: string, units: boolean): ParsedNumber {
  if (text.length > 80) return { ok: false, reason: 'not-a-number' };
  if (/^[+-]?\d+$/.test(text)) return { ok: true, value: BigInt(text.replace(/^\+/, '')) };
  const hexDigits = /^(-?)0[xX]([0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)$/.exec(text);
  if (hexDigits?.[2] !== undefined) {
    const value = BigInt(`0x${hexDigits[2].replaceAll('_', '')}`);
    return { ok: true, value: hexDigits[1] ? -value : value };
  }
  if (/^0o[0-7]+$/.test(text)) return { ok: false, reason: 'octal', suggestion: `0x${BigInt(text).toString(16)}` };
  if (/^[0-9a-fA-F]+h$/.test(text)) return { ok: false, reason: 'not-a-number', suggestion: `0x${text.slice(0, -1)}` };

  if (/^0[xX](?![0-9a-fA-F])/.test(text)) return { ok: false, reason: 'not-a-number' };
  const sized = /^(\d+|0[xX][0-9a-fA-F]+)(\s*)([A-Za-z]+)$/.exec(text);
  if (sized?.[1] !== undefined && sized[3] !== undefined) {
    const unit = UNITS[sized[3]];
    if (units && unit !== undefined && sized[2] === '') return { ok: true, value: BigInt(sized[1]) * unit };
    if (!units) return { ok: false, reason: 'not-a-number' };
    const meant = meantUnit(sized[3]);
    if (meant === undefined) return { ok: false, reason: 'unit' };
    return { ok: false, reason: 'unit', suggestion: `${sized[1]}${meant}` };
  }
  const fraction = /^(\d+)\.(\d+)\s*([A-Za-z]*)$/.exec(text);
  if (fraction && units) {
    const suggestion = wholeUnits(Number.parseFloat(text), fraction[3] ?? '');
    return { ok: false, reason: 'fraction', ...(suggestion === undefined ? {} : { suggestion }) };
  }
  return { ok: false, reason: 'not-a-number' };
}

/** K, kb, MB, m, gib … → the unit of this grammar; bytes need none. */
function meantUnit(unit: string): string | undefined {
  const known = /^([kmgt])(?:i?b)?$/i.exec(unit);
  if (known?.[1] !== undefined) return `${known[1].toUpperCase()}iB`;
  return /^(b|bytes?)$/i.test(unit) ? '' : undefined;
}

/** 1.5 GiB → 1536MiB. */
function wholeUnits(value: number, unit: string): string | undefined {
  const order = ['', 'KiB', 'MiB', 'GiB', 'TiB'];
  let index = order.indexOf(meantUnit(unit) ?? 'none');
  while (index > 0 && !Number.isInteger(value)) {
    value *= 1024;
    index--;
  }
  return index >= 0 && Number.isSafeInteger(value) ? `${value}${order[index]}` : undefined;
}
