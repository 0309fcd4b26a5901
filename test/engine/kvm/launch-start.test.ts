import assert from 'node:assert/strict';
import { spaOf } from '../../../engine/address.js';
import { acceptedPolicyBits, kvmPolicyFaults } from '../../../engine/kvm/policy-checks.js';
import { destroyVm } from '../../../engine/kvm/sev-vm-destroy.js';
import { VM_TYPE } from '../../../engine/kvm/uapi/vm-type.js';
import type { Machine } from '../../../engine/machine.js';
import { pageState } from '../../../engine/rmp/page-state.js';
import { readEntry } from '../../../engine/rmp/table.js';
import { firmwareProfile, KVM_PROFILES, type KvmRelease } from '../../../engine/spec/versions.js';
import { bootedHost, init2, launchStart, newVm, preparedVm, run, startedVm } from '../../support/kvm-host.js';
import { exhaust } from './cases/vm-cases.js';

describe('KVM_SEV_SNP_LAUNCH_START', () => {
  for (const kvm of Object.keys(KVM_PROFILES) as KvmRelease[]) {
    it(`${kvm}: makes a context and binds the ASID`, () => {
      const machine = bootedHost({ kvm });
      const vm = startedVm(machine);
      assert.ok(vm.snpContext !== undefined);
      assert.equal(pageState(readEntry(machine.rmp, vm.snpContext)), 'Context');
      const guest = machine.asp.guests.get(spaOf(vm.snpContext));
      assert.deepEqual([guest?.state, guest?.asid, guest?.policy], ['LAUNCH', vm.asid, 0x3_0000n]);
    });

    it(`${kvm}: ${kvm.startsWith('v15') ? 'cannot' : 'can'} be repeated after a refused policy`, () => {
      const machine = bootedHost({ kvm });
      const vm = preparedVm(machine);
      assert.equal(launchStart(machine, vm, { policy: 0n }).ret, -22);
      const second = launchStart(machine, vm);
      if (kvm.startsWith('v15')) {
        assert.equal(second.ret, -22);
        assert.equal(second.fault?.check, 'kvm-launch-start-context-exists');
      } else assert.equal(second.ret, 0);
    });

    it(`${kvm}: gives the context back when the firmware refuses`, () => {
      const machine = bootedHost({ kvm });
      const vm = preparedVm(machine);
      const { ret, error } = launchStart(machine, vm, { policy: 0x3_01ffn });
      assert.deepEqual([ret, error, vm.snpContext], [-5, 7, undefined]);
      assert.equal(machine.asp.guests.size, 0);
      assert.deepEqual(machine.kvm.leaked, []);
      assert.equal(launchStart(machine, vm).ret, 0);
    });
  }

  it('gives an ordinary page back when SNP_INIT has failed', () => {
    const old = (machine: Machine): Machine => ({ ...machine, firmware: { ...machine.firmware, minor: 50 } });
    const machine = bootedHost({}, old);
    const vm = preparedVm(machine);
    const inUse = machine.memory.pages.size;
    const changes = machine.rmp.revision;
    assert.equal(launchStart(machine, vm).ret, -25);
    assert.deepEqual([machine.kvm.leaked, machine.rmp.revision], [[], changes]);
    assert.equal(machine.memory.pages.size, inUse);
  });

  it('6.18 takes policy bits that the firmware reports', () => {
    const newer = KVM_PROFILES['6.18'];
    assert.equal(acceptedPolicyBits(newer, firmwareProfile(55)), 0x1fb_ffffn);
    assert.equal(acceptedPolicyBits(newer, firmwareProfile(51)), 0x1b_ffffn);
    assert.equal(acceptedPolicyBits(newer, firmwareProfile(58)), 0x3fb_ffffn);
    assert.deepEqual(kvmPolicyFaults(0x12_0000n, newer, firmwareProfile(55)), []);
    assert.deepEqual(kvmPolicyFaults(0x22_0000n, newer, firmwareProfile(55)), []);
    assert.equal(kvmPolicyFaults(0x22_0000n, newer, firmwareProfile(51))[0]?.check, 'kvm-policy-unknown-bits');
  });

  it('reports all failing policy checks in the order of the kernel', () => {
    const checks = kvmPolicyFaults(0x30_0000n, KVM_PROFILES.v15, firmwareProfile(55)).map((fault) => fault.check);
    assert.deepEqual(checks, [
      'kvm-policy-unknown-bits',
      'kvm-policy-reserved-one',
      'kvm-policy-smt',
      'kvm-policy-single-socket',
    ]);
  });
});

