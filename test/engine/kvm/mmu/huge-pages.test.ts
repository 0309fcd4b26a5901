import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gfn, pfn } from '../../../../engine/address.js';
import { nptLookup } from '../../../../engine/cpu/svm/nested-page-table.js';
import { EXIT } from '../../../../engine/cpu/svm/vmcb.js';
import { kvmGmemPunchHole } from '../../../../engine/kvm/mmu/kvm-gmem-punch-hole.js';
import { npfInterception } from '../../../../engine/kvm/mmu/npf-interception.js';
import { destroyVm } from '../../../../engine/kvm/sev-vm-destroy.js';
import { createKvmHost } from '../../../../engine/kvm/state.js';
import { parseManifest } from '../../../../engine/launch/manifest/parse.js';
import { resolvePlan } from '../../../../engine/launch/resolve.js';
import { mapAnonymous } from '../../../../engine/memory/user-memory.js';
import { effectiveEntry, headOf, readEntry } from '../../../../engine/rmp/table.js';
import { nextEvent } from '../../../../engine/timeline/run.js';
import { launch } from '../../../../engine/vmm/launch.js';
import { createFileSource } from '../../../../platform/file-source.js';
import { nativeCrypto } from '../../../../platform/native-crypto.js';
import {
  bootedHost,
  createMemfd,
  launchFinish,
  run,
  setAttributes,
  setRegion,
  startedVm,
  trace,
} from '../../../support/kvm-host.js';
import { archState, NPF_BITS, type RunningVm, vcpuOf } from '../../../support/running-vm.js';
import { ALL_RELEASES } from '../cases/kvm-case.js';

const { present, rmp, encrypted, sizeMismatch } = NPF_BITS;
const RAM_GPA = 0x40_0000;
const SIZE = 0x40_0000;

/** A running VM with 4 MiB of RAM at 4 MiB, on a host whose guest_memfd has folios of 2 MiB. */
function hugeVm(offset = 0): RunningVm {
  const machine = bootedHost({}, (m) => ({ ...m, kvm: createKvmHost({ hugePages: true }) }));
  const vm = startedVm(machine);
  const ram = mapAnonymous(machine.user, machine, 'ram', SIZE);
  const fd = createMemfd(machine, vm, SIZE + offset).ret;
  const region = { slot: 1, guestPhysAddr: RAM_GPA, memorySize: SIZE, userspaceAddr: ram, guestMemfd: fd };
  const set = setRegion(machine, vm, { ...region, guestMemfdOffset: offset });
  assert.equal(set.ret, 0, set.fault?.message);
  setAttributes(machine, vm, RAM_GPA, SIZE);
  assert.equal(launchFinish(machine, vm).ret, 0);
  return { machine, vm, ram };
}

function fault(setup: RunningVm, address: number, bits: bigint) {
  const arch = archState(setup);
  Object.assign(arch.vmcb, { exitCode: EXIT.NPF, exitInfo1: bits, exitInfo2: BigInt(address) });
  const { value, events } = trace(npfInterception(setup.machine, setup.vm, vcpuOf(setup.vm)));
  const mapped = nptLookup(arch.vmcb.nestedPageTable, gfn(Math.floor(address / 4096)));
  const logs = events.flatMap((event) => (event.kind === 'log' ? [event.text] : []));
  return { ...value, mapped, logs };
}

function gmemOf({ vm }: RunningVm) {
  const gmem = vm.gmems.get(vm.slots.get(1)?.gmemFd ?? -1);
  assert.ok(gmem);
  return gmem;
}

