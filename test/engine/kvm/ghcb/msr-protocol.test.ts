import assert from 'node:assert/strict';
import { sevVcpuDeliverSipiVector } from '../../../../engine/kvm/ghcb/kvm-emulate-ap-reset-hold.js';
import { sevInfo } from '../../../../engine/kvm/ghcb/sev-info.js';
import { complete, enter, exitOf, fakeGuest, framesOf, logOf, msrRequest } from './fake-guest.js';
import { PSC_MSR_CASES } from './psc-msr-cases.js';
import { testGhcbCases } from './refusal-case.js';

describe('GHCB MSR protocol', () => {
  testGhcbCases(PSC_MSR_CASES);

  it('SEV information: versions 1 to 2, C-bit 51; also after reset', () => {
    const guest = fakeGuest();
    msrRequest(guest, 0x002n);
    assert.equal(guest.arch.vmcb.ghcb, 0x0002_0001_3300_0001n);
    assert.equal(sevInfo(guest.machine, guest.vm), 0x0002_0001_3300_0001n);
  });

  it('CPUID: one register of index 0', () => {
    const guest = fakeGuest();
    const vendor = [1n, 3n, 2n].map((register) => {
      msrRequest(guest, (register << 30n) | 0x004n);
      assert.equal(guest.arch.vmcb.ghcb & 0xffff_ffffn, (register << 30n) | 0x005n);
      return Number(guest.arch.vmcb.ghcb >> 32n);
    });
    assert.equal(Buffer.from(Uint32Array.from(vendor).buffer).toString(), 'AuthenticAMD');
    msrRequest(guest, (0x8000_001fn << 32n) | (1n << 30n) | 0x004n);
    assert.equal(Number(guest.arch.vmcb.ghcb >> 32n) & 0x3f, 51);
  });

  it('AP reset hold', () => {
    const guest = fakeGuest();
    assert.equal(msrRequest(guest, 0x006n).ret, 1);
    assert.deepEqual([guest.arch.vmcb.ghcb, guest.arch.mpState], [0x007n, 'AP_RESET_HOLD']);
    guest.arch.receivedFirstSipi = true;
    sevVcpuDeliverSipiVector(guest.machine, guest.vm, guest.vcpu);
    assert.equal(guest.arch.vmcb.ghcb, 0x1007n);
    enter(guest);
    sevVcpuDeliverSipiVector(guest.machine, guest.vm, guest.vcpu);
    assert.equal(guest.arch.apResetHold, 'none');
  });

  it('preferred GPA: none', () => {
    const guest = fakeGuest();
    msrRequest(guest, 0x010n);
    assert.equal(guest.arch.vmcb.ghcb, 0xffff_ffff_ffff_f011n);
  });

  it('registers any GPA', () => {
    const guest = fakeGuest({ registered: false });
    for (const gpa of [0x5000n, 0x1234_5678_9000n]) {
      msrRequest(guest, gpa | 0x012n);
      assert.deepEqual([guest.arch.vmcb.ghcb, guest.arch.ghcbRegisteredGpa], [gpa | 0x013n, gpa]);
    }
  });

  it('hypervisor features', () => {
    const guest = fakeGuest();
    msrRequest(guest, 0x080n);
    assert.equal(guest.arch.vmcb.ghcb, 0x3081n);
  });

  for (const [operation, attributes] of [
    [1n, 0x10n],
    [2n, 0n],
  ] as const) {
    it(`page state change to ${operation === 1n ? 'private' : 'shared'}`, () => {
      const guest = fakeGuest();
      assert.equal(msrRequest(guest, (operation << 52n) | 0x7014n).ret, 0);
      assert.deepEqual(framesOf(guest), ['sev_handle_vmgexit_msr_protocol', 'snp_begin_psc_msr']);
      const exit = exitOf(guest, 'KVM_EXIT_HYPERCALL');
      assert.deepEqual([exit.nr, exit.args.slice(0, 3)], [12, [0x7000n, 1n, attributes]]);
      assert.equal(complete(guest).ret, 1);
      assert.equal(guest.arch.vmcb.ghcb, 0x015n);
    });
  }

  it('termination', () => {
    const guest = fakeGuest();
    assert.equal(msrRequest(guest, 0x03_1100n).ret, 0);
    const exit = exitOf(guest, 'KVM_EXIT_SYSTEM_EVENT');
    assert.deepEqual([exit.type, exit.data, exit.termination], [6, [0x03_1100n], { set: 1, code: 3 }]);
    assert.ok(logOf(guest).includes('SEV-ES guest requested termination: 0x1:0x3'));
  });
});
