import assert from 'node:assert/strict';
import { createCpuHotplug, readCpuHotplug, writeCpuHotplug } from '../../../../engine/vmm/devices/cpu-hotplug.js';

describe('CPU hot-plug registers', () => {
  it('begin as a bitmap of the processors', () => {
    const state = createCpuHotplug(4);
    assert.equal(readCpuHotplug(state, 0, 1), 0x0f);
    writeCpuHotplug(state, 5, 3);
    assert.equal(readCpuHotplug(state, 0, 4), 0x0f);
  });

  it('let firmware count the processors', () => {
    for (const vcpus of [1, 4]) {
      const state = createCpuHotplug(vcpus);
      writeCpuHotplug(state, 0, 0);
      writeCpuHotplug(state, 0, 0);
      writeCpuHotplug(state, 5, 0);
      assert.equal(readCpuHotplug(state, 0, 4), 0);
      let [possible, present] = [0, 0];
      do {
        if ((readCpuHotplug(state, 4, 1) & 1) !== 0) present++;
        possible++;
        writeCpuHotplug(state, 0, possible);
        writeCpuHotplug(state, 5, 0);
      } while (readCpuHotplug(state, 8, 4) === possible);
      assert.deepEqual([possible, present], [vcpus, vcpus]);
    }
  });

  it('name the id of a processor', () => {
    const state = createCpuHotplug(4);
    writeCpuHotplug(state, 0, 0);
    writeCpuHotplug(state, 0, 2);
    writeCpuHotplug(state, 5, 3);
    assert.deepEqual([readCpuHotplug(state, 8, 4), readCpuHotplug(state, 0, 4)], [2, 0]);
  });
});
