import assert from 'node:assert/strict';
import fc from 'fast-check';
import { gpa, pfn, spa } from '../../../engine/address.js';
import { HYPERVISOR_ENTRY, type RmpEntry } from '../../../engine/rmp/entry.js';
import type { InputVerdict, InstructionInput } from '../../../engine/rmp/guest-instruction.js';
import { pvalidateInput } from '../../../engine/rmp/pvalidate.js';
import { rmpadjustInput } from '../../../engine/rmp/rmpadjust.js';
import { rmpqueryInput } from '../../../engine/rmp/rmpquery.js';
import { createRmp, type Rmp, writeEntry } from '../../../engine/rmp/table.js';
import {
  letters,
  type Model,
  type ModelInput,
  modelPvalidateInput,
  modelRmpadjustInput,
  modelRmpqueryInput,
  REGION,
} from './model.js';
import { access, asid, compareAccess, emptyModel, gpaOf, mask, often, PAGES, rarely, vmpl } from './model-support.js';

interface Kind {
  readonly size2M: boolean;
  readonly assigned: boolean;
  readonly immutable: boolean;
  readonly asid: number;
  readonly isHome: boolean;
  readonly vmsa: boolean;
  readonly validated: boolean;
  readonly masks: readonly [number, number, number, number];
}
const kind: fc.Arbitrary<Kind> = fc.record({
  size2M: fc.boolean(),
  assigned: often,
  immutable: rarely,
  asid,
  isHome: often,
  vmsa: rarely,
  validated: often,
  masks: fc.tuple(mask, mask, mask, mask),
});

/** Puts a page of this kind at `at` into both. */
function put(rmp: Rmp, model: Model, at: number, k: Kind): void {
  if (!k.assigned) return;
  const first = k.size2M ? at - (at % REGION) : at;
  const entry: RmpEntry = {
    ...HYPERVISOR_ENTRY,
    assigned: true,
    pageSize2M: k.size2M,
    immutable: k.immutable,
    gpa: gpa(gpaOf(first, k.isHome)),
    asid: k.asid,
    vmsa: k.vmsa,
    validated: k.validated,
    vmpl: k.masks,
  };
  writeEntry(rmp, pfn(first), entry);
  for (let i = first; i < first + (k.size2M ? REGION : 1); i++) {
    model[i] = {
      assigned: true,
      size2M: k.size2M,
      immutable: k.immutable,
      gpa: gpaOf(i, k.isHome),
      asid: k.asid,
      vmsa: k.vmsa,
      validated: k.validated,
      rights: k.masks.map(letters),
    };
  }
}

describe('RMP checks and a plain model of them', () => {
  it('agree on every access to every kind of page', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(kind, kind, access, access, (here, other, first, second) => {
        const rmp = createRmp(spa(0), PAGES);
        const model = emptyModel();
        // A second kind of page in the other region, or beside a 4 KiB page in the same one.
        const at = Math.min(first.page, PAGES - 1);
        put(rmp, model, at, here);
        if (!here.size2M || !here.assigned) {
          put(rmp, model, at ^ 1, { ...other, size2M: false });
        } else put(rmp, model, at ^ REGION, other);
        for (const a of [first, second, { ...first, page: first.page ^ 1 }, { ...second, page: first.page }]) {
          const result = compareAccess(rmp, model, { ...a, gpa: gpaOf(a.page, a.isHome) });
          seen.set(result, (seen.get(result) ?? 0) + 1);
        }
      }),
      { numRuns: 10_000 },
    );
    const rules = ['covered', 'guest-owned', 'reverse-map', 'mutable', 'page-size', 'validated', 'vmpl'];
    for (const rule of ['allowed', 'hypervisor-owned', ...rules]) {
      assert.ok((seen.get(rule) ?? 0) > 50, `${rule}: ${seen.get(rule) ?? 0} times`);
    }
  });

  const input: fc.Arbitrary<InstructionInput> = fc.record({
    snpActive: often,
    cpl: fc.constantFrom(0, 0, 0, 0, 3),
    vmpl,
    gva: fc.constantFrom(0n, 0x20_0000n, 0x20_0abcn, 0x20_1000n, 0xffff_8880_0000_0000n, 0xffff_ffff_ffff_f000n),
    ecx: fc.constantFrom(0, 0, 1, 1, 2, 0xffff_ffff),
    edx: fc.oneof(
      fc.constantFrom(0, 1, 2, 3, 4, 0xff, 0x100, 0x2_0001, 2 ** 31, 0xffff_ffff, 2 ** 40),
      fc.integer({ min: 0, max: 0x1_ffff }),
      fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0x1ff })).map(([t, m]) => t + m * 0x100),
    ),
  });

  function plain(verdict: InputVerdict<unknown>): ModelInput {
    switch (verdict.kind) {
      case 'ok':
        return 'ok';
      case 'ud':
        return '#UD';
      case 'gp':
        return '#GP';
      case 'done':
        return verdict.code;
    }
  }

  it('agree on the operands of the instructions', () => {
    fc.assert(
      fc.property(input, often, (registers, supported) => {
        assert.equal(plain(pvalidateInput(registers)), modelPvalidateInput(registers));
        assert.equal(plain(rmpadjustInput(registers)), modelRmpadjustInput(registers));
        assert.equal(plain(rmpqueryInput({ ...registers, supported })), modelRmpqueryInput(registers, supported));
      }),
      { numRuns: 5000 },
    );
  });
});
