import type { Gfn, Hva, Pfn } from '../address.js';

/** The KVM host: module state and virtual machines. */
export interface KvmHost {
  /** kvm_amd.sev_snp after module load: the platform can run SNP guests. */
  snpEnabled: boolean;
  /** ASIDs in use and ASIDs waiting for a flush (Linux sev_asid_bitmap, sev_reclaim_asid_bitmap). */
  readonly asids: Set<number>;
  readonly asidsToReclaim: Set<number>;
  readonly vms: Map<number, KvmVm>;
  nextFd: number;
  /** Pages that could not be made shared again; unusable until reboot (Linux snp_leak_pages). */
  readonly leaked: Pfn[];
}

export interface KvmVm {
  readonly fd: number;
  /** KVM_X86_*_VM; 4 is SNP. */
  readonly type: number;
  needInit: boolean;
  readonly hasPrivateMem: boolean;
  sevActive: boolean;
  /** INIT2's vmsa_features with SNP_ACTIVE. */
  vmsaFeatures: bigint;
  ghcbVersion: number;
  asid: number;
  /** Page frame of the SNP guest context, from LAUNCH_START. */
  snpContext?: Pfn;
  policy?: bigint;
  readonly vcpus: KvmVcpu[];
  readonly slots: Map<number, MemorySlot>;
  readonly gmems: Map<number, GuestMemfd>;
  /** Frames with KVM_MEMORY_ATTRIBUTE_PRIVATE. */
  readonly privateRanges: GfnRange[];
  launchFinished: boolean;
  apicvInhibited: boolean;
}

export interface KvmVcpu {
  readonly index: number;
  /** The 4096 bytes that KVM builds from userspace's registers. */
  vmsa: Uint8Array;
  vmsaPfn?: Pfn;
  guestStateProtected: boolean;
}

export interface MemorySlot {
  readonly id: number;
  readonly gfn: Gfn;
  readonly pages: number;
  readonly userspace: Hva;
  readonly gmemFd?: number;
  /** First page of the slot in the memfd. */
  readonly gmemPage: number;
  readonly label: string;
}

export interface GuestMemfd {
  readonly fd: number;
  readonly pages: number;
  /** Allocated folios, by page index. `prepared` is the uptodate flag of 6.11. */
  readonly folios: Map<number, { readonly pfn: Pfn; prepared: boolean }>;
}

/** Half open. */
export interface GfnRange {
  readonly start: Gfn;
  readonly end: Gfn;
}

export function createKvmHost(): KvmHost {
  return { snpEnabled: false, asids: new Set(), asidsToReclaim: new Set(), vms: new Map(), nextFd: 10, leaked: [] };
}
