import assert from 'node:assert/strict';
import { destroyVm, sevVmDestroy } from '../../../engine/kvm/sev-vm-destroy.js';
import { VM_TYPE } from '../../../engine/kvm/uapi/vm-type.js';
import type { Machine } from '../../../engine/machine.js';
import { bootedHost, init2, newVm, run, startedVm, trace } from '../../support/kvm-host.js';

/** Three ASIDs for SEV-ES and SNP. */
const few = (machine: Machine): Machine => ({ ...machine, processor: { ...machine.processor, minSevAsid: 4 } });

describe('ASIDs', () => {
  it('run out, and come back with WBINVD and SNP_DF_FLUSH', () => {
    const machine = bootedHost({}, few);
    const vms = [1, 2, 3].map(() => startedVm(machine));
    assert.deepEqual(
      vms.map((vm) => vm.asid),
      [1, 2, 3],
    );
    assert.equal(init2(machine, newVm(machine)).fault?.check, 'kvm-asid-busy');
    const [, second] = vms;
    assert.ok(second);
    run(sevVmDestroy(machine, second));
    // Not free yet: its lines may still be in caches.
    assert.deepEqual([...machine.kvm.asidsToReclaim], [2]);
    assert.equal(machine.asp.asidsToFlush.has(2), true);
    const next = newVm(machine);
    const { ret } = init2(machine, next);
    assert.deepEqual([ret, next.asid], [0, 2]);
    assert.deepEqual([machine.kvm.asidsToReclaim.size, machine.asp.asidsToFlush.size], [0, 0]);
  });

  it('are flushed only when no other is left', () => {
    const machine = bootedHost({}, few);
    const vm = startedVm(machine);
    const { events } = trace(destroyVm(machine));
    assert.ok(!events.some((event) => event.kind === 'enter' && event.frame.name === 'SNP_DF_FLUSH'));
    assert.equal(startedVm(machine).asid, vm.asid + 1);
    assert.deepEqual([...machine.kvm.asidsToReclaim], [vm.asid]);
  });

  it('of SEV-ES and SNP are one pool, those of plain SEV another', () => {
    const machine = bootedHost({}, few);
    const asidOf = (type: number): number => {
      const vm = newVm(machine, type);
      assert.equal(init2(machine, vm).ret, 0);
      return vm.asid;
    };
    const types = [VM_TYPE.KVM_X86_SEV_ES_VM, VM_TYPE.KVM_X86_SEV_VM, VM_TYPE.KVM_X86_SNP_VM, VM_TYPE.KVM_X86_SEV_VM];
    assert.deepEqual(types.map(asidOf), [1, 4, 2, 5]);
  });
});
