import { REGISTER_NAMES, SEGMENT_NAMES } from '../guest/registers.js';
import { argumentMembers } from '../variables/frame.js';
import { compileExpression } from './compile.js';
import { FUNCTIONS } from './functions.js';
import { type Environment, NAMES } from './names.js';

export interface Completion {
  readonly label: string;
  readonly detail: string;
  readonly kind: 'function' | 'field' | 'variable';
  /** Replaces the text from `start` (offset) to the cursor. */
  readonly start: number;
  readonly length: number;
}

/** Completions at the end of `before`: names, functions, arguments of the frames, or fields after a dot. */
export function complete(before: string, environment: Environment): readonly Completion[] {
  const word = /[\w$]*$/.exec(before)?.[0] ?? '';
  const start = before.length - word.length;
  const head = before.slice(0, start);
  const offer = (label: string, detail: string, kind: Completion['kind']): Completion => ({
    label,
    detail,
    kind,
    start,
    length: word.length,
  });
  const all = head.endsWith('.')
    ? fieldsOf(head.slice(0, -1), environment).map(([name, text]) => offer(name, text, 'field'))
    : [
        ...NAMES.map((name) => offer(name.name, name.detail, 'variable')),
        ...FUNCTIONS.map((f) => offer(f.name, f.usage, 'function')),
        ...registersOf(environment).map((name) => offer(name, 'register', 'variable')),
        ...argumentsOf(environment).map(([name, text]) => offer(name, text, 'variable')),
      ];
  return all.filter((c) => c.label.toLowerCase().startsWith(word.toLowerCase()));
}

function fieldsOf(head: string, environment: Environment): readonly (readonly [string, string])[] {
  // The longest tail that is a path: `digest == gctx.pol` completes gctx.
  const path = /[\w$]+(?:\([^()]*\)|\[[^[\]]*\]|\.[\w$]+)*$/.exec(head)?.[0];
  if (!path) return [];
  try {
    const view = compileExpression(path)(environment);
    return (view.members?.() ?? []).map((m) => [m.name, m.view.text] as const);
  } catch {
    return [];
  }
}

function registersOf({ vcpu }: Environment): readonly string[] {
  return vcpu === undefined ? [] : [...REGISTER_NAMES, ...SEGMENT_NAMES];
}

function argumentsOf({ machine }: Environment): readonly (readonly [string, string])[] {
  const seen = new Map<string, string>();
  for (const frame of [...machine.stack.frames].reverse()) {
    for (const m of argumentMembers(frame)) if (!seen.has(m.name)) seen.set(m.name, m.view.text);
  }
  return [...seen];
}
