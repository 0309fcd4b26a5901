import assert from 'node:assert/strict';
import fc from 'fast-check';
import { gpa, PAGE_SIZE, pfn } from '../../../engine/address.js';
import { checkGuestAccess } from '../../../engine/rmp/access-check.js';
import type { Rmp } from '../../../engine/rmp/table.js';
import type { Vmpl } from '../../../engine/rmp/vmpl.js';
import { hypervisorPage, type Model, type ModelAccess, modelAccess, REGION } from './model.js';

/** Pages, accesses and their comparison, for the tests that hold engine and model side by side. */

/** The table covers two regions; pages above have no entries. */
export const PAGES = 2 * REGION;
/** Few pages, so that operations meet: heads, neighbours, ends, and two without an entry. */
export const page = fc.constantFrom(0, 0, 1, 1, 2, 511, 512, 512, 513, 1023, PAGES, PAGES + 1);
export const often = fc.integer({ min: 0, max: 7 }).map((n) => n !== 0);
export const rarely = often.map((x) => !x);
export const asid = fc.constantFrom(1, 1, 1, 1, 1, 2);
export const vmpl = fc.constantFrom<Vmpl[]>(0, 0, 0, 1, 2, 3);
export const mask = fc.oneof(fc.integer({ min: 0, max: 0x0f }), fc.constantFrom(0, 0xf, 1, 3, 0x1f, 0x20, 0x8f));
/** Where a page lies in the guest, mostly. */
export const home = (n: number): number => 0x4000_0000 + n * PAGE_SIZE;
export const gpaOf = (n: number, isHome: boolean): number => (isHome ? home(n) : home(n) + 2 * REGION * PAGE_SIZE);

export const access: fc.Arbitrary<Omit<ModelAccess, 'gpa'> & { readonly isHome: boolean }> = fc.record({
  page,
  asid,
  vmpl,
  isHome: often,
  kind: fc.constantFrom('read' as const, 'write' as const, 'execute' as const),
  user: fc.boolean(),
  encrypted: often,
  walk: rarely,
  npt2M: fc.boolean(),
});

export const emptyModel = (): Model => Array.from({ length: PAGES }, hypervisorPage);

export function compareAccess(rmp: Rmp, model: Model, a: ModelAccess): string {
  const verdict = checkGuestAccess(rmp, pfn(a.page), {
    ...a,
    gpa: gpa(a.gpa),
    vmpl: a.vmpl as Vmpl,
    nptPageSize2M: a.npt2M,
  });
  const expected = modelAccess(model, a);
  if (expected === 'allowed') {
    assert.deepEqual(verdict, { ok: true });
    return 'allowed';
  }
  if (verdict.ok) assert.fail(`allowed, but ${expected.rule} fails`);
  const { rule, outcome, errorCode } = verdict;
  assert.deepEqual({ rule, outcome, errorCode: BigInt(errorCode) }, expected);
  return rule;
}
