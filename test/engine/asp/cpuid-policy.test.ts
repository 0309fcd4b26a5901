import assert from 'node:assert/strict';
import fc from 'fast-check';
import { checkCpuidPage } from '../../../engine/asp/cpuid-policy.js';
import {
  type CpuidEntry,
  type CpuidRegister,
  decodeCpuidPage,
  encodeCpuidPage,
} from '../../../engine/asp/cpuid-table.js';
import { isNewerThan, modelCpuidEntries } from '../../../engine/launch/cpuid/model-page.js';
import { CPU_MODELS } from '../../../engine/spec/cpu-models.js';
import { hostCpuidTable } from '../../../engine/spec/host-cpuid.js';
import { PROCESSOR_PROFILES, PROCESSORS } from '../../../engine/spec/versions.js';

const { milan, genoa } = PROCESSOR_PROFILES;

const entry = (eaxIn: number, ecxIn: number, values: Partial<CpuidEntry> = {}): CpuidEntry => ({
  eaxIn,
  ecxIn,
  xcr0In: 0n,
  xssIn: 0n,
  eax: 0,
  ebx: 0,
  ecx: 0,
  edx: 0,
  ...values,
});

describe('CPUID policy', () => {
  interface Case {
    readonly name: string;
    readonly entry: CpuidEntry;
    readonly processor?: typeof milan;
    /** Corrections; none: accepted. */
    readonly expected?: readonly (readonly [CpuidRegister, number])[];
  }
  const cases: Case[] = [
    { name: 'hypervisor leaves are not checked', entry: entry(0x4000_0000, 0, { eax: 1, ebx: 2 }) },
    { name: 'an unknown function of zeros', entry: entry(0xa, 0) },
    {
      name: 'an unknown function',
      entry: entry(0xa, 0, { eax: 5, edx: 1 }),
      expected: [
        ['eax', 0],
        ['edx', 0],
      ],
    },
    { name: 'a function above the basic range', entry: entry(0x1_0000, 0, { eax: 5 }) },
    { name: 'TSC deadline', entry: entry(1, 0, { ecx: 0x0100_0001 }), expected: [['ecx', 1]] },
    { name: 'OSXSAVE, hypervisor and APIC id', entry: entry(1, 0, { ebx: 0x0308_0800, ecx: 0x8800_0000 }) },
    { name: 'TSC_ADJUST', entry: entry(7, 0, { ebx: 0x2 }), expected: [['ebx', 0]] },
    { name: 'SPEC_CTRL and ARCH_CAPABILITIES', entry: entry(7, 0, { edx: 0xac00_0010 }), expected: [['edx', 0x10]] },
    { name: 'AVX-512 on Genoa', entry: entry(7, 0, { ebx: 0x1_0000 }), processor: genoa },
    { name: 'AVX-512 on Milan', entry: entry(7, 0, { ebx: 0x1_0000 }), expected: [['ebx', 0]] },
    { name: 'a higher basic leaf', entry: entry(0, 0, { eax: 0x20 }), expected: [['eax', 0x10]] },
    { name: 'ECX_IN of a function without index', entry: entry(6, 99, { eax: 4 }) },
    { name: 'XSAVE base area', entry: entry(0xd, 0, { eax: 7, ebx: 0x240, ecx: 0x340, xcr0In: 1n }) },
    {
      name: 'a XSAVE size for XCR0_IN 1',
      entry: entry(0xd, 0, { ebx: 0x340, xcr0In: 1n }),
      expected: [['ebx', 0x240]],
    },
    { name: 'the XSAVE size for XCR0_IN 7', entry: entry(0xd, 0, { ebx: 0x340, xcr0In: 7n }) },
    { name: 'the compacted size with PKRU', entry: entry(0xd, 1, { ebx: 0x348, xcr0In: 0x207n }) },
    { name: 'the compacted size with CET', entry: entry(0xd, 1, { ebx: 0x250, xcr0In: 3n, xssIn: 0x800n }) },
    { name: 'a XSAVE component', entry: entry(0xd, 2, { eax: 0x100, ebx: 0x240 }) },
    { name: 'an absent XSAVE component', entry: entry(0xd, 9) },
    { name: 'a moved XSAVE component', entry: entry(0xd, 2, { eax: 0x100, ebx: 0x300 }), expected: [['ebx', 0x240]] },
    { name: 'fewer physical bits', entry: entry(0x8000_0008, 0, { eax: 0x3028 }) },
    { name: 'more virtual bits', entry: entry(0x8000_0008, 0, { eax: 0x3930 }), expected: [['eax', 0x3030]] },
    { name: 'VIRT_SSBD', entry: entry(0x8000_0008, 0, { ebx: 0x0200_0000 }), expected: [['ebx', 0]] },
    { name: 'complex cache indexing', entry: entry(0x8000_001d, 3, { edx: 6 }), expected: [['edx', 2]] },
    { name: 'the C-bit', entry: entry(0x8000_001f, 0, { eax: 0x1a, ebx: 0x73 }) },
    { name: 'another C-bit', entry: entry(0x8000_001f, 0, { ebx: 0x6f }), expected: [['ebx', 0x73]] },
  ];
  for (const c of cases) {
    it(`${c.expected ? 'corrects' : 'accepts'} ${c.name}`, () => {
      const page = encodeCpuidPage([entry(0x4000_0001, 0), c.entry]);
      const { mismatches, corrected, problem } = checkCpuidPage(page, c.processor ?? milan);
      assert.equal(problem, undefined);
      assert.deepEqual(
        mismatches.map((m) => [m.register, m.expected]),
        c.expected ?? [],
      );
      for (const m of mismatches) {
        assert.deepEqual([m.entry, m.function, m.provided], [1, c.entry.eaxIn, c.entry[m.register]]);
      }
      assert.deepEqual(decodeCpuidPage(corrected)[1], { ...c.entry, ...Object.fromEntries(c.expected ?? []) });
    });
  }

  it('accepts its own corrections', () => {
    const functions = fc.constantFrom(
      0,
      1,
      2,
      5,
      6,
      7,
      0xd,
      0x8000_0001,
      0x8000_0008,
      0x8000_001d,
      0x8000_001f,
      0x8000_0021,
    );
    const word = fc.integer({ min: 0, max: 0xffff_ffff });
    const any = fc.record({
      eaxIn: functions,
      ecxIn: fc.integer({ min: 0, max: 12 }),
      xcr0In: fc.constantFrom(0n, 1n, 3n, 7n, 0x2e7n),
      xssIn: fc.constantFrom(0n, 0x1800n),
      eax: word,
      ebx: word,
      ecx: word,
      edx: word,
    });
    fc.assert(
      fc.property(any, fc.constantFrom(...PROCESSORS), (e, name) => {
        const processor = PROCESSOR_PROFILES[name];
        const first = checkCpuidPage(encodeCpuidPage([e]), processor);
        assert.deepEqual(checkCpuidPage(first.corrected, processor).mismatches, []);
      }),
    );
  });

  describe('accepts the page that QEMU builds for', () => {
    for (const name of PROCESSORS) {
      const processor = PROCESSOR_PROFILES[name];
      for (const model of CPU_MODELS) {
        if (isNewerThan(model, processor)) continue;
        it(`${model.name} on ${name}`, () => {
          const entries = modelCpuidEntries(model, processor, 4);
          assert.ok(entries.length > 20);
          const { mismatches, problem } = checkCpuidPage(encodeCpuidPage(entries), processor);
          assert.equal(problem, undefined);
          // Old models have complex cache indexing, which is what firmware refuses on real machines too.
          const wrong = mismatches.filter((m) => !(m.function === 0x8000_001d && m.index === 3 && m.provided === 6));
          assert.deepEqual(wrong, []);
        });
      }
    }
  });

  it('has tables that pass themselves', () => {
    for (const name of PROCESSORS) {
      const entries = hostCpuidTable(name).map((leaf) =>
        entry(leaf.function, leaf.index ?? 0, {
          eax: leaf.eax,
          ebx: leaf.ebx,
          ecx: leaf.ecx,
          edx: leaf.edx,
          xcr0In: 1n,
        }),
      );
      const page = encodeCpuidPage(entries);
      assert.deepEqual(checkCpuidPage(page, PROCESSOR_PROFILES[name]).mismatches, []);
    }
  });
});
