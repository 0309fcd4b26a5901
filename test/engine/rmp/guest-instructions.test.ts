import assert from 'node:assert/strict';
import { gpa, pfn } from '../../../engine/address.js';
import type { RmpEntry } from '../../../engine/rmp/entry.js';
import {
  flagsOf,
  type InputVerdict,
  type InstructionInput,
  RMP_FLAGS_MASK,
  type RmpInstructionOutcome,
  type RmpTarget,
} from '../../../engine/rmp/guest-instruction.js';
import { pvalidateInput, pvalidatePage } from '../../../engine/rmp/pvalidate.js';
import { rmpadjustInput, rmpadjustPage } from '../../../engine/rmp/rmpadjust.js';
import { rmpqueryInput, rmpqueryPage } from '../../../engine/rmp/rmpquery.js';
import { effectiveEntry, type Rmp, readEntry } from '../../../engine/rmp/table.js';
import { assertAllProduced } from '../../support/fault-coverage.js';
import { guestPage, HEAD, HOME, hypervisorPage, input, tableWith, target, UNCOVERED } from './support.js';

const produced = new Set<string>();
/** P, U, RMP, final, ENC. */
const NPF = 0x5_8000_0005;
const SIZEM = 0x8_0000_0000;

type Expected = readonly [kind: string, value: number, check: string];

function assertOutcome(outcome: RmpInstructionOutcome, [kind, value, check]: Expected, command: string): void {
  const actual = outcome.kind === 'done' ? outcome.code : outcome.errorCode;
  assert.deepEqual([outcome.kind, actual.toString(16), outcome.fault?.check], [kind, value.toString(16), check]);
  assert.equal(outcome.fault?.command, command);
  produced.add(check);
}

function assertInput(verdict: InputVerdict<unknown>, [kind, value, check]: Expected, command: string): void {
  if (verdict.kind === 'ok') assert.fail('accepted');
  const { fault } = verdict;
  assert.deepEqual([verdict.kind, verdict.kind === 'done' ? verdict.code : 0, fault.check], [kind, value, check]);
  assert.equal(fault.command, command);
  produced.add(check);
}

interface Stages {
  readonly name: string;
  readonly stage1: (registers: InstructionInput) => InputVerdict<unknown>;
  readonly stage2: (rmp: Rmp, page: RmpTarget, size2M: boolean) => RmpInstructionOutcome;
}
const pvalidate: Stages = {
  name: 'PVALIDATE',
  stage1: pvalidateInput,
  stage2: (rmp, page, size2M) => pvalidatePage(rmp, page, { validate: false, size2M }),
};
const rmpadjust: Stages = {
  name: 'RMPADJUST',
  stage1: rmpadjustInput,
  stage2: (rmp, page, size2M) => rmpadjustPage(rmp, page, { targetVmpl: 1, mask: 1, vmsa: false, size2M }),
};
const rmpquery: Stages = {
  name: 'RMPQUERY',
  stage1: rmpqueryInput,
  stage2: (rmp, page) => rmpqueryPage(rmp, page, { targetVmpl: 1 }),
};

