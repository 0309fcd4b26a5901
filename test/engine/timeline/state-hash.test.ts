import assert from 'node:assert/strict';
import { pfn } from '../../../engine/address.js';
import { toHex } from '../../../engine/bytes.js';
import { EXIT } from '../../../engine/cpu/svm/vmcb.js';
import { patchPage } from '../../../engine/memory/system-memory.js';
import { readEntry, writeEntry } from '../../../engine/rmp/table.js';
import { stateHash } from '../../../engine/timeline/state-hash.js';
import { runGuest } from '../../../engine/vmm/run-vm.js';
import { run } from '../../support/kvm-host.js';
import {
  archState,
  NPF_BITS,
  npf,
  RAM_GPA,
  type RunningVm,
  runningVm,
  scriptedProcessor,
  vmmOf,
} from '../../support/running-vm.js';

function afterRun(): RunningVm {
  const setup = runningVm({ vcpus: 2 });
  const script = [npf(RAM_GPA, NPF_BITS.encrypted), { code: EXIT.HLT }];
  run(runGuest(vmmOf(setup), scriptedProcessor([script, []])));
  return setup;
}

const hashOf = ({ machine }: RunningVm): string => toHex(stateHash(machine));

describe('stateHash', () => {
  it('is the same for the same run, and has 48 bytes', () => {
    const first = afterRun();
    assert.equal(stateHash(first.machine).length, 48);
    assert.equal(hashOf(first), hashOf(afterRun()));
  });

  const privatePage = ({ vm }: RunningVm) => {
    const folio = vm.gmems.get(vm.slots.get(1)?.gmemFd ?? -1)?.folios.get(0);
    assert.ok(folio);
    return folio.pfn;
  };
  const changes: readonly (readonly [string, (setup: RunningVm) => void])[] = [
    ['a byte of memory', (s) => patchPage(s.machine.memory, privatePage(s), 100, Uint8Array.of(1))],
    ['the key of a page', (s) => Object.assign(s.machine.memory.pages.get(privatePage(s)) ?? {}, { key: 9 })],
    [
      'an RMP entry',
      (s) => {
        const page = privatePage(s);
        writeEntry(s.machine.rmp, page, { ...readEntry(s.machine.rmp, page), validated: true });
      },
    ],
    ['the state of a vCPU', (s) => Object.assign(archState(s, 1), { mpState: 'HALTED' })],
    ['the GHCB MSR', (s) => Object.assign(archState(s).vmcb, { ghcb: 5n })],
    ['an attribute', (s) => Object.assign(s.vm, { privateRanges: [] })],
    ['the nested page table', (s) => s.vm.nestedPageTable?.entries.clear()],
    ['the firmware', (s) => s.machine.asp.asidsToFlush.add(7)],
    ['the allocator', (s) => s.machine.memory.free.push(pfn(7))],
    ['a device', (s) => Object.assign(s.machine.board?.serial ?? {}, { scratch: 3 })],
    ['the console', (s) => Object.assign(s.machine.console, { serial: 'x' })],
  ];
  for (const [name, change] of changes) {
    it(`changes with ${name}`, () => {
      const setup = afterRun();
      const before = hashOf(setup);
      change(setup);
      assert.notEqual(hashOf(setup), before);
    });
  }

  it('does not depend on words for people', () => {
    const setup = afterRun();
    const before = hashOf(setup);
    for (const page of setup.machine.memory.pages.values()) page.use = 'something else';
    setup.machine.incidents.clear();
    assert.equal(hashOf(setup), before);
  });
});
