import assert from 'node:assert/strict';
import { gfn, gpa, gpaOf, type Pfn, pfn } from '../../../../engine/address.js';
import { sevGmemInvalidate } from '../../../../engine/kvm/mmu/sev-gmem-invalidate.js';
import { sevGmemPrepare, sevPrivateMaxMappingLevel } from '../../../../engine/kvm/mmu/sev-gmem-prepare.js';
import { rmpMakePrivate } from '../../../../engine/kvm/rmp-helpers.js';
import { VM_TYPE } from '../../../../engine/kvm/uapi/vm-type.js';
import { effectiveEntry, readEntry } from '../../../../engine/rmp/table.js';
import { newVm, run, trace } from '../../../support/kvm-host.js';
import { type RunningVm, runningVm } from '../../../support/running-vm.js';

const ORDER_2M = 9;
const FRAME = gfn(0x405);

/** A page in the middle of a 2 MiB region that nobody uses. */
function freeRegion({ machine }: RunningVm): { readonly head: Pfn; readonly page: Pfn } {
  const head = pfn(Math.ceil(machine.memory.nextFree / 512) * 512);
  return { head, page: pfn(head + 5) };
}

describe('sev_gmem_prepare', () => {
  it('makes one entry of 2 MiB for a large folio', () => {
    const setup = runningVm();
    const { head, page } = freeRegion(setup);
    assert.equal(run(sevGmemPrepare(setup.machine, setup.vm, FRAME, page, ORDER_2M)).ret, 0);
    const entry = readEntry(setup.machine.rmp, head);
    assert.deepEqual([entry.pageSize2M, entry.gpa, entry.asid], [true, 0x40_0000, setup.vm.asid]);
    assert.equal(effectiveEntry(setup.machine.rmp, page).gpa, gpaOf(FRAME));
    assert.equal(sevPrivateMaxMappingLevel(setup.machine, setup.vm, page), 2);
  });

  it('makes an entry of 4 KiB if a page of the region is somebody’s', () => {
    const setup = runningVm();
    const { head, page } = freeRegion(setup);
    run(rmpMakePrivate(setup.machine, pfn(head + 9), gpa(0x40_9000), setup.vm.asid, false));
    assert.equal(run(sevGmemPrepare(setup.machine, setup.vm, FRAME, page, ORDER_2M)).ret, 0);
    assert.equal(readEntry(setup.machine.rmp, page).pageSize2M, false);
    assert.equal(sevPrivateMaxMappingLevel(setup.machine, setup.vm, page), 1);
  });

  it('leaves a page alone that is assigned already', () => {
    const setup = runningVm();
    const { page } = freeRegion(setup);
    run(rmpMakePrivate(setup.machine, page, gpa(0x1000), setup.vm.asid, false));
    const { value, events } = trace(sevGmemPrepare(setup.machine, setup.vm, FRAME, page, 0));
    assert.equal(value.ret, 0);
    assert.ok(events.every((event) => event.kind !== 'rmp'));
  });

  it('has nothing to do for a VM without SNP', () => {
    const setup = runningVm();
    const vm = newVm(setup.machine, VM_TYPE.KVM_X86_SEV_ES_VM);
    const { page } = freeRegion(setup);
    assert.deepEqual(trace(sevGmemPrepare(setup.machine, vm, FRAME, page, 0)).events, []);
    assert.equal(sevPrivateMaxMappingLevel(setup.machine, vm, page), 0);
  });
});

describe('sev_gmem_invalidate', () => {
  function large(): RunningVm & { readonly head: Pfn } {
    const setup = runningVm();
    const { head } = freeRegion(setup);
    run(rmpMakePrivate(setup.machine, head, gpa(0x40_0000), setup.vm.asid, false, true));
    return { ...setup, head };
  }

  const instructions = (events: ReturnType<typeof trace>['events']): string[] =>
    events.flatMap((event) => (event.kind === 'enter' ? [event.frame.name] : []));

  it('gives a whole 2 MiB page back at once', () => {
    const { machine, head } = large();
    const { value, events } = trace(sevGmemInvalidate(machine, head, pfn(head + 512)));
    assert.deepEqual([value, instructions(events)], [[], ['RMPUPDATE']]);
    assert.equal(effectiveEntry(machine.rmp, pfn(head + 5)).assigned, false);
  });

  it('splits a 2 MiB page of which only a part goes', () => {
    const { machine, head } = large();
    const { events } = trace(sevGmemInvalidate(machine, pfn(head + 5), pfn(head + 7)));
    assert.deepEqual(instructions(events), ['PSMASH', 'RMPUPDATE', 'RMPUPDATE']);
    const assigned = [4, 5, 6, 7].map((i) => effectiveEntry(machine.rmp, pfn(head + i)).assigned);
    assert.deepEqual(assigned, [true, false, false, true]);
  });

  it('warns of a page that it cannot take back, and goes on', () => {
    const setup = runningVm();
    const { head } = freeRegion(setup);
    run(rmpMakePrivate(setup.machine, head, gpa(0x1000), setup.vm.asid, true));
    run(rmpMakePrivate(setup.machine, pfn(head + 1), gpa(0x2000), setup.vm.asid, false));
    const { value, events } = trace(sevGmemInvalidate(setup.machine, head, pfn(head + 2)));
    assert.deepEqual(
      value.map(({ pfn: page, fault }) => [page, fault.check]),
      [[head, 'kvm-rmpupdate-failed']],
    );
    assert.ok(events.some((event) => event.kind === 'log' && event.text.includes('stays private')));
    assert.equal(readEntry(setup.machine.rmp, pfn(head + 1)).assigned, false);
  });
});
