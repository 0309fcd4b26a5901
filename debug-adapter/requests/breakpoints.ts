import type { DebugProtocol } from '@vscode/debugprotocol';
import {
  asRecord,
  integer,
  list,
  optionalInteger,
  optionalText,
  type RawArguments,
  text,
  texts,
} from '../arguments.js';
import { unknownFunction } from '../breakpoints/function-names.js';
import {
  type BreakpointRequest,
  type FunctionBreakpoint,
  type InstructionBreakpoint,
  type LineBreakpoint,
  setFunctionBreakpoints as replaceFunctions,
  setInstructionBreakpoints as replaceInstructions,
  setLineBreakpoints as replaceLines,
} from '../breakpoints/store.js';
import { userErrors } from '../errors.js';
import { parseReference, virtualReference } from '../memory-reference.js';
import { samePath } from '../places.js';
import type { Session } from '../session.js';
import type { ClientDialect, Handler } from './handler.js';
import { pathOf, sourceOf } from './source.js';

export const setBreakpoints: Handler = ({ session, dialect }, args) => {
  const path = pathOf(args);
  if (path === undefined) throw userErrors.badArgument('source', 'a source with the path of a file');
  const requests = list(args, 'breakpoints').map((item) => {
    const wanted = asRecord(item);
    return { path, line: integer(wanted, 'line') - dialect.lines, ...strategies(wanted) };
  });
  const warn = (message: string) => session.warn(message);
  const breakpoints = replaceLines(session.breakpoints, path, requests, session.target, warn);
  return { breakpoints: breakpoints.map((b) => lineAnswer(b, session, dialect)) };
};

export const setFunctionBreakpoints: Handler = ({ session }, args) => {
  const requests = list(args, 'breakpoints').map((item) => {
    const wanted = asRecord(item);
    return { name: text(wanted, 'name'), ...strategies(wanted) };
  });
  const breakpoints = replaceFunctions(session.breakpoints, requests, (message) => session.warn(message));
  return { breakpoints: breakpoints.map((b) => functionAnswer(b, session)) };
};

/** References as frames and the disassembly give them; a number alone is an address in the guest. */
export const setInstructionBreakpoints: Handler = ({ session }, args) => {
  const requests = list(args, 'breakpoints').map((item) => {
    const wanted = asRecord(item);
    const name = text(wanted, 'instructionReference');
    const reference = parseReference(name);
    if (reference?.space !== 'gva') throw userErrors.badMemoryReference(name);
    const address = reference.address + BigInt(optionalInteger(wanted, 'offset') ?? 0);
    return { address: BigInt.asUintN(64, address), ...strategies(wanted) };
  });
  const breakpoints = replaceInstructions(session.breakpoints, requests, (message) => session.warn(message));
  session.breakpointsMoved();
  return { breakpoints: breakpoints.map(instructionAnswer) };
};

/** The condition of a filter is a list of names: `#VC, #GP`. */
export const setExceptionBreakpoints: Handler = ({ session }, args) => {
  const filters = new Map<string, string>(texts(args, 'filters').map((name) => [name, '']));
  for (const item of args['filterOptions'] === undefined ? [] : list(args, 'filterOptions')) {
    const option = asRecord(item);
    filters.set(text(option, 'filterId'), optionalText(option, 'condition') ?? '');
  }
  session.filters = filters;
  return undefined;
};

function instructionAnswer({ id, problem, request }: InstructionBreakpoint): DebugProtocol.Breakpoint {
  const instructionReference = virtualReference(0, request.address);
  if (problem !== undefined) return { id, verified: false, instructionReference, message: problem, reason: 'failed' };
  return { id, verified: true, instructionReference };
}

export const breakpointLocations: Handler = ({ session, dialect }, args) => {
  const target = session.target;
  const path = pathOf(args);
  if (!target || path === undefined || !samePath(path, target.manifest)) return { breakpoints: [] };
  const from = integer(args, 'line') - dialect.lines;
  const to = (optionalInteger(args, 'endLine') ?? from + dialect.lines) - dialect.lines;
  const lines = new Set(target.stops.map((stop) => stop.line).filter((line) => line >= from && line <= to));
  return { breakpoints: [...lines].sort((a, b) => a - b).map((line) => ({ line: line + dialect.lines })) };
};

/** A line breakpoint as the client is told of it, also when a restart moves it. */
export function lineAnswer(
  breakpoint: LineBreakpoint,
  session: Session,
  dialect: ClientDialect,
): DebugProtocol.Breakpoint {
  const { id, request, binding, problem } = breakpoint;
  const line = (binding?.bound ? binding.line : request.line) + dialect.lines;
  if (problem !== undefined) return { id, verified: false, line, message: problem, reason: 'failed' };
  if (!binding) return { id, verified: false, line, message: 'The launch is not loaded yet.', reason: 'pending' };
  if (!binding.bound) return { id, verified: false, line, message: binding.message, reason: 'failed' };
  const source = session.target && sourceOf(session.target.manifest, dialect);
  return { id, verified: true, line, ...(source ? { source } : {}) };
}

/** A function breakpoint as the client is told of it. */
export function functionAnswer(
  { id, problem, request }: FunctionBreakpoint,
  session: Session,
): DebugProtocol.Breakpoint {
  const labels = session.target?.plan.entries.map((entry) => entry.label) ?? [];
  const message = problem ?? unknownFunction(request.name, labels);
  return message === undefined ? { id, verified: true } : { id, verified: false, message, reason: 'failed' };
}

function strategies(wanted: RawArguments): BreakpointRequest {
  return {
    condition: optionalText(wanted, 'condition'),
    hitCondition: optionalText(wanted, 'hitCondition'),
    logMessage: optionalText(wanted, 'logMessage'),
  };
}
