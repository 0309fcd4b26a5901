import assert from 'node:assert/strict';
import { gfn, gpa, pfn } from '../../../../engine/address.js';
import { view } from '../../../../engine/bytes.js';
import { nptMap } from '../../../../engine/cpu/svm/nested-page-table.js';
import { EXIT } from '../../../../engine/cpu/svm/vmcb.js';
import { plainPage } from '../../../../engine/memory/system-memory.js';
import { readEntry, writeEntry } from '../../../../engine/rmp/table.js';
import { NPF } from '../../../../engine/spec/npf-error.js';
import { C_BIT, type SmallGuest, smallGuest } from './small-guest.js';

/** 2 MiB in nested page table and RMP: APM volume 2, 15.36.10 and table 15-40. */

const u32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
const LINEAR = 0x60_0000;
const GPA = 0x20_0000;
const FRAME = pfn(0xc00);
const INNER = 5;
const read = (page: number): number[] => [0x8b, 0x0c, 0x25, ...u32(LINEAR + page * 4096)];
const pvalidate = (size: 0 | 1, validate: 0 | 1, page = 0): number[] => [
  ...[0xb8, ...u32(LINEAR + page * 4096), 0xb9, ...u32(size), 0xba, ...u32(validate)],
  ...[0xf2, 0x0f, 0x01, 0xff],
];
const HLT = [0xf4];
const RAX = 0x1f8;
const { P, U, RMP, FINAL, ENC, SIZEM } = NPF;

function large(code: readonly number[], npt2M: boolean, rmp2M: boolean): SmallGuest {
  const guest = smallGuest(code);
  const { machine, vmcb, asid } = guest;
  const directory = plainPage(machine.memory, guest.page(0x12)).content.bytes;
  view(directory).setBigUint64(8 * (LINEAR / 0x20_0000), C_BIT | BigInt(GPA) | 0x87n, true);
  const entry = { ...readEntry(machine.rmp, guest.page(0)), asid, gpa: gpa(GPA), pageSize2M: rmp2M };
  for (let n = 0; n < (rmp2M ? 1 : 512); n++) {
    writeEntry(machine.rmp, pfn(FRAME + n), { ...entry, gpa: gpa(GPA + n * 4096) });
  }
  const mapping = { writable: true, reserved: false, size2M: npt2M };
  for (let n = 0; n < (npt2M ? 1 : 512); n++) {
    nptMap(vmcb.nestedPageTable, gfn(GPA / 4096 + n), { ...mapping, pfn: pfn(FRAME + n) });
  }
  guest.run();
  return guest;
}

describe('2 MiB pages', () => {
  it('both large: every page of the region can be used', () => {
    assert.equal(large([...read(0), ...read(INNER), ...HLT], true, true).vmcb.exitCode, EXIT.HLT);
  });

  for (const [npt2M, rmp2M] of [
    [true, false],
    [false, true],
  ] as const) {
    it(`nested page table ${npt2M ? '2M' : '4K'}, RMP ${rmp2M ? '2M' : '4K'}: #VMEXIT(NPF)`, () => {
      const { vmcb } = large([...read(INNER), ...HLT], npt2M, rmp2M);
      assert.deepEqual([vmcb.exitCode, vmcb.exitInfo1], [EXIT.NPF, BigInt(P + U + RMP + FINAL + ENC)]);
      assert.equal(vmcb.exitInfo2, BigInt(GPA + INNER * 4096));
    });
  }

  it('PVALIDATE of 4 KiB in a 2 MiB entry wants PSMASH', () => {
    const { vmcb } = large([...pvalidate(0, 0, INNER), ...HLT], true, true);
    assert.deepEqual([vmcb.exitCode, vmcb.exitInfo1], [EXIT.NPF, BigInt(P + U + RMP + FINAL + ENC + SIZEM)]);
  });

  it('PVALIDATE of 2 MiB over 4 KiB entries is FAIL_SIZEMISMATCH', () => {
    const guest = large([...pvalidate(1, 0), ...HLT], false, false);
    assert.deepEqual([guest.vmcb.exitCode, guest.saved(RAX)], [EXIT.HLT, 6n]);
  });

  it('rescinding 2 MiB takes all its pages, also those that were in use', () => {
    const guest = large([...read(INNER), ...pvalidate(1, 0), ...read(INNER), ...HLT], true, true);
    assert.equal(guest.saved(0x240), BigInt(LINEAR + INNER * 4096));
  });

  it('a smaller mapping that appears inside a larger one counts at once', () => {
    const guest = large([...read(INNER), 0xf3, 0x0f, 0x01, 0xd9, ...read(INNER), ...HLT], true, true);
    assert.equal(guest.vmcb.exitCode, EXIT.VMGEXIT);
    const entry = { pfn: guest.page(3), writable: true, reserved: false, size2M: false };
    nptMap(guest.vmcb.nestedPageTable, gfn(GPA / 4096 + INNER), entry);
    guest.run();
    assert.equal(guest.vmcb.exitCode, EXIT.NPF);
  });
});
