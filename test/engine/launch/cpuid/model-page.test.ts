import assert from 'node:assert/strict';
import { checkCpuidPage } from '../../../../engine/asp/cpuid-policy.js';
import { decodeCpuidPage } from '../../../../engine/asp/cpuid-table.js';
import { modelCpuidEntries, modelCpuidPage } from '../../../../engine/launch/cpuid/model-page.js';
import { CPU_MODELS, cpuModel } from '../../../../engine/spec/cpu-models.js';
import { PROCESSOR_PROFILES } from '../../../../engine/spec/versions.js';

/** Models whose L3 leaf real firmware refuses: 8000_001D sub-leaf 3 EDX 6, expected 2. */
const REFUSED = /^EPYC(-v[123]|-IBPB|-Rome(-v[12])?|-Milan(-v1)?)?$/;

describe('CPUID page of a CPU model', () => {
  for (const processor of Object.values(PROCESSOR_PROFILES))
    for (const vcpus of [1, 3, 255, 4096])
      it(`is what the firmware accepts: ${processor.name}, ${vcpus} vCPUs`, () => {
        for (const { name } of CPU_MODELS) {
          const { mismatches, problem } = checkCpuidPage(modelCpuidPage(name, processor, vcpus), processor);
          assert.equal(problem, undefined);
          const seen = mismatches.map((m) => [m.function, m.index, m.register, m.provided, m.expected]);
          assert.deepEqual(seen, REFUSED.test(name) ? [[0x8000_001d, 3, 'edx', 6, 2]] : [], name);
        }
      });

  it('has the signature of the model and not of the host', () => {
    const page = modelCpuidPage('EPYC-v4', PROCESSOR_PROFILES.genoa, 1);
    assert.equal(decodeCpuidPage(page).find((e) => e.eaxIn === 1)?.eax, 0x800f12);
  });

  it('lacks what SNP does not allow', () => {
    const model = cpuModel('EPYC-Genoa');
    assert.ok(model);
    const entries = modelCpuidEntries(model, PROCESSOR_PROFILES.genoa, 1);
    const leaf = (eaxIn: number, ecxIn = 0) => entries.find((e) => e.eaxIn === eaxIn && e.ecxIn === ecxIn);
    assert.equal((leaf(1)?.ecx ?? 0) & (1 << 24), 0);
    assert.equal((leaf(7)?.ebx ?? 0) & (1 << 1), 0);
    assert.equal((leaf(7)?.edx ?? 0) & 0xfc00_0000, 0);
    assert.equal((leaf(0x8000_0008)?.ebx ?? 0) & (1 << 25), 0);
    for (const ecxIn of [0, 1]) {
      assert.equal(leaf(0xd, ecxIn)?.ebx, 0x240);
      assert.equal(leaf(0xd, ecxIn)?.xcr0In, 1n);
    }
  });
});
