import type { Gfn, Hva, Pfn } from '../address.js';
import type { Fault } from '../fault.js';

/** The KVM host: module state and virtual machines. */
export interface KvmHost {
  /** kvm_amd.sev_snp after module load: the host can run SNP guests. */
  snpEnabled: boolean;
  /** Why not, or why SNP_INIT failed; for the explanation of what fails later because of it. */
  hostFault?: Fault;
  /** ASIDs in use or waiting for a flush, and those of them that wait (Linux sev_asid_bitmap, sev_reclaim_asid_bitmap). */
  readonly asids: Set<number>;
  readonly asidsToReclaim: Set<number>;
  readonly vms: Map<number, KvmVm>;
  /** Open descriptors of /dev/sev. */
  readonly sevFds: Set<number>;
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
  /** /dev/sev descriptor of LAUNCH_START, through which SNP_ACTIVATE and SNP_LAUNCH_FINISH go. */
  sevFd: number;
  /** Descriptor of the VM whose encryption context this one mirrors. */
  mirrorOf?: number;
  /** Page frame of the SNP guest context, from LAUNCH_START. */
  snpContext?: Pfn;
  policy?: bigint;
  /** Bounce buffers of SNP_GUEST_REQUEST, from 6.11 on. */
  guestReq?: { readonly request: Pfn; readonly response: Pfn };
  readonly vcpus: KvmVcpu[];
  readonly slots: Map<number, MemorySlot>;
  readonly gmems: Map<number, GuestMemfd>;
  /** Frames with KVM_MEMORY_ATTRIBUTE_PRIVATE: ascending, neither overlapping nor adjacent. */
  privateRanges: readonly GfnRange[];
  launchFinished: boolean;
  apicvInhibited: boolean;
  /** Mask of KVM_CAP_EXIT_HYPERCALL. */
  hypercallExits: number;
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
  readonly flags: number;
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
  readonly folios: Map<number, GmemFolio>;
}

export interface GmemFolio {
  readonly pfn: Pfn;
  prepared: boolean;
}

/** Half open. */
export interface GfnRange {
  readonly start: Gfn;
  readonly end: Gfn;
}

export function createKvmHost(): KvmHost {
  return {
    snpEnabled: false,
    asids: new Set(),
    asidsToReclaim: new Set(),
    vms: new Map(),
    sevFds: new Set(),
    nextFd: 10,
    leaked: [],
  };
}

/** sev_guest(kvm): INIT2 has run. */
export function isSevGuest(vm: KvmVm): boolean {
  return vm.sevActive;
}

/** sev_snp_guest(kvm): INIT2 has set SNP_ACTIVE. */
export function isSnpGuest(vm: KvmVm): boolean {
  return vm.sevActive && (vm.vmsaFeatures & 1n) !== 0n;
}

/** The slot that holds a frame. Linux gfn_to_memslot(). */
export function slotOf(vm: KvmVm, frame: number): MemorySlot | undefined {
  for (const slot of vm.slots.values()) if (frame >= slot.gfn && frame < slot.gfn + slot.pages) return slot;
  return undefined;
}
