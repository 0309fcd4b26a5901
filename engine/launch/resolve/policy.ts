import { PAGE_SIZE } from '../../address.js';
import { makeFault } from '../../fault.js';
import type { Field, PolicyValue } from '../manifest/tree.js';
import { parsePolicyFile } from '../policy/parse.js';
import { locate, type ResolveContext, readFile } from './context.js';
import { MANIFEST_POLICY_FILE } from './faults.js';

/** SMT allowed and reserved bit 17: the default of QEMU's sev-snp-guest object (qapi/qom.json). */
export const DEFAULT_POLICY = 0x3_0000n;

const MAX_POLICY_FILE = 64 * PAGE_SIZE;

export function resolvePolicy(context: ResolveContext, policy: Field<PolicyValue> | undefined): bigint {
  if (!policy) return DEFAULT_POLICY;
  const { value } = policy;
  switch (value.kind) {
    case 'number':
    case 'fields':
      return value.value;
    case 'file': {
      const file = readFile(context, value.path, policy.range);
      if (!file) return DEFAULT_POLICY;
      const text = decode(file.bytes.subarray(0, MAX_POLICY_FILE));
      const parsed = parsePolicyFile(text, file.path);
      const cause = parsed.problems.find((p) => p.severity === 'error');
      if (cause) {
        const operands = { path: value.path, problem: cause.message };
        context.faults.push(makeFault(MANIFEST_POLICY_FILE, operands, { at: locate(context, policy.range), cause }));
      }
      if (parsed.value === undefined) context.blocked = true;
      return parsed.value ?? DEFAULT_POLICY;
    }
  }
}

/** UTF-8; what is none becomes U+FFFD, which the grammar then refuses. */
function decode(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; ) {
    const [character, length] = decodeAt(bytes, i);
    text += character;
    i += length;
  }
  return text.replace(/^\ufeff/, '');
}

function decodeAt(bytes: Uint8Array, at: number): [string, number] {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return [String.fromCharCode(first), 1];
  const length = first >= 0xf0 && first < 0xf5 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  let code = first & (0x7f >> length);
  for (let i = 1; i < length; i++) {
    const next = bytes[at + i] ?? 0;
    if ((next & 0xc0) !== 0x80) return ['\ufffd', 1];
    code = (code << 6) | (next & 0x3f);
  }
  const least = [0, 0, 0x80, 0x800, 0x1_0000][length] ?? 0;
  const valid = length > 0 && first < 0xf5 && code >= least && code <= 0x10_ffff && (code < 0xd800 || code > 0xdfff);
  return valid ? [String.fromCodePoint(code), length] : ['\ufffd', 1];
}
