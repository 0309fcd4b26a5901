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
  wbinvdRequired: boolean;
  nextKey: number;
}

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
  /** Pages that LAUNCH_UPDATE took, in order; for views, not architectural. */
  readonly measured: { readonly pfn: Pfn; readonly type: number; readonly gpa: number }[];
}

export function createAspState(): AspState {
  return {
    platform: 'UNINIT',
    guests: new Map(),
    activeAsids: new Map(),
    asidsToFlush: new Set(),
    wbinvdRequired: false,
    nextKey: 1,
  };
}
