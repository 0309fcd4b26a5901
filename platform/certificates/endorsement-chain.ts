import { encodeSpki } from '../../engine/asp/attestation/vcek.js';
import type { P384Point } from '../../engine/asp/id-auth.js';
import { ATTESTATION_PROFILES, familyModelStepping, productOf } from '../../engine/spec/attestation-profiles.js';
import { decodeTcb } from '../../engine/spec/tcb-version.js';
import type { ProcessorProfile } from '../../engine/spec/versions.js';
import {
  authorityKeyId,
  basicConstraints,
  type CertificateFields,
  type Extension,
  keyUsage,
  signCertificate,
  subjectKeyId,
} from './certificate.js';
import { type Der, ia5String, integer } from './der.js';
import { type EmulatedAuthority, emulatedRsaSpki } from './emulated-rsa-key.js';

/**
 * The certificates behind an attestation report, laid out as AMD's: ARK, which signs itself, ASK or ASVK, and the VCEK
 * or VLEK with what AMD puts into its extensions. Names say that they are emulated. AMD pub. 57230, VCEK certificate
 * and KDS interface; github.com/virtee/sev src/certs/snp.
 */

/** What a VCEK is for. */
export interface VcekSubject {
  readonly kind: 'VCEK';
  /** 64 bytes; Turin uses 8 of them. */
  readonly chipId: Uint8Array;
}

/** What a VLEK is for: a provider, no chip. */
export interface VlekSubject {
  readonly kind: 'VLEK';
  readonly cspId: string;
}

export interface EndorsementIdentity {
  readonly processor: ProcessorProfile;
  readonly subject: VcekSubject | VlekSubject;
  /** TCB_VERSION: the reported one. */
  readonly tcb: bigint;
  readonly publicKey: P384Point;
}

/** DER. */
export interface EndorsementChain {
  readonly ark: Der;
  /** ASK, or ASVK for a VLEK. */
  readonly intermediate: Der;
  /** VCEK or VLEK. */
  readonly leaf: Der;
}

/** Fixed, so that certificates do not change from day to day. */
const ISSUED = new Date(Date.UTC(2025, 0, 1));
/** A real VLEK is renewed each year; one with a fixed date would not last. */
const YEARS = { authority: 25, VCEK: 7, VLEK: 7 } as const;

function until(years: number): Date {
  return new Date(Date.UTC(ISSUED.getUTCFullYear() + years, 0, 1));
}

const ARC = '1.3.6.1.4.1.3704.1';
const KEY_CERT_SIGN = 5;
const CRL_SIGN = 6;
const SERIAL = { ARK: 1, ASK: 2, ASVK: 3, leaf: 0 } as const;

/** `Genoa`. Every processor of the emulator has a product name. */
function productName(processor: ProcessorProfile): string {
  const { family, model } = familyModelStepping(processor.signature);
  const product = productOf(family, model);
  if (!product) throw new Error(`no product name for ${processor.name}`);
  return product;
}

/** `Genoa-B1`; Turin and VLEK certificates name the product without stepping. How the stepping is spelled is (U). */
function productText({ processor, subject }: EndorsementIdentity): string {
  const product = productName(processor);
  if (subject.kind === 'VLEK' || product === 'Turin') return product;
  return `${product}-B${familyModelStepping(processor.signature).stepping}`;
}

/** The extensions below AMD's arc, in the order of real certificates. */
function amdExtensions(identity: EndorsementIdentity): readonly Extension[] {
  const { processor, subject } = identity;
  const layout = ATTESTATION_PROFILES[processor.name].tcbLayout;
  const { fmc, bootLoader, tee, snp, microcode } = decodeTcb(identity.tcb, layout);
  const number = (suffix: string, value: number): Extension => ({ oid: `${ARC}.${suffix}`, value: integer(value) });
  const isTurin = layout === '1ah';
  return [
    number('1', isTurin ? 1 : 0),
    { oid: `${ARC}.2`, value: ia5String(productText(identity)) },
    ...(isTurin ? [number('3.9', fmc ?? 0)] : []),
    number('3.1', bootLoader),
    number('3.2', tee),
    // Real certificates have the reserved numbers here on family 19h, and no 3.4 on 1Ah.
    ...(isTurin ? [number('3.3', snp)] : [number('3.4', 0)]),
    number('3.5', 0),
    number('3.6', 0),
    number('3.7', 0),
    ...(isTurin ? [] : [number('3.3', snp)]),
    number('3.8', microcode),
    subject.kind === 'VCEK'
      ? // The bytes themselves, not in an inner OCTET STRING.
        { oid: `${ARC}.4`, value: subject.chipId.slice(0, ATTESTATION_PROFILES[processor.name].chipIdBytes) }
      : { oid: `${ARC}.5`, value: ia5String(subject.cspId) },
  ];
}

const known = new Map<string, Der>();

/** Certificates of authorities differ by product only; RSA with 4096 bits is slow enough to keep them. */
function once(key: string, make: () => Der): Der {
  let der = known.get(key);
  if (!der) {
    der = make();
    known.set(key, der);
  }
  return der;
}

function authority(name: EmulatedAuthority, commonName: string, issuer: string): CertificateFields {
  const isRoot = name === 'ARK';
  const publicKey = emulatedRsaSpki(name);
  return {
    serial: SERIAL[name],
    issuer,
    subject: commonName,
    notBefore: ISSUED,
    notAfter: until(YEARS.authority),
    publicKey,
    extensions: [
      subjectKeyId(publicKey),
      ...(isRoot ? [] : [authorityKeyId(emulatedRsaSpki('ARK'))]),
      basicConstraints(isRoot ? undefined : 0),
      isRoot ? keyUsage(KEY_CERT_SIGN, CRL_SIGN) : keyUsage(KEY_CERT_SIGN),
    ],
  };
}

/** The chain for a key. The same identity gives the same bytes. */
export function endorsementChain(identity: EndorsementIdentity): EndorsementChain {
  const product = productName(identity.processor);
  const isVlek = identity.subject.kind === 'VLEK';
  const name: EmulatedAuthority = isVlek ? 'ASVK' : 'ASK';
  const root = `Emulated ARK-${product}`;
  const middle = `Emulated ${isVlek ? 'SEV-VLEK' : 'SEV'}-${product}`;
  const leaf = signCertificate(
    {
      serial: SERIAL.leaf,
      issuer: middle,
      subject: `Emulated SEV-${identity.subject.kind}`,
      notBefore: ISSUED,
      notAfter: until(YEARS[identity.subject.kind]),
      publicKey: encodeSpki(identity.publicKey),
      extensions: amdExtensions(identity),
    },
    name,
  );
  return {
    ark: once(root, () => signCertificate(authority('ARK', root, root), 'ARK')),
    intermediate: once(middle, () => signCertificate(authority(name, middle, root), 'ARK')),
    leaf,
  };
}
