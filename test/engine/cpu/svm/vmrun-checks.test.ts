import assert from 'node:assert/strict';
import { gpa } from '../../../../engine/address.js';
import { view } from '../../../../engine/bytes.js';
import { EXIT } from '../../../../engine/cpu/svm/vmcb.js';
import { VMSA_AT } from '../../../../engine/cpu/svm/vmsa-state.js';
import { plainPage, writePage } from '../../../../engine/memory/system-memory.js';
import { readEntry, writeEntry } from '../../../../engine/rmp/table.js';
import { PROCESSOR_PROFILES } from '../../../../engine/spec/versions.js';
import { type SmallGuest, smallGuest } from './small-guest.js';

const set = (offset: number, value: bigint) => (guest: SmallGuest) =>
  view(plainPage(guest.machine.memory, guest.vmsa).content.bytes).setBigUint64(offset, value, true);
const rmp = (change: Partial<ReturnType<typeof readEntry>>) => (guest: SmallGuest) => {
  const { rmp: table } = guest.machine;
  writeEntry(table, guest.vmsa, { ...readEntry(table, guest.vmsa), ...change });
};
/** Of the small guest, in 64-bit mode. */
const [CR0, CR4, EFER] = [0x8000_0011n, 0x220n, 0x1d01n];

const REFUSALS: readonly (readonly [name: string, change: (guest: SmallGuest) => void, check: string])[] = [
  ['ASID 0', (g) => Object.assign(g.vmcb, { asid: 0 }), 'hw-vmrun-asid'],
  ['an ASID that is not active', (g) => Object.assign(g.vmcb, { asid: 7 }), 'hw-vmrun-asid'],
  ['no VMSA', (g) => Object.assign(g.vmcb, { vmsa: undefined }), 'hw-vmrun-no-vmsa'],
  ['the VMSA of the host', rmp({ assigned: false, asid: 0 }), 'hw-vmrun-vmsa-rmp'],
  ['the VMSA of another guest', rmp({ asid: 9 }), 'hw-vmrun-vmsa-rmp'],
  ['an immutable VMSA', rmp({ immutable: true }), 'hw-vmrun-vmsa-rmp'],
  ['a page without VMSA bit', rmp({ vmsa: false }), 'hw-vmrun-vmsa-rmp'],
  [
    'a VMSA written by the host',
    (g) => writePage(g.machine.memory, g.vmsa, { ...plainPage(g.machine.memory, g.vmsa).content }, 0),
    'hw-vmrun-vmsa-checksum',
  ],
  ['SNPActive clear', set(VMSA_AT.sevFeatures, 0n), 'hw-vmrun-sev-features'],
  ['vTOM', set(VMSA_AT.sevFeatures, 3n), 'hw-vmrun-sev-features'],
  ['ReflectVC', set(VMSA_AT.sevFeatures, 5n), 'hw-vmrun-sev-features'],
  ['restricted injection', set(VMSA_AT.sevFeatures, 9n), 'hw-vmrun-sev-features'],
  ['alternate injection', set(VMSA_AT.sevFeatures, 0x11n), 'hw-vmrun-sev-features'],
  ['both injection modes', set(VMSA_AT.sevFeatures, 0x19n), 'hw-vmrun-sev-features'],
  ['a reserved feature', set(VMSA_AT.sevFeatures, 1n | (1n << 40n)), 'hw-vmrun-sev-features'],
  ['EFER.SVME clear', set(VMSA_AT.efer, EFER & ~0x1000n), 'hw-vmrun-efer-svme'],
  ['reserved EFER bits', set(VMSA_AT.efer, EFER | 2n), 'hw-vmrun-illegal-state'],
  ['NW without CD', set(VMSA_AT.cr0, CR0 | (1n << 29n)), 'hw-vmrun-illegal-state'],
  ['CR0 above 31', set(VMSA_AT.cr0, CR0 | (1n << 40n)), 'hw-vmrun-illegal-state'],
  ['CR3 above 51', set(VMSA_AT.cr3, 1n << 60n), 'hw-vmrun-illegal-state'],
  ['CR4.VMXE', set(VMSA_AT.cr4, CR4 | (1n << 13n)), 'hw-vmrun-illegal-state'],
  ['DR6 above 31', set(VMSA_AT.dr6, 1n << 32n), 'hw-vmrun-illegal-state'],
  ['DR7 above 31', set(VMSA_AT.dr7, 1n << 32n), 'hw-vmrun-illegal-state'],
  ['long mode without PAE', set(VMSA_AT.cr4, 0x200n), 'hw-vmrun-illegal-state'],
  ['long mode without PE', set(VMSA_AT.cr0, CR0 & ~1n), 'hw-vmrun-illegal-state'],
  ['CS.L and CS.D', set(0x10, (0xe9bn << 16n) | 8n), 'hw-vmrun-illegal-state'],
  ['VMPL4', (g) => plainPage(g.machine.memory, g.vmsa).content.bytes.fill(4, 0xca, 0xcb), 'hw-vmrun-illegal-state'],
];

describe('checks of VMRUN', () => {
  for (const [name, change, check] of REFUSALS) {
    it(`refuses ${name}`, () => {
      const guest = smallGuest([0xf4]);
      change(guest);
      const before = plainPage(guest.machine.memory, guest.vmsa).content.bytes.slice();
      const events = guest.run();
      assert.equal(guest.vmcb.exitCode, EXIT.INVALID);
      assert.equal(guest.vmcb.exitFault?.check, check);
      assert.ok(events.some((event) => event.kind === 'exit'));
      assert.deepEqual(plainPage(guest.machine.memory, guest.vmsa).content.bytes, before);
    });
  }

  it('says BUSY where the VMSA says so', () => {
    const guest = smallGuest([0xf4]);
    set(VMSA_AT.vintrCtrl, 1n << 63n)(guest);
    guest.run();
    assert.equal(guest.vmcb.exitCode, EXIT.BUSY);
  });

  it('DebugVirtualization only where the processor has it', () => {
    const milan = smallGuest([0xf4], { sevFeatures: 0x21n, machine: { processor: PROCESSOR_PROFILES.milan } });
    milan.run();
    assert.equal(milan.vmcb.exitFault?.check, 'hw-vmrun-sev-features');
    const genoa = smallGuest([0xf4], { sevFeatures: 0x21n });
    genoa.run();
    assert.equal(genoa.vmcb.exitCode, EXIT.HLT);
  });

  it('a state that only the emulated processor lacks ends in its Fault, with the VMSA as it was', () => {
    const guest = smallGuest([0xf4]);
    set(VMSA_AT.xcr0, 7n)(guest);
    const before = plainPage(guest.machine.memory, guest.vmsa).content.bytes.slice();
    for (let n = 0; n < 2; n++) {
      guest.run();
      assert.match(guest.vmcb.emulatorFault?.message ?? '', /XCR0/);
    }
    assert.deepEqual(plainPage(guest.machine.memory, guest.vmsa).content.bytes, before);
    set(VMSA_AT.xcr0, 1n)(guest);
    guest.run();
    assert.equal(guest.vmcb.exitCode, EXIT.HLT);
  });

  it('takes the VMSA from where it is, whatever the RMP says of its address', () => {
    const guest = smallGuest([0xf4]);
    rmp({ gpa: gpa(0x1234_5000) })(guest);
    guest.run();
    assert.equal(guest.vmcb.exitCode, EXIT.HLT);
  });
});
