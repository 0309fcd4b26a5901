import { copyBytes, isZero, view } from '../../bytes.js';
import { ID_BLOCK_SIZE } from '../id-block.js';
import { METADATA_ENTRY_SIZE } from '../metadata-entry.js';
import { GUEST_STATE_CODE, type GuestContext, type GuestState } from '../state.js';

/**
 * A guest context as it travels to another host, inside of guest messages: GCTX version 2, 0x300 bytes. The offsets
 * follow from the C structure in github.com/AMDESE/sev-tool src/rmp.h `snp_msg_gctx_t`. The memory key stays behind;
 * pages travel under the OEK.
 */

export const EXPORTED_CONTEXT_SIZE = 0x300;
export const EXPORTED_CONTEXT_VERSION = 2;

const OFFSET = {
  ld: 0x000,
  oek: 0x030,
  vmpck: [0x050, 0x070, 0x090, 0x0b0],
  vmrk: 0x0d0,
  hostData: 0x0f0,
  idKeyDigest: 0x110,
  authorKeyDigest: 0x140,
  reportId: 0x170,
  imd: 0x190,
  messageCount: 0x1c0,
  rootMdata: 0x1e0,
  flags: 0x220,
  policy: 0x228,
  state: 0x230,
  oekIvCount: 0x238,
  idBlock: 0x240,
  gosvw: 0x2a0,
  reserved: 0x2b0,
} as const;

const AUTHOR_KEY_EN = 1n;
const ID_BLOCK_EN = 2n;

export interface ExportedContext {
  /** 48 bytes. */
  readonly ld: Uint8Array;
  readonly oek: Uint8Array;
  readonly vmpck: GuestContext['vmpck'];
  readonly vmrk?: Uint8Array;
  readonly hostData: Uint8Array;
  readonly idKeyDigest: Uint8Array;
  readonly authorKeyDigest: Uint8Array;
  readonly reportId: Uint8Array;
  /** 48 bytes. */
  readonly imd: Uint8Array;
  readonly messageCount: readonly [bigint, bigint, bigint, bigint];
  /** 64 bytes. */
  readonly rootMdata?: Uint8Array;
  readonly authorKeyEnabled: boolean;
  /** 96 bytes, if the guest has one. */
  readonly idBlock?: Uint8Array;
  readonly policy: bigint;
  readonly state: GuestState;
  readonly oekIvCount: bigint;
  readonly gosvw: Uint8Array;
}

export function encodeContext(context: ExportedContext): Uint8Array {
  const bytes = new Uint8Array(EXPORTED_CONTEXT_SIZE);
  const v = view(bytes);
  bytes.set(context.ld, OFFSET.ld);
  bytes.set(context.oek, OFFSET.oek);
  for (const [i, offset] of OFFSET.vmpck.entries()) bytes.set(context.vmpck[i] ?? [], offset);
  if (context.vmrk) bytes.set(context.vmrk, OFFSET.vmrk);
  bytes.set(context.hostData, OFFSET.hostData);
  bytes.set(context.idKeyDigest, OFFSET.idKeyDigest);
  bytes.set(context.authorKeyDigest, OFFSET.authorKeyDigest);
  bytes.set(context.reportId, OFFSET.reportId);
  bytes.set(context.imd, OFFSET.imd);
  for (const [i, count] of context.messageCount.entries()) v.setBigUint64(OFFSET.messageCount + 8 * i, count, true);
  if (context.rootMdata) bytes.set(context.rootMdata, OFFSET.rootMdata);
  const flags = (context.authorKeyEnabled ? AUTHOR_KEY_EN : 0n) | (context.idBlock ? ID_BLOCK_EN : 0n);
  v.setBigUint64(OFFSET.flags, flags, true);
  v.setBigUint64(OFFSET.policy, context.policy, true);
  v.setUint8(OFFSET.state, GUEST_STATE_CODE[context.state]);
  v.setBigUint64(OFFSET.oekIvCount, context.oekIvCount, true);
  if (context.idBlock) bytes.set(context.idBlock, OFFSET.idBlock);
  bytes.set(context.gosvw, OFFSET.gosvw);
  return bytes;
}

function stateOf(code: number): GuestState | undefined {
  return (Object.keys(GUEST_STATE_CODE) as GuestState[]).find((state) => GUEST_STATE_CODE[state] === code);
}

/** Needs 0x300 bytes. A number: offset of what no context has there. */
export function decodeContext(bytes: Uint8Array): ExportedContext | number {
  const v = view(bytes);
  const field = (offset: number, size: number): Uint8Array => copyBytes(bytes, offset, offset + size);
  const count = (i: number): bigint => v.getBigUint64(OFFSET.messageCount + 8 * i, true);
  const flags = v.getBigUint64(OFFSET.flags, true);
  const state = stateOf(v.getUint8(OFFSET.state));
  if (flags > 3n) return OFFSET.flags;
  if (state === undefined) return OFFSET.state;
  if (!isZero(bytes.subarray(OFFSET.state + 1, OFFSET.oekIvCount))) return OFFSET.state + 1;
  if (!isZero(bytes.subarray(OFFSET.reserved, EXPORTED_CONTEXT_SIZE))) return OFFSET.reserved;
  const vmrk = field(OFFSET.vmrk, 32);
  const rootMdata = field(OFFSET.rootMdata, METADATA_ENTRY_SIZE);
  const [a, b, c, d] = OFFSET.vmpck;
  return {
    ld: field(OFFSET.ld, 48),
    oek: field(OFFSET.oek, 32),
    vmpck: [field(a, 32), field(b, 32), field(c, 32), field(d, 32)],
    ...(isZero(vmrk) ? {} : { vmrk }),
    hostData: field(OFFSET.hostData, 32),
    idKeyDigest: field(OFFSET.idKeyDigest, 48),
    authorKeyDigest: field(OFFSET.authorKeyDigest, 48),
    reportId: field(OFFSET.reportId, 32),
    imd: field(OFFSET.imd, 48),
    messageCount: [count(0), count(1), count(2), count(3)],
    ...(isZero(rootMdata) ? {} : { rootMdata }),
    authorKeyEnabled: (flags & AUTHOR_KEY_EN) !== 0n,
    ...((flags & ID_BLOCK_EN) !== 0n ? { idBlock: field(OFFSET.idBlock, ID_BLOCK_SIZE) } : {}),
    policy: v.getBigUint64(OFFSET.policy, true),
    state,
    oekIvCount: v.getBigUint64(OFFSET.oekIvCount, true),
    gosvw: field(OFFSET.gosvw, 16),
  };
}
