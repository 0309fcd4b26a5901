/**
 * EXITINFO1 of #VMEXIT(NPF). AMD APM vol. 2, 15.25.6 and 15.36.10; Linux arch/x86/include/asm/kvm_host.h,
 * PFERR_*. The low half has the format of a #PF error code.
 */
export interface NpfErrorBit {
  readonly bit: number;
  readonly name: string;
  /** What a set bit says. */
  readonly set: string;
  /** What a clear bit says, where that is more than the contrary. */
  readonly clear?: string;
}

/** The bits as numbers, to be added or tested: those above 31 are exact in a double, but out of reach of `|` and `&`. */
export const NPF = {
  P: 1,
  W: 2,
  U: 4,
  RSV: 8,
  ID: 16,
  SS: 64,
  RMP: 2 ** 31,
  FINAL: 2 ** 32,
  WALK: 2 ** 33,
  ENC: 2 ** 34,
  SIZEM: 2 ** 35,
  VMPL: 2 ** 36,
  SSS: 2 ** 37,
} as const;

/** What of a nested access EXITINFO1 tells, whichever check it fails. */
export interface NestedAccess {
  readonly kind: 'read' | 'write' | 'execute';
  /** The access is one of the guest page-table walk. */
  readonly walk: boolean;
  /** Effective C-bit of the access; walks and fetches are private in any case. */
  readonly encrypted: boolean;
}

/**
 * The bits of EXITINFO1 that describe the access: W, U, ID, final or walk, ENC. The caller adds those that describe
 * the failure: P, RSV, RMP, SIZEM, VMPL. An access to a guest page table counts as a data write of user mode, even if
 * it only reads for a fetch (APM vol. 2, 15.25.6; Linux arch/x86/kvm/mmu/paging_tmpl.h, `nested_access`).
 */
export function npfAccessBits({ kind, walk, encrypted }: NestedAccess): number {
  if (walk) return NPF.U + NPF.W + NPF.WALK + NPF.ENC;
  const isFetch = kind === 'execute';
  return (
    NPF.U + NPF.FINAL + (kind === 'write' ? NPF.W : 0) + (isFetch ? NPF.ID : 0) + (encrypted || isFetch ? NPF.ENC : 0)
  );
}

export const NPF_ERROR_BITS: readonly NpfErrorBit[] = [
  { bit: 0, name: 'P', set: 'the nested page table entry was present', clear: 'no nested page table entry' },
  { bit: 1, name: 'W', set: 'the access was a write', clear: 'the access was no write' },
  { bit: 2, name: 'U', set: 'user access: always set for nested walks' },
  { bit: 3, name: 'RSV', set: 'a reserved bit was set: KVM marks MMIO so, and the guest gets #VC' },
  { bit: 4, name: 'ID', set: 'the access was an instruction fetch' },
  { bit: 6, name: 'SS', set: 'the access was to a shadow stack' },
  { bit: 31, name: 'RMP', set: 'the RMP check failed' },
  { bit: 32, name: 'final', set: 'the fault was on the final guest physical address' },
  { bit: 33, name: 'walk', set: 'the fault was on a page of the guest page tables' },
  { bit: 34, name: 'ENC', set: 'the access was private (effective C-bit 1)', clear: 'the access was shared (C-bit 0)' },
  {
    bit: 35,
    name: 'SIZEM',
    set: 'page sizes differ: a 4 KiB PVALIDATE or RMPADJUST met a 2 MiB RMP entry, which the host has to PSMASH',
  },
  { bit: 36, name: 'VMPL', set: 'the VMPL of the guest lacks the permission in the RMP entry' },
  { bit: 37, name: 'SSS', set: 'supervisor shadow stack check failed' },
  { bit: 63, name: 'not-restartable', set: 'the guest cannot be restarted at this instruction' },
];

export interface NpfErrorField extends NpfErrorBit {
  readonly value: boolean;
}

export interface NpfError {
  readonly fields: readonly NpfErrorField[];
  /** Bits that no source names. */
  readonly unknown: bigint;
  /** What the combination means to a KVM host, most specific first. */
  readonly reading: string;
}

export function decodeNpfError(value: bigint): NpfError {
  const fields = NPF_ERROR_BITS.map((b) => ({ ...b, value: ((value >> BigInt(b.bit)) & 1n) === 1n }));
  let known = 0n;
  for (const b of NPF_ERROR_BITS) known |= 1n << BigInt(b.bit);
  return { fields, unknown: BigInt.asUintN(64, value) & ~known, reading: reading(value) };
}

/** Linux arch/x86/kvm/svm/sev.c `sev_handle_rmp_fault`; mmu.c `kvm_mmu_faultin_pfn_private`. */
function reading(value: bigint): string {
  const has = (bit: number) => ((value >> BigInt(bit)) & 1n) === 1n;
  if (has(36)) return 'The RMP entry does not permit this access at the current VMPL; RMPADJUST at VMPL0 grants it.';
  if (has(35)) return 'The host has to split the 2 MiB RMP entry (PSMASH) and run the guest again.';
  if (has(3)) return 'MMIO: the guest gets #VC and asks the host through its GHCB.';
  if (has(31) && has(34)) {
    return (
      'The guest used a page as private whose RMP entry does not make it its own: not assigned, another ASID or ' +
      'GPA, immutable, or another page size. KVM splits a 2 MiB entry, or asks the VMM to convert the page.'
    );
  }
  if (has(31)) {
    return (
      'The guest used a page as shared whose RMP entry is assigned, as a write through C-bit 0 to a private page ' +
      'does. The guest has to ask for a page state change first.'
    );
  }
  if (!has(0)) {
    return has(34)
      ? 'Private page that is not mapped yet: KVM maps it, or exits with KVM_EXIT_MEMORY_FAULT if it is shared.'
      : 'Shared page that is not mapped yet: KVM maps it, or exits with KVM_EXIT_MEMORY_FAULT if it is private.';
  }
  return 'The nested page table entry does not permit this access.';
}
