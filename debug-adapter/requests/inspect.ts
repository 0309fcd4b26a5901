import type { DebugProtocol } from '@vscode/debugprotocol';
import { type Fault, rootFault } from '../../engine/fault.js';
import { integer, optionalInteger, optionalText, text } from '../arguments.js';
import { userErrors } from '../errors.js';
import { compileExpression } from '../evaluate/compile.js';
import { complete } from '../evaluate/completions.js';
import { helpText } from '../evaluate/help.js';
import { ExpressionError } from '../evaluate/lexer.js';
import type { Environment } from '../evaluate/names.js';
import { numberOf } from '../evaluate/operators.js';
import { explanation, faultTitle, placeText } from '../output.js';
import type { Session } from '../session.js';
import { LAUNCH_FRAME_ID, type StackEntry, stackEntries, toStackFrame } from '../stack.js';
import { handleOf } from '../variables/handles.js';
import { scopesOf } from '../variables/scopes.js';
import type { Member, View } from '../variables/view.js';
import { threadOf } from './execution.js';
import type { Handler } from './handler.js';
import { sourceOf } from './source.js';

/** Longest answer to `variables` without paging. */
const MAX_ITEMS = 10_000;

export const stackTrace: Handler = ({ session, dialect }, args) => {
  const vcpu = threadOf(session, args);
  const { target } = session.needStopped();
  const entries = stackOf(session, vcpu);
  const from = Math.max(0, optionalInteger(args, 'startFrame') ?? 0);
  const levels = optionalInteger(args, 'levels') ?? 0;
  const shown = levels > 0 ? entries.slice(from, from + levels) : entries.slice(from);
  return {
    stackFrames: shown.map((entry) => {
      const place = target.places.of(entry.at);
      return toStackFrame(entry, place, sourceOf(place.path, dialect), dialect);
    }),
    totalFrames: entries.length,
  };
};

export const scopes: Handler = ({ session }, args) => {
  session.needStopped();
  const environment = environmentOf(session, integer(args, 'frameId'));
  return {
    scopes: scopesOf(environment).map(({ name, view, expression, hint }) => ({
      name,
      variablesReference: handleOf(session.handles, view, expression),
      expensive: false,
      ...(hint ? { presentationHint: hint } : {}),
      ...counts(view),
    })),
  };
};

export const variables: Handler = ({ session }, args) => {
  session.needStopped();
  const reference = integer(args, 'variablesReference');
  const unfoldable = session.handles.values.get(reference);
  if (!unfoldable) throw userErrors.staleReference(reference);
  const { view, expression } = unfoldable;
  const filter = optionalText(args, 'filter');
  const named = filter === 'indexed' ? [] : (view.members?.() ?? []);
  const indexed =
    filter === 'named' ? [] : itemsOf(view, optionalInteger(args, 'start'), optionalInteger(args, 'count'));
  return {
    variables: [
      ...named.map((m) => toVariable(session, m, memberExpression(expression, m.name))),
      ...indexed.map(({ member, index }) =>
        toVariable(session, member, expression === undefined ? undefined : `${expression}[${index}]`),
      ),
    ],
  };
};

export const evaluate: Handler = ({ session }, args) => {
  const source = text(args, 'expression').trim();
  if (source === 'help' && optionalText(args, 'context') === 'repl') {
    return { result: helpText(), variablesReference: 0 };
  }
  const frameId = optionalInteger(args, 'frameId');
  const view = answering(() => compileExpression(source)(environmentOf(session, frameId)));
  // Children are read later, when a running launch would have moved on.
  const reference = session.phase === 'stopped' ? handleOf(session.handles, view, source) : 0;
  return {
    result: view.text,
    ...(view.type ? { type: view.type } : {}),
    variablesReference: reference,
    ...(reference > 0 ? counts(view) : {}),
    ...(view.memory ? { memoryReference: view.memory } : {}),
  };
};

export const completions: Handler = ({ session, dialect }, args) => {
  const whole = text(args, 'text');
  const line = whole.split('\n')[(optionalInteger(args, 'line') ?? dialect.lines) - dialect.lines] ?? '';
  const before = line.slice(0, Math.max(0, integer(args, 'column') - dialect.columns));
  const environment = environmentOf(session, optionalInteger(args, 'frameId'));
  return {
    targets: complete(before, environment).map(({ label, detail, kind, start, length }) => ({
      label,
      detail,
      type: kind,
      start: start + dialect.columns,
      length,
    })),
  };
};

