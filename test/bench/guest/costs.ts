import { nativeCrypto } from '../../../platform/native-crypto.js';
import type { GuestImages } from './images.js';
import type { Row } from './row.js';
import { type Span, spans, watchGuest } from './watch.js';

/** Name of the guest's measurement, what it is, and how many microseconds it may take. */
const ITEMS: readonly (readonly [string, string, number?])[] = [
  ['exit', 'exit and return: write of CR4, with the TLB flush that it means', 10],
  ['vmgexit-msr', 'exit and return: VMGEXIT by the GHCB MSR', 10],
  ['vmgexit-page', 'exit and return: VMGEXIT by the GHCB page'],
  ['vc', '#VC: CPUID, answered from the CPUID page'],
  ['vc-msr', '#VC and VMGEXIT by the GHCB MSR: CPUID'],
  ['vc-page', '#VC and VMGEXIT by the GHCB page: IN'],
  ['pvalidate', 'PVALIDATE of 4 KiB', 5],
  ['rescind', 'PVALIDATE of 4 KiB, rescinds'],
  ['pvalidate-new', 'PVALIDATE of 4 KiB that the host has to find first'],
  ['first-touch', 'first touch of a data page'],
  ['touch-after-flush', 'next touch of a data page after a TLB flush'],
  ['page-state-change', 'page state change of 4 KiB by the GHCB page, PVALIDATE not included'],
];
const RUNS = 3;
const NEVER: ReadonlySet<bigint> = new Set([0xdead_0000n]);

/** Microseconds for SHA-384 of a page by node:crypto: what this machine is worth. */
function unit(): number {
  const page = new Uint8Array(4096);
  const once = (): number => {
    const start = performance.now();
    for (let n = 0; n < 2000; n++) nativeCrypto.sha384(page);
    return ((performance.now() - start) * 1000) / 2000;
  };
  return Math.min(...Array.from({ length: 5 }, once));
}

const cost = ({ milliseconds, value }: Span): number => (milliseconds * 1000) / Number(value);

/** What single things cost a guest: the best of some runs. */
export function benchCosts(images: GuestImages): Row[] {
  const best = new Map<string, number>();
  for (let n = 0; n < RUNS; n++) {
    for (const [name, found] of spans(watchGuest(images.costs, NEVER)))
      best.set(name, Math.min(best.get(name) ?? Number.POSITIVE_INFINITY, ...found.map(cost)));
  }
  const page = unit();
  return ITEMS.map(([name, what, limit]) => {
    const us = best.get(name);
    if (us === undefined) throw new Error(`the guest has not measured ${name}`);
    const target = limit === undefined ? '' : `< ${limit} µs`;
    const met = limit === undefined ? undefined : us < limit;
    return { what, result: `${us.toFixed(1)} µs = ${(us / page).toFixed(2)} × SHA-384 of 4 KiB`, target, met };
  });
}
