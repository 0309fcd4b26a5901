import { POLICY_FIELDS } from '../../engine/launch/policy/fields.js';

/** "bits 20 (SINGLE_SOCKET) and 21 (CXL_ALLOW)"; "nothing" for 0. */
export function bitNames(bits: bigint): string {
  const names: string[] = [];
  if ((bits & 0xffffn) !== 0n) names.push('15:0 (ABI_MAJOR, ABI_MINOR)');
  for (let n = 16; bits >> BigInt(n) > 0n; n++) {
    if ((bits >> BigInt(n)) & 1n) names.push(bitName(n));
  }
  if (names.length === 0) return 'nothing';
  const last = names.pop();
  return names.length === 0 ? `bit ${last}` : `bits ${names.join(', ')} and ${last}`;
}

function bitName(bit: number): string {
  if (bit === 17) return '17 (reserved, must be one)';
  const field = POLICY_FIELDS.find((f) => bit >= f.bit && bit < f.bit + f.width);
  return field && field.width === 1 ? `${bit} (${field.amdName})` : String(bit);
}
