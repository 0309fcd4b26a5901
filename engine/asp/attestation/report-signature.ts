import type { Crypto } from '../../crypto.js';
import { defineFault, fail, makeFault, type Result } from '../../fault.js';
import type { P384Point } from '../id-auth.js';
import { signP384 } from '../sign-id.js';
import {
  isUnsigned,
  type ParsedReport,
  parseReport,
  REPORT_ALGORITHM,
  REPORT_SIGNED_SIZE,
  setReportSignature,
  signatureFieldClean,
} from './report.js';

export const REPORT_SIGNATURE = defineFault<{ reason: string }>({
  check: 'image-report-signature',
  layer: 'manifest',
  command: 'attestation report',
  code: { kind: 'input' },
  title: 'Signature of the attestation report is wrong',
  message: (o) => `The signature of the attestation report does not verify: ${o.reason}.`,
  why: 'The firmware signs the first 0x2a0 bytes with the key of the chip (VCEK) or of the cloud provider (VLEK): ECDSA P-384 over SHA-384, R and S little-endian in fields of 72 bytes. Without a valid signature nothing in the report means anything.',
  hint: 'Verify with the key that belongs to CHIP_ID and REPORTED_TCB of this report, and pass on its bytes unchanged.',
  reference: 'AMD pub. 56860, ATTESTATION_REPORT',
  confirmed: true,
});

/** Signs an encoded report in place. Private key: 48 bytes, big-endian. */
export function signReport(bytes: Uint8Array, privateKey: Uint8Array): void {
  setReportSignature(bytes, signP384(privateKey, bytes.subarray(0, REPORT_SIGNED_SIZE)));
}

function problem(bytes: Uint8Array, report: ParsedReport, key: P384Point, crypto: Crypto): string | undefined {
  if (report.signatureAlgorithm !== REPORT_ALGORITHM) {
    return `SIGNATURE_ALGO is ${report.signatureAlgorithm}, and 1 is ECDSA P-384 with SHA-384`;
  }
  if (isUnsigned(report)) {
    return report.chipKeyMasked ? 'MASK_CHIP_KEY is set, so the platform did not sign it' : 'R and S are zero';
  }
  if (!signatureFieldClean(report)) return 'the signature field has bytes beside R and S';
  const { r, s } = report.signature;
  return crypto.verifyP384(key, bytes.subarray(0, REPORT_SIGNED_SIZE), r, s)
    ? undefined
    : 'R and S do not fit the key and the bytes';
}

/** The report if `publicKey` (that of a VCEK or VLEK) signed it. */
export function verifyReport(bytes: Uint8Array, publicKey: P384Point, crypto: Crypto): Result<ParsedReport> {
  const parsed = parseReport(bytes);
  if (!parsed.ok) return parsed;
  const reason = problem(bytes, parsed.value, publicKey, crypto);
  return reason === undefined ? parsed : fail(makeFault(REPORT_SIGNATURE, { reason }));
}
