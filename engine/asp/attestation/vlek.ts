import { gcm } from '@noble/ciphers/aes.js';
import { p384 } from '@noble/curves/nist.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha384 } from '@noble/hashes/sha2.js';
import { copyBytes, view } from '../../bytes.js';
import { ATTESTATION_PROFILES } from '../../spec/attestation-profiles.js';
import { tcbComponentAbove } from '../../spec/tcb-version.js';
import type { FirmwareMachine } from '../command.js';
import type { P384Point } from '../id-auth.js';
import { publicKeyP384 } from '../sign-id.js';
import { platformTcb } from './platform-tcb.js';
import { chipId } from './vcek.js';

/**
 * The versioned loaded endorsement key: a cloud provider gets from AMD a hashstick wrapped for one chip and loads it.
 * The emulated hashstick follows from the provider's name, so that anybody can check a report: it proves nothing about
 * a machine. Layout: Linux include/uapi/linux/psp-sev.h `sev_user_data_snp_wrapped_vlek_hashstick`;
 * github.com/virtee/sev src/firmware/host/types/snp.rs.
 */

export const WRAPPED_VLEK_SIZE = 432;
export const HASHSTICK_SIZE = 384;
/** Who owns the emulated VLEK, unless somebody says otherwise. */
export const EMULATED_CSP_ID = 'CN=emulated-csp';

const LAYOUT = { iv: 0x000, reserved0: 0x00c, hashstick: 0x010, tcb: 0x190, reserved1: 0x198, tag: 0x1a0 } as const;
const IV_SIZE = 12;

function text(label: string): Uint8Array {
  return Uint8Array.from(label, (c) => c.charCodeAt(0));
}

/** The hashstick of a provider, 384 bytes. */
export function emulatedHashstick(cspId: string): Uint8Array {
  return hkdf(sha384, text(cspId), undefined, text('emulated VLEK hashstick'), HASHSTICK_SIZE);
}

/** Private key, 48 bytes big-endian, that a hashstick gives for a TCB_VERSION. */
export function vlekPrivateKey(hashstick: Uint8Array, tcb: bigint): Uint8Array {
  const material = new Uint8Array(HASHSTICK_SIZE + 8);
  material.set(hashstick);
  view(material).setBigUint64(HASHSTICK_SIZE, tcb, true);
  return p384.utils.randomSecretKey(hkdf(sha384, material, undefined, text('emulated VLEK'), 72));
}

export function vlekPublicKey(hashstick: Uint8Array, tcb: bigint): P384Point {
  return publicKeyP384(vlekPrivateKey(hashstick, tcb));
}

type Chip = Pick<FirmwareMachine, 'processor' | 'random'>;

/** Known to the chip and to AMD; here to everybody who knows CHIP_ID. */
function wrappingKey(chip: Chip): Uint8Array {
  return hkdf(sha384, chipId(chip), undefined, text('emulated VLEK wrapping key'), 32);
}

const additionalData = (tcb: Uint8Array): Uint8Array => tcb.subarray(LAYOUT.tcb, LAYOUT.tcb + 8);

/** What AMD's key distribution service does: 432 bytes for SNP_VLEK_LOAD on this chip. IV: 12 bytes. */
export function wrapVlek(chip: Chip, tcb: bigint, hashstick: Uint8Array, iv: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(WRAPPED_VLEK_SIZE);
  bytes.set(iv.subarray(0, IV_SIZE), LAYOUT.iv);
  view(bytes).setBigUint64(LAYOUT.tcb, tcb, true);
  bytes.set(
    gcm(wrappingKey(chip), bytes.slice(0, IV_SIZE), additionalData(bytes)).encrypt(hashstick),
    LAYOUT.hashstick,
  );
  // The tag came behind the hashstick, where the TCB stands.
  bytes.copyWithin(LAYOUT.tag, LAYOUT.tcb, LAYOUT.tcb + 16);
  bytes.fill(0, LAYOUT.tcb, LAYOUT.tag);
  view(bytes).setBigUint64(LAYOUT.tcb, tcb, true);
  return bytes;
}

export interface WrappedVlek {
  readonly tcb: bigint;
  /** Offset of the first reserved byte that is not zero. */
  readonly reservedAt?: number;
}

/** The plain part of the 432 bytes. */
export function decodeWrappedVlek(bytes: Uint8Array): WrappedVlek {
  let reservedAt: number | undefined;
  for (const [start, end] of [
    [LAYOUT.reserved0, LAYOUT.hashstick],
    [LAYOUT.reserved1, LAYOUT.tag],
  ] as const) {
    for (let i = start; i < end && reservedAt === undefined; i++) if (bytes[i] !== 0) reservedAt = i;
  }
  return { tcb: view(bytes).getBigUint64(LAYOUT.tcb, true), ...(reservedAt === undefined ? {} : { reservedAt }) };
}

/** The hashstick; undefined if it was wrapped for another chip or changed. */
export function unwrapVlek(chip: Chip, bytes: Uint8Array): Uint8Array | undefined {
  const sealed = new Uint8Array(HASHSTICK_SIZE + 16);
  sealed.set(bytes.subarray(LAYOUT.hashstick, LAYOUT.tcb));
  sealed.set(bytes.subarray(LAYOUT.tag, LAYOUT.tag + 16), HASHSTICK_SIZE);
  try {
    return copyBytes(gcm(wrappingKey(chip), bytes.slice(0, IV_SIZE), additionalData(bytes)).decrypt(sealed));
  } catch {
    return undefined;
  }
}

/** What a certificate of the key has to say, beside the provider's name. */
export interface VlekIdentity {
  readonly tcb: bigint;
  readonly publicKey: P384Point;
}

/**
 * The hashstick with which the machine signs now; undefined: none is loaded, or it is too old for the reported TCB, as
 * a hashstick gives keys for its own TCB and older ones only (U).
 */
export function usableHashstick(
  machine: Pick<FirmwareMachine, 'processor' | 'firmware' | 'asp'>,
): Uint8Array | undefined {
  const { vlek } = machine.asp;
  if (!vlek) return undefined;
  const { tcbLayout } = ATTESTATION_PROFILES[machine.processor.name];
  return tcbComponentAbove(platformTcb(machine).reported, vlek.tcb, tcbLayout) ? undefined : vlek.hashstick;
}

/** The VLEK of the machine, if it has a usable one. */
export function machineVlek(
  machine: Pick<FirmwareMachine, 'processor' | 'firmware' | 'asp'>,
): VlekIdentity | undefined {
  const hashstick = usableHashstick(machine);
  if (!hashstick) return undefined;
  const tcb = platformTcb(machine).reported;
  return { tcb, publicKey: vlekPublicKey(hashstick, tcb) };
}