describe('what the RMP instructions of a guest have in common', () => {
  for (const { name, stage1, stage2 } of [pvalidate, rmpadjust, rmpquery]) {
    describe(name, () => {
      const hasSize = name !== 'RMPQUERY';
      const inputs: [name: string, registers: Partial<InstructionInput>, expected: Expected][] = [
        ['outside of SNP, before all else', { snpActive: false, cpl: 3 }, ['ud', 0, 'hw-rmp-instruction-unavailable']],
        ['at CPL 3, before the operands', { cpl: 3, ecx: 9, edx: 4 }, ['gp', 0, 'hw-rmp-instruction-cpl']],
        ['with reserved bits', { edx: 0x2_0001 }, ['done', 1, 'hw-rmp-instruction-reserved']],
      ];
      if (hasSize) {
        inputs.push(
          ['with a page size of 2', { ecx: 2, edx: 1 }, ['done', 1, 'hw-rmp-instruction-page-size']],
          ['of 2 MiB at an odd page', { ecx: 1, edx: 1, gva: 0x1000n }, ['done', 1, 'hw-rmp-instruction-alignment']],
        );
      }
      for (const [what, registers, expected] of inputs)
        it(`${what} → ${expected[2]}`, () => assertInput(stage1(input(registers)), expected, name));

      it('ignores the offset in the page', () => {
        assert.equal(stage1(input({ gva: 0x1fffn, edx: 1 })).kind, 'ok');
        assert.equal(stage1(input({ gva: 0x20_0123n, ecx: 1, edx: 1 })).kind, 'ok');
      });

      const pages: [name: string, entry: RmpEntry, page: Partial<RmpTarget>, size2M: boolean, expected: Expected][] = [
        ['a shared mapping', guestPage(), { encrypted: false }, false, ['done', 1, 'hw-rmp-instruction-shared']],
        ['no entry', guestPage(), { pfn: UNCOVERED }, false, ['npf', NPF, 'hw-rmp-instruction-uncovered']],
        ['a Hypervisor page', hypervisorPage(), {}, false, ['npf', NPF, 'hw-rmp-instruction-not-assigned']],
        ['Pre-Guest', guestPage({ immutable: true }), {}, false, ['npf', NPF, 'hw-rmp-instruction-immutable']],
        ['another guest', guestPage({ asid: 9 }), {}, false, ['npf', NPF, 'hw-rmp-instruction-not-owned']],
        ['elsewhere', guestPage(), { gpa: gpa(0x5000) }, false, ['npf', NPF, 'hw-rmp-instruction-reverse-map']],
        [
          '2 MiB, mapped with 4 KiB',
          guestPage({ pageSize2M: true }),
          {},
          true,
          ['npf', NPF, 'hw-rmp-instruction-npt-size'],
        ],
        [
          '4 KiB, mapped with 2 MiB',
          guestPage(),
          { nptPageSize2M: true },
          false,
          ['npf', NPF, 'hw-rmp-instruction-npt-size'],
        ],
      ];
      if (hasSize) {
        const in2M = guestPage({ pageSize2M: true });
        pages.push(
          [
            '4 KiB of 2 MiB',
            in2M,
            { nptPageSize2M: true },
            false,
            ['npf', NPF + SIZEM, 'hw-rmp-instruction-needs-psmash'],
          ],
          [
            '4 KiB of 2 MiB mapped with 4 KiB',
            in2M,
            {},
            false,
            ['npf', NPF + SIZEM, 'hw-rmp-instruction-needs-psmash'],
          ],
          ['2 MiB of 4 KiB pages', guestPage(), {}, true, ['done', 6, 'hw-rmp-instruction-size-mismatch']],
        );
      }
      for (const [what, entry, page, size2M, expected] of pages) {
        it(`${what} → ${expected[2]}`, () => {
          const rmp = tableWith(entry);
          const before = rmp.revision;
          assertOutcome(stage2(rmp, target(page), size2M), expected, name);
          assert.equal(rmp.revision, before);
        });
      }
    });
  }

  it('RMPQUERY does not exist on older parts', () =>
    assertInput(
      rmpqueryInput({ ...input(), supported: false }),
      ['ud', 0, 'hw-rmp-instruction-unavailable'],
      'RMPQUERY',
    ));

  const flags: [code: number, carry: boolean, expected: number][] = [
    [0, false, 0x44],
    [0, true, 0x45],
    [1, false, 0],
    [2, false, 0],
    [3, false, 0x4],
    [6, false, 0x4],
    [0x8000_0000, false, 0x84],
  ];
  for (const [code, carry, expected] of flags) {
    it(`flags of code ${code}, carry ${carry}`, () => {
      assert.equal(flagsOf(code, carry), expected);
      assert.equal(expected & ~RMP_FLAGS_MASK, 0);
    });
  }
});

