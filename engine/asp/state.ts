import type { Pfn, Spa } from '../address.js';

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
}

/** Options of SNP_INIT_EX that the policy checks of SNP_LAUNCH_START look at. */
export interface PlatformOptions {
  readonly raplDisabled: boolean;
  readonly ciphertextHiding: boolean;
}

export const DEFAULT_OPTIONS: PlatformOptions = { raplDisabled: false, ciphertextHiding: false };

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
  readonly vmpck: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  readonly reportId: Uint8Array;
  reportIdMa: Uint8Array;
  hostData: Uint8Array;
  idBlock?: { familyId: Uint8Array; imageId: Uint8Array; guestSvn: number };
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
  };
}

/** The host executed WBINVD on every core (Linux `wbinvd_on_all_cpus`), which SNP_DF_FLUSH asks for. */
export function wbinvdOnAllCores(asp: AspState): void {
  asp.wbinvdRequired = false;
}

/** GSTATE as SNP_GUEST_STATUS reports it. */
export const GUEST_STATE_CODE: Readonly<Record<GuestState, number>> = { INIT: 0, LAUNCH: 1, RUNNING: 2 };
