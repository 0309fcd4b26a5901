import { baseline } from './baseline.js';
import { BASELINES, CASES, CONTROL, RAM_SIZE, RESULT_SIZE, RESULTS, RUNNER } from './layout.js';
import { BASELINE_OF, type Kind, type Ring0Case, serialize } from './ring0-case.js';
import type { Runner } from './runner.js';

/** Most cases of one run. */
export const BATCH = 4000;

/** All of memory as both machines start with it. */
export function machineImage(runner: Runner, cases: readonly Ring0Case[]): Uint8Array {
  const ram = new Uint8Array(RAM_SIZE);
  const view = new DataView(ram.buffer);
  // INT3 wherever a case may get lost.
  ram.fill(0xcc, 0, RUNNER);
  ram.fill(0xcc, RUNNER + runner.image.length, 0x8000);
  ram.fill(0xcc, 0xa000, 0xa_0000);
  ram.set(runner.image, RUNNER);
  for (const kind of Object.keys(BASELINE_OF) as Kind[]) {
    ram.set(baseline(kind, runner), BASELINES + 0x1_0000 * BASELINE_OF[kind]);
  }
  let at = CASES;
  for (const c of cases) {
    const bytes = serialize(c);
    if (at + bytes.length > RESULTS) throw new Error('too many or too large cases for one run');
    ram.set(bytes, at);
    at += bytes.length;
  }
  if (RESULTS + RESULT_SIZE * cases.length > RAM_SIZE) throw new Error('too many cases for one run');
  view.setUint32(CONTROL.total, cases.length, true);
  view.setUint32(CONTROL.next, CASES, true);
  return ram;
}
