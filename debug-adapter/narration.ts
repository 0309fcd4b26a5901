import type { Fault } from '../engine/fault.js';
import type { EngineEvent } from '../engine/timeline/event.js';
import { eventText } from '../engine/timeline/format.js';
import { addConsoleText, type ConsoleLines, flushConsole } from './guest/console-lines.js';
import type { LaunchTarget } from './launch-target.js';
import { entryLine, faultReport, problemLine } from './output.js';
import type { Places } from './places.js';

/** `stdout` is what happens, `stderr` what fails, `console` what the debugger has to say; VS Code colours them. */
export type OutputCategory = 'console' | 'stdout' | 'stderr';

/** Where a text of the Debug Console leads; lines start at 0. */
export interface OutputPlace {
  readonly path: string;
  readonly line: number;
}

/** What follows `startCollapsed`, up to `end`, unfolds below its text. */
export type OutputGroup = 'startCollapsed' | 'end';

/** Takes what is said in the Debug Console. */
export type Output = (category: OutputCategory, text: string, at?: OutputPlace, group?: OutputGroup) => void;

/** Longer lines of the guest are folded, and begin with so many characters. */
const MAX_SHOWN = 400;
const HEAD = 64;

/** A tracepoint of KVM, such as kvm_vmgexit_enter: a guest that prints makes two for each letter. */
const TRACEPOINT = /^kvm_\w+: vcpu \d/;

export function isTracepoint(event: EngineEvent): boolean {
  return event.kind === 'log' && event.source === 'kvm' && TRACEPOINT.test(event.text);
}

/** What a launch says of itself while it runs: entries, logs of all layers, lines of the guest's consoles. */
export function narrate(event: EngineEvent, target: LaunchTarget, lines: ConsoleLines, output: Output): void {
  switch (event.kind) {
    case 'log':
      output('stdout', `${eventText(event)}\n`);
      return;
    case 'console':
      for (const text of addConsoleText(lines, event.source, event.text)) tellConsole(text, output);
      return;
    case 'enter': {
      if (event.frame.entry === undefined || event.frame.layer !== 'launch') return;
      const entry = target.plan.entries[event.frame.entry];
      if (!entry) return;
      const text = entryLine(entry, event.frame.entry, target.plan.entries.length);
      output('stdout', text, target.places.of(entry.at));
      return;
    }
    default:
      return;
  }
}

/** Lines of the guest that have no end yet, when somebody stops to look. */
export function narrateRest(lines: ConsoleLines, output: Output): void {
  for (const text of flushConsole(lines)) tellConsole(text, output);
}

/** A line of the guest; one that would fill the console, such as a report in hex, is folded. */
function tellConsole(text: string, output: Output): void {
  const { length } = text.trimEnd();
  if (length <= MAX_SHOWN) {
    output('stdout', text);
    return;
  }
  output(
    'stdout',
    `${text.slice(0, HEAD)}… (${length} characters: unfold to read and copy them)\n`,
    undefined,
    'startCollapsed',
  );
  // Alone, so that it can be copied.
  output('stdout', text.replace(/^debugcon: /, ''));
  output('stdout', '', undefined, 'end');
}

export function tellProblem(fault: Fault, places: Places, output: Output): void {
  const category = fault.severity === 'error' ? 'stderr' : 'console';
  output(category, problemLine(fault, places), fault.at && places.of(fault.at));
}

export function tellFault(fault: Fault, places: Places, output: Output): void {
  output('stderr', faultReport(fault, places), fault.at && places.of(fault.at));
}