describe('PVALIDATE', () => {
  const invalid = guestPage({ validated: false, vmpl: [15, 3, 0, 0], vmsa: true });

  it('works at VMPL0 only', () =>
    assertInput(pvalidateInput(input({ vmpl: 1, ecx: 7 })), ['gp', 0, 'hw-pvalidate-vmpl'], 'PVALIDATE'));

  it('takes its operands from ECX and EDX', () => {
    assert.deepEqual(pvalidateInput(input({ gva: 0x20_0000n, ecx: 1, edx: 1 })), {
      kind: 'ok',
      operands: { validate: true, size2M: true },
    });
    assert.deepEqual(pvalidateInput(input()), { kind: 'ok', operands: { validate: false, size2M: false } });
    assertInput(pvalidateInput(input({ edx: 2 })), ['done', 1, 'hw-rmp-instruction-reserved'], 'PVALIDATE');
  });

  it('validates a page and leaves everything else', () => {
    const rmp = tableWith(invalid);
    const outcome = pvalidatePage(rmp, target(), { validate: true, size2M: false });
    const after = { ...invalid, validated: true, subPageCount: 1 };
    assert.deepEqual(readEntry(rmp, HEAD), after);
    const changes = [{ pfn: HEAD, before: { ...invalid, subPageCount: 1 }, after }];
    assert.deepEqual(outcome, { kind: 'done', code: 0, carry: false, changes });
  });

  it('rescinds', () => {
    const rmp = tableWith(guestPage());
    const outcome = pvalidatePage(rmp, target(), { validate: false, size2M: false });
    assert.ok(outcome.kind === 'done' && outcome.code === 0 && !outcome.carry && outcome.fault === undefined);
    assert.equal(readEntry(rmp, HEAD).validated, false);
  });

  it('changes the head entry of a 2 MiB page, wherever in it the operand is', () => {
    for (const offset of [0, 3]) {
      const rmp = tableWith({ ...invalid, pageSize2M: true });
      const page = { pfn: pfn(HEAD + offset), gpa: gpa(HOME + offset * 0x1000), nptPageSize2M: true };
      const outcome = pvalidatePage(rmp, target(page), { validate: true, size2M: true });
      assert.ok(outcome.kind === 'done' && outcome.changes.length === 1 && outcome.changes[0]?.pfn === HEAD);
      assert.deepEqual(readEntry(rmp, HEAD), { ...invalid, pageSize2M: true, validated: true });
      assert.equal(effectiveEntry(rmp, pfn(HEAD + 511)).validated, true);
    }
  });

  it('warns of a page that is validated twice', () => {
    const rmp = tableWith(guestPage());
    const outcome = pvalidatePage(rmp, target(), { validate: true, size2M: false });
    assertOutcome(outcome, ['done', 0, 'hw-pvalidate-twice'], 'PVALIDATE');
    assert.ok(outcome.kind === 'done' && outcome.carry && outcome.changes.length === 0);
    assert.equal(outcome.fault?.severity, 'warning');
  });

  it('warns of a rescission for nothing', () => {
    const outcome = pvalidatePage(tableWith(invalid), target(), { validate: false, size2M: false });
    assertOutcome(outcome, ['done', 0, 'hw-pvalidate-rescind-twice'], 'PVALIDATE');
    assert.ok(outcome.kind === 'done' && outcome.carry);
  });
});

