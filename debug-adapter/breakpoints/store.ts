import { hex } from '../../engine/address.js';
import type { Frame } from '../../engine/timeline/event.js';
import type { Environment } from '../evaluate/names.js';
import { type StopPlace, samePath } from '../places.js';
import { type Binding, bindLine } from './bind-line.js';
import { expressionCondition, type StopCondition } from './condition.js';
import { hitCondition } from './hit-count.js';
import { logMessage } from './log-message.js';

/** What a client asks for, checked for types only. */
export interface BreakpointRequest {
  readonly condition?: string;
  readonly hitCondition?: string;
  readonly logMessage?: string;
}

export interface LineRequest extends BreakpointRequest {
  /** Absolute path of the file; a client sends the breakpoints of all files, launched or not. */
  readonly path: string;
  /** Starts at 0. */
  readonly line: number;
}

export interface FunctionRequest extends BreakpointRequest {
  readonly name: string;
}

export interface InstructionRequest extends BreakpointRequest {
  /** Linear address in the guest, on every vCPU. */
  readonly address: bigint;
}

/** One breakpoint with its strategies. `problem`: its condition cannot be used, so it never stops. */
interface Armed {
  readonly id: number;
  readonly conditions: readonly StopCondition[];
  readonly log?: (environment: Environment) => string;
  readonly problem?: string;
}

export interface LineBreakpoint extends Armed {
  readonly request: LineRequest;
  binding?: Binding;
}

export interface FunctionBreakpoint extends Armed {
  readonly request: FunctionRequest;
  readonly name: string;
}

export interface InstructionBreakpoint extends Armed {
  readonly request: InstructionRequest;
}

export interface BreakpointStore {
  lines: LineBreakpoint[];
  functions: FunctionBreakpoint[];
  instructions: InstructionBreakpoint[];
  nextId: number;
}

export function createBreakpointStore(): BreakpointStore {
  return { lines: [], functions: [], instructions: [], nextId: 1 };
}

export type Warn = (text: string) => void;

/** What line breakpoints bind to. */
export interface BindingTarget {
  readonly manifest: string;
  readonly stops: readonly StopPlace[];
}

/**
 * Replaces the breakpoints of one file. One that stays the same keeps its number and its hit count, so that setting
 * another one while the launch runs does not restart the counting.
 */
export function setLineBreakpoints(
  store: BreakpointStore,
  path: string,
  requests: readonly LineRequest[],
  target: BindingTarget | undefined,
  warn: Warn,
): readonly LineBreakpoint[] {
  const old = store.lines.filter((b) => samePath(b.request.path, path));
  const others = store.lines.filter((b) => !samePath(b.request.path, path));
  const set = requests.map((request) => {
    const same = takeSame(old, (b) => b.request.line === request.line && sameStrategies(b.request, request));
    return same ?? { ...arm(store, request, warn, `at line ${request.line + 1}`), request };
  });
  store.lines = [...others, ...set];
  if (target) bindLines(store, target);
  return set;
}

/** Binds to the manifest that was loaded. */
export function bindLines(store: BreakpointStore, { manifest, stops }: BindingTarget): void {
  for (const breakpoint of store.lines) {
    breakpoint.binding = samePath(breakpoint.request.path, manifest)
      ? bindLine(breakpoint.request.line, stops)
      : { bound: false, message: 'The launch runs from another file.' };
  }
}

export function setFunctionBreakpoints(
  store: BreakpointStore,
  requests: readonly FunctionRequest[],
  warn: Warn,
): readonly FunctionBreakpoint[] {
  const old = store.functions;
  store.functions = requests.map((request) => {
    const name = request.name.trim().toLowerCase();
    const same = takeSame(old, (b) => b.name === name && sameStrategies(b.request, request));
    return same ?? { ...arm(store, request, warn, `at ${request.name}`), request, name };
  });
  return store.functions;
}

export function setInstructionBreakpoints(
  store: BreakpointStore,
  requests: readonly InstructionRequest[],
  warn: Warn,
): readonly InstructionBreakpoint[] {
  const old = store.instructions;
  store.instructions = requests.map((request) => {
    const same = takeSame(old, (b) => b.request.address === request.address && sameStrategies(b.request, request));
    return same ?? { ...arm(store, request, warn, addressText(request)), request };
  });
  return store.instructions;
}

