import { type Gpa, gpa, hex, PAGE_SIZE } from '../../address.js';
import { type Fault, fail, makeFault, ok, type Result } from '../../fault.js';
import { PAGE_TYPE, type PageType } from '../../spec/page-type.js';
import { HASH_TABLE_SIZE } from '../kernel-hashes.js';
import type { VmmName } from '../plan.js';
import * as faults from './faults.js';
import type { OvmfImage } from './image.js';
import { type OvmfSection, SECTION_TYPE, sectionName } from './metadata.js';

/** One range of pages that the VMM loads because of the firmware image. */
export interface FirmwareUpdate {
  readonly type: PageType;
  readonly gpa: Gpa;
  readonly length: number;
  readonly role: 'image' | 'secrets' | 'cpuid' | 'hashes' | 'memory';
  readonly label: string;
  /** Section of the SEV metadata and its index. */
  readonly section?: OvmfSection;
  readonly index?: number;
}

/**
 * The image as NORMAL pages, then its metadata sections. QEMU queues sections in table order; EC2 measures CPUID
 * pages last; GCE loads SEC_MEM as UNMEASURED. QEMU target/i386/sev.c `snp_populate_metadata_pages`;
 * virtee/sev-snp-measure guest.py.
 */
export function firmwareUpdates(image: OvmfImage, vmm: VmmName, withHashes: boolean): readonly FirmwareUpdate[] {
  const sections = (image.sections ?? []).map((section, index) => sectionUpdate(section, index, vmm, withHashes));
  const ordered =
    vmm === 'ec2'
      ? [...sections.filter((s) => s.role !== 'cpuid'), ...sections.filter((s) => s.role === 'cpuid')]
      : sections;
  return [
    { type: PAGE_TYPE.NORMAL, gpa: image.base, length: image.bytes.length, role: 'image', label: image.path },
    ...ordered,
  ];
}

function sectionUpdate(section: OvmfSection, index: number, vmm: VmmName, withHashes: boolean): FirmwareUpdate {
  const base = {
    gpa: gpa(section.base),
    length: section.size,
    label: `SEV metadata: ${sectionName(section.type)}`,
    section,
    index,
  };
  switch (section.type) {
    case SECTION_TYPE.SECRETS:
      return { ...base, type: PAGE_TYPE.SECRETS, role: 'secrets' };
    case SECTION_TYPE.CPUID:
      return { ...base, type: PAGE_TYPE.CPUID, role: 'cpuid' };
    case SECTION_TYPE.KERNEL_HASHES:
      return withHashes
        ? { ...base, type: PAGE_TYPE.NORMAL, role: 'hashes', label: 'kernel hashes' }
        : { ...base, type: PAGE_TYPE.ZERO, role: 'memory' };
    case SECTION_TYPE.SEC_MEM:
      return { ...base, type: vmm === 'gce' ? PAGE_TYPE.UNMEASURED : PAGE_TYPE.ZERO, role: 'memory' };
    default:
      return { ...base, type: PAGE_TYPE.ZERO, role: 'memory' };
  }
}

export function isKnownSection(type: number): boolean {
  return Object.values(SECTION_TYPE).some((known) => known === type);
}

/** Sections that are not whole pages. */
export function sectionFaults(image: OvmfImage): readonly Fault[] {
  return (image.sections ?? []).flatMap((section, index) => {
    if (section.size % PAGE_SIZE === 0) return [];
    const operands = { path: image.path, index, name: sectionName(section.type), length: hex(section.size) };
    return [makeFault(faults.IMAGE_SECTION_UNALIGNED, operands)];
  });
}

export function hashesSection(image: OvmfImage): OvmfSection | undefined {
  return image.sections?.find((s) => s.type === SECTION_TYPE.KERNEL_HASHES);
}

/** Offset of the table of kernel hashes in its page, or why the image cannot take one. */
export function hashTableOffset(image: OvmfImage): Result<number> {
  const { path, hashTable } = image;
  const section = hashesSection(image);
  if (!section) return fail(makeFault(faults.IMAGE_NO_HASHES_SECTION, { path }));
  if (!hashTable || hashTable.base === 0 || hashTable.size < HASH_TABLE_SIZE) {
    const operands = { path, base: hashTable ? hex(hashTable.base) : 'none', size: hex(hashTable?.size ?? 0) };
    return fail(makeFault(faults.IMAGE_NO_HASH_AREA, operands));
  }
  if (section.size !== PAGE_SIZE)
    return fail(makeFault(faults.IMAGE_HASHES_SECTION_SIZE, { path, size: hex(section.size) }));
  const offset = hashTable.base % PAGE_SIZE;
  if (offset + HASH_TABLE_SIZE > PAGE_SIZE) {
    const operands = { path, offset: hex(offset), size: HASH_TABLE_SIZE };
    return fail(makeFault(faults.IMAGE_HASHES_CROSS_PAGE, operands));
  }
  return ok(offset);
}
