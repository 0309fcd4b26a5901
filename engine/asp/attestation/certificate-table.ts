import { copyBytes, isZero, toHex, view } from '../../bytes.js';
import { defineFault, type FaultDefinition, fail, makeFault, type Operands, ok, type Result } from '../../fault.js';

/**
 * The certificates that a host hands to a guest with an extended guest request: entries of GUID, offset and length, an
 * empty one behind them, then the certificates. GHCB specification (AMD pub. 56421), SNP Extended Guest Request;
 * github.com/virtee/sev src/firmware/host/types; github.com/google/go-sev-guest abi/abi.go.
 */

export const CERTIFICATE_ENTRY_SIZE = 24;

/** GUIDs as text, whose bytes stand in the table in this order: not as Microsoft lays GUIDs out. */
export const CERTIFICATE_GUID = {
  ARK: 'c0b406a4-a803-4952-9743-3fb6014cd0ae',
  /** Also for the ASVK, which has none of its own. */
  ASK: '4ab7b379-bbac-4fe4-a02f-05aef327c782',
  VCEK: '63da758d-e664-4564-adc5-f4b93be8accd',
  VLEK: 'a8074bc2-a25a-483e-aae6-39c045a0b8a1',
  CRL: '92f81bc3-5811-4d3d-97ff-d19f88dc67ea',
} as const;

export type CertificateName = keyof typeof CERTIFICATE_GUID;

export interface CertificateEntry {
  /** Lower case, with hyphens. */
  readonly guid: string;
  /** DER. */
  readonly data: Uint8Array;
}

export interface ParsedCertificateEntry extends CertificateEntry {
  readonly offset: number;
}

/** Undefined for a GUID that is not in the list. */
export function certificateName(guid: string): CertificateName | undefined {
  return (Object.keys(CERTIFICATE_GUID) as CertificateName[]).find((name) => CERTIFICATE_GUID[name] === guid);
}

function guidBytes(guid: string): Uint8Array {
  const digits = guid.replaceAll('-', '');
  if (!/^[0-9a-fA-F]{32}$/.test(digits)) throw new RangeError(`${guid} is not a GUID`);
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

function guidText(bytes: Uint8Array): string {
  const digits = toHex(bytes);
  return [0, 8, 12, 16, 20].map((start, i, starts) => digits.slice(start, starts[i + 1] ?? 32)).join('-');
}

/** The table, as long as it needs to be. Throws on a GUID that is none: the caller's bug. */
export function encodeCertificateTable(entries: readonly CertificateEntry[]): Uint8Array {
  const start = (entries.length + 1) * CERTIFICATE_ENTRY_SIZE;
  const bytes = new Uint8Array(entries.reduce((size, { data }) => size + data.length, start));
  const v = view(bytes);
  let offset = start;
  for (const [i, { guid, data }] of entries.entries()) {
    const at = i * CERTIFICATE_ENTRY_SIZE;
    bytes.set(guidBytes(guid), at);
    v.setUint32(at + 16, offset, true);
    v.setUint32(at + 20, data.length, true);
    bytes.set(data, offset);
    offset += data.length;
  }
  return bytes;
}

type Text = { readonly check: string; readonly title: string; readonly why: string; readonly hint: string };

function define<O extends Operands>(text: Text & { readonly message: (operands: O) => string }): FaultDefinition<O> {
  return defineFault<O>({
    layer: 'manifest',
    command: 'certificate table',
    code: { kind: 'input' },
    reference: 'AMD pub. 56421, SNP Extended Guest Request',
    confirmed: true,
    ...text,
  });
}

export const CERTIFICATE_OUTSIDE = define<{ entry: number; offset: number; length: number; size: number }>({
  check: 'image-certificate-table-entry',
  title: 'Certificate outside of the table',
  message: (o) =>
    `Entry ${o.entry} of the certificate table names ${o.length} bytes from offset ${o.offset}; the table has ${o.size} bytes.`,
  why: 'Offsets count from the start of the table. A certificate that begins or ends elsewhere was cut off, or the bytes are no table.',
  hint: 'Pass the whole table: entries of 24 bytes, an empty one, then the certificates.',
});

export const CERTIFICATE_END = define<{ entries: number; size: number }>({
  check: 'image-certificate-table-end',
  title: 'Certificate table without end',
  message: (o) => `After ${o.entries} entries the ${o.size} bytes of the certificate table end without an empty entry.`,
  why: 'An entry of 24 zero bytes ends the list; without it a reader takes the first certificate for further entries.',
  hint: 'Put 24 zero bytes behind the last entry.',
});

/** Reads a table; what follows the last certificate is ignored. */
export function parseCertificateTable(bytes: Uint8Array): Result<readonly ParsedCertificateEntry[]> {
  const entries: ParsedCertificateEntry[] = [];
  const v = view(bytes);
  for (let at = 0; at + CERTIFICATE_ENTRY_SIZE <= bytes.length; at += CERTIFICATE_ENTRY_SIZE) {
    if (isZero(bytes.subarray(at, at + CERTIFICATE_ENTRY_SIZE))) return ok(entries);
    const [offset, length] = [v.getUint32(at + 16, true), v.getUint32(at + 20, true)];
    if (offset + length > bytes.length) {
      return fail(makeFault(CERTIFICATE_OUTSIDE, { entry: entries.length, offset, length, size: bytes.length }));
    }
    const guid = guidText(bytes.subarray(at, at + 16));
    entries.push({ guid, data: copyBytes(bytes, offset, offset + length), offset });
  }
  return fail(makeFault(CERTIFICATE_END, { entries: entries.length, size: bytes.length }));
}
