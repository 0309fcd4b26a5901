import assert from 'node:assert/strict';
import { type gfnOf, gpaOf, PAGE_SIZE, PAGES_PER_2M, type Pfn, pfn, spaOf } from '../../engine/address.js';
import { readPage } from '../../engine/memory/system-memory.js';
import { checkGuestAccess } from '../../engine/rmp/access-check.js';
import type { RmpEntry } from '../../engine/rmp/entry.js';
import { pageState } from '../../engine/rmp/page-state.js';
import { effectiveEntry, headOf, readEntry } from '../../engine/rmp/table.js';
import { accessPage, canRun, firstWord } from './guest-side.js';
import type { Guest, World } from './world.js';

/** The invariants. Each is asserted after each operation for what that has changed. */

/** The table of AMDESE/sev-tool src/rmp.h once more, line by line: `undefined` may be anything. */
const STATES: Readonly<Record<string, (e: RmpEntry) => boolean>> = {
  Hypervisor: (e) => !e.assigned && !e.validated && e.asid === 0 && !e.immutable,
  'HV-Fixed': (e) => !e.assigned && !e.validated && e.asid === 0 && e.immutable,
  Firmware: (e) => e.assigned && !e.validated && e.asid === 0 && e.immutable && e.gpa === 0 && !e.vmsa,
  Reclaim: (e) => e.assigned && !e.validated && e.asid === 0 && !e.immutable,
  Context: (e) => e.assigned && !e.validated && e.asid === 0 && e.immutable && e.gpa === 0 && e.vmsa,
  Metadata: (e) => e.assigned && !e.validated && e.asid === 0 && e.immutable && e.gpa > 0,
  'Pre-Guest': (e) => e.assigned && !e.validated && e.asid > 0 && e.immutable,
  'Pre-Swap': (e) => e.assigned && e.validated && e.asid > 0 && e.immutable,
  'Guest-Invalid': (e) => e.assigned && !e.validated && e.asid > 0 && !e.immutable,
  'Guest-Valid': (e) => e.assigned && e.validated && e.asid > 0 && !e.immutable,
};

/** Firmware commands that validate pages, or move valid ones: by rules of their own. */
const VALIDATES: readonly string[] = [
  'SNP_LAUNCH_UPDATE',
  'SNP_PAGE_SWAP_IN',
  'SNP_PAGE_MOVE',
  'SNP_PAGE_RECLAIM',
  'SNP_PAGE_UNSMASH',
];

export function checkChanges(world: World, byGuest: boolean): void {
  const { rmp } = world.machine;
  for (const { cause, change } of world.changes) {
    const frame = change.pfn;
    const entry = effectiveEntry(rmp, frame);
    const at = `frame 0x${frame.toString(16)} after ${cause}`;
    const states = Object.keys(STATES).filter((name) => STATES[name]?.(entry));
    assert.deepEqual(states, [pageState(entry)], `${at}: in exactly one state`);
    assert.ok(!entry.validated || entry.assigned, `${at}: validated implies assigned`);
    assert.ok(!entry.validated || entry.asid > 0, `${at}: validated implies an owner`);
    const own = readEntry(rmp, frame);
    const index = frame % PAGES_PER_2M;
    assert.ok(index === 0 || !own.pageSize2M, `${at}: only heads are 2 MiB`);
    const head = readEntry(rmp, headOf(frame));
    assert.ok(
      index === 0 || !(head.assigned && head.pageSize2M) || !own.assigned,
      `${at}: no page inside a larger one`,
    );
    if (!byGuest && change.after.validated && !VALIDATES.includes(cause)) {
      assert.ok(keepsOwner(world, change.pfn, cause, change.before, change.after), `${at}: the host left it validated`);
    }
  }
}

/** Splitting keeps a valid page valid, and so does a change of Immutable alone: neither changes whose page it is. */
function keepsOwner({ changes }: World, frame: Pfn, cause: string, before: RmpEntry, after: RmpEntry): boolean {
  if (cause === 'PSMASH') {
    const head = headOf(frame);
    const whole = changes.find((each) => each.cause === cause && each.change.pfn === head)?.change.before;
    const address = whole && whole.gpa + (frame - head) * PAGE_SIZE;
    return whole?.validated === true && whole.pageSize2M && whole.asid === after.asid && address === after.gpa;
  }
  const samePage = before.asid === after.asid && before.gpa === after.gpa && before.pageSize2M === after.pageSize2M;
  return before.validated && samePage;
}

