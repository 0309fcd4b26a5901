import assert from 'node:assert/strict';
import { sevGuestMemoryReclaimed } from '../../../engine/kvm/sev-guest-memory-reclaimed.js';
import { VM_TYPE } from '../../../engine/kvm/uapi/vm-type.js';
import { kvmConvertMemory } from '../../../engine/vmm/kvm-convert-memory.js';
import { init2, newVm, trace } from '../../support/kvm-host.js';
import { RAM_GPA, runningVm, vmmOf } from '../../support/running-vm.js';

const wbinvds = (events: ReturnType<typeof trace>['events']): number =>
  events.filter((event) => event.kind === 'log' && event.text.startsWith('wbinvd_on_all_cpus')).length;

describe('sev_guest_memory_reclaimed', () => {
  it('costs no WBINVD when memory of an SNP guest becomes private', () => {
    const setup = runningVm();
    setup.machine.asp.wbinvdRequired = true;
    for (const toPrivate of [false, true]) {
      const { value, events } = trace(kvmConvertMemory(vmmOf(setup), RAM_GPA, 0x1000, toPrivate));
      assert.deepEqual([value.ret, wbinvds(events)], [0, 0]);
    }
    assert.equal(setup.machine.asp.wbinvdRequired, true);
  });

  it('costs one for SEV and SEV-ES', () => {
    const setup = runningVm();
    for (const type of [VM_TYPE.KVM_X86_SEV_VM, VM_TYPE.KVM_X86_SEV_ES_VM]) {
      const vm = newVm(setup.machine, type);
      assert.equal(init2(setup.machine, vm).ret, 0);
      setup.machine.asp.wbinvdRequired = true;
      assert.equal(wbinvds(trace(sevGuestMemoryReclaimed(setup.machine, vm)).events), 1);
      assert.equal(setup.machine.asp.wbinvdRequired, false);
    }
  });

  it('has nothing to do for a VM without encryption', () => {
    const setup = runningVm();
    const vm = newVm(setup.machine, VM_TYPE.KVM_X86_DEFAULT_VM);
    assert.deepEqual(trace(sevGuestMemoryReclaimed(setup.machine, vm)).events, []);
  });
});
