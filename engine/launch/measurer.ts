import { type Gpa, gpa, PAGE_SIZE } from '../address.js';
import { extendDigest, VMSA_TSC_FIELDS, zeroDigest } from '../asp/launch-digest.js';
import { copyBytes, equalBytes, isZero } from '../bytes.js';
import type { Crypto } from '../crypto.js';
import { filePage, type PageBytes, pageDigest, ZERO_PAGE } from '../memory/page-bytes.js';
import { PAGE_TYPE, type PageType, VMSA_GPA } from '../spec/page-type.js';

/** One link of the digest chain. */
export interface MeasuredPage {
  readonly type: PageType;
  readonly gpa: Gpa;
  /** SHA-384 of the content of NORMAL and VMSA pages. */
  readonly contents?: Uint8Array;
  /** Launch digest after this page. */
  readonly digest: Uint8Array;
  /** Index into LaunchPlan.updates, or the vCPU for a VMSA. */
  readonly index: number;
}

/**
 * Computes digest chains and remembers the last one: links before the first page that differs are not computed
 * again.
 */
export interface DigestChain {
  begin(): void;
  page(type: PageType, at: Gpa, index: number, contents?: Uint8Array): void;
  end(): readonly MeasuredPage[];
}

export function createDigestChain(crypto: Crypto): DigestChain {
  let last: readonly MeasuredPage[] = [];
  let pages: MeasuredPage[] = [];
  let shared = true;
  let digest = zeroDigest();
  return {
    begin() {
      pages = [];
      shared = true;
      digest = zeroDigest();
    },
    page(type, at, index, contents) {
      const known = shared ? last[pages.length] : undefined;
      shared = known !== undefined && known.type === type && known.gpa === at && sameDigest(known.contents, contents);
      digest = shared && known ? known.digest : extendDigest(digest, { contents, pageType: type, gpa: at }, crypto);
      pages.push({ type, gpa: at, ...(contents ? { contents } : {}), digest, index });
    },
    end() {
      last = pages;
      return pages;
    },
  };
}

function sameDigest(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === b) return true;
  return a !== undefined && b !== undefined && equalBytes(a, b);
}

/** Adds `length / 4096` pages; content comes from `bytes`, zero-padded. */
export function measurePages(
  chain: DigestChain,
  range: { readonly type: PageType; readonly gpa: number; readonly length: number; readonly bytes?: Uint8Array },
  index: number,
  crypto: Crypto,
): void {
  const { type, bytes } = range;
  const count = range.length / PAGE_SIZE;
  const loaded = bytes ? Math.ceil(bytes.length / PAGE_SIZE) : 0;
  for (let i = 0; i < count; i++) {
    let contents: Uint8Array | undefined;
    if (type === PAGE_TYPE.NORMAL) {
      const page: PageBytes = bytes && i < loaded ? filePage(bytes, i) : ZERO_PAGE;
      contents = pageDigest(page, crypto);
    }
    chain.page(type, gpa(range.gpa + i * PAGE_SIZE), index, contents);
  }
}

/** Adds one VMSA for each vCPU. GUEST_TSC_SCALE and GUEST_TSC_OFFSET belong to the firmware and count as zeros. */
export function measureVmsas(chain: DigestChain, vmsas: readonly Uint8Array[], crypto: Crypto): void {
  const digests = new Map<Uint8Array, Uint8Array>();
  vmsas.forEach((vmsa, vcpu) => {
    let contents = digests.get(vmsa);
    if (!contents) {
      contents = crypto.sha384(withoutTsc(vmsa));
      digests.set(vmsa, contents);
    }
    chain.page(PAGE_TYPE.VMSA, gpa(VMSA_GPA), vcpu, contents);
  });
}

function withoutTsc(vmsa: Uint8Array): Uint8Array {
  const { offset, size } = VMSA_TSC_FIELDS;
  if (isZero(vmsa.subarray(offset, offset + size))) return vmsa;
  const copy = copyBytes(vmsa);
  copy.fill(0, offset, offset + size);
  return copy;
}
