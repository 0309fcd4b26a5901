import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { toHex } from '../../../engine/bytes.js';
import type { Fault } from '../../../engine/fault.js';
import { destroyVm } from '../../../engine/kvm/sev-vm-destroy.js';
import { parseManifest } from '../../../engine/launch/manifest/parse.js';
import { resolvePlan } from '../../../engine/launch/resolve.js';
import { finishRun } from '../../../engine/timeline/run.js';
import { stateHash } from '../../../engine/timeline/state-hash.js';
import { launch } from '../../../engine/vmm/launch.js';
import { createFileSource } from '../../../platform/file-source.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';
import { run as runOp } from '../../support/kvm-host.js';

const FOLDER = join(import.meta.dirname, '../../../samples/guests');
const SAMPLE_SET = 15;

function runSample(name: string, slice = 2_000_000) {
  const path = join(FOLDER, `${name}.snp.yaml`);
  const { plan } = resolvePlan(parseManifest(readFileSync(path, 'utf8'), path), createFileSource(), nativeCrypto);
  assert.ok(plan);
  const run = launch(plan, { crypto: nativeCrypto, run: true });
  const { machine } = run;
  machine.guestControl.slice = slice;
  const outcome = finishRun(run);
  assert.ok(outcome.digest && outcome.exit, outcome.fault?.message);
  const fault = 'fault' in outcome.exit ? outcome.exit.fault : undefined;
  return { machine, exit: outcome.exit, fault, hash: toHex(stateHash(machine)), position: run.position };
}

function chain(fault: Fault | undefined): string[] {
  const checks: string[] = [];
  for (let f = fault; f; f = f.cause) checks.push(f.check);
  return checks;
}

/** Sample, reason of its termination, and the checks behind it, outermost first. */
const ENDS = [
  ['hello', 0, []],
  ['two-vcpus', 0, []],
  ['page-states', 0, []],
  ['forgotten-pvalidate', 2, ['vmm-guest-terminated', 'guest-exception', 'hw-access-not-validated']],
  ['validated-twice', 17, ['vmm-guest-terminated', 'guest-pvalidate-unchanged', 'hw-pvalidate-twice']],
  ['wrong-page-size', 16, ['vmm-guest-terminated', 'guest-rmp-instruction-failed', 'hw-rmp-instruction-size-mismatch']],
  ['ghcb-in-private-memory', 11, ['vmm-guest-terminated', 'kvm-ghcb-private']],
  ['unknown-exit', 12, ['vmm-guest-terminated', 'kvm-ghcb-event']],
] as const;

describe('Sample guests', function () {
  // Ten million instructions of code that nobody has bundled.
  this.timeout(120_000);

  for (const [name, code, checks] of ENDS) {
    it(`${name} ends as its source says`, () => {
      const { exit, fault, machine } = runSample(name);
      assert.ok(exit.reason === 'termination', fault?.message);
      assert.deepEqual([exit.set, exit.code], [SAMPLE_SET, code]);
      assert.deepEqual(chain(fault), checks);
      if (code === 0)
        assert.match(machine.console.serial, new RegExp(`\\n${name}: (finished|\\d+ steps, 0 failed)\n$`));
      // One paragraph tells it all.
      for (let f = fault?.cause; f; f = f.cause) assert.ok(fault?.message.includes(f.message));
    });
  }

  it('vc-inside-vc ends with a triple fault whose message names the handler', () => {
    const { exit, fault } = runSample('vc-inside-vc');
    assert.equal(exit.reason, 'shutdown');
    const checks = ['vmm-guest-shutdown', 'guest-exception', 'guest-exception', 'guest-exception-repeated'];
    assert.deepEqual(chain(fault), checks);
    assert.match(fault?.message ?? '', /#DF.*#PF.*raised #VC with error code 0x72 \d+ times in a row/);
  });

  it('two-vcpus gives everything back on teardown, the VMSA that it made included', () => {
    const { machine } = runSample('two-vcpus');
    const { leaked, faults } = runOp(destroyVm(machine));
    assert.deepEqual([leaked, faults], [[], []]);
    assert.equal(machine.asp.guests.size, 0);
  });

  for (const name of ['two-vcpus', 'forgotten-pvalidate']) {
    it(`${name} gives the same state however it is cut into slices`, () => {
      const whole = runSample(name);
      for (const slice of [997, 10_000]) {
        const cut = runSample(name, slice);
        assert.deepEqual([cut.hash, cut.position], [whole.hash, whole.position]);
      }
    });
  }
});