/** Changes a register; the value may be an expression. */
export const setVariable: Handler = ({ session, dialect, sendLater }, args) => {
  session.needStopped();
  const reference = integer(args, 'variablesReference');
  const name = text(args, 'name');
  const container = session.handles.values.get(reference);
  if (!container) throw userErrors.staleReference(reference);
  const find = (): View | undefined => container.view.members?.().find((m) => m.name === name)?.view;
  const variable = find();
  if (!variable?.assign) throw userErrors.readOnly(name);
  const value = answering(() => {
    const view = compileExpression(text(args, 'value'))(session.environment());
    if (typeof view.scalar === 'boolean') return view.scalar ? 1n : 0n;
    return numberOf(view, name);
  });
  if (!variable.assign(value)) throw userErrors.readOnly(name);
  // Flags and RFLAGS show each other; RIP moves the stack.
  if (dialect.invalidated) sendLater('invalidated', { areas: ['variables', 'stacks'] });
  const changed = find() ?? variable;
  return { value: changed.text, ...(changed.type ? { type: changed.type } : {}), variablesReference: 0 };
};

export const exceptionInfo: Handler = ({ session }, args) => {
  threadOf(session, args);
  const { fault, trouble, target } = session.needStopped();
  if (!fault && trouble) {
    return { exceptionId: trouble.title, description: trouble.description, breakMode: 'always' };
  }
  if (!fault) throw userErrors.noException();
  return {
    exceptionId: faultTitle(fault),
    description: explanation(fault),
    breakMode: 'always',
    details: {
      ...faultDetails(fault),
      message: `${placeText(fault, target.places)}${explanation(fault)}`,
      evaluateName: 'fault',
    },
  };
};

function faultDetails(fault: Fault): DebugProtocol.ExceptionDetails {
  return {
    message: fault.message,
    typeName: fault.check,
    fullTypeName: `${fault.layer}.${fault.check}`,
    ...(fault.cause ? { innerException: [faultDetails(fault.cause)] } : {}),
  };
}

export function stackOf(session: Session, vcpu: number): readonly StackEntry[] {
  const { run, target, track, fault } = session.current;
  const exact = fault && (rootFault(fault).at ?? fault.at);
  return stackEntries({ machine: run.machine, plan: target.plan, track, vcpu, exact, exit: run.outcome?.exit });
}

/** Throws a UserError for a frame of an earlier stop. */
function environmentOf(session: Session, frameId: number | undefined): Environment {
  const { run } = session.current;
  const known = frameId === undefined || frameId >= LAUNCH_FRAME_ID;
  if (!known && !run.machine.stack.frames.some((f) => f.id === frameId)) throw userErrors.staleFrame(frameId);
  return session.environment(frameId);
}

function answering<T>(answer: () => T): T {
  try {
    return answer();
  } catch (error) {
    throw error instanceof ExpressionError ? userErrors.expression(error.message) : error;
  }
}

function itemsOf(view: View, start = 0, count?: number): readonly { member: Member; index: number }[] {
  const items = view.items;
  if (!items) return [];
  const from = Math.max(0, start);
  const to = Math.min(items.count, from + Math.min(count && count > 0 ? count : items.count, MAX_ITEMS));
  const shown: { member: Member; index: number }[] = [];
  for (let index = from; index < to; index++) shown.push({ member: items.at(index), index });
  return shown;
}

function memberExpression(parent: string | undefined, name: string): string | undefined {
  if (parent === undefined) return undefined;
  // Names of their own, such as registers.
  if (parent === '') return name;
  const simple = /^[A-Za-z_]\w*$/.test(name);
  return simple ? `${parent}.${name}` : `${parent}[${JSON.stringify(name)}]`;
}

function toVariable(session: Session, { name, view, hidden }: Member, expression: string | undefined): object {
  return {
    name,
    value: view.text,
    ...(view.type ? { type: hidden ? `${view.type}, not visible on real hardware` : view.type } : {}),
    variablesReference: handleOf(session.handles, view, expression),
    ...counts(view),
    ...(expression ? { evaluateName: expression } : {}),
    ...(view.memory ? { memoryReference: view.memory } : {}),
    presentationHint: { attributes: view.assign ? [] : ['readOnly'], ...(hidden ? { kind: 'virtual' } : {}) },
  };
}

function counts(view: View): { namedVariables?: number; indexedVariables?: number } {
  return view.items ? { indexedVariables: view.items.count } : {};
}
