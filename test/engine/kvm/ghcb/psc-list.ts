import { view } from '../../../../engine/bytes.js';
import { decodePscEntry, encodePscEntry, type PscEntry } from '../../../../engine/kvm/ghcb/psc-buffer.js';
import type { ExitHandling } from '../../../../engine/kvm/run/kvm-exit.js';
import { VMGEXIT } from '../../../../engine/spec/ghcb-layout.js';
import { answer, complete, exitOf, type FakeGuest, readGuest, SHARED_BUFFER, vmgexit } from './fake-guest.js';

/** Page state change lists for tests. */

export const [PRIVATE, SHARED, SMASH, UNSMASH] = [1, 2, 3, 4];

export const entry = (gfn: number, operation: number, is2M = false, curPage = 0): PscEntry => ({
  gfn,
  operation,
  is2M,
  curPage,
});

export function pscList(entries: readonly PscEntry[], curEntry = 0, endEntry = entries.length - 1): Uint8Array {
  const bytes = new Uint8Array(8 + 8 * entries.length);
  const v = view(bytes);
  v.setUint16(0, curEntry, true);
  v.setUint16(2, endEntry, true);
  entries.forEach((each, i) => {
    v.setBigUint64(8 + 8 * i, encodePscEntry(each), true);
  });
  return bytes;
}

export const sendPsc = (guest: FakeGuest, list: Uint8Array): ExitHandling =>
  vmgexit(guest, { code: VMGEXIT.PSC, buffer: list });

export interface Range {
  readonly gpa: bigint;
  readonly pages: bigint;
  readonly attributes: bigint;
}

export interface PscOutcome {
  readonly ranges: readonly Range[];
  /** SW_EXITINFO2. */
  readonly result: bigint;
  readonly curEntry: number;
  /** cur_page of each entry. */
  readonly curPages: readonly number[];
  readonly last: ExitHandling;
}

/** Sends the list and lets userspace answer each exit, at most `limit` of them. */
export function performPsc(guest: FakeGuest, list: Uint8Array, answerRet = 0n, limit = 20): PscOutcome {
  const ranges: Range[] = [];
  let last = sendPsc(guest, list);
  while (last.ret === 0 && guest.arch.exit?.reason === 'KVM_EXIT_HYPERCALL' && ranges.length < limit) {
    const exit = exitOf(guest, 'KVM_EXIT_HYPERCALL');
    const [gpa = 0n, pages = 0n, attributes = 0n] = exit.args;
    ranges.push({ gpa, pages, attributes });
    exit.ret = answerRet;
    last = complete(guest);
  }
  const after = view(readGuest(guest, SHARED_BUFFER, list.length));
  const curPages: number[] = [];
  for (let at = 8; at < list.length; at += 8) curPages.push(decodePscEntry(after.getBigUint64(at, true)).curPage);
  return { ranges, result: answer(guest)[1], curEntry: after.getUint16(0, true), curPages, last };
}
