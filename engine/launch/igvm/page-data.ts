import { type Gpa, hex, PAGE_SIZE, PAGE_SIZE_2M } from '../../address.js';
import { type Fault, makeFault } from '../../fault.js';
import { PAGE_TYPE, type PageType } from '../../spec/page-type.js';
import type { IgvmFile, IgvmPageData } from './file.js';
import type { IgvmUpdate } from './process.js';
import * as faults from './vmm-faults.js';

/**
 * How a page without content is launched. The format wants a NORMAL page of zeros, and QEMU as posted does so; some
 * VMMs use the ZERO type of the firmware, which gives another digest. microsoft/igvm igvm_defs IGVM_VHS_PAGE_DATA;
 * QEMU target/i386/sev.c cgs_set_guest_state().
 */
export type ZeroPages = 'normal' | 'zero';
export const DEFAULT_ZERO_PAGES: ZeroPages = 'normal';

/** Contiguous pages that will be launched together. */
export interface PageRun {
  readonly first: IgvmPageData;
  readonly pages: IgvmPageData[];
  /** Number of the first directive. */
  readonly directive: number;
}

export function startRun(page: IgvmPageData, directive: number): PageRun {
  return { first: page, pages: [page], directive };
}

/** Whether directive number `index` goes on where the run ends. QEMU qigvm_process_mem_page(). */
export function continuesRun(run: PageRun, page: IgvmPageData, index: number): boolean {
  const last = run.pages.at(-1) ?? run.first;
  return (
    run.directive + run.pages.length === index &&
    last.gpa + sizeOf(last) === page.gpa &&
    kindOf(last) === kindOf(page) &&
    last.mask === page.mask
  );
}

export function runLength({ first, pages }: PageRun): number {
  return pages.length * sizeOf(first);
}

/** What would be launched otherwise by different loaders: refused. */
export function largePageFault(file: IgvmFile, { is2MiB, dataOffset, offset }: IgvmPageData): Fault | undefined {
  if (!is2MiB || dataOffset === undefined) return undefined;
  return makeFault(faults.IGVM_2M_DATA, { path: file.path, offset: hex(offset) });
}

/** The updates of a run: one, or one for each CPUID page, whose content is the VMM’s. */
export function runUpdates(
  file: IgvmFile,
  run: PageRun,
  zeroPages: ZeroPages,
  cpuidPage: () => Uint8Array,
): readonly IgvmUpdate[] {
  const { first, pages } = run;
  const type = pageTypeOf(first, zeroPages);
  const label = `IGVM page data: ${first.unmeasured && first.dataType === 'NORMAL' ? 'UNMEASURED' : first.dataType}`;
  if (type === PAGE_TYPE.CPUID) {
    return pages.map((page) => {
      const source = { path: 'CPUID page', bytes: cpuidPage() };
      return { type, gpa: page.gpa, length: sizeOf(page), label, source };
    });
  }
  const bytes = type === PAGE_TYPE.NORMAL || type === PAGE_TYPE.UNMEASURED ? contentOf(file, pages) : undefined;
  const gpa: Gpa = first.gpa;
  return [{ type, gpa, length: runLength(run), label, ...(bytes ? { source: { path: file.path, bytes } } : {}) }];
}

function sizeOf(page: IgvmPageData): number {
  return page.is2MiB ? PAGE_SIZE_2M : PAGE_SIZE;
}

/** What two pages must have in common. QEMU qigvm_page_attrs_equal(). */
function kindOf(page: IgvmPageData): string {
  const { dataType, is2MiB, unmeasured, shared, dataOffset } = page;
  return `${dataType} ${is2MiB} ${unmeasured} ${shared} ${dataOffset !== undefined}`;
}

/** QEMU qigvm_type_to_cgs_type(). */
function pageTypeOf(page: IgvmPageData, zeroPages: ZeroPages): PageType {
  switch (page.dataType) {
    case 'SECRETS':
      return PAGE_TYPE.SECRETS;
    case 'CPUID_DATA':
    case 'CPUID_XF':
      return PAGE_TYPE.CPUID;
    case 'NORMAL':
      if (page.unmeasured) return PAGE_TYPE.UNMEASURED;
      return page.dataOffset === undefined && zeroPages === 'zero' ? PAGE_TYPE.ZERO : PAGE_TYPE.NORMAL;
  }
}

function contentOf(file: IgvmFile, pages: readonly IgvmPageData[]): Uint8Array | undefined {
  const start = pages[0]?.dataOffset;
  if (start === undefined) return undefined;
  return remembered(file, pages.map((page) => page.dataOffset).join(' '), () => {
    const { bytes } = file;
    const inOrder = pages.every((page, i) => page.dataOffset === start + i * PAGE_SIZE);
    if (inOrder) return bytes.subarray(start, start + pages.length * PAGE_SIZE);
    const joined = new Uint8Array(pages.length * PAGE_SIZE);
    pages.forEach((page, i) => {
      const from = page.dataOffset ?? 0;
      joined.set(bytes.subarray(from, from + PAGE_SIZE), i * PAGE_SIZE);
    });
    return joined;
  });
}

/** One page of the file, the same view each time. */
export function filePart(file: IgvmFile, start: number): Uint8Array {
  return remembered(file, `${start}`, () => file.bytes.subarray(start, start + PAGE_SIZE));
}

const contents = new WeakMap<IgvmFile, Map<string, Uint8Array>>();

/** The same array each time, so that page digests are remembered. */
function remembered(file: IgvmFile, key: string, make: () => Uint8Array): Uint8Array {
  let views = contents.get(file);
  if (!views) {
    views = new Map();
    contents.set(file, views);
  }
  let bytes = views.get(key);
  if (!bytes) {
    bytes = make();
    views.set(key, bytes);
  }
  return bytes;
}
