import { copyBytes, isZero, view } from '../../bytes.js';
import { defineFault, fail, makeFault, ok, type Result } from '../../fault.js';
import { type FamilyModelStepping, type Product, productOf } from '../../spec/attestation-profiles.js';
import type { TcbLayout } from '../../spec/tcb-version.js';

/** The attestation report. AMD pub. 56860, ATTESTATION_REPORT; github.com/virtee/sev src/firmware/guest/types/snp.rs. */

export const REPORT_SIZE = 0x4a0;
/** Bytes under the signature. */
export const REPORT_SIGNED_SIZE = 0x2a0;

/** ECDSA P-384 with SHA-384. */
export const REPORT_ALGORITHM = 1;

export const SIGNING_KEY = { VCEK: 0, VLEK: 1, NONE: 7 } as const;

/** Bits of PLATFORM_INFO. */
export const PLATFORM_INFO = {
  SMT_EN: 1n << 0n,
  TSME_EN: 1n << 1n,
  ECC_EN: 1n << 2n,
  RAPL_DIS: 1n << 3n,
  CIPHERTEXT_HIDING_DRAM_EN: 1n << 4n,
  ALIAS_CHECK_COMPLETE: 1n << 5n,
  TIO_EN: 1n << 7n,
} as const;

export interface FirmwareVersion {
  readonly major: number;
  readonly minor: number;
  readonly build: number;
}

/** What a report says, without its signature. TCB_VERSION values are raw; `reportTcbLayout` says how to read them. */
export interface AttestationReport {
  /** 2, 3 or 5; 4 is read as 3. */
  readonly version: number;
  readonly guestSvn: number;
  readonly policy: bigint;
  /** 16 bytes each. */
  readonly familyId: Uint8Array;
  readonly imageId: Uint8Array;
  /** 0 … 3, from the request. */
  readonly vmpl: number;
  readonly signatureAlgorithm: number;
  readonly currentTcb: bigint;
  /** Bits of PLATFORM_INFO. */
  readonly platformInfo: bigint;
  readonly authorKeyEnabled: boolean;
  /** MASK_CHIP_KEY: the report has no signature. */
  readonly chipKeyMasked: boolean;
  /** A value of SIGNING_KEY. */
  readonly signingKey: number;
  /** 64 bytes. */
  readonly reportData: Uint8Array;
  /** The launch digest, 48 bytes. */
  readonly measurement: Uint8Array;
  /** 32 bytes. */
  readonly hostData: Uint8Array;
  /** 48 bytes each; zeros without the key. */
  readonly idKeyDigest: Uint8Array;
  readonly authorKeyDigest: Uint8Array;
  /** 32 bytes each; REPORT_ID_MA is all ones without migration agent. */
  readonly reportId: Uint8Array;
  readonly reportIdMa: Uint8Array;
  readonly reportedTcb: bigint;
  /** From version 3 on. */
  readonly cpuid?: FamilyModelStepping;
  /** 64 bytes; Turin has 8, the rest is zero. */
  readonly chipId: Uint8Array;
  readonly committedTcb: bigint;
  readonly currentVersion: FirmwareVersion;
  readonly committedVersion: FirmwareVersion;
  readonly launchTcb: bigint;
  /** From version 5 on. */
  readonly mitigations?: { readonly launch: bigint; readonly current: bigint };
}

export interface ParsedReport extends AttestationReport {
  /** Big-endian, 48 bytes each; zeros when the chip key is masked. */
  readonly signature: { readonly r: Uint8Array; readonly s: Uint8Array };
  /** Offsets of reserved bytes that are not zero, also those of the signature field. */
  readonly reservedNonZero: readonly number[];
}

const OFFSET = {
  version: 0x000,
  guestSvn: 0x004,
  policy: 0x008,
  familyId: 0x010,
  imageId: 0x020,
  vmpl: 0x030,
  signatureAlgorithm: 0x034,
  currentTcb: 0x038,
  platformInfo: 0x040,
  keyInfo: 0x048,
  reportData: 0x050,
  measurement: 0x090,
  hostData: 0x0c0,
  idKeyDigest: 0x0e0,
  authorKeyDigest: 0x110,
  reportId: 0x140,
  reportIdMa: 0x160,
  reportedTcb: 0x180,
  cpuid: 0x188,
  chipId: 0x1a0,
  committedTcb: 0x1e0,
  currentVersion: 0x1e8,
  committedVersion: 0x1ec,
  launchTcb: 0x1f0,
  launchMitigations: 0x1f8,
  currentMitigations: 0x200,
  signature: 0x2a0,
} as const;

/** Byte fields: name and size. */
const BYTE_FIELDS = [
  ['familyId', 16],
  ['imageId', 16],
  ['reportData', 64],
  ['measurement', 48],
  ['hostData', 32],
  ['idKeyDigest', 48],
  ['authorKeyDigest', 48],
  ['reportId', 32],
  ['reportIdMa', 32],
  ['chipId', 64],
] as const;

