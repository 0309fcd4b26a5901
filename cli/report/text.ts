import { type Fault, formatCode, formatOperand, rootFault } from '../../engine/fault.js';
import { displayPath } from '../document.js';
import { lineText, type Place, placeOf, type Sources, type SourceText } from './place.js';

const MAX_EXCERPT = 160;
const MAX_OPERAND = 120;

/**
 * One fault for a terminal: place, what failed, the line with a mark below it, why (the layers below), what to
 * change, the rule.
 */
export function faultText(fault: Fault, sources: Sources): string {
  const place = placeOf(fault, sources);
  const where = place ? `${displayPath(place.file)}:${place.line}:${place.column}: ` : '';
  const lines = [`${where}${fault.severity}: ${headline(fault)} [${fault.check}]`];
  const source = place && sources(place.file);
  if (place && source && fault.check !== 'manifest-binary') lines.push(...excerpt(source, place));
  const operands = operandText(fault);
  if (operands) lines.push(`  operands: ${operands}`);
  for (let cause = fault.cause; cause; cause = cause.cause) {
    lines.push(`  because ${cause.layer}: ${headline(cause)} [${cause.check}]`);
    const below = operandText(cause);
    if (below) lines.push(`    operands: ${below}`);
  }
  const root = rootFault(fault);
  lines.push(`  to fix: ${root.hint}`);
  lines.push(`  rule: ${root.reference}${root.confirmed ? '' : ' (not confirmed on real hardware)'}`);
  return `${lines.join('\n')}\n`;
}

/** "SNP_LAUNCH_START → POLICY_FAILURE (fw_error=0x7): message"; just the message for plain input mistakes. */
export function headline(fault: Fault): string {
  const code = formatCode(fault.code);
  return code ? `${fault.command} → ${code}: ${fault.message}` : fault.message;
}

/** The operands that the message does not show anyway. */
export function operandText(fault: Fault): string {
  return Object.entries(fault.operands)
    .map(([name, value]) => [name, formatOperand(value)] as const)
    .filter(([, text]) => text !== '' && !fault.message.includes(text))
    .map(([name, text]) => `${name}=${printable(shortened(text))}`)
    .join(', ');
}

/** A list of all keys or models would bury what matters. */
function shortened(text: string): string {
  return text.length <= MAX_OPERAND ? text : `${text.slice(0, MAX_OPERAND)}…`;
}

function excerpt(source: SourceText, place: Place): string[] {
  const raw = lineText(source, place.line);
  const from = Math.max(0, Math.min(place.column - 1 - 40, raw.length - MAX_EXCERPT));
  const text = raw.slice(from, from + MAX_EXCERPT);
  const shown = printable(text);
  const before = printable(text.slice(0, place.column - 1 - from));
  const end = place.endLine === place.line ? place.endColumn - 1 : raw.length;
  const marked = printable(text.slice(place.column - 1 - from, Math.max(place.column, end) - from));
  const number = String(place.line).padStart(5);
  const gap = before.replace(/[^\t]/g, ' ');
  return [
    `${number} | ${shown}`,
    `${' '.repeat(number.length)} | ${gap}${'^'.repeat(Math.max(1, marked.trimEnd().length))}`,
  ];
}

/** Control characters made visible: a file must not be able to drive the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
