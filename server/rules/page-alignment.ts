/**
 * Addresses and lengths of a page entry that are not multiples of 4 KiB. The firmware measures and encrypts whole
 * pages; KVM refuses a length that is not page aligned, and an address is given to it as a frame number, so that
 * the low bits of an unaligned one could only be lost.
 */
import { hex, PAGE_SIZE } from '../../engine/address.js';
import { defineFault, type Fault, makeFault, type TextRange } from '../../engine/fault.js';
import { pageEntries } from './page-entries.js';
import type { Cover, Fix, FixContext, ManifestContext, Rule } from './rule.js';

export const PAGE_UNALIGNED_GPA = defineFault<{ gpa: string; below: string; above: string }>({
  check: 'lint-page-unaligned-gpa',
  layer: 'manifest',
  command: 'launch.update',
  code: { kind: 'input' },
  title: 'Guest address not page aligned',
  message: (o) => `The address ${o.gpa} is not a multiple of 4 KiB.`,
  why: 'KVM_SEV_SNP_LAUNCH_UPDATE takes a guest frame number and the RMP knows pages only: a page cannot start in the middle of another one.',
  hint: (o) => `Use ${o.below} or ${o.above}.`,
  reference: 'Linux Documentation/virt/kvm/x86/amd-memory-encryption.rst, KVM_SEV_SNP_LAUNCH_UPDATE',
  confirmed: true,
});

export const PAGE_UNALIGNED_LENGTH = defineFault<{ length: string; rounded: string }>({
  check: 'lint-page-unaligned-length',
  layer: 'manifest',
  command: 'launch.update',
  code: { kind: 'input' },
  title: 'Length not a multiple of 4 KiB',
  message: (o) => `The length ${o.length} is not a multiple of 4 KiB.`,
  why: 'The firmware measures and encrypts whole pages; snp_launch_update refuses any other length with -EINVAL and touches nothing.',
  hint: (o) => `Use ${o.rounded}; what the file does not fill is zero.`,
  reference: 'Linux arch/x86/kvm/svm/sev.c, snp_launch_update',
  confirmed: true,
});

const COVERS: readonly Cover[] = [
  { check: PAGE_UNALIGNED_LENGTH.check, engine: 'kvm-attributes-range' },
  { check: PAGE_UNALIGNED_LENGTH.check, engine: 'kvm-launch-update-length' },
  { check: PAGE_UNALIGNED_GPA.check, engine: 'kvm-attributes-range' },
];

export const pageAlignment: Rule = { name: 'page-alignment', manifest: check, covers: COVERS, fixes };

function check({ path, parsed }: ManifestContext): readonly Fault[] {
  const faults: Fault[] = [];
  for (const entry of pageEntries(parsed.tree)) {
    const at = (range: TextRange) => ({ at: { file: path, range } });
    const { gpa, length } = entry;
    if (gpa && gpa.value % PAGE_SIZE !== 0) {
      const below = gpa.value - (gpa.value % PAGE_SIZE);
      const operands = { gpa: hex(gpa.value), below: hex(below), above: hex(below + PAGE_SIZE) };
      faults.push(makeFault(PAGE_UNALIGNED_GPA, operands, at(gpa.range)));
    }
    if (length && length.value % PAGE_SIZE !== 0) {
      const rounded = Math.ceil(length.value / PAGE_SIZE) * PAGE_SIZE;
      const operands = { length: hex(length.value), rounded: hex(rounded) };
      faults.push(makeFault(PAGE_UNALIGNED_LENGTH, operands, at(length.range)));
    }
  }
  return faults;
}

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  if (!fault.at) return [];
  const { range } = fault.at;
  const replace = (newText: string, preferred: boolean): Fix => ({
    title: `Change to ${newText}`,
    preferred,
    changes: [{ file: context.path, range, newText }],
  });
  if (fault.check === PAGE_UNALIGNED_GPA.check) {
    return [replace(String(fault.operands['below']), true), replace(String(fault.operands['above']), false)];
  }
  if (fault.check === PAGE_UNALIGNED_LENGTH.check) return [replace(String(fault.operands['rounded']), true)];
  return [];
}
