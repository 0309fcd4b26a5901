import type { TextRange } from '../../fault.js';
import * as faults from './faults.js';
import { parseKeyValues, rangeIn } from './keyval.js';
import { type Given, type ImportContext, keep, refuse } from './machine.js';
import { MACHINE_OPTIONS, takesArgument } from './options.js';
import { quoteShell, type ShellWord, splitShell } from './shell-words.js';

/** One option of the command line, with its argument if it takes one. */
export interface QemuOption {
  readonly name: string;
  readonly word: ShellWord;
  readonly argument?: ShellWord;
}

export interface QemuObject {
  readonly type: string;
  readonly id: string;
  /** Properties but type and id; of a repeated one the last, as QEMU takes it. */
  readonly properties: ReadonlyMap<string, Given<string>>;
  readonly range: TextRange;
  /** Written as JSON. */
  readonly json: boolean;
}

const PROGRAM = /(^|\/)qemu(-system-[\w-]+|-kvm)?$/;

/** The words behind the program’s name, or undefined if no command of the text is QEMU’s. */
export function findQemuCommand(text: string): readonly ShellWord[] | undefined {
  for (const words of splitShell(text).commands) {
    const program = words.findIndex((word) => PROGRAM.test(word.text));
    if (program >= 0 && words.length > program + 1) return words.slice(program + 1);
    const first = words.findIndex((word) => /^--?\w/.test(word.text));
    if (first === 0 && words.some((word) => MACHINE_OPTIONS.has(word.text.replace(/^--?/, '')))) return words;
  }
  return undefined;
}

/** The options in order, with faults for what QEMU would not take. */
export function readOptions(context: ImportContext, text: string): readonly QemuOption[] | undefined {
  const words = findQemuCommand(text);
  const { problems } = splitShell(text);
  if (!words) return undefined;
  const start = words[0]?.range.start ?? 0;
  const end = words.at(-1)?.range.end ?? text.length;
  for (const { kind, name, range } of problems) {
    if (range.start < start || range.end > end) continue;
    if (kind === 'quote') refuse(context, faults.QEMU_QUOTING, { quote: name }, range);
    else {
      const shown = kind === 'variable' ? `$${name}` : text.slice(range.start, range.end);
      refuse(context, faults.QEMU_VARIABLE, { name: shown }, range);
    }
  }
  const options: QemuOption[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (!word) continue;
    if (!/^-./.test(word.text)) {
      if (word.text !== '') keep(context, quoteShell(word.text));
      continue;
    }
    const name = word.text.replace(/^--?/, '');
    const takes = takesArgument(name);
    const next = words[i + 1];
    if (takes === undefined) {
      refuse(context, faults.QEMU_OPTION, { option: word.text, text: 'invalid option' }, word.range);
      // Most options take an argument; a word without a dash is hardly a disk image here.
      const argument = next && !next.text.startsWith('-') ? next : undefined;
      if (argument) i++;
      keep(context, [word, ...(argument ? [argument] : [])].map((w) => quoteShell(w.text)).join(' '));
      continue;
    }
    if (!takes) options.push({ name, word });
    else if (next) {
      options.push({ name, word, argument: next });
      i++;
    } else refuse(context, faults.QEMU_OPTION, { option: word.text, text: 'requires an argument' }, word.range);
  }
  return options;
}

/** Reads `-object`, in its key=value and in its JSON form. */
export function readObject(context: ImportContext, argument: ShellWord): QemuObject | undefined {
  const json = argument.text.startsWith('{');
  const wrong = (text: string, range: TextRange = argument.range): undefined =>
    refuse(context, faults.QEMU_PARAMETER, { option: '-object', text }, range);
  const properties = json ? jsonProperties(argument) : keyProperties(argument);
  if (!properties) return wrong('JSON parse error');
  const type = properties.get('qom-type');
  const id = properties.get('id');
  if (!type) return wrong("Parameter 'qom-type' is missing");
  if (!id) return wrong("Parameter 'id' is missing");
  if (!/^[A-Za-z][\w.-]*$/.test(id.value)) return wrong("Parameter 'id' expects an identifier", id.range);
  properties.delete('qom-type');
  properties.delete('id');
  return { type: type.value, id: id.value, properties, range: argument.range, json };
}

function keyProperties(argument: ShellWord): Map<string, Given<string>> {
  const pairs = parseKeyValues(argument, 'qom-type');
  return new Map(pairs.map(({ key, value, valueRange }) => [key, { value, range: valueRange }]));
}

/** Undefined: not a JSON object. The place of a property is that of its name. */
function jsonProperties(argument: ShellWord): Map<string, Given<string>> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(argument.text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined;
  const properties = new Map<string, Given<string>>();
  for (const [key, value] of Object.entries(parsed)) {
    const name = JSON.stringify(key);
    const at = argument.text.indexOf(name);
    const range = at < 0 ? argument.range : rangeIn(argument, at, at + name.length);
    properties.set(key, { value: typeof value === 'string' ? value : JSON.stringify(value), range });
  }
  return properties;
}
