import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { toHex } from '../../../engine/bytes.js';
import { vmsaOfVcpu, vmsaRegisters } from '../../../engine/cpu/svm/vmsa-registers.js';
import { parseManifest } from '../../../engine/launch/manifest/parse.js';
import type { LaunchPlan } from '../../../engine/launch/plan.js';
import { resolvePlan } from '../../../engine/launch/resolve.js';
import type { GuestControl, Machine } from '../../../engine/machine.js';
import { eventJson } from '../../../engine/timeline/format.js';
import { nextEvent } from '../../../engine/timeline/run.js';
import { stateHash } from '../../../engine/timeline/state-hash.js';
import { launch } from '../../../engine/vmm/launch.js';
import { createFileSource } from '../../../platform/file-source.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';

const FOLDER = join(import.meta.dirname, '../../../samples/guests');
const SAMPLES = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.snp.yaml'))
  .map((name) => name.slice(0, -'.snp.yaml'.length));

const plans = new Map<string, LaunchPlan>();

function planOf(name: string): LaunchPlan {
  const path = join(FOLDER, `${name}.snp.yaml`);
  const known = plans.get(name);
  const plan =
    known ?? resolvePlan(parseManifest(readFileSync(path, 'utf8'), path), createFileSource(), nativeCrypto).plan;
  assert.ok(plan);
  plans.set(name, plan);
  return plan;
}

interface Ran {
  /** Of all events but `control`. */
  readonly events: string;
  readonly state: string;
  /** State after `middle` events, if the run has as many. */
  readonly between: string | undefined;
  readonly position: number;
  readonly controls: number;
  readonly registers: readonly ReadonlyMap<string, bigint>[];
  readonly exit: string;
  /** Where the guest stood at its exits. */
  readonly rips: ReadonlySet<bigint>;
}

interface Drive {
  /** Before the first event, and at each `control` event. */
  readonly steer?: (control: GuestControl) => void;
  readonly middle?: number;
}

function runSample(name: string, { steer, middle }: Drive = {}): Ran {
  const run = launch(planOf(name), { crypto: nativeCrypto, run: true });
  const { machine } = run;
  const events = createHash('sha384');
  const rips = new Set<bigint>();
  let controls = 0;
  let between: string | undefined;
  steer?.(machine.guestControl);
  for (let event = nextEvent(run); event; event = nextEvent(run)) {
    if (event.kind === 'control') {
      controls++;
      steer?.(machine.guestControl);
      continue;
    }
    events.update(JSON.stringify(eventJson(event)));
    if (event.kind === 'exit') rips.add(event.rip);
    if (run.position === middle) between = toHex(stateHash(machine));
  }
  const { exit } = run.outcome ?? {};
  assert.ok(exit, run.outcome?.fault?.message);
  return {
    events: events.digest('hex'),
    state: toHex(stateHash(machine)),
    between,
    position: run.position,
    controls,
    registers: registersOf(machine),
    exit: exit.reason,
    rips,
  };
}

function registersOf(machine: Machine): ReadonlyMap<string, bigint>[] {
  const [vm] = machine.kvm.vms.values();
  assert.ok(vm);
  return vm.vcpus.flatMap(({ index }) => {
    const vmsa = vmsaOfVcpu(machine, vm, index);
    return vmsa ? [vmsaRegisters(vmsa)] : [];
  });
}

function same(ran: Ran, expected: Ran): void {
  const { controls: _, rips: __, ...all } = ran;
  const { controls: ___, rips: ____, ...wanted } = expected;
  assert.deepEqual(all, wanted);
}

/** Lengths of slices one after the other, again and again; the last is long, so that a run ends some day. */
const slices = fc
  .array(fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 61, max: 400_000 })), { maxLength: 24 })
  .map((lengths) => [...lengths, 300_000]);

describe('Runs repeat', function () {
  // Ten million instructions, several times, of code that nobody has bundled.
  this.timeout(240_000);
  const first = new Map<string, { readonly whole: Ran; readonly middle: number }>();
  const firstRun = (name: string) => {
    // The guest is running by then.
    const middle = Math.floor(runSample(name).position * 0.9);
    const found = { whole: runSample(name, { middle }), middle };
    first.set(name, found);
    return found;
  };

  for (const name of SAMPLES) {
    it(`${name} gives the same events, the same state and the same registers twice`, () => {
      const { whole, middle } = firstRun(name);
      assert.ok(whole.between);
      same(runSample(name, { middle }), whole);
    });

    it(`${name} does not depend on where it is cut, nor on breakpoints`, () => {
      const { whole, middle } = first.get(name) ?? firstRun(name);
      const addresses = fc.uniqueArray(fc.constantFrom(...whole.rips, 0xffff_f000n, 0x1234_5678n), { maxLength: 4 });
      const body = (lengths: readonly number[], breakpoints: readonly bigint[], toggles: boolean): void => {
        let turn = 0;
        const set: ReadonlySet<bigint> = new Set(breakpoints);
        const steer = (control: GuestControl): void => {
          control.slice = lengths[turn++ % lengths.length] ?? 1;
          // Breakpoints that come and go drop decoded code each time.
          control.breakpoints = toggles && turn % 2 === 0 ? new Set() : set;
        };
        const cut = runSample(name, { steer, middle });
        assert.ok(cut.controls >= whole.controls);
        same(cut, whole);
      };
      fc.assert(fc.property(slices, addresses, fc.boolean(), body), { numRuns: 4 });
    });
  }

  it('can tell: another limit of instructions is another state', () => {
    const limited = (limit: number): string => {
      const steer = (control: GuestControl): void => {
        control.limit = limit;
      };
      const { state, exit } = runSample('hello', { steer });
      assert.equal(exit, 'limit');
      return state;
    };
    assert.equal(limited(20_000), limited(20_000));
    assert.notEqual(limited(20_000), limited(20_001));
  });
});
