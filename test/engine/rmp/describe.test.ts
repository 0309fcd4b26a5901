import assert from 'node:assert/strict';
import { gpa } from '../../../engine/address.js';
import { describeEntry, ownerText, vmplMaskText, vmplMaskWords } from '../../../engine/rmp/describe.js';
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

  const words: [number, string][] = [
    [0, 'no access'],
    [3, 'read, write'],
    [0x1c, 'execute at CPL 3, execute at CPL 0 to 2, supervisor shadow stack'],
  ];
  for (const [mask, text] of words)
    it(`mask 0x${mask.toString(16)} means ${text}`, () => assert.equal(vmplMaskWords(mask), text));

  const owners: [Partial<typeof HYPERVISOR_ENTRY>, RegExp][] = [
    [{}, /to no guest/],
    [{ immutable: true }, /fixed as memory of the hypervisor/],
    [{ assigned: true, immutable: true }, /held by the firmware/],
    [{ assigned: true }, /given back by the firmware/],
    [{ assigned: true, asid: 5 }, /to this guest \(ASID 5\)/],
    [{ assigned: true, asid: 6 }, /to the guest with ASID 6/],
  ];
  for (const [fields, text] of owners)
    it(`says who holds a page: ${text.source}`, () =>
      assert.match(ownerText({ ...HYPERVISOR_ENTRY, ...fields }, 5), text));

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
