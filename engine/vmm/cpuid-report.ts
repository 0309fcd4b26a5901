import { view } from '../bytes.js';

const ENTRIES_OFFSET = 16;
const ENTRY_SIZE = 48;
const MAX_ENTRIES = 64;

const reg = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;

/**
 * What QEMU prints when the firmware has corrected a CPUID page: one line for each entry that differs. QEMU
 * target/i386/sev.c sev_snp_cpuid_report_mismatches().
 */
export function cpuidMismatchReport(provided: Uint8Array, expected: Uint8Array): string[] {
  const a = view(provided);
  const b = view(expected);
  if (provided.length < ENTRIES_OFFSET || expected.length < ENTRIES_OFFSET) return [];
  const count = a.getUint32(0, true);
  if (count !== b.getUint32(0, true)) {
    const counts = `provided: ${count}, expected: ${b.getUint32(0, true)}`;
    return [`SEV-SNP: CPUID validation failed due to count mismatch, ${counts}`];
  }
  const lines: string[] = [];
  for (let i = 0; i < Math.min(count, MAX_ENTRIES); i++) {
    const at = ENTRIES_OFFSET + i * ENTRY_SIZE;
    if (at + ENTRY_SIZE > provided.length || at + ENTRY_SIZE > expected.length) break;
    const values = [0x18, 0x1c, 0x20, 0x24].map((o) => [a.getUint32(at + o, true), b.getUint32(at + o, true)] as const);
    if (values.every(([x, y]) => x === y)) continue;
    const show = (side: 0 | 1) =>
      ['eax', 'ebx', 'ecx', 'edx']
        .map((name, r) => `${name}:${name === 'eax' ? '' : ' '}${reg(values[r]?.[side] ?? 0)}`)
        .join(', ');
    lines.push(
      `SEV-SNP: CPUID validation failed for function 0x${a.getUint32(at, true).toString(16)}, ` +
        `index: 0x${a.getUint32(at + 4, true).toString(16)}, provided: ${show(0)}, expected: ${show(1)}`,
    );
  }
  return lines;
}
