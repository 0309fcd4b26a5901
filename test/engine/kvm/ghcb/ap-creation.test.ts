import assert from 'node:assert/strict';
import { sevSnpInitProtectedGuestState } from '../../../../engine/kvm/run/sev-snp-init-protected-guest-state.js';
import type { KvmVcpu } from '../../../../engine/kvm/state.js';
import type { KvmRelease } from '../../../../engine/spec/versions.js';
import { run } from '../../../support/kvm-host.js';
import { ALL_RELEASES } from '../cases/kvm-case.js';
import { AP_CASES, CREATE, CREATE_ON_INIT, createAp, DESTROY, VMSA } from './ap-cases.js';
import { answer, type FakeGuest, fakeGuest } from './fake-guest.js';
import { testGhcbCases } from './refusal-case.js';

const OLD: readonly KvmRelease[] = ['v15', 'v15+fixes'];

function target(guest: FakeGuest) {
  const vcpu = guest.vm.vcpus[1] as KvmVcpu;
  const { arch } = vcpu;
  if (!arch) throw new Error('no vCPU 1');
  // As KVM_RUN does with the pending request.
  const process = () => {
    arch.updateProtectedGuestState = false;
    run(sevSnpInitProtectedGuestState(guest.machine, guest.vm, vcpu));
  };
  return { arch, process };
}

describe('AP creation', () => {
  testGhcbCases(AP_CASES);

  for (const kvm of ALL_RELEASES) {
    it(`gives the vCPU a VMSA and wakes it (${kvm})`, () => {
      const guest = fakeGuest({ kvm, vcpus: 2 });
      const { arch, process } = target(guest);
      assert.equal(createAp(guest, CREATE).ret, 1);
      assert.deepEqual(answer(guest), [0n, 0n]);
      assert.deepEqual([arch.snpVmsaGpa, arch.updateProtectedGuestState], [VMSA, true]);
      assert.equal(guest.arch.updateProtectedGuestState, false);
      process();
      assert.deepEqual([arch.mpState, arch.snpHasGuestVmsa, arch.snpVmsaGpa], ['RUNNABLE', true, undefined]);
      assert.notEqual(arch.vmcb.vmsa, undefined);
    });

    it(`on INIT waits for INIT (${kvm})`, () => {
      const guest = fakeGuest({ kvm, vcpus: 2 });
      const { arch } = target(guest);
      createAp(guest, CREATE_ON_INIT);
      assert.deepEqual(
        [arch.snpVmsaGpa, arch.snpApWaitingForReset, arch.updateProtectedGuestState],
        [VMSA, true, false],
      );
    });

    it(`destroys without looking at RAX or the address (${kvm})`, () => {
      const guest = fakeGuest({ kvm, vcpus: 2 });
      const { arch, process } = target(guest);
      createAp(guest, CREATE);
      process();
      assert.equal(createAp(guest, DESTROY, { features: undefined, vmsa: 0x123n }).ret, 1);
      assert.equal(arch.updateProtectedGuestState, true);
      process();
      assert.deepEqual([arch.mpState, arch.vmcb.vmsa], ['HALTED', undefined]);
    });
  }

  const WRONG = { vmsa: 0x123n };
  for (const kvm of OLD) {
    it(`that fails parks the vCPU (${kvm})`, () => {
      const guest = fakeGuest({ kvm, vcpus: 2 });
      const { arch, process } = target(guest);
      createAp(guest, CREATE);
      process();
      assert.equal(arch.mpState, 'RUNNABLE');
      createAp(guest, CREATE, WRONG);
      assert.deepEqual([arch.snpVmsaGpa, arch.updateProtectedGuestState], [undefined, true]);
      process();
      assert.equal(arch.mpState, 'HALTED');
    });

    it(`on INIT wakes the vCPU if its features are wrong, and not if its address is (${kvm})`, () => {
      const guest = fakeGuest({ kvm, vcpus: 2 });
      const { arch } = target(guest);
      createAp(guest, CREATE_ON_INIT, WRONG);
      assert.equal(arch.updateProtectedGuestState, false);
      createAp(guest, CREATE_ON_INIT, { features: 9n });
      assert.equal(arch.updateProtectedGuestState, true);
    });
  }

  for (const kvm of ['6.11', '6.18'] as const) {
    it(`that fails changes nothing (${kvm})`, () => {
      const guest = fakeGuest({ kvm, vcpus: 2 });
      const { arch, process } = target(guest);
      createAp(guest, CREATE);
      process();
      const before = arch.vmcb.vmsa;
      createAp(guest, CREATE, WRONG);
      assert.deepEqual([arch.snpApWaitingForReset, arch.updateProtectedGuestState], [false, false]);
      assert.deepEqual([arch.mpState, arch.vmcb.vmsa], ['RUNNABLE', before]);
    });
  }

  it('with other features than injection modes is refused by 6.18 only', () => {
    assert.equal(createAp(fakeGuest({ kvm: '6.11', vcpus: 2 }), CREATE, { features: 0x21n }).fault, undefined);
    const { fault } = createAp(fakeGuest({ kvm: '6.18', vcpus: 2 }), CREATE, { features: 0x21n });
    assert.equal(fault?.check, 'kvm-ap-creation-features');
  });

  it('takes an address with the C-bit, because that is no reserved bit: the vCPU then stays parked', () => {
    const guest = fakeGuest({ vcpus: 2 });
    const { arch, process } = target(guest);
    assert.equal(createAp(guest, CREATE, { vmsa: BigInt(VMSA) | (1n << 51n) }).fault, undefined);
    process();
    assert.equal(arch.mpState, 'HALTED');
  });
});
