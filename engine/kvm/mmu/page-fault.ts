import { type Gfn, type Gpa, gfnOf, gpa } from '../../address.js';

/** A nested page fault as KVM's MMU sees it. Linux arch/x86/kvm/mmu/mmu_internal.h `struct kvm_page_fault`. */
export interface PageFault {
  readonly gpa: Gpa;
  readonly gfn: Gfn;
  /** EXITINFO1 with KVM's own bits. */
  readonly errorCode: bigint;
  readonly present: boolean;
  readonly write: boolean;
  readonly reserved: boolean;
  readonly isPrivate: boolean;
  readonly rmp: boolean;
}

const has = (code: bigint, bit: bigint): boolean => ((code >> bit) & 1n) !== 0n;

/** PFERR_PRIVATE_ACCESS: set by KVM where the hardware reports an access of an SNP guest with the C-bit. */
const PRIVATE_ACCESS = 1n << 49n;

/** `info1`, `info2`: of #VMEXIT(NPF). The C-bit is not part of the address. */
export function pageFaultOf(info1: bigint, info2: bigint): PageFault {
  const encrypted = has(info1, 34n);
  const address = gpa(Number(info2));
  return {
    gpa: address,
    gfn: gfnOf(address),
    errorCode: encrypted ? info1 | PRIVATE_ACCESS : info1,
    present: has(info1, 0n),
    write: has(info1, 1n),
    reserved: has(info1, 3n),
    isPrivate: encrypted,
    rmp: has(info1, 31n),
  };
}
