import assert from 'node:assert/strict';
import { gpa } from '../../../engine/address.js';
import { describeEntry, vmplMaskText } from '../../../engine/rmp/describe.js';
import { HYPERVISOR_ENTRY } from '../../../engine/rmp/entry.js';

describe('RMP entry for people', () => {
  const masks: [number, string][] = [
    [0, '----'],
    [0x0f, 'rwxs'],
    [0x1, 'r---'],
    [0x9, 'r--s'],
    [0x1f, 'rwxsk'],
    [0x81, 'r--- reserved 0x80'],
  ];
  for (const [mask, text] of masks)
    it(`mask 0x${mask.toString(16)} is ${text}`, () => assert.equal(vmplMaskText(mask), text));

  it('lists every field', () => {
    const fields = describeEntry({
      ...HYPERVISOR_ENTRY,
      assigned: true,
      asid: 5,
      gpa: gpa(0xffff_ffff_f000),
      vmsa: true,
      validated: true,
      vmpl: [0xf, 1, 0, 0],
    });
    assert.deepEqual(
      fields.map(({ name, value }) => `${name}=${value}`),
      [
        'state=Guest-Valid',
        'assigned=1',
        'page size=4K',
        'immutable=0',
        'sub-page count=0',
        'GPA=0xfffffffff000',
        'ASID=5',
        'VMSA=1',
        'validated=1',
        'lock=0',
        'VMPL0=rwxs',
        'VMPL1=r---',
        'VMPL2=----',
        'VMPL3=----',
      ],
    );
  });
});
