import type { Pfn, Spa } from '../address.js';
import type { IdBlock } from './id-block.js';

/** State of the AMD secure processor as far as SNP commands see it. */
export interface AspState {
  /** SNP platform state: UNINIT 0, INIT 1 (AMD pub. 56860, SNP_PLATFORM_STATUS). */
  platform: 'UNINIT' | 'INIT';
  readonly guests: Map<Spa, GuestContext>;
  /** Guest context that holds each active ASID. */
  readonly activeAsids: Map<number, Spa>;
  /** ASIDs deactivated since the last WBINVD on all cores and SNP_DF_FLUSH. */
  readonly asidsToFlush: Set<number>;
  /** True from SNP_INIT to the first SNP_DF_FLUSH: no ASID may be activated before it. */
  flushAfterInit: boolean;
  /** A core may hold cache lines of a deactivated guest, or of the time before SNP_INIT. See `wbinvdOnAllCores`. */
  wbinvdRequired: boolean;
  nextKey: number;
  /** Id of the key under which the firmware keeps its own pages (contexts); 0 before the first SNP_INIT. */
  firmwareKey: number;
  /** What SNP_INIT_EX switched on. */
  options: PlatformOptions;
  /** What SNP_CONFIG set. */
  config: PlatformConfig;
  /** Installed by SNP_DOWNLOAD_FIRMWARE_EX; undefined: the firmware that the machine came with, committed. */
  firmware?: InstalledFirmware;
  /** An update failed half way: every command but SNP_DOWNLOAD_FIRMWARE_EX is refused. */
  restoreRequired: boolean;
  /** The VLEK that SNP_VLEK_LOAD loaded; stays until reset. */
  vlek?: LoadedVlek;
  /** Mitigations that SNP_VERIFY_MITIGATION found in place: CURRENT_MIT_VECTOR. */
  mitigations: bigint;
  readonly topology: Topology;
  /** What the cores' MSRs say when SNP_INIT looks; undefined: all as SNP needs them. */
  cores?: readonly CoreSetup[];
  /** Buffers to which the IOMMUs write: event and PPR logs, completion-wait semaphores. SNP_INIT takes them. */
  iommuPages: readonly Pfn[];
}

/** Options of SNP_INIT_EX that later commands look at. */
export interface PlatformOptions {
  readonly raplDisabled: boolean;
  readonly ciphertextHiding: boolean;
  /** MAX_SNP_ASID with ciphertext hiding: SNP guests use no ASID above it. */
  readonly maxSnpAsid?: number;
}

/** One build of the firmware; the major version is 1. */
export interface FirmwareRevision {
  readonly minor: number;
  readonly build: number;
  /** Security version: component SNP of TCB_VERSION. */
  readonly svn: number;
}

/** Committed ≤ current. AMD pub. 56860, SNP_COMMIT. */
export interface InstalledFirmware {
  readonly current: FirmwareRevision;
  /** The floor: nothing older can be installed. */
  readonly committed: FirmwareRevision;
}

export interface LoadedVlek {
  /** TCB_VERSION of the hashstick: it gives keys for this TCB and older ones. */
  readonly tcb: bigint;
  /** The unwrapped hashstick, 384 bytes. */
  readonly hashstick: Uint8Array;
}

/** APIC IDs are socket * threadsPerSocket + thread. */
export interface Topology {
  readonly sockets: number;
  readonly threadsPerSocket: number;
}

/** MSRs of one core that SNP_INIT checks. AMD64 APM vol. 2, 15.36.2; Linux drivers/crypto/ccp/sev-dev.c. */
export interface CoreSetup {
  readonly apicId: number;
  readonly syscfg: bigint;
  /** VM_HSAVE_PA: must be zero. */
  readonly hsavePa: Spa;
  readonly rmpBase: Spa;
  /** RMP_END: the last byte. */
  readonly rmpEnd: Spa;
}

