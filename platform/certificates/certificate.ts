import { createHash } from 'node:crypto';
import {
  bitString,
  boolean,
  type Der,
  explicit,
  implicit,
  integer,
  nothing,
  objectId,
  octetString,
  sequence,
  set,
  time,
  utf8String,
} from './der.js';
import { type EmulatedAuthority, SALT_SIZE, signPss } from './emulated-rsa-key.js';

/** X.509 certificates of version 3 and their signatures. RFC 5280, RFC 4055. */

export interface Extension {
  readonly oid: string;
  readonly critical?: boolean;
  /** Content of the OCTET STRING. */
  readonly value: Der;
}

export interface CertificateFields {
  readonly serial: number;
  /** CN; the other names are the same in all certificates. */
  readonly issuer: string;
  readonly subject: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Der;
  readonly extensions: readonly Extension[];
}

const OID = {
  sha384: '2.16.840.1.101.3.4.2.2',
  mgf1: '1.2.840.113549.1.1.8',
  rsassaPss: '1.2.840.113549.1.1.10',
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  unit: '2.5.4.11',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  subjectKeyId: '2.5.29.14',
  authorityKeyId: '2.5.29.35',
} as const;

/** Nobody shall take the emulator for AMD. */
export const ORGANIZATION = 'SEV-SNP Workbench (emulated - not AMD)';

/** RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt 48, trailer 1: what AMD's certificates have. */
function pssAlgorithm(): Der {
  const hash = sequence(objectId(OID.sha384), nothing());
  return sequence(
    objectId(OID.rsassaPss),
    sequence(
      explicit(0, hash),
      explicit(1, sequence(objectId(OID.mgf1), hash)),
      explicit(2, integer(SALT_SIZE)),
      explicit(3, integer(1)),
    ),
  );
}

function name(commonName: string): Der {
  const part = (oid: string, text: string): Der => set(sequence(objectId(oid), utf8String(text)));
  return sequence(part(OID.organization, ORGANIZATION), part(OID.unit, 'Emulation'), part(OID.commonName, commonName));
}

function encodeExtension({ oid, critical, value }: Extension): Der {
  return sequence(objectId(oid), ...(critical ? [boolean(true)] : []), octetString(value));
}

/** An authority; without `pathLength` any number of authorities may follow. */
export function basicConstraints(pathLength?: number): Extension {
  const value = sequence(boolean(true), ...(pathLength === undefined ? [] : [integer(pathLength)]));
  return { oid: OID.basicConstraints, critical: true, value };
}

/** keyCertSign is bit 5, cRLSign bit 6. */
export function keyUsage(...bits: readonly number[]): Extension {
  const byte = bits.reduce((sum, bit) => sum | (0x80 >> bit), 0);
  const unused = 7 - Math.max(...bits);
  return { oid: OID.keyUsage, critical: true, value: bitString(Uint8Array.of(byte), unused) };
}

/** SHA-1 of the key, as a name for it. RFC 5280, 4.2.1.2. */
function keyId(publicKey: Der): Der {
  return new Uint8Array(createHash('sha1').update(publicKey).digest());
}

export function subjectKeyId(publicKey: Der): Extension {
  return { oid: OID.subjectKeyId, value: octetString(keyId(publicKey)) };
}

export function authorityKeyId(publicKey: Der): Extension {
  return { oid: OID.authorityKeyId, value: sequence(implicit(0, keyId(publicKey))) };
}

/** The certificate in DER, signed by one of the emulated authorities. The same fields give the same bytes. */
export function signCertificate(fields: CertificateFields, by: EmulatedAuthority): Der {
  const body = sequence(
    explicit(0, integer(2)),
    integer(fields.serial),
    pssAlgorithm(),
    name(fields.issuer),
    sequence(time(fields.notBefore), time(fields.notAfter)),
    name(fields.subject),
    fields.publicKey,
    explicit(3, sequence(...fields.extensions.map(encodeExtension))),
  );
  return sequence(body, pssAlgorithm(), bitString(signPss(by, body)));
}

/** DER as text. */
export function toPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
