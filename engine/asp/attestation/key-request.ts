import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { hex } from '../../address.js';
import { copyBytes, toHex, view } from '../../bytes.js';
import { type Fault, makeFault } from '../../fault.js';
import { ATTESTATION_PROFILES } from '../../spec/attestation-profiles.js';
import { FIRMWARE_STATUS } from '../../spec/firmware-status.js';
import { formatTcb, tcbComponentAbove, tcbComponentName } from '../../spec/tcb-version.js';
import { MESSAGE_TYPE } from '../guest-message.js';
import { KEY_MITIGATIONS, KEY_NO_VMRK, KEY_SVN, KEY_TCB, MESSAGE_RESERVED } from '../guest-message-faults.js';
import {
  type MessageContext,
  type MessageHandler,
  type MessageReply,
  messageFault,
  refusedReply,
} from '../guest-message-handler.js';
import type { GuestContext } from '../state.js';
import { endorsementKey, keySelectFault, reservedFault, selectedKey, vmplFault } from './message-checks.js';
import { platformTcb } from './platform-tcb.js';

/** MSG_KEY_REQ and MSG_KEY_RSP: a key for sealing, derived from the chip's or the guest's root key. AMD pub. 56860. */

const NAME = 'MSG_KEY_REQ';
const REQUEST_SIZE = { 1: 0x20, 2: 0x28 } as const;
export const KEY_RESPONSE_SIZE = 0x40;
export const DERIVED_KEY_SIZE = 32;

/** GUEST_FIELD_SELECT: what the key depends on. */
export const KEY_FIELD = {
  POLICY: 1n << 0n,
  IMAGE_ID: 1n << 1n,
  FAMILY_ID: 1n << 2n,
  MEASUREMENT: 1n << 3n,
  GUEST_SVN: 1n << 4n,
  TCB_VERSION: 1n << 5n,
  /** Version 2 of the message. */
  LAUNCH_MIT_VECTOR: 1n << 6n,
} as const;

export interface KeyRequest {
  /** ROOT_KEY_SELECT: 0 VCEK or VLEK, 1 VMRK. */
  readonly rootKey: number;
  /** As in a report request. */
  readonly keySelect: number;
  /** Bits of KEY_FIELD. */
  readonly fields: bigint;
  readonly vmpl: number;
  readonly guestSvn: number;
  readonly tcb: bigint;
  /** Version 2 only. */
  readonly mitigations?: bigint;
}

/** 32 bytes, or 40 with `mitigations`. */
export function encodeKeyRequest(request: KeyRequest): Uint8Array {
  const payload = new Uint8Array(REQUEST_SIZE[request.mitigations === undefined ? 1 : 2]);
  const v = view(payload);
  v.setUint32(0x00, request.rootKey | (request.keySelect << 1), true);
  v.setBigUint64(0x08, request.fields, true);
  v.setUint32(0x10, request.vmpl, true);
  v.setUint32(0x14, request.guestSvn, true);
  v.setBigUint64(0x18, request.tcb, true);
  if (request.mitigations !== undefined) v.setBigUint64(0x20, request.mitigations, true);
  return payload;
}

function decodeKeyRequest(payload: Uint8Array): KeyRequest {
  const v = view(payload);
  const select = v.getUint32(0x00, true);
  return {
    rootKey: select & 1,
    keySelect: (select >>> 1) & 3,
    fields: v.getBigUint64(0x08, true),
    vmpl: v.getUint32(0x10, true),
    guestSvn: v.getUint32(0x14, true),
    tcb: v.getBigUint64(0x18, true),
    ...(payload.length >= REQUEST_SIZE[2] ? { mitigations: v.getBigUint64(0x20, true) } : {}),
  };
}

export interface KeyResponse {
  readonly status: number;
  /** 32 bytes; zeros unless the status is SUCCESS. */
  readonly key: Uint8Array;
}

export function decodeKeyResponse(payload: Uint8Array): KeyResponse | undefined {
  if (payload.length < KEY_RESPONSE_SIZE) return undefined;
  return { status: view(payload).getUint32(0, true), key: copyBytes(payload, 0x20, 0x20 + DERIVED_KEY_SIZE) };
}

function knownFields(version: number): bigint {
  const all = Object.values(KEY_FIELD).reduce((a, b) => a | b, 0n);
  return version >= 2 ? all : all & ~KEY_FIELD.LAUNCH_MIT_VECTOR;
}

