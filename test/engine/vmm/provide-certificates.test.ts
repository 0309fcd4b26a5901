import assert from 'node:assert/strict';
import { EXIT } from '../../../engine/cpu/svm/vmcb.js';
import type { KvmExit } from '../../../engine/kvm/run/kvm-exit.js';
import { readUser } from '../../../engine/memory/user-memory.js';
import { runGuest } from '../../../engine/vmm/run-vm.js';
import { setAttributes, trace } from '../../support/kvm-host.js';
import { archState, RAM_GPA, runningVm, scriptedProcessor, vmmOf } from '../../support/running-vm.js';

type CertificatesExit = Extract<KvmExit, { reason: 'KVM_EXIT_VMGEXIT' }>;

/** A VMM with a table of 5000 bytes meets one exit for certificates. */
function ask(more: Partial<CertificatesExit>, length = 5000) {
  const setup = runningVm({ kvm: 'v15' });
  setAttributes(setup.machine, setup.vm, RAM_GPA, 0x4000, 0n);
  const exit: CertificatesExit = {
    reason: 'KVM_EXIT_VMGEXIT',
    type: 1,
    dataGpa: RAM_GPA,
    dataNpages: 2,
    ret: 99,
    flags: 0,
    status: 0,
    ...more,
  };
  const arch = archState(setup);
  let done = false;
  // biome-ignore lint/correctness/useYield: a callback without events.
  arch.complete = function* again() {
    if (done) return { ret: 1, fwError: 0 };
    done = true;
    arch.exit = exit;
    arch.complete = again;
    return { ret: 0, fwError: 0 };
  };
  const vmm = vmmOf(setup);
  const certificates = length === 0 ? {} : { certificates: new Uint8Array(length).fill(0xce) };
  const withTable = { ...vmm, plan: { ...vmm.plan, vm: { ...vmm.plan.vm, ...certificates } } };
  const { events } = trace(runGuest(withTable, scriptedProcessor([[{ code: EXIT.HLT }]])));
  const logs = events.flatMap((event) => (event.kind === 'log' && event.source === 'vmm' ? [event.text] : []));
  return { setup, exit, logs };
}

describe('certificates of the VMM (series v15)', () => {
  it('are written to the pages of the guest, and the VMM wants to know the end', () => {
    const { setup, exit } = ask({});
    assert.deepEqual([exit.ret, exit.flags], [0, 1]);
    const written = readUser(setup.machine.user, setup.ram, 5001);
    assert.ok(written?.subarray(0, 5000).every((byte) => byte === 0xce) && written[5000] === 0);
  });

  it('are not written where they do not fit: the guest learns how many pages it needs', () => {
    const { setup, exit } = ask({ dataNpages: 1 });
    assert.deepEqual([exit.ret, exit.dataNpages, exit.flags], [1, 2, 0]);
    assert.equal(readUser(setup.machine.user, setup.ram, 1)?.[0], 0);
  });

  it('cannot be written where no memory is', () => {
    const { exit } = ask({ dataGpa: 0x9000_0000 });
    assert.ok(exit.ret > 2 && exit.flags === 0);
  });

  it('are not there without a table', () => {
    const { exit } = ask({ dataNpages: 0 }, 0);
    assert.deepEqual([exit.ret, exit.flags, exit.dataNpages], [0, 0, 0]);
  });

  it('are free again when the report is done', () => {
    const { exit, logs } = ask({ status: 1, ret: 0 });
    assert.deepEqual([exit.ret, exit.flags], [0, 0]);
    assert.match(logs.join(), /the lock is free again/);
  });
});