const NUMBER = 48;
/** R and S stand in fields of 72 bytes, little-endian. */
const NUMBER_FIELD = 72;

/** Half-open ranges that must be zero. */
function reservedRanges(version: number): readonly (readonly [start: number, end: number])[] {
  const [r, s] = [OFFSET.signature, OFFSET.signature + NUMBER_FIELD];
  return [
    [0x04c, 0x050],
    version >= 3 ? [0x18b, 0x1a0] : [0x188, 0x1a0],
    [0x1eb, 0x1ec],
    [0x1ef, 0x1f0],
    version >= 5 ? [0x208, 0x2a0] : [0x1f8, 0x2a0],
    [r + NUMBER, r + NUMBER_FIELD],
    [s + NUMBER, s + NUMBER_FIELD],
    [s + NUMBER_FIELD, REPORT_SIZE],
  ];
}

const AUTHOR_KEY_EN = 1;
const MASK_CHIP_KEY = 2;
const SIGNING_KEY_SHIFT = 2;
const KEY_INFO_KNOWN = 0x1f;

/** The 0x2a0 bytes that are signed, followed by an empty signature. Throws on a field of the wrong size: our bug. */
export function encodeReport(report: AttestationReport): Uint8Array {
  const bytes = new Uint8Array(REPORT_SIZE);
  const v = view(bytes);
  v.setUint32(OFFSET.version, report.version, true);
  v.setUint32(OFFSET.guestSvn, report.guestSvn, true);
  v.setBigUint64(OFFSET.policy, report.policy, true);
  v.setUint32(OFFSET.vmpl, report.vmpl, true);
  v.setUint32(OFFSET.signatureAlgorithm, report.signatureAlgorithm, true);
  v.setBigUint64(OFFSET.currentTcb, report.currentTcb, true);
  v.setBigUint64(OFFSET.platformInfo, report.platformInfo, true);
  const keyInfo =
    (report.authorKeyEnabled ? AUTHOR_KEY_EN : 0) |
    (report.chipKeyMasked ? MASK_CHIP_KEY : 0) |
    (report.signingKey << SIGNING_KEY_SHIFT);
  v.setUint32(OFFSET.keyInfo, keyInfo, true);
  for (const [name, size] of BYTE_FIELDS) {
    if (report[name].length !== size) throw new RangeError(`${name} has ${size} bytes`);
    bytes.set(report[name], OFFSET[name]);
  }
  v.setBigUint64(OFFSET.reportedTcb, report.reportedTcb, true);
  if (report.version >= 3 && report.cpuid) {
    bytes.set([report.cpuid.family, report.cpuid.model, report.cpuid.stepping], OFFSET.cpuid);
  }
  v.setBigUint64(OFFSET.committedTcb, report.committedTcb, true);
  const version = ({ build, minor, major }: FirmwareVersion): number[] => [build, minor, major];
  bytes.set(version(report.currentVersion), OFFSET.currentVersion);
  bytes.set(version(report.committedVersion), OFFSET.committedVersion);
  v.setBigUint64(OFFSET.launchTcb, report.launchTcb, true);
  if (report.version >= 5 && report.mitigations) {
    v.setBigUint64(OFFSET.launchMitigations, report.mitigations.launch, true);
    v.setBigUint64(OFFSET.currentMitigations, report.mitigations.current, true);
  }
  return bytes;
}

/** Writes R and S, big-endian of 48 bytes each, into an encoded report. */
export function setReportSignature(bytes: Uint8Array, { r, s }: ParsedReport['signature']): void {
  bytes.set(copyBytes(r).reverse(), OFFSET.signature);
  bytes.set(copyBytes(s).reverse(), OFFSET.signature + NUMBER_FIELD);
}

export const REPORT_LENGTH = defineFault<{ length: number }>({
  check: 'image-report-length',
  layer: 'manifest',
  command: 'attestation report',
  code: { kind: 'input' },
  title: 'Attestation report too short',
  message: (o) => `The attestation report has ${o.length} bytes; a report has ${REPORT_SIZE}.`,
  why: 'A report is a fixed structure of 1184 bytes whose last 512 are the signature. A shorter file was cut off.',
  hint: 'Take the whole report; in a response of the firmware it begins 0x20 bytes into the decrypted message.',
  reference: 'AMD pub. 56860, ATTESTATION_REPORT',
  confirmed: true,
});

