import type { Gpa } from '../address.js';
import type { SourceLocation } from '../fault.js';
import type { AttackPlan } from '../spec/attacks.js';
import type { PageType } from '../spec/page-type.js';
import type { FirmwareProfile, KvmProfile, ProcessorProfile } from '../spec/versions.js';
import type { KernelFiles } from './kernel-hashes.js';

/**
 * A launch, resolved: pure data, all files read, all defaults filled in. What the VMM does with it, in order,
 * is `entries`. Values may still be wrong: refusing them is the business of the VMM, KVM and the firmware.
 */
export interface LaunchPlan {
  /** The manifest's path as the caller named it. */
  readonly file: string;
  readonly host: {
    readonly processor: ProcessorProfile;
    readonly firmware: FirmwareProfile;
    readonly kvm: KvmProfile;
    /** Bytes. */
    readonly memory: number;
    /** Module parameter kvm_amd.sev_snp; default true. */
    readonly sevSnp?: boolean;
    /** guest_memfd with folios of 2 MiB; default false. */
    readonly hugePages?: boolean;
    /** The host attacks the guest; default: it does not. */
    readonly attack?: AttackPlan;
  };
  readonly vm: {
    readonly vmm: VmmName;
    readonly vcpus: number;
    /** A name of spec/cpu-models. */
    readonly cpu: string;
    /** Bytes. */
    readonly memory: number;
    /** SEV_FEATURES as they will be measured, SNPActive included. */
    readonly vmsaFeatures: bigint;
    /** Certificate table that the VMM gives a guest with its attestation report, where KVM asks for one. */
    readonly certificates?: Uint8Array;
  };
  /** Places where the launch can stop, in the order in which the VMM reaches them. */
  readonly entries: readonly LaunchEntry[];
  /** Queue elements in the order of their KVM_SEV_SNP_LAUNCH_UPDATE. */
  readonly updates: readonly PlanUpdate[];
  readonly start: { readonly policy: bigint; readonly gosvw: Uint8Array };
  /** One 4 KiB VMSA for each vCPU, in index order. */
  readonly vmsas: readonly Uint8Array[];
  readonly finish: PlanFinish;
  /** The firmware image, if an entry has one. */
  readonly firmware?: PlanFirmware;
  /** The IGVM file, if an entry has one. */
  readonly igvm?: PlanIgvm;
  readonly expect: { readonly digest?: Uint8Array; readonly at?: SourceLocation };
}

export const VMM_NAMES = ['qemu', 'ec2', 'gce'] as const;
export type VmmName = (typeof VMM_NAMES)[number];

/**
 * `host`: RMP and SNP_INIT. `vm`: KVM_CREATE_VM, INIT2. `start`: LAUNCH_START. `memory`: vCPUs, memory slots.
 * `update`: one entry of launch.update. `finish`: VMSAs and LAUNCH_FINISH.
 */
export type LaunchEntryKind = 'host' | 'vm' | 'start' | 'memory' | 'update' | 'finish';

export interface LaunchEntry {
  readonly kind: LaunchEntryKind;
  /** For people: "start", "update 1: firmware OVMF.fd". */
  readonly label: string;
  /** The lines of the manifest that it stands for. */
  readonly at: SourceLocation;
  /** `update`: index in launch.update. */
  readonly updateIndex?: number;
}

/** One call of KVM_SEV_SNP_LAUNCH_UPDATE (repeated until its length is 0). */
export interface PlanUpdate {
  /** Index into LaunchPlan.entries. */
  readonly entry: number;
  readonly type: PageType;
  readonly gpa: Gpa;
  /** Bytes, as given: may be unaligned, then the VMM or KVM refuses. */
  readonly length: number;
  /** Content; undefined for ZERO. `bytes` are exactly `length` long, or shorter if the file is. */
  readonly source?: { readonly path: string; readonly bytes: Uint8Array };
  /** "SEV metadata: SEC_MEM", "kernel hashes", "OVMF.fd"; for people. */
  readonly label: string;
  /** The most precise place in the manifest. */
  readonly at: SourceLocation;
}

export interface PlanFirmware {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly base: Gpa;
  /** AP reset address from the SEV-ES reset block. */
  readonly resetEip?: number;
  /** -kernel, -initrd, -append: the guest reads them from fw_cfg. */
  readonly kernel?: KernelFiles;
}

export interface PlanIgvm {
  readonly path: string;
  /** Index into LaunchPlan.entries. */
  readonly entry: number;
  readonly at: SourceLocation;
  /** Memory that the file wants, in its order; where the machine has none it gets a region of its own. */
  readonly regions: readonly PlanIgvmRegion[];
}

export interface PlanIgvmRegion {
  readonly gpa: Gpa;
  readonly length: number;
  /** Number of the directive in the file. */
  readonly directive: number;
  /** Only made private, not loaded. */
  readonly required: boolean;
}

export interface PlanFinish {
  /** 96 bytes as they will be given to KVM; other lengths are refused there. */
  readonly idBlock?: Uint8Array;
  readonly idAuth?: Uint8Array;
  readonly authorKey: boolean;
  readonly vcekDisabled: boolean;
  /** 32 bytes. */
  readonly hostData: Uint8Array;
}