const addressText = ({ address }: InstructionRequest): string => `at ${hex(address)}`;

/** A new run counts hits from the beginning. */
export function rearm(store: BreakpointStore, warn: Warn): void {
  store.lines = store.lines.map((b) => ({ ...b, ...strategies(b.request, warn, `at line ${b.request.line + 1}`) }));
  store.functions = store.functions.map((b) => ({ ...b, ...strategies(b.request, warn, `at ${b.request.name}`) }));
  store.instructions = store.instructions.map((b) => ({
    ...b,
    ...strategies(b.request, warn, addressText(b.request)),
  }));
}

export interface Hit {
  readonly kind: 'line' | 'function' | 'instruction';
  readonly ids: readonly number[];
  readonly logs: readonly string[];
}

/** Breakpoints of a frame that has just been entered. `environment` is made only if one is there. */
export function hitsOf(store: BreakpointStore, frame: Frame, environment: () => Environment): Hit | undefined {
  const lines = store.lines.filter((b) => b.binding?.bound && b.binding.entry === frame.entry);
  const name = frame.name.toLowerCase();
  const functions = store.functions.filter((b) => b.name === name);
  if (lines.length === 0 && functions.length === 0) return undefined;
  const { ids, logs } = passing([...lines, ...functions], environment());
  return { kind: lines.some((b) => ids.includes(b.id)) ? 'line' : 'function', ids, logs };
}

/** Function breakpoints with one of these names, in lower case: `exit:vmgexit`, `#vc`. */
export function hitsOfNames(
  store: BreakpointStore,
  names: readonly string[],
  environment: () => Environment,
): Hit | undefined {
  const functions = store.functions.filter((b) => names.includes(b.name));
  return functions.length === 0 ? undefined : { kind: 'function', ...passing(functions, environment()) };
}

/** Breakpoints on the instruction at a linear address. */
export function hitsOfInstruction(
  store: BreakpointStore,
  address: bigint,
  environment: () => Environment,
): Hit | undefined {
  const instructions = store.instructions.filter((b) => b.request.address === address);
  return instructions.length === 0 ? undefined : { kind: 'instruction', ...passing(instructions, environment()) };
}

function passing(breakpoints: readonly Armed[], scope: Environment): Omit<Hit, 'kind'> {
  const ids: number[] = [];
  const logs: string[] = [];
  for (const breakpoint of breakpoints) {
    if (breakpoint.problem !== undefined || !breakpoint.conditions.every((c) => c.passes(scope))) continue;
    if (breakpoint.log) logs.push(breakpoint.log(scope));
    else ids.push(breakpoint.id);
  }
  return { ids, logs };
}

function arm(store: BreakpointStore, request: BreakpointRequest, warn: Warn, where: string): Armed {
  return { id: store.nextId++, ...strategies(request, warn, where) };
}

function strategies(request: BreakpointRequest, warn: Warn, where: string): Omit<Armed, 'id'> {
  const conditions: StopCondition[] = [];
  try {
    if (request.condition?.trim()) {
      const report = (message: string) => warn(`Condition of the breakpoint ${where}: ${message}`);
      conditions.push(expressionCondition(request.condition, report));
    }
    if (request.hitCondition?.trim()) {
      const hits = hitCondition(request.hitCondition);
      if (!hits) return { conditions, problem: 'A hit count is a number, or >, >=, <, <=, =, % and a number.' };
      conditions.push(hits);
    }
    return request.logMessage ? { conditions, log: logMessage(request.logMessage) } : { conditions };
  } catch (error) {
    return { conditions, problem: error instanceof Error ? error.message : String(error) };
  }
}

function takeSame<T extends Armed>(old: T[], same: (breakpoint: T) => boolean): T | undefined {
  const index = old.findIndex(same);
  return index < 0 ? undefined : old.splice(index, 1)[0];
}

function sameStrategies(a: BreakpointRequest, b: BreakpointRequest): boolean {
  return a.condition === b.condition && a.hitCondition === b.hitCondition && a.logMessage === b.logMessage;
}