describe('KVM_SEV_INIT2', () => {
  it('makes an SNP guest', () => {
    const machine = bootedHost({ processor: 'genoa' });
    const vm = newVm(machine);
    assert.equal(init2(machine, vm, { vmsaFeatures: 0x20n }).ret, 0);
    assert.deepEqual([vm.vmsaFeatures, vm.ghcbVersion, vm.asid, vm.needInit], [0x21n, 2, 1, false]);
  });

  for (const kvm of Object.keys(KVM_PROFILES) as KvmRelease[]) {
    it(`${kvm}: ${kvm.startsWith('v15') ? 'takes no page' : 'sets pages for guest requests aside'}`, () => {
      const machine = bootedHost({ kvm });
      const vm = newVm(machine);
      const inUse = machine.memory.pages.size;
      assert.equal(init2(machine, vm).ret, 0);
      const { guestReq } = vm;
      assert.equal(machine.memory.pages.size - inUse, guestReq ? 2 : 0);
      assert.equal(guestReq === undefined, kvm.startsWith('v15'));
      if (!guestReq) return;
      const states = [guestReq.request, guestReq.response].map((page) => pageState(readEntry(machine.rmp, page)));
      assert.deepEqual(states, ['Hypervisor', 'Firmware']);
      run(destroyVm(machine));
      assert.equal(pageState(readEntry(machine.rmp, guestReq.response)), 'Hypervisor');
    });
  }

  it('6.11: can be repeated when there was no page for guest requests', () => {
    const machine = bootedHost();
    const vm = newVm(machine);
    const { nextFree } = machine.memory;
    exhaust(machine);
    assert.equal(init2(machine, vm).ret, -12);
    assert.deepEqual([vm.asid, vm.sevActive, vm.vmsaFeatures], [0, false, 0n]);
    machine.memory.nextFree = nextFree;
    assert.equal(init2(machine, vm).ret, 0);
    assert.equal(vm.asid, 2);
  });

  it('takes SecureTSC from 6.18 on, and only for SNP', () => {
    const features = { vmsaFeatures: 0x200n };
    for (const kvm of Object.keys(KVM_PROFILES) as KvmRelease[]) {
      const machine = bootedHost({ kvm });
      const vm = newVm(machine);
      assert.equal(init2(machine, vm, features).ret, kvm === '6.18' ? 0 : -22, kvm);
      assert.equal(init2(machine, newVm(machine, VM_TYPE.KVM_X86_SEV_ES_VM), features).ret, -22);
      if (kvm !== '6.18') continue;
      assert.equal(launchStart(machine, vm).ret, 0);
      assert.equal([...machine.asp.guests.values()][0]?.desiredTscKhz, 2_450_000);
    }
  });

  it('gives each VM another ASID', () => {
    const machine = bootedHost();
    const asids = [1, 2, 3].map(() => preparedVm(machine).asid);
    assert.deepEqual(asids, [1, 2, 3]);
  });

  it('recycles ASIDs when none is left', () => {
    const machine = bootedHost();
    for (let asid = 1; asid < machine.processor.minSevAsid; asid++) machine.kvm.asids.add(asid);
    machine.kvm.asidsToReclaim.add(7).add(9);
    const vm = newVm(machine);
    assert.equal(init2(machine, vm).ret, 0);
    assert.equal(vm.asid, 7);
    assert.equal(machine.kvm.asidsToReclaim.size, 0);
  });
});
