import assert from 'node:assert/strict';
import fc from 'fast-check';
import { gpa, pfn, spa } from '../../../engine/address.js';
import type { RmpInstructionOutcome, RmpTarget } from '../../../engine/rmp/guest-instruction.js';
import type { RmpMachine } from '../../../engine/rmp/instruction.js';
import { psmash } from '../../../engine/rmp/psmash.js';
import { pvalidatePage } from '../../../engine/rmp/pvalidate.js';
import { rmpadjustPage } from '../../../engine/rmp/rmpadjust.js';
import { rmpqueryPage } from '../../../engine/rmp/rmpquery.js';
import { rmpUpdate } from '../../../engine/rmp/rmpupdate.js';
import { createRmp, effectiveEntry, type Rmp, readEntry, writeEntry } from '../../../engine/rmp/table.js';
import type { Vmpl } from '../../../engine/rmp/vmpl.js';
import { PROCESSOR_PROFILES } from '../../../engine/spec/versions.js';
import { createFrameStack } from '../../../engine/timeline/event.js';
import { run } from '../../support/bare-machine.js';
import {
  letters,
  type Model,
  type ModelAccess,
  type ModelOperand,
  type ModelOutcome,
  type ModelUpdate,
  modelPsmash,
  modelPvalidate,
  modelRmpadjust,
  modelRmpquery,
  modelRmpupdate,
  REGION,
} from './model.js';
import { access, compareAccess, emptyModel, gpaOf, mask, often, PAGES, page, rarely, vmpl } from './model-support.js';

