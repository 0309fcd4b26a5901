import assert from 'node:assert/strict';
import { gfn } from '../../../../engine/address.js';
import { nptMap, nptZap } from '../../../../engine/cpu/svm/nested-page-table.js';
import { EXIT } from '../../../../engine/cpu/svm/vmcb.js';
import { retired, vmrun } from '../../../../engine/cpu/svm/vmrun.js';
import { VMSA_AT } from '../../../../engine/cpu/svm/vmsa-state.js';
import { svmCompleteInterrupts } from '../../../../engine/kvm/run/svm-complete-interrupts.js';
import { plainPage } from '../../../../engine/memory/system-memory.js';
import { NPF } from '../../../../engine/spec/npf-error.js';
import { collect } from '../../../support/bare-machine.js';
import { addVcpu, CODE, type SmallGuest, smallGuest } from './small-guest.js';

/** Events whose delivery does not come to its end: the handler's table is not mapped, or not at all there. */

const IDT_GFN = 5;
/** Type of an interrupt gate, without P. */
const NOT_PRESENT = 0x6e;
const UD2 = [0x0f, 0x0b];
const VALID = 1n << 31n;
const exceptionEvent = (vector: number, code?: number): bigint =>
  BigInt(vector) | (3n << 8n) | VALID | (code === undefined ? 0n : (1n << 11n) | (BigInt(code) << 32n));

function zapIdt(guest: SmallGuest): () => void {
  nptZap(guest.vmcb.nestedPageTable, gfn(IDT_GFN), gfn(IDT_GFN + 1));
  return () => {
    const entry = { pfn: guest.page(IDT_GFN), writable: true, size2M: false, reserved: false };
    nptMap(guest.vmcb.nestedPageTable, gfn(IDT_GFN), entry);
  };
}
const handlerOf = (vector: number): bigint => BigInt(0x6000 + 16 * vector + 1);

describe('deliveries that an exit cuts off', () => {
  it('an exception is in EXITINTINFO, and comes once after KVM has injected it again', () => {
    const guest = smallGuest(UD2);
    const repair = zapIdt(guest);
    guest.run();
    assert.deepEqual([guest.vmcb.exitCode, guest.vmcb.exitIntInfo], [EXIT.NPF, exceptionEvent(6)]);
    assert.equal(guest.vmcb.exitInfo1, BigInt(NPF.U + NPF.FINAL + NPF.ENC));
    assert.equal(guest.saved(VMSA_AT.guestExitIntInfo), exceptionEvent(6));
    assert.equal(guest.saved(VMSA_AT.rip), CODE);
    repair();
    svmCompleteInterrupts(guest.vmcb);
    assert.equal(guest.vmcb.eventInj, exceptionEvent(6));
    const events = guest.run();
    assert.equal(guest.saved(VMSA_AT.rip), handlerOf(6));
    // Injected, not raised again.
    assert.ok(!events.some((event) => event.kind === 'exception'));
    assert.equal(guest.vmcb.exitIntInfo, 0n);
  });

  it('a trap is not lost, and not given to another vCPU', () => {
    // pushf; or byte [rsp+1], 1; popf; nop
    const guest = smallGuest([0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d, 0x90, 0xf4], { sevFeatures: 0x21n });
    const other = addVcpu(guest, { rip: CODE + 8n, rsp: 0x7800n });
    const repair = zapIdt(guest);
    guest.run();
    assert.deepEqual([guest.vmcb.exitCode, guest.vmcb.exitIntInfo], [EXIT.NPF, exceptionEvent(1)]);
    assert.equal(guest.saved(VMSA_AT.rip), CODE + 8n);
    repair();
    const { events } = collect(vmrun(guest.machine, 1, other, retired(guest.machine) + 100));
    assert.ok(!events.some((event) => event.kind === 'exception'));
    assert.equal(other.exitCode, EXIT.HLT);
    svmCompleteInterrupts(guest.vmcb);
    guest.run();
    assert.equal(guest.saved(VMSA_AT.rip), handlerOf(1));
  });

  it('#VC is never injected again: the instruction raises it', () => {
    const guest = smallGuest([0x0f, 0xa2]);
    const repair = zapIdt(guest);
    guest.run();
    assert.equal(guest.vmcb.exitIntInfo, exceptionEvent(29, 0x72));
    svmCompleteInterrupts(guest.vmcb);
    assert.equal(guest.vmcb.eventInj, 0n);
    repair();
    guest.run();
    assert.equal(guest.saved(VMSA_AT.rip), handlerOf(29));
  });

  it('INT n that is cut off is executed again', () => {
    const guest = smallGuest([0xcd, 0x10]);
    const repair = zapIdt(guest);
    guest.run();
    assert.deepEqual([guest.vmcb.exitCode, guest.vmcb.exitIntInfo], [EXIT.NPF, 0n]);
    assert.equal(guest.saved(VMSA_AT.rip), CODE);
    repair();
    guest.run();
    assert.equal(guest.saved(VMSA_AT.rip), handlerOf(16));
  });

  it('an injected event that cannot be delivered makes its own exception', () => {
    const guest = smallGuest([0xf4]);
    // The gate of vector 3: not present. #NP of an interrupt is delivered in its place.
    plainPage(guest.machine.memory, guest.page(IDT_GFN)).content.bytes[16 * 3 + 5] = NOT_PRESENT;
    guest.vmcb.eventInj = 3n | VALID;
    guest.run();
    assert.equal(guest.saved(VMSA_AT.rip), handlerOf(11));
    // Two contributory exceptions: #DF.
    const double = smallGuest([0xf4]);
    plainPage(double.machine.memory, double.page(IDT_GFN)).content.bytes[16 * 13 + 5] = NOT_PRESENT;
    double.vmcb.eventInj = exceptionEvent(13, 0);
    double.run();
    assert.equal(double.saved(VMSA_AT.rip), handlerOf(8));
  });

  it('without any table the processor shuts down', () => {
    const guest = smallGuest(UD2);
    plainPage(guest.machine.memory, guest.page(IDT_GFN)).content.bytes.fill(0);
    guest.run();
    assert.equal(guest.vmcb.exitCode, EXIT.SHUTDOWN);
    const injected = smallGuest([0xf4]);
    plainPage(injected.machine.memory, injected.page(IDT_GFN)).content.bytes.fill(0);
    injected.vmcb.eventInj = exceptionEvent(13, 0);
    injected.run();
    assert.equal(injected.vmcb.exitCode, EXIT.SHUTDOWN);
  });

  const illegal: readonly (readonly [string, bigint])[] = [
    ['a software interrupt', 0x80n | (4n << 8n) | VALID],
    ['#BP', exceptionEvent(3)],
    ['#OF', exceptionEvent(4)],
    ['NMI as an exception', exceptionEvent(2)],
    ['an exception above 31', exceptionEvent(32)],
    ['a reserved type', 6n | (1n << 8n) | VALID],
  ];
  for (const [name, event] of illegal) {
    it(`VMRUN refuses to inject ${name}`, () => {
      const guest = smallGuest([0xf4]);
      guest.vmcb.eventInj = event;
      guest.run();
      assert.deepEqual([guest.vmcb.exitCode, guest.vmcb.exitFault?.check], [EXIT.INVALID, 'hw-vmrun-event']);
    });
  }
});
