import { p384 } from '@noble/curves/nist.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha384 } from '@noble/hashes/sha2.js';
import { view } from '../../bytes.js';
import { ATTESTATION_PROFILES } from '../../spec/attestation-profiles.js';
import type { FirmwareMachine } from '../command.js';
import type { P384Point } from '../id-auth.js';
import { publicKeyP384 } from '../sign-id.js';
import { platformTcb } from './platform-tcb.js';

/**
 * The versioned chip endorsement key of the emulated chip. A real one is derived from secrets of the chip and
 * certified by AMD. This one follows from public numbers, so that anybody can check a report of the emulator: it
 * proves nothing about a machine.
 */

export const CHIP_ID_SIZE = 64;

/** CHIP_ID of the machine: from its seed, the same in every launch. 64 bytes; Turin has 8 that are not zero. */
export function chipId(machine: Pick<FirmwareMachine, 'processor' | 'random'>): Uint8Array {
  const id = new Uint8Array(CHIP_ID_SIZE);
  id.set(machine.random.fixed('CHIP_ID', ATTESTATION_PROFILES[machine.processor.name].chipIdBytes));
  return id;
}

/** Bytes that `randomSecretKey` reduces to a private number; 1.5 times its size leaves no bias. */
const SEED_SIZE = 72;
const LABEL = 'emulated VCEK';

/** The private key, 48 bytes big-endian, for the 64 bytes of CHIP_ID and a TCB_VERSION. */
export function vcekPrivateKey(id: Uint8Array, tcb: bigint): Uint8Array {
  const material = new Uint8Array(CHIP_ID_SIZE + 8);
  material.set(id);
  view(material).setBigUint64(CHIP_ID_SIZE, tcb, true);
  const label = new Uint8Array(Array.from(LABEL, (c) => c.charCodeAt(0)));
  return p384.utils.randomSecretKey(hkdf(sha384, material, undefined, label, SEED_SIZE));
}

export function vcekPublicKey(id: Uint8Array, tcb: bigint): P384Point {
  return publicKeyP384(vcekPrivateKey(id, tcb));
}

/** What a certificate of the key has to say. */
export interface VcekIdentity {
  readonly chipId: Uint8Array;
  /** TCB_VERSION: the reported one. */
  readonly tcb: bigint;
  readonly publicKey: P384Point;
}

/** The key with which the machine signs reports now. */
export function machineVcek(machine: Pick<FirmwareMachine, 'processor' | 'firmware' | 'random' | 'asp'>): VcekIdentity {
  const id = chipId(machine);
  const tcb = platformTcb(machine).reported;
  return { chipId: id, tcb, publicKey: vcekPublicKey(id, tcb) };
}

/** SEQUENCE { SEQUENCE { id-ecPublicKey, secp384r1 }, BIT STRING { 04 … } }. RFC 5480. */
const SPKI_PREFIX = [
  0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
  0x22, 0x03, 0x62, 0x00, 0x04,
];

/** SubjectPublicKeyInfo in DER, 120 bytes: what OpenSSL and Web Crypto read. */
export function encodeSpki(point: P384Point): Uint8Array {
  return Uint8Array.from([...SPKI_PREFIX, ...point.x, ...point.y]);
}