function check(context: MessageContext, request: KeyRequest): Fault | undefined {
  const { machine, guest, vmpck, payload, version } = context;
  if (view(payload).getUint32(0, true) > 7) return messageFault(MESSAGE_RESERVED, { offset: '0x0' }, NAME);
  const wrong = reservedFault(payload, 0x04, 0x08, NAME);
  if (wrong) return wrong;
  if ((request.fields & ~knownFields(version)) !== 0n) return messageFault(MESSAGE_RESERVED, { offset: '0x8' }, NAME);
  const vmplWrong = vmplFault(request.vmpl, vmpck, NAME);
  if (vmplWrong) return vmplWrong;
  const launched = guest.idBlock?.guestSvn ?? 0;
  if (request.guestSvn > launched) return makeFault(KEY_SVN, { requested: request.guestSvn, launched });
  const { tcbLayout } = ATTESTATION_PROFILES[machine.processor.name];
  const mitigations = guest.launchMitigations;
  const { committed } = platformTcb(machine);
  const above = tcbComponentAbove(request.tcb, committed, tcbLayout);
  if (above) {
    return makeFault(KEY_TCB, {
      component: tcbComponentName(above),
      requested: formatTcb(request.tcb, tcbLayout),
      committed: formatTcb(committed, tcbLayout),
    });
  }
  if (((request.mitigations ?? 0n) & ~mitigations) !== 0n) {
    return makeFault(KEY_MITIGATIONS, { requested: hex(request.mitigations ?? 0n), launched: hex(mitigations) });
  }
  if (request.rootKey === 0) return keySelectFault(request.keySelect, machine, guest, NAME);
  return rootKeyOf(context, request) ? undefined : makeFault(KEY_NO_VMRK, {});
}

/** Undefined: the guest has a migration agent that has not given a VMRK. Without agent the firmware makes one (U). */
function rootKeyOf({ machine, guest }: MessageContext, request: KeyRequest): Uint8Array | undefined {
  if (request.rootKey === 0) return endorsementKey(machine, selectedKey(request.keySelect, machine));
  if (guest.vmrk) return guest.vmrk;
  const agent = guest.reportIdMa.some((b) => b !== 0xff);
  return agent ? undefined : machine.random.fixed(`VMRK ${toHex(guest.reportId)}`, 32);
}

/**
 * What goes into the key, 168 bytes and 8 more with version 2: github.com/AMDESE/sev-tool src/rmp.h. Fields that are not
 * selected are zero; HOST_DATA and a key digest always go in. Which digest, and how 48 bytes become 32, is (U): here it
 * is the author key's, or without one the ID key's, and the first 32 bytes.
 */
export function keyMixData(request: KeyRequest, guest: GuestContext): Uint8Array {
  const mix = new Uint8Array(request.mitigations === undefined ? 0xa8 : 0xb0);
  const v = view(mix);
  const has = (field: bigint): boolean => (request.fields & field) !== 0n;
  v.setUint32(0x00, request.rootKey | (request.keySelect << 1), true);
  v.setBigUint64(0x08, request.fields, true);
  v.setUint32(0x10, request.vmpl, true);
  if (has(KEY_FIELD.GUEST_SVN)) v.setUint32(0x14, request.guestSvn, true);
  if (has(KEY_FIELD.TCB_VERSION)) v.setBigUint64(0x18, request.tcb, true);
  if (has(KEY_FIELD.POLICY)) v.setBigUint64(0x20, guest.policy, true);
  if (guest.idBlock && has(KEY_FIELD.IMAGE_ID)) mix.set(guest.idBlock.imageId, 0x28);
  if (guest.idBlock && has(KEY_FIELD.FAMILY_ID)) mix.set(guest.idBlock.familyId, 0x38);
  if (has(KEY_FIELD.MEASUREMENT)) mix.set(guest.ld.subarray(0, 32), 0x48);
  mix.set(guest.hostData, 0x68);
  mix.set((guest.authorKeyEnabled ? guest.authorKeyDigest : guest.idKeyDigest).subarray(0, 32), 0x88);
  if (request.mitigations !== undefined && has(KEY_FIELD.LAUNCH_MIT_VECTOR)) {
    v.setBigUint64(0xa8, request.mitigations, true);
  }
  return mix;
}

/** NIST SP 800-108 in counter mode with HMAC-SHA-256: one block of 32 bytes. That the firmware uses it is (U). */
function derive(root: Uint8Array, label: string, context: Uint8Array): Uint8Array {
  const text = Array.from(label, (c) => c.charCodeAt(0));
  return hmac(sha256, root, Uint8Array.from([0, 0, 0, 1, ...text, 0, ...context, 0, 0, 1, 0]));
}

function handle(context: MessageContext): MessageReply {
  const request = decodeKeyRequest(context.payload);
  const fault = check(context, request);
  if (fault) return refusedReply(fault, KEY_RESPONSE_SIZE);
  const root = rootKeyOf(context, request);
  if (!root) throw new Error('check() lets no request without root key pass');
  const payload = new Uint8Array(KEY_RESPONSE_SIZE);
  payload.set(derive(root, 'gmsg-keyreq', keyMixData(request, context.guest)), 0x20);
  const from = request.rootKey === 0 ? `the emulated ${selectedKey(request.keySelect, context.machine)}` : 'the VMRK';
  return { status: FIRMWARE_STATUS.SUCCESS, payload, summary: `key derived from ${from} for VMPL ${request.vmpl}` };
}

export const KEY_HANDLER: MessageHandler = {
  type: MESSAGE_TYPE.KEY_REQ,
  versions: ({ minor }) => (minor >= 58 ? [1, 2] : [1]),
  wrongSize: (payload, version) => {
    const size = version === 2 ? REQUEST_SIZE[2] : REQUEST_SIZE[1];
    return payload.length === size ? undefined : `${size}`;
  },
  handle,
};
