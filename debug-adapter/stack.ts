import type { DebugProtocol } from '@vscode/debugprotocol';
import { toHex } from '../engine/bytes.js';
import type { SourceLocation } from '../engine/fault.js';
import type { LaunchPlan } from '../engine/launch/plan.js';
import type { Machine } from '../engine/machine.js';
import { pageState } from '../engine/rmp/page-state.js';
import type { EngineEvent, Frame } from '../engine/timeline/event.js';
import type { Place } from './places.js';
import { tellingArguments } from './variables/frame.js';

/** A frame as the stack shows it; lines start at 0. */
export interface StackEntry {
  readonly id: number;
  readonly name: string;
  readonly frame?: Frame;
  readonly at: SourceLocation;
  readonly hint: NonNullable<DebugProtocol.StackFrame['presentationHint']>;
}

/** Id of the frame that stands for the launch when no operation is active. */
export const LAUNCH_FRAME_ID = 1_000_000_000;

const LAYER = { vmm: 'VMM', kvm: 'KVM', firmware: 'firmware', hardware: 'CPU' } as const;

/**
 * The layers, innermost first: page, firmware command, ioctl, VMM call, manifest entry. Every frame has the line of
 * the entry that caused it, so that the editor stays on the manifest; `exact` is a nearer place for the top one.
 */
export function stackEntries(
  machine: Machine,
  plan: LaunchPlan,
  last: EngineEvent | undefined,
  exact: SourceLocation | undefined,
): readonly StackEntry[] {
  const start: SourceLocation = { file: plan.file, range: { start: 0, end: 0 } };
  const entries: StackEntry[] = [];
  let at = start;
  for (const frame of machine.stack.frames) {
    const entry = frame.entry === undefined ? undefined : plan.entries[frame.entry];
    if (entry) at = entry.at;
    else if (frame.page) at = updateAt(plan, machine.stack.frames, frame.page.gfn * 4096) ?? at;
    const inner = frame === machine.stack.frames.at(-1);
    entries.push({
      id: frame.id,
      name: frameTitle(frame, entry?.label, inner ? last : undefined),
      frame,
      at,
      hint: 'normal',
    });
  }
  entries.reverse();
  const top = entries[0];
  if (!top) return [{ id: LAUNCH_FRAME_ID, name: 'launch', at: exact ?? start, hint: 'normal' }];
  entries[0] = { ...top, at: exact ?? top.at };
  return entries;
}

/** What tells frames apart comes first, for a narrow side bar: name, what has just happened, arguments, layer. */
function frameTitle(frame: Frame, label: string | undefined, last: EngineEvent | undefined): string {
  if (frame.layer === 'launch') return `${label ?? frame.name}${afterEvent(last)}`;
  const call = [`${frame.name}${afterEvent(last)}`, tellingArguments(frame)].filter((part) => part !== '').join(' ');
  return `${call} · ${LAYER[frame.layer]}`;
}

/** What has just happened in the top frame, where it is not simply about to begin. */
function afterEvent(last: EngineEvent | undefined): string {
  switch (last?.kind) {
    case 'leave':
      return ` → ${last.result}`;
    case 'rmp':
      return `: ${pageState(last.change.before)} → ${pageState(last.change.after)}`;
    case 'digest':
      return `: digest ${toHex(last.update.after).slice(0, 8)}…`;
    case 'enter':
    case 'log':
    case undefined:
      return '';
  }
}

function updateAt(plan: LaunchPlan, frames: readonly Frame[], gpa: number): SourceLocation | undefined {
  const entry = frames.find((frame) => frame.entry !== undefined)?.entry;
  return plan.updates.find((u) => u.entry === entry && gpa >= u.gpa && gpa < u.gpa + u.length)?.at;
}

/** Lines and columns as the client counts them. */
export interface ClientCounting {
  readonly lines: 0 | 1;
  readonly columns: 0 | 1;
}

export function toStackFrame(
  entry: StackEntry,
  place: Place,
  source: DebugProtocol.Source,
  { lines, columns }: ClientCounting,
): DebugProtocol.StackFrame {
  return {
    id: entry.id,
    name: entry.name,
    source,
    line: place.line + lines,
    column: place.character + columns,
    presentationHint: entry.hint,
  };
}