describe('guest_memfd with folios of 2 MiB', () => {
  it('gives one RMP entry and one mapping of 2 MiB', () => {
    const setup = hugeVm();
    const { mapped } = fault(setup, RAM_GPA + 0x5123, encrypted);
    assert.ok(mapped?.entry.size2M);
    const head = readEntry(setup.machine.rmp, headOf(mapped.pfn));
    assert.deepEqual([head.pageSize2M, head.gpa, head.validated], [true, RAM_GPA, false]);
    assert.equal(mapped.pfn % 512, 5);
    assert.equal(gmemOf(setup).folios.size, 512);
  });

  it('gives pages of 4 KiB where guest and file are not aligned alike', () => {
    const setup = hugeVm(0x1000);
    const { mapped } = fault(setup, RAM_GPA, encrypted);
    assert.equal(mapped?.entry.size2M, false);
    assert.equal(readEntry(setup.machine.rmp, mapped.pfn).pageSize2M, false);
  });

  it('maps 4 KiB while some frame of the 2 MiB is shared (private_max_mapping_level is not asked)', () => {
    const setup = hugeVm();
    setAttributes(setup.machine, setup.vm, RAM_GPA + 0x3000, 0x1000, 0n);
    const { mapped } = fault(setup, RAM_GPA, encrypted);
    assert.equal(mapped?.entry.size2M, false);
    // The folio is one entry all the same: the access meets a size mismatch, and KVM splits the entry.
    assert.equal(readEntry(setup.machine.rmp, headOf(mapped.pfn)).pageSize2M, true);
    const { logs } = fault(setup, RAM_GPA, present | rmp | encrypted);
    assert.match(logs.join(), /rmp_level 2 psmash_ret 0$/);
    assert.equal(readEntry(setup.machine.rmp, headOf(mapped.pfn)).pageSize2M, false);
    assert.equal(fault(setup, RAM_GPA, encrypted).mapped?.entry.size2M, false);
  });

  it('splits for PVALIDATE of 4 KiB (SIZEM), and maps 4 KiB from then on', () => {
    const setup = hugeVm();
    fault(setup, RAM_GPA, encrypted);
    const { mapped, logs } = fault(setup, RAM_GPA, present | rmp | encrypted | sizeMismatch);
    assert.equal(mapped, undefined);
    assert.match(
      logs.join(),
      /^kvm_rmp_fault: vcpu 0 gpa 0000000000400000 pfn 0x[0-9a-f]+ error_code 0x2000c80000001 rmp_level 2 psmash_ret 0$/,
    );
    assert.equal(fault(setup, RAM_GPA, encrypted).mapped?.entry.size2M, false);
  });

  it('gives a whole folio back with one RMPUPDATE, and a part of it after PSMASH', () => {
    for (const [length, instructions] of [
      [0x20_0000, ['RMPUPDATE']],
      [0x2000, ['PSMASH', 'RMPUPDATE', 'RMPUPDATE']],
    ] as const) {
      const setup = hugeVm();
      const { mapped } = fault(setup, RAM_GPA, encrypted);
      assert.ok(mapped);
      const { events } = trace(kvmGmemPunchHole(setup.machine, setup.vm, gmemOf(setup), 0, length));
      const names = events.flatMap((e) => (e.kind === 'enter' && e.frame.layer === 'hardware' ? [e.frame.name] : []));
      assert.deepEqual(names, instructions);
      const pages = length / 0x1000;
      assert.equal(gmemOf(setup).folios.size, 512 - pages);
      assert.equal(effectiveEntry(setup.machine.rmp, mapped.pfn).assigned, false);
      assert.equal(effectiveEntry(setup.machine.rmp, pfn(mapped.pfn + pages)).assigned, pages < 512);
      assert.ok(setup.machine.memory.free.includes(mapped.pfn));
    }
  });

  it('never makes an entry of 2 MiB again over a page that has left the file', () => {
    const setup = hugeVm();
    const first = fault(setup, RAM_GPA + 0x20_0000, encrypted).mapped;
    assert.ok(first);
    run(kvmGmemPunchHole(setup.machine, setup.vm, gmemOf(setup), 0x20_0000, 0x1000));
    run(kvmGmemPunchHole(setup.machine, setup.vm, gmemOf(setup), 0x20_1000, 0x1000));
    const again = fault(setup, RAM_GPA + 0x20_2000, encrypted).mapped;
    assert.equal(again?.entry.size2M, false);
    assert.equal(effectiveEntry(setup.machine.rmp, headOf(first.pfn)).assigned, false);
  });

  it('leaves nothing assigned behind a VM', () => {
    const setup = hugeVm();
    for (const page of [0, 0x20_0000]) fault(setup, RAM_GPA + page, encrypted);
    assert.deepEqual(run(destroyVm(setup.machine)), { leaked: [], faults: [] });
    assert.equal(setup.machine.kvm.vms.size, 0);
  });
});

describe('The guest page-states on a host with pages of 2 MiB', function () {
  this.timeout(60_000);
  const path = join(import.meta.dirname, '../../../../samples/guests/page-states.snp.yaml');

  for (const kvm of ALL_RELEASES) {
    it(`validates 2 MiB at once, and 4 KiB of them after PSMASH (${kvm})`, () => {
      const text = readFileSync(path, 'utf8').replace(
        'snp: 1\n',
        `snp: 1\nhost: { huge-pages: true, kvm: "${kvm}" }\n`,
      );
      const { plan } = resolvePlan(parseManifest(text, path), createFileSource(), nativeCrypto);
      assert.ok(plan);
      const launched = launch(plan, { crypto: nativeCrypto, run: true });
      const logs: string[] = [];
      const sizeMismatches: string[] = [];
      for (let event = nextEvent(launched); event; event = nextEvent(launched)) {
        if (event.kind === 'log' && event.text.startsWith('kvm_rmp_fault')) logs.push(event.text);
        if (event.kind === 'exit' && (event.exitInfo1 & sizeMismatch) !== 0n)
          sizeMismatches.push(event.fault?.check ?? '');
      }
      const { serial } = launched.machine.console;
      assert.match(serial, /the RMP has a page of 2 MiB\n.*PVALIDATE: 2 MiB valid/);
      assert.match(serial, /the RMP has a page of 2 MiB\n.*PVALIDATE: 2 MiB rescinded/);
      assert.match(serial, /page-states: 28 steps, 0 failed\n$/);
      assert.deepEqual(sizeMismatches, ['hw-rmp-instruction-needs-psmash']);
      assert.equal(logs.length, 1);
      assert.match(logs[0] ?? '', /gpa 0000000000a00000 .* rmp_level 2 psmash_ret 0$/);
    });
  }
});