export const REPORT_VERSION = defineFault<{ version: number }>({
  check: 'image-report-version',
  layer: 'manifest',
  command: 'attestation report',
  code: { kind: 'input' },
  title: 'Unknown version of the attestation report',
  message: (o) => `The attestation report has version ${o.version}; known are 2, 3, 4 and 5.`,
  why: 'The version in the first word says which fields the report has. Another number usually means that the bytes are not a report, or that something stands in front of it.',
  hint: 'Check that the bytes begin with the report itself.',
  reference: 'AMD pub. 56860, ATTESTATION_REPORT; github.com/virtee/sev src/firmware/guest/types/snp.rs',
  confirmed: true,
});

function parseVersion(bytes: Uint8Array, offset: number): FirmwareVersion {
  const [build = 0, minor = 0, major = 0] = bytes.subarray(offset, offset + 3);
  return { major, minor, build };
}

function parseNumber(bytes: Uint8Array, offset: number): Uint8Array {
  return copyBytes(bytes, offset, offset + NUMBER).reverse();
}

/** Reads a report of at least 1184 bytes; what follows is ignored. Says nothing about the signature. */
export function parseReport(bytes: Uint8Array): Result<ParsedReport> {
  if (bytes.length < REPORT_SIZE) return fail(makeFault(REPORT_LENGTH, { length: bytes.length }));
  const v = view(bytes);
  const version = v.getUint32(OFFSET.version, true);
  if (version < 2 || version > 5) return fail(makeFault(REPORT_VERSION, { version }));
  const keyInfo = v.getUint32(OFFSET.keyInfo, true);
  const reservedNonZero: number[] = keyInfo > KEY_INFO_KNOWN ? [OFFSET.keyInfo] : [];
  for (const [start, end] of reservedRanges(version)) {
    for (let i = start; i < end; i++) if (bytes[i] !== 0) reservedNonZero.push(i);
  }
  const field = (name: (typeof BYTE_FIELDS)[number][0], size: number): Uint8Array =>
    copyBytes(bytes, OFFSET[name], OFFSET[name] + size);
  const [family = 0, model = 0, stepping = 0] = bytes.subarray(OFFSET.cpuid, OFFSET.cpuid + 3);
  return ok({
    version,
    guestSvn: v.getUint32(OFFSET.guestSvn, true),
    policy: v.getBigUint64(OFFSET.policy, true),
    familyId: field('familyId', 16),
    imageId: field('imageId', 16),
    vmpl: v.getUint32(OFFSET.vmpl, true),
    signatureAlgorithm: v.getUint32(OFFSET.signatureAlgorithm, true),
    currentTcb: v.getBigUint64(OFFSET.currentTcb, true),
    platformInfo: v.getBigUint64(OFFSET.platformInfo, true),
    authorKeyEnabled: (keyInfo & AUTHOR_KEY_EN) !== 0,
    chipKeyMasked: (keyInfo & MASK_CHIP_KEY) !== 0,
    signingKey: (keyInfo >>> SIGNING_KEY_SHIFT) & 7,
    reportData: field('reportData', 64),
    measurement: field('measurement', 48),
    hostData: field('hostData', 32),
    idKeyDigest: field('idKeyDigest', 48),
    authorKeyDigest: field('authorKeyDigest', 48),
    reportId: field('reportId', 32),
    reportIdMa: field('reportIdMa', 32),
    reportedTcb: v.getBigUint64(OFFSET.reportedTcb, true),
    ...(version >= 3 ? { cpuid: { family, model, stepping } } : {}),
    chipId: field('chipId', 64),
    committedTcb: v.getBigUint64(OFFSET.committedTcb, true),
    currentVersion: parseVersion(bytes, OFFSET.currentVersion),
    committedVersion: parseVersion(bytes, OFFSET.committedVersion),
    launchTcb: v.getBigUint64(OFFSET.launchTcb, true),
    ...(version >= 5
      ? {
          mitigations: {
            launch: v.getBigUint64(OFFSET.launchMitigations, true),
            current: v.getBigUint64(OFFSET.currentMitigations, true),
          },
        }
      : {}),
    signature: {
      r: parseNumber(bytes, OFFSET.signature),
      s: parseNumber(bytes, OFFSET.signature + NUMBER_FIELD),
    },
    reservedNonZero,
  });
}

/** Undefined for version 2, which does not say: there the certificate tells Milan from Genoa. */
export function reportProduct({ cpuid }: AttestationReport): Product | undefined {
  return cpuid && productOf(cpuid.family, cpuid.model);
}

/** How to read the TCB values. Reports of version 2 come from family 19h only. */
export function reportTcbLayout({ cpuid }: AttestationReport): TcbLayout {
  return cpuid && cpuid.family >= 0x1a ? '1ah' : '19h';
}

/** True: the bytes after R and S, and above them in their fields, are as they must be. */
export function signatureFieldClean(report: ParsedReport): boolean {
  return report.reservedNonZero.every((offset) => offset < OFFSET.signature);
}

export function isUnsigned({ signature }: ParsedReport): boolean {
  return isZero(signature.r) && isZero(signature.s);
}
