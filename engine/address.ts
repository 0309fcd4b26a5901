/**
 * Branded address types: a host page number must never be taken for a guest one. All physical addresses of
 * SNP parts have at most 52 bits, so a double holds them exactly; guest virtual addresses need a bigint.
 */
declare const brand: unique symbol;

/** System physical address. */
export type Spa = number & { readonly [brand]: 'Spa' };
/** Guest physical address, C-bit removed. */
export type Gpa = number & { readonly [brand]: 'Gpa' };
/** System page frame number: Spa / 4096. */
export type Pfn = number & { readonly [brand]: 'Pfn' };
/** Guest frame number: Gpa / 4096. */
export type Gfn = number & { readonly [brand]: 'Gfn' };
/** Address in the VMM's process. */
export type Hva = number & { readonly [brand]: 'Hva' };
/** Guest virtual address. */
export type Gva = bigint & { readonly [brand]: 'Gva' };

export const PAGE_SIZE = 4096;
export const PAGE_SIZE_2M = 0x20_0000;
export const PAGES_PER_2M = 512;

export const spa = (n: number): Spa => n as Spa;
export const gpa = (n: number): Gpa => n as Gpa;
export const pfn = (n: number): Pfn => n as Pfn;
export const gfn = (n: number): Gfn => n as Gfn;
export const hva = (n: number): Hva => n as Hva;

export const spaOf = (page: Pfn): Spa => (page * PAGE_SIZE) as Spa;
export const gpaOf = (frame: Gfn): Gpa => (frame * PAGE_SIZE) as Gpa;
export const pfnOf = (address: Spa): Pfn => Math.floor(address / PAGE_SIZE) as Pfn;
export const gfnOf = (address: Gpa): Gfn => Math.floor(address / PAGE_SIZE) as Gfn;

export const isPageAligned = (n: number | bigint): boolean =>
  typeof n === 'bigint' ? n % 4096n === 0n : n % PAGE_SIZE === 0;

/** `0x` and lower-case digits; for operands, logs and views. */
export function hex(n: number | bigint): string {
  return n < 0 ? `-0x${(-n).toString(16)}` : `0x${n.toString(16)}`;
}