/** No page counts as two guests' own, and nobody but the owner can read it. */
export function checkPrivate(world: World, index: number, guest: Guest): boolean {
  const { machine, guests } = world;
  const table = guest.vm.nestedPageTable;
  if (!table) return false;
  for (const [frame, expected] of guest.record) {
    const mapped = table.entries.get(frame);
    if (!mapped || mapped.size2M || expected === undefined || expected === 0n) continue;
    const entry = effectiveEntry(machine.rmp, mapped.pfn);
    const isOwn = entry.validated && !entry.immutable && entry.asid === guest.vm.asid && entry.gpa === gpaOf(frame);
    if (!isOwn || !canRun(world, guest)) continue;
    if (firstWord(readPage(machine.memory, mapped.pfn, guest.key)) !== expected) continue;
    assert.notEqual(firstWord(readPage(machine.memory, mapped.pfn)), expected, 'the host reads ciphertext');
    guests.forEach((other, i) => {
      if (!other || i === index) return;
      assert.notEqual(other.key, guest.key, 'each guest has its own key');
      if (!canRun(world, other)) return;
      assert.notEqual(other.vm.asid, guest.vm.asid, 'each guest has its own ASID');
      const access = { asid: other.vm.asid, vmpl: 0, gpa: entry.gpa, kind: 'read', user: false, walk: false } as const;
      const verdict = checkGuestAccess(machine.rmp, mapped.pfn, { ...access, encrypted: true, nptPageSize2M: false });
      assert.ok(!verdict.ok, `guest ${i} can read a private page of guest ${index}`);
      assert.notEqual(firstWord(readPage(machine.memory, mapped.pfn, other.key)), expected, 'another key reads noise');
    });
    return true;
  }
  return false;
}

/** A page shared with the host has no secret in it; what a guest writes there the host reads. */
export function checkShared(world: World, guest: Guest, frame: ReturnType<typeof gfnOf>): boolean {
  const value = (world.next++ * 0x2545_f491_4f6c_dd1dn) & 0xffff_ffff_ffff_ffffn;
  const reached = accessPage(world, guest, frame, false, value);
  if (reached === undefined || reached === 'vc') return false;
  assert.equal(
    effectiveEntry(world.machine.rmp, reached.pfn).assigned,
    false,
    'a shared write goes to a page of the host',
  );
  assert.equal(firstWord(readPage(world.machine.memory, reached.pfn)), value, 'the host reads what is shared');
  return true;
}

/** Nothing of a destroyed guest is left but what KVM reports, and what the host did behind its back. */
export function checkDestroyed(world: World, guest: Guest): void {
  const { machine, foreign } = world;
  const { asid } = guest.vm;
  const leaked = new Set(machine.kvm.leaked);
  for (const [index, chunk] of machine.rmp.chunks) {
    for (let i = 0; i < PAGES_PER_2M; i++) {
      if ((chunk.getUint8(i * 16) & 1) === 0) continue;
      const frame = pfn(index * PAGES_PER_2M + i);
      const entry = readEntry(machine.rmp, frame);
      if (entry.asid !== asid || leaked.has(frame) || foreign.has(frame)) continue;
      // The ASID may be another guest's by now, if the host has decommissioned this one before.
      if (world.guests.some((other) => other && other !== guest && other.vm.asid === asid)) continue;
      assert.fail(`frame 0x${frame.toString(16)} stays assigned to ASID ${asid}: ${pageState(entry)}`);
    }
  }
  if (guest.vm.snpContext !== undefined) {
    assert.ok(leaked.has(guest.vm.snpContext) || foreign.has(guest.vm.snpContext), 'the context is gone');
  }
  assert.ok(
    !machine.asp.guests.has(guest.context.address) ||
      machine.asp.guests.get(guest.context.address) !== guest.context ||
      foreign.has(pfn(guest.context.address / 4096)),
    `context at 0x${spaOf(pfn(guest.context.address / 4096)).toString(16)} has not been decommissioned`,
  );
}
