import { hex, isPageAligned, PAGE_SIZE } from '../address.js';
import { zeroDigest } from '../asp/launch-digest.js';
import { type Crypto, portableCrypto } from '../crypto.js';
import { defineFault, fail, makeFault, ok, type Result } from '../fault.js';
import { inheritDigests } from '../memory/page-bytes.js';
import { createDigestChain, type MeasuredPage, measurePages, measureVmsas } from './measurer.js';
import type { LaunchPlan } from './plan.js';

/** More than any launch measures; 4 GiB of pages already take seconds on real firmware. */
const MAX_PAGES = 1 << 20;

export const MEASURE_UNALIGNED = defineFault<{ label: string; gpa: string; length: string }>({
  check: 'vmm-measure-unaligned',
  layer: 'vmm',
  command: 'measure',
  code: { kind: 'input' },
  title: 'Cannot measure: not whole pages',
  message: (o) => `${o.label} (gpa ${o.gpa}, length ${o.length}) is not whole 4 KiB pages, so it has no measurement.`,
  why: 'The launch digest is a chain over 4 KiB pages. KVM refuses any other address or length.',
  hint: 'Make `gpa` and `length` multiples of 0x1000.',
  reference: 'AMD pub. 56860, SNP_LAUNCH_UPDATE; Linux arch/x86/kvm/svm/sev.c snp_launch_update',
  confirmed: true,
});

export const MEASURE_TOO_MANY_PAGES = defineFault<{ pages: number; limit: number }>({
  check: 'vmm-measure-too-many-pages',
  layer: 'vmm',
  command: 'measure',
  code: { kind: 'input' },
  title: 'Cannot measure: too many pages',
  message: (o) => `The launch has ${o.pages} pages; up to ${o.limit} (4 GiB) are measured here.`,
  why: 'Every page is one firmware command. Memory that need not be measured is validated by the guest later and does not belong in the launch.',
  hint: 'Check `length`; load only what the guest needs to start.',
  reference: 'SEV-SNP Workbench, measure',
  confirmed: true,
});

export interface Measurement {
  /** Launch digest, 48 bytes. */
  readonly digest: Uint8Array;
  /** Every measured page in order, with the running digest. */
  readonly pages: readonly MeasuredPage[];
}

export interface Measurer {
  measure(plan: LaunchPlan): Result<Measurement>;
}

/**
 * Measures plans one after another, for instance while somebody types: what did not change since the last one is
 * not computed again.
 */
export function createMeasurer(crypto: Crypto = portableCrypto): Measurer {
  const chain = createDigestChain(crypto);
  let files = new Map<string, Uint8Array>();
  return {
    measure(plan) {
      let total = plan.vmsas.length;
      for (const update of plan.updates) {
        if (!isPageAligned(update.gpa) || !isPageAligned(update.length)) {
          const operands = { label: update.label, gpa: hex(update.gpa), length: hex(update.length) };
          return fail(makeFault(MEASURE_UNALIGNED, operands, { at: update.at }));
        }
        total += update.length / PAGE_SIZE;
        if (total > MAX_PAGES) {
          const operands = { pages: total, limit: MAX_PAGES };
          return fail(makeFault(MEASURE_TOO_MANY_PAGES, operands, { at: update.at }));
        }
      }
      const nextFiles = new Map<string, Uint8Array>();
      chain.begin();
      plan.updates.forEach((update, index) => {
        const { source } = update;
        if (source) {
          const key = `${index} ${source.path}`;
          const before = files.get(key);
          if (before && before !== source.bytes) inheritDigests(before, source.bytes);
          nextFiles.set(key, source.bytes);
        }
        const { type, gpa, length } = update;
        measurePages(chain, { type, gpa, length, ...(source ? { bytes: source.bytes } : {}) }, index, crypto);
      });
      measureVmsas(chain, plan.vmsas, crypto);
      files = nextFiles;
      const pages = chain.end();
      return ok({ digest: pages.at(-1)?.digest ?? zeroDigest(), pages });
    },
  };
}

/** The launch digest of a plan, as the firmware would compute it. No machine is involved. */
export function measurePlan(plan: LaunchPlan, crypto: Crypto = portableCrypto): Result<Measurement> {
  return createMeasurer(crypto).measure(plan);
}

export { type ImageOptions, imageWarnings, measureImage } from './measure-image.js';
export type { MeasuredPage } from './measurer.js';
