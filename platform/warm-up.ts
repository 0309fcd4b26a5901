import { p384 } from '@noble/curves/nist.js';

/**
 * The first use of the curve builds tables, which takes far longer than a signature (some 0.15 s). Whoever has time
 * does it before a guest asks for its attestation report.
 */
export function warmUpSignatures(): void {
  p384.getPublicKey(new Uint8Array(48).fill(1));
}
