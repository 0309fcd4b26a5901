import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Fault } from '../../../engine/fault.js';
import { parseManifest } from '../../../engine/launch/manifest/parse.js';
import { resolvePlan } from '../../../engine/launch/resolve.js';
import { KVM_RELEASES, type KvmRelease } from '../../../engine/spec/versions.js';
import { finishRun } from '../../../engine/timeline/run.js';
import { launch } from '../../../engine/vmm/launch.js';
import { createFileSource } from '../../../platform/file-source.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';

/** samples/host-changes: real guest code that gets something else from each release of KVM. */
const FOLDER = join(import.meta.dirname, '../../../samples/host-changes');

function runUnder(sample: string, kvm: KvmRelease) {
  const path = join(FOLDER, `${sample}.snp.yaml`);
  const text = readFileSync(path, 'utf8').replace('kvm: v15\n', `kvm: "${kvm}"\n`);
  const { plan } = resolvePlan(parseManifest(text, path), createFileSource(), nativeCrypto);
  assert.ok(plan);
  assert.equal(plan.host.kvm.release, kvm);
  const run = launch(plan, { crypto: nativeCrypto, run: true });
  const { exit } = finishRun(run);
  assert.ok(exit);
  const checks: string[] = [];
  let fault: Fault | undefined = 'fault' in exit ? exit.fault : undefined;
  for (; fault; fault = fault.cause) checks.push(fault.check);
  const states = [...run.machine.kvm.vms.values()].flatMap((vm) => vm.vcpus.map((vcpu) => vcpu.arch?.mpState));
  return { exit, checks, states, serial: run.machine.console.serial };
}

describe('Guests for which KVM has changed', function () {
  this.timeout(60_000);

  for (const kvm of KVM_RELEASES) {
    const old = kvm === 'v15';
    it(`psmash-last ${old ? 'makes the VMM convert nothing, which stops it' : 'finishes'} (${kvm})`, () => {
      const { checks, serial } = runUnder('psmash-last', kvm);
      assert.deepEqual(checks, old ? ['vmm-convert-memory', 'kvm-psc-uninitialised'] : []);
      assert.equal(serial.endsWith('result 0x0\npsmash-last: finished\n'), !old);
    });

    it(`implicit-conversion ${old ? 'faults for ever' : 'finishes'} (${kvm})`, () => {
      const { checks, serial } = runUnder('implicit-conversion', kvm);
      const stuck = ['vmm-guest-stuck', 'kvm-run-no-progress', 'hw-access-hypervisor-owned'];
      assert.deepEqual(checks, old ? stuck : []);
      assert.equal(serial.endsWith('the page holds 2\nimplicit-conversion: finished\n'), !old);
    });

    const parks = kvm.startsWith('v15');
    it(`vmsa-at-2m is refused${parks ? ', and the vCPU parked' : ''} (${kvm})`, () => {
      const { checks, serial, states } = runUnder('vmsa-at-2m', kvm);
      assert.match(serial, /answer 2, reason 5\nvmsa-at-2m: finished\n$/);
      assert.deepEqual([checks, states[1]], [[], parks ? 'HALTED' : 'UNINITIALIZED']);
    });
  }
});
