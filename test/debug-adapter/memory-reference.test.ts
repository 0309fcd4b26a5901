import assert from 'node:assert/strict';
import {
  parseReference,
  physicalReference,
  plainReference,
  virtualReference,
} from '../../debug-adapter/memory-reference.js';
import { pfn } from '../../engine/address.js';

describe('memory references', () => {
  it('are read as they are written', () => {
    assert.deepEqual(parseReference(plainReference(pfn(3))), { space: 'plain', address: 0x3000n });
    assert.deepEqual(parseReference(physicalReference(0x1000n, true)), { space: 'gpa', address: 0x1000n });
    assert.deepEqual(parseReference(physicalReference(0x1000n, false)), { space: 'gpa-shared', address: 0x1000n });
    const top = 0xffff_ffff_8100_0000n;
    assert.deepEqual(parseReference(virtualReference(12, top)), { space: 'gva', vcpu: 12, address: top });
  });

  it('may be a number alone, in the memory of vCPU 0', () => {
    assert.deepEqual(parseReference('0x401000'), { space: 'gva', vcpu: 0, address: 0x40_1000n });
  });

  it('are refused where they mean nothing', () => {
    for (const text of [
      '',
      '401000',
      'host:',
      'host1:0x0',
      'gva:',
      'spa:0x0',
      'gva0:0xg',
      'gva0:0x10000000000000000',
    ]) {
      assert.equal(parseReference(text), undefined, text);
    }
  });
});