export const DEFAULT_OPTIONS: PlatformOptions = { raplDisabled: false, ciphertextHiding: false };

/** Host configuration of attestation reports. AMD pub. 56860, SNP_CONFIG. */
export interface PlatformConfig {
  /** TCB_VERSION in reports and of the VCEK; undefined: the committed one, above which no component may be. */
  readonly reportedTcb?: bigint;
  /** Reports have zeros as CHIP_ID. */
  readonly maskChipId: boolean;
  /** Reports are not signed. */
  readonly maskChipKey: boolean;
}

export const DEFAULT_CONFIG: PlatformConfig = { maskChipId: false, maskChipKey: false };

export type GuestState = 'INIT' | 'LAUNCH' | 'RUNNING';

/** GCTX: visible to nobody but the firmware; the debugger shows it and says so. */
export interface GuestContext {
  /** SPA of the Context page. */
  readonly address: Spa;
  state: GuestState;
  /** 0: not activated. */
  asid: number;
  policy: bigint;
  /** Key id in SystemMemory.keys; 0 before LAUNCH_START. */
  vek: number;
  /** Launch digest, 48 bytes. */
  ld: Uint8Array;
  /** Digest of the incoming migration image, 48 bytes. */
  imd: Uint8Array;
  imiEnabled: boolean;
  gosvw: Uint8Array;
  vmpck: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  /** Sequence number of the last message under each VMPCK: that of the firmware's response, so even. */
  readonly messageCount: [bigint, bigint, bigint, bigint];
  /** VM root key that a migration agent gave with MSG_VMRK_REQ: 32 bytes. */
  vmrk?: Uint8Array;
  /** TCB_VERSION and mitigations of the platform at SNP_LAUNCH_START. */
  launchTcb: bigint;
  launchMitigations: bigint;
  /** Offline encryption key of swapped pages, 32 bytes; zeros before LAUNCH_START. */
  oek: Uint8Array;
  /** Count of pages swapped out: the nonce under the OEK. */
  oekIvCount: bigint;
  /** Root metadata entry, 64 bytes: stands for everything that is swapped out below it. Undefined: free. */
  rootMdata?: Uint8Array;
  /** APIC IDs that SNP_ACTIVATE_EX named; undefined: all, or not active. */
  apicIds?: readonly number[];
  readonly reportId: Uint8Array;
  reportIdMa: Uint8Array;
  hostData: Uint8Array;
  idBlock?: IdBlock;
  /** SHA-384 of the 0x404-byte keys, or zeros. */
  idKeyDigest: Uint8Array;
  authorKeyDigest: Uint8Array;
  authorKeyEnabled: boolean;
  vcekDisabled: boolean;
  /** 0: the host's frequency. */
  desiredTscKhz: number;
  /** Pages that LAUNCH_UPDATE took, in order; for views, not architectural. */
  readonly measured: { readonly pfn: Pfn; readonly type: number; readonly gpa: number }[];
}

export function createAspState(): AspState {
  return {
    platform: 'UNINIT',
    guests: new Map(),
    activeAsids: new Map(),
    asidsToFlush: new Set(),
    flushAfterInit: false,
    wbinvdRequired: false,
    nextKey: 1,
    firmwareKey: 0,
    options: DEFAULT_OPTIONS,
    config: DEFAULT_CONFIG,
    restoreRequired: false,
    mitigations: 0n,
    topology: { sockets: 1, threadsPerSocket: 256 },
    iommuPages: [],
  };
}

/** The host executed WBINVD on every core (Linux `wbinvd_on_all_cpus`), which SNP_DF_FLUSH asks for. */
export function wbinvdOnAllCores(asp: AspState): void {
  asp.wbinvdRequired = false;
}

/** GSTATE as SNP_GUEST_STATUS reports it. */
export const GUEST_STATE_CODE: Readonly<Record<GuestState, number>> = { INIT: 0, LAUNCH: 1, RUNNING: 2 };