describe('RMPADJUST', () => {
  const inputs: [name: string, registers: Partial<InstructionInput>, expected: Expected][] = [
    ['VMPL4', { edx: 0x104 }, ['done', 1, 'hw-rmpadjust-target-vmpl']],
    ['a VMSA of 2 MiB', { gva: 0n, ecx: 1, edx: 0x1_0001 }, ['done', 1, 'hw-rmpadjust-vmsa-2m']],
    ['VMPL0 by itself', { edx: 0xf00 }, ['done', 2, 'hw-rmpadjust-level']],
    ['VMPL1 by VMPL1', { vmpl: 1, edx: 0x1_0001 }, ['done', 2, 'hw-rmpadjust-level']],
    ['VMPL1 by VMPL2', { vmpl: 2, edx: 1 }, ['done', 2, 'hw-rmpadjust-level']],
  ];
  for (const [name, registers, expected] of inputs)
    it(`${name} → ${expected[2]}`, () => assertInput(rmpadjustInput(input(registers)), expected, 'RMPADJUST'));

  it('takes its operands from EDX', () =>
    assert.deepEqual(rmpadjustInput(input({ edx: 0x1_0502 })), {
      kind: 'ok',
      operands: { targetVmpl: 2, mask: 5, vmsa: true, size2M: false },
    }));

  const adjust = (rmp: Rmp, page: Partial<RmpTarget>, targetVmpl: 1 | 2 | 3, mask: number, vmsa = false) =>
    rmpadjustPage(rmp, target(page), { targetVmpl, mask, vmsa, size2M: false });

  it('needs a validated page', () => {
    const outcome = adjust(tableWith(guestPage({ validated: false })), {}, 1, 0);
    assertOutcome(outcome, ['vc', 0x404, 'hw-rmpadjust-not-validated'], 'RMPADJUST');
  });

  it('gives nothing that the own level lacks', () => {
    const rmp = tableWith(guestPage({ vmpl: [15, 3, 0, 0] }));
    assertOutcome(adjust(rmp, { vmpl: 1 }, 2, 7), ['done', 2, 'hw-rmpadjust-mask'], 'RMPADJUST');
    assertOutcome(adjust(rmp, {}, 1, 0x1f), ['done', 2, 'hw-rmpadjust-mask'], 'RMPADJUST');
    assert.deepEqual(readEntry(rmp, HEAD).vmpl, [15, 3, 0, 0]);
  });

  it('sets one mask', () => {
    const rmp = tableWith(guestPage({ vmpl: [15, 3, 0, 9] }));
    const outcome = adjust(rmp, { vmpl: 1 }, 2, 3);
    assert.ok(outcome.kind === 'done' && outcome.code === 0 && !outcome.carry && outcome.changes.length === 1);
    assert.deepEqual(readEntry(rmp, HEAD).vmpl, [15, 3, 3, 9]);
  });

  it('makes a VMSA page at VMPL0, and takes that back', () => {
    const rmp = tableWith(guestPage());
    adjust(rmp, {}, 1, 0, true);
    assert.equal(readEntry(rmp, HEAD).vmsa, true);
    adjust(rmp, {}, 1, 0, false);
    assert.equal(readEntry(rmp, HEAD).vmsa, false);
  });

  it('ignores the VMSA bit above VMPL0', () => {
    const rmp = tableWith(guestPage({ vmpl: [15, 15, 0, 0], vmsa: true }));
    const outcome = adjust(rmp, { vmpl: 1 }, 2, 1, false);
    assert.ok(outcome.kind === 'done' && outcome.code === 0);
    assert.equal(readEntry(rmp, HEAD).vmsa, true);
  });

  it('reports no change where nothing changes', () => {
    const outcome = adjust(tableWith(guestPage({ vmpl: [15, 3, 0, 0] })), {}, 1, 3);
    assert.deepEqual(outcome, { kind: 'done', code: 0, carry: false, changes: [] });
  });

  it('warns of write without read', () => {
    const outcome = adjust(tableWith(guestPage()), {}, 1, 2);
    assertOutcome(outcome, ['done', 0, 'hw-rmpadjust-write-only'], 'RMPADJUST');
    assert.ok(outcome.kind === 'done' && outcome.changes.length === 1);
  });
});

describe('RMPQUERY', () => {
  it('answers with mask, VMSA bit and page size', () => {
    const rmp = tableWith(guestPage({ vmpl: [15, 5, 0, 0], vmsa: true, pageSize2M: true }));
    const outcome = rmpqueryPage(rmp, target({ nptPageSize2M: true }), { targetVmpl: 1 });
    assert.deepEqual(outcome.registers, { rcx: 1, rdx: 0x1_0501 });
  });

  it('does not look upwards', () => {
    assertInput(rmpqueryInput(input({ vmpl: 2, edx: 1 })), ['done', 2, 'hw-rmpquery-level'], 'RMPQUERY');
    assert.equal(rmpqueryInput(input({ vmpl: 2, edx: 2 })).kind, 'ok');
  });

  it('knows four levels', () =>
    assertInput(rmpqueryInput(input({ edx: 4 })), ['done', 1, 'hw-rmpquery-target-vmpl'], 'RMPQUERY'));

  it('needs a validated page', () => {
    const outcome = rmpqueryPage(tableWith(guestPage({ validated: false })), target(), { targetVmpl: 0 });
    assertOutcome(outcome, ['vc', 0x404, 'hw-rmpquery-not-validated'], 'RMPQUERY');
  });
});

describe('checks of the RMP instructions of a guest', () => {
  it('have all been reached above', () =>
    assertAllProduced(produced, ['hw-rmp-instruction-', 'hw-pvalidate-', 'hw-rmpadjust-', 'hw-rmpquery-']));
});
