import { retired } from '../../../engine/cpu/svm/vmrun.js';
import { parseManifest } from '../../../engine/launch/manifest/parse.js';
import { resolvePlan } from '../../../engine/launch/resolve.js';
import { nextEvent } from '../../../engine/timeline/run.js';
import { launch } from '../../../engine/vmm/launch.js';
import { createFileSource } from '../../../platform/file-source.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';

/** A line of a measuring guest: `begin NAME`, `end NAME VALUE`. */
export interface Mark {
  readonly word: string;
  readonly name: string;
  readonly value: string;
  /** Milliseconds on the clock of this process. */
  readonly time: number;
  /** Instructions that the guest has retired. */
  readonly instructions: number;
}

export function markOf(line: string, time: number, instructions: number): Mark {
  const [word = '', name = '', value = ''] = line.split(' ');
  return { word, name, value, time, instructions };
}

export function manifestOf(image: string, memory: string): string {
  return `snp: 1
vm: { cpu: EPYC-Milan-v2, memory: ${memory} }
launch:
  policy: 0x30000
  update:
    - firmware: ${image}
`;
}

/**
 * Runs an image from the boot of the host to the end of the guest, event by event as the command line does, and
 * gathers its marks from the debug console.
 */
export function watchGuest(image: string, breakpoints: ReadonlySet<bigint>): readonly Mark[] {
  const path = '/bench/guest.snp.yaml';
  const parsed = parseManifest(manifestOf(image, '64MiB'), path);
  const { plan, faults } = resolvePlan(parsed, createFileSource(), nativeCrypto);
  if (!plan) throw new Error(faults.map((fault) => fault.message).join('\n'));
  const run = launch(plan, { crypto: nativeCrypto, run: true });
  const { machine } = run;
  machine.guestControl.breakpoints = breakpoints;
  const marks: Mark[] = [];
  let text = '';
  for (let event = nextEvent(run); event; event = nextEvent(run)) {
    if (event.kind !== 'console' || event.source !== 'debugcon') continue;
    text += event.text;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      marks.push(markOf(text.slice(0, end), performance.now(), retired(machine)));
      text = text.slice(end + 1);
    }
  }
  const { exit, fault } = run.outcome ?? {};
  if (exit?.reason === 'termination' && exit.code === 0) return marks;
  const why = exit && 'fault' in exit ? exit.fault : fault;
  throw new Error(`the guest did not finish: ${why?.message ?? exit?.reason ?? 'no exit'}\n${machine.console.serial}`);
}

export interface Span {
  readonly milliseconds: number;
  readonly instructions: number;
  readonly value: string;
}

/** What lies between `begin` and `end` of each name; several of one name in the order in which they came. */
export function spans(marks: readonly Mark[]): ReadonlyMap<string, readonly Span[]> {
  const found = new Map<string, Span[]>();
  for (const [n, end] of marks.entries()) {
    const begin = marks[n - 1];
    if (end.word !== 'end' || begin?.word !== 'begin' || begin.name !== end.name) continue;
    const span = {
      milliseconds: end.time - begin.time,
      instructions: end.instructions - begin.instructions,
      value: end.value,
    };
    found.set(end.name, [...(found.get(end.name) ?? []), span]);
  }
  return found;
}
