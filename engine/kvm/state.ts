import type { Gfn, Gpa, Hva, Pfn } from '../address.js';
import type { NestedPageTable } from '../cpu/svm/nested-page-table.js';
import type { Vmcb } from '../cpu/svm/vmcb.js';
import type { Fault } from '../fault.js';
import type { KvmRunState } from './run/kvm-exit.js';

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
  /** kvm_amd.sev_snp as it was given; read back, it is `snpEnabled`. */
  readonly snpParameter: boolean;
  /** guest_memfd tries folios of 2 MiB. Dropped from the series with v15, and not in Linux since; see kvm-gmem-get-folio.ts. */
  readonly hugePages: boolean;
  /** Open descriptors of /dev/sev. */
  readonly sevFds: Set<number>;
  /** Those of them without the right to write. */
  readonly sevReadOnlyFds: Set<number>;
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
  /** Made when a vCPU is first run. */
  nestedPageTable?: NestedPageTable;
  /** sev_info.ap_jump_table, which a guest without SNP gives and takes by its GHCB; 0 if absent. */
  apJumpTable?: bigint;
}

/** vcpu->arch.mp_state, as far as SNP guests come to it. */
export type MpState = 'RUNNABLE' | 'UNINITIALIZED' | 'INIT_RECEIVED' | 'HALTED' | 'AP_RESET_HOLD';

/** `struct vcpu_sev_es_state` and what else KVM keeps of a vCPU that runs. Linux arch/x86/kvm/svm/svm.h. */
export interface VcpuRunState extends KvmRunState {
  readonly vmcb: Vmcb;
  mpState: MpState;
  /** GPA that the guest has registered with GHCB MSR request 0x012; all ones (INVALID_PAGE) before. */
  ghcbRegisteredGpa: bigint;
  /** KVM's copy of the GHCB fields of the exit at hand, and which of them the guest marked valid (128 bits). */
  ghcb?: GhcbExit;
  /** sev_es.ap_reset_hold_type, and whether a SIPI has been received already. */
  apResetHold: 'none' | 'nae' | 'msr';
  receivedFirstSipi: boolean;
  /** snp_vmsa_gpa, undefined for INVALID_PAGE; snp_ap_waiting_for_reset; snp_has_guest_vmsa. */
  snpVmsaGpa?: Gpa;
  snpApWaitingForReset: boolean;
  snpHasGuestVmsa: boolean;
  /** KVM_REQ_UPDATE_PROTECTED_GUEST_STATE is pending. */
  updateProtectedGuestState: boolean;
  /** The page state change under way. */
  psc?: PscState;
  /** PAUSE handed the processor over: this KVM_RUN ends. */
  yielded?: boolean;
  /** The last exit and what it depends on, and why the vCPU cannot get past it; see no-progress.ts. */
  lastExit?: string;
  stuck?: Fault;
  /** Between VMGEXIT and the next VMRUN: the GHCB that KVM has mapped, and the registers that it will write back. */
  ghcbMap?: GhcbMap;
  /** vcpu->arch.xcr0 and cr4 as far as KVM gets to know them: from the GHCB, and from the write trap of CR4. */
  xcr0?: bigint;
  cr4?: bigint;
  /** MSRs that the guest reads and writes through its GHCB; made at the first access. */
  msrs?: Map<number, bigint>;
}

/** sev_es.ghcb, ghcb_sa and vcpu->arch.regs. */
export interface GhcbMap {
  readonly gpa: Gpa;
  rax: bigint;
  rbx: bigint;
  rcx: bigint;
  rdx: bigint;
  /** Valid bitmap as it stands in the page. */
  valid: bigint;
  scratch?: GhcbScratch;
}

/** Scratch area of the request at hand. */
export interface GhcbScratch {
  readonly gpa: number;
  /** Outside of the GHCB: KVM's own copy. Inside: absent, KVM works on the page itself. */
  readonly copy?: Uint8Array;
  readonly length: number;
  /** The copy is to be written back before the guest goes on. */
  readonly sync: boolean;
}

/** What the guest put into its GHCB for one VMGEXIT. Values whose valid bit is clear are 0. */
export interface GhcbExit {
  /** Page of the GHCB. */
  readonly gpa: Gpa;
  readonly validBitmap: bigint;
  readonly exitCode: bigint;
  readonly exitInfo1: bigint;
  readonly exitInfo2: bigint;
  readonly scratch: bigint;
  readonly rax: bigint;
  readonly rbx: bigint;
  readonly rcx: bigint;
  readonly rdx: bigint;
  readonly rsi: bigint;
  readonly cpl: number;
  readonly xcr0: bigint;
}

/** vcpu_sev_es_state.psc_idx, psc_inflight, psc_2m. */
export interface PscState {
  index: number;
  inflight: number;
  is2M: boolean;
}

export interface KvmVcpu {
  readonly index: number;
  /** Made when the vCPU is first run. */
  arch?: VcpuRunState;
  /** The 4096 bytes that KVM builds from userspace's registers. */
  vmsa: Uint8Array;
  vmsaPfn?: Pfn;
  guestStateProtected: boolean;
  /** What KVM_SET_CPUID2 gave; without it CPUID answers zeros. */
  cpuid?: readonly CpuidEntry2[];
}

/** `struct kvm_cpuid_entry2`. */
export interface CpuidEntry2 {
  readonly function: number;
  /** ECX; looked at only with KVM_CPUID_FLAG_SIGNIFCANT_INDEX. */
  readonly index: number;
  readonly significantIndex: boolean;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
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
  /** The page is one of the 512 of a folio of 2 MiB, all of which are in the file. */
  isHuge?: boolean;
}

/** Half open. */
export interface GfnRange {
  readonly start: Gfn;
  readonly end: Gfn;
}

/** How the host is set up; every field has a default. */
export interface KvmHostOptions {
  /** Module parameter kvm_amd.sev_snp; default true. */
  readonly sevSnp?: boolean;
  /** guest_memfd with folios of 2 MiB; default false. */
  readonly hugePages?: boolean;
}

export function createKvmHost(options: KvmHostOptions = {}): KvmHost {
  return {
    snpEnabled: false,
    snpParameter: options.sevSnp ?? true,
    hugePages: options.hugePages ?? false,
    asids: new Set(),
    asidsToReclaim: new Set(),
    vms: new Map(),
    sevFds: new Set(),
    sevReadOnlyFds: new Set(),
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