describe('RMP instructions and a plain model of them', () => {
  type Step =
    | { readonly op: 'update'; readonly update: ModelUpdate; readonly isHome: boolean }
    | { readonly op: 'psmash' | 'reclaim'; readonly page: number }
    | { readonly op: 'access'; readonly access: Omit<ModelAccess, 'gpa'> & { readonly isHome: boolean } }
    | {
        readonly op: 'pvalidate' | 'rmpadjust' | 'rmpquery';
        readonly operand: Omit<ModelOperand, 'gpa'> & { readonly isHome: boolean };
        readonly validate: boolean;
        readonly level: number;
        readonly mask: number;
        readonly vmsa: boolean;
      };
  /** One of the two pages of a sequence, or any page; and sizes say whether they differ from that of the sequence. */
  const place = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(-1, -1, -2) },
    { weight: 1, arbitrary: page as fc.Arbitrary<number> },
  );
  const update: fc.Arbitrary<Step> = fc.record({
    op: fc.constant('update' as const),
    isHome: often,
    update: fc.record({
      page: place,
      assigned: often,
      size2M: rarely,
      immutable: rarely,
      gpa: fc.constant(0),
      asid: fc.constantFrom(1, 1, 1, 1, 1, 1, 1, 1, 0, 2, 1006, 1007),
    }),
  });
  const instruction: fc.Arbitrary<Step> = fc.record({
    op: fc.constantFrom('pvalidate' as const, 'pvalidate' as const, 'rmpadjust' as const, 'rmpquery' as const),
    operand: fc.record({
      page: place,
      asid: fc.constantFrom(1, 1, 1, 1, 1, 1, 1, 2),
      vmpl,
      encrypted: often,
      isHome: often,
      npt2M: rarely,
      size2M: rarely,
    }),
    validate: often,
    level: fc.integer({ min: 0, max: 3 }),
    mask,
    vmsa: fc.boolean(),
  });
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 3, arbitrary: update },
    { weight: 8, arbitrary: instruction },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant('access' as const),
        access: access.chain((a) => place.map((page) => ({ ...a, page }))),
      }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('psmash' as const, 'reclaim' as const), page: place }) },
  );

  const sequence = fc.record({
    size2M: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
    pages: fc.tuple(page, page),
    /** How the two pages begin. */
    start: fc.constantFrom('hypervisor' as const, 'assigned' as const, 'validated' as const, 'validated' as const),
    steps: fc.array(step, { minLength: 4, maxLength: 20, size: 'max' }),
  });

  /** The step with the pages and the page size of its sequence. */
  function settle(s: Step, { pages, size2M }: { readonly pages: [number, number]; readonly size2M: boolean }): Step {
    const at = (n: number): number => {
      const chosen = n === -1 ? pages[0] : n === -2 ? pages[1] : n;
      return size2M && n < 0 ? chosen - (chosen % REGION) : chosen;
    };
    switch (s.op) {
      case 'update': {
        const u = s.update;
        return { ...s, update: { ...u, page: at(u.page), size2M: u.size2M !== size2M } };
      }
      case 'psmash':
      case 'reclaim':
        return { ...s, page: at(s.page) };
      case 'access': {
        const a = s.access;
        return { ...s, access: { ...a, page: at(a.page) } };
      }
      default: {
        const o = s.operand;
        const operand = { ...o, page: at(o.page), npt2M: o.npt2M !== size2M, size2M: o.size2M !== size2M };
        return { ...s, operand };
      }
    }
  }

  function prelude(start: 'hypervisor' | 'assigned' | 'validated'): Step[] {
    if (start === 'hypervisor') return [];
    const isHome = true;
    return [-1, -2].flatMap((place): Step[] => {
      const update = { page: place, assigned: true, size2M: false, immutable: false, gpa: 0, asid: 1 };
      const operand = { page: place, asid: 1, vmpl: 0, encrypted: true, isHome, npt2M: false, size2M: false };
      const validate = start === 'validated';
      return [
        { op: 'update', isHome, update },
        { op: 'pvalidate', operand, validate, level: 0, mask: 0, vmsa: false },
      ];
    });
  }

  function plainOutcome(o: RmpInstructionOutcome): ModelOutcome {
    switch (o.kind) {
      case 'done':
        return { eax: o.code, carry: o.carry };
      case 'npf':
        return { npf: BigInt(o.errorCode) };
      case 'vc':
        return { vc: BigInt(o.errorCode) };
    }
  }

  /** Applies one step to both and compares what software sees of it; gives it in words. */
  function apply(machine: RmpMachine, model: Model, s: Step): string {
    const { rmp } = machine;
    switch (s.op) {
      case 'update': {
        // What goes home is aligned if the page is; the others land between two 2 MiB pages now and then.
        const u = { ...s.update, gpa: gpaOf(s.update.page, s.isHome) };
        const state = { ...u, pageSize2M: u.size2M, gpa: gpa(u.gpa) };
        const { code } = run(rmpUpdate(machine, pfn(u.page), state));
        assert.equal(code, modelRmpupdate(model, u, machine.processor.maxAsid));
        return `RMPUPDATE ${code}`;
      }
      case 'psmash': {
        const { code } = run(psmash(machine, pfn(s.page)));
        assert.equal(code, modelPsmash(model, s.page));
        return `PSMASH ${code}`;
      }
      case 'reclaim': {
        // As the firmware does when it gives a page back.
        const p = model[s.page];
        if (p?.immutable && !p.size2M) {
          p.immutable = false;
          writeEntry(rmp, pfn(s.page), { ...readEntry(rmp, pfn(s.page)), immutable: false });
        }
        return 'reclaim';
      }
      case 'access':
        return compareAccess(rmp, model, { ...s.access, gpa: gpaOf(s.access.page, s.access.isHome) });
      default: {
        const o: ModelOperand = { ...s.operand, gpa: gpaOf(s.operand.page, s.operand.isHome) };
        const { asid, encrypted } = o;
        const vmpl = o.vmpl as Vmpl;
        const target: RmpTarget = { pfn: pfn(o.page), gpa: gpa(o.gpa), nptPageSize2M: o.npt2M, asid, vmpl, encrypted };
        const revision = rmp.revision;
        const [outcome, expected] = execute(rmp, model, s, o, target);
        const seen = plainOutcome(outcome);
        assert.deepEqual(seen, expected, s.op);
        const changes = outcome.kind === 'done' ? outcome.changes.length : 0;
        assert.equal(rmp.revision - revision, changes, 'each change is reported, and no other');
        return `${s.op} ${Object.values(seen).join(' ')}`;
      }
    }
  }

  function execute(
    rmp: Rmp,
    model: Model,
    s: Extract<Step, { readonly validate: boolean }>,
    o: ModelOperand,
    target: RmpTarget,
  ): [RmpInstructionOutcome, ModelOutcome] {
    const { size2M } = o;
    const targetVmpl = s.level as Vmpl;
    switch (s.op) {
      case 'pvalidate': {
        const operands = { validate: s.validate, size2M };
        return [pvalidatePage(rmp, target, operands), modelPvalidate(model, o, s.validate)];
      }
      case 'rmpadjust': {
        const { mask, vmsa } = s;
        return [
          rmpadjustPage(rmp, target, { targetVmpl, mask, vmsa, size2M }),
          modelRmpadjust(model, o, { target: s.level, mask, vmsa }),
        ];
      }
      case 'rmpquery': {
        const outcome = rmpqueryPage(rmp, target, { targetVmpl });
        const { rcx, rdx, ...expected } = modelRmpquery(model, o, s.level);
        assert.deepEqual([outcome.registers?.rcx, outcome.registers?.rdx], [rcx, rdx]);
        return [outcome, expected];
      }
    }
  }

  function compareTables(rmp: Rmp, model: Model): void {
    model.forEach((expected, n) => {
      const { assigned, pageSize2M, immutable, gpa, asid, vmsa, validated, vmpl } = effectiveEntry(rmp, pfn(n));
      const actual = { assigned, size2M: pageSize2M, immutable, gpa, asid, vmsa, validated, rights: vmpl.map(letters) };
      assert.deepEqual(actual, expected, `page ${n}`);
    });
  }

  it('agree after any sequence of instructions', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(sequence, (sequence) => {
        const rmp = createRmp(spa(0), PAGES);
        rmp.initialised = true;
        const machine = { rmp, processor: PROCESSOR_PROFILES.genoa, stack: createFrameStack() };
        const model = emptyModel();
        const steps = [...prelude(sequence.start), ...sequence.steps];
        for (const s of steps) seen.add(apply(machine, model, settle(s, sequence)));
        compareTables(rmp, model);
      }),
      { numRuns: 1500 },
    );
    const expected = ['RMPUPDATE 0', 'RMPUPDATE 1', 'RMPUPDATE 2', 'RMPUPDATE 4', 'PSMASH 0', 'PSMASH 1', 'PSMASH 4'];
    expected.push('pvalidate 0 false', 'pvalidate 0 true', 'pvalidate 1 false', 'pvalidate 6 false', 'rmpadjust 1028');
    expected.push('rmpadjust 0 false', 'rmpadjust 2 false', 'rmpquery 0 false', 'rmpquery 1028');
    assert.deepEqual(
      expected.filter((what) => !seen.has(what)),
      [],
      'never happened',
    );
  });
});
