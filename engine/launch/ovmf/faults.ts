import { defineFault } from '../../fault.js';

const IMAGE = {
  layer: 'vmm',
  command: 'OVMF image',
  code: { kind: 'input' },
  confirmed: true,
} as const;
const FOOTER = 'edk2 OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm; QEMU hw/i386/pc_sysfw_ovmf.c';
const METADATA = 'edk2 OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm; QEMU hw/i386/pc_sysfw_ovmf.c';

export const IMAGE_NO_FOOTER = defineFault<{ path: string; recognised: string }>({
  ...IMAGE,
  check: 'image-no-footer',
  title: 'No OVMF table in the image',
  message: (o) =>
    `${o.path} does not end with OVMF’s GUIDed table (footer 96b582de-1fb2-45f7-baea-a366c55a082d)${o.recognised ? `: ${o.recognised}` : ''}.`,
  why: 'The VMM finds the AP reset address, the SEV metadata and the kernel-hashes area through the table of GUIDed entries 32 bytes before the end of the image. An image without it is too old for SEV-ES and SNP, or it is another file.',
  hint: 'Use an OVMF image of 2022 or later that was built with SEV-SNP support, as one file with variables and code or its CODE part.',
  reference: FOOTER,
});

export const IMAGE_FOOTER_SIZE = defineFault<{ path: string; length: number; available: number }>({
  ...IMAGE,
  check: 'image-footer-size',
  title: 'OVMF table has an invalid size',
  message: (o) =>
    `The GUIDed table of ${o.path} says that it is ${o.length} bytes long; from 18 to ${o.available} are possible.`,
  why: 'The table is read backwards from its footer, whose length covers all entries. A length beyond the image means that the image is damaged or cut.',
  hint: 'Get the image again, or rebuild it.',
  reference: FOOTER,
});

export const IMAGE_ENTRY_SIZE = defineFault<{ path: string; guid: string; length: number; available: number }>({
  ...IMAGE,
  check: 'image-entry-size',
  title: 'OVMF table entry has an invalid size',
  message: (o) =>
    o.length < 18
      ? `The entry ${o.guid} in the GUIDed table of ${o.path} is ${o.length} bytes long, shorter than its own header of 18 bytes.`
      : `The entry ${o.guid} in the GUIDed table of ${o.path} is ${o.length} bytes long, but only ${o.available} are left.`,
  why: 'Each entry ends with its length and its GUID. A wrong length makes everything before it unreadable.',
  hint: 'Get the image again, or rebuild it.',
  reference: FOOTER,
});

export const IMAGE_NO_RESET_BLOCK = defineFault<{ path: string }>({
  ...IMAGE,
  check: 'image-no-reset-block',
  title: 'No SEV-ES reset block',
  message: (o) =>
    `${o.path} has no SEV-ES reset block (00f771de-1a7e-4fcb-890e-68c77e2fb44e) in its table, so the start address of the second and further vCPUs is unknown.`,
  why: 'The initial state of every vCPU is measured. Under SEV-ES and SNP the host cannot send a start-up IPI vector, so OVMF tells in this block where application processors start.',
  hint: 'Use an OVMF image with SEV-ES support (edk2-stable202011 or later); for SNP take 2022 or later.',
  reference: `${FOOTER}; QEMU target/i386/sev.c sev_es_parse_reset_block`,
});

export const IMAGE_NO_METADATA = defineFault<{ path: string; recognised: string }>({
  ...IMAGE,
  check: 'image-no-metadata',
  title: 'No SEV metadata: the image has no SNP support',
  message: (o) =>
    `${o.path} has no SEV metadata (dc886566-984a-4798-a75e-5585a7bf67cc): it was built without SEV-SNP support${o.recognised ? ` (${o.recognised})` : ''}. QEMU ends with "Failed to locate SEV metadata header".`,
  why: 'The metadata lists the memory that must be validated before the firmware runs, and where the secrets and CPUID pages are. Without it an SNP guest faults at its first memory access.',
  hint: 'Use an SNP-capable image: on Debian 12 OVMF.fd (2 MB), elsewhere OVMF.amdsev.fd, or build OvmfPkg/AmdSev/AmdSevX64.dsc.',
  reference: 'edk2 OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm; QEMU target/i386/sev.c sev_snp_launch_finish',
});

export const IMAGE_METADATA_OFFSET = defineFault<{ path: string; offset: string; size: string }>({
  ...IMAGE,
  check: 'image-metadata-offset',
  title: 'SEV metadata outside of the image',
  message: (o) =>
    `The SEV metadata of ${o.path} would begin ${o.offset} bytes before its end, but the image has ${o.size} bytes.`,
  why: 'The table entry holds the distance of the metadata from the end of the image. An offset outside means that the image was cut.',
  hint: 'Use the whole image file.',
  reference: METADATA,
});

export const IMAGE_METADATA_SIGNATURE = defineFault<{ path: string; found: string }>({
  ...IMAGE,
  check: 'image-metadata-signature',
  title: 'SEV metadata signature is not ASEV',
  message: (o) => `The SEV metadata of ${o.path} begins with ${o.found} instead of "ASEV".`,
  why: 'The signature tells that the offset in the table is right. Another one means a damaged image.',
  hint: 'Get the image again, or rebuild it.',
  reference: METADATA,
});

export const IMAGE_METADATA_VERSION = defineFault<{ path: string; version: number }>({
  ...IMAGE,
  check: 'image-metadata-version',
  title: 'Unknown version of the SEV metadata',
  message: (o) => `The SEV metadata of ${o.path} has version ${o.version}; only version 1 is known.`,
  why: 'The version fixes the layout of the section descriptors; reading another layout would measure the wrong memory.',
  hint: 'Use an image with version 1 metadata, which is what edk2 builds.',
  reference: METADATA,
});

export const IMAGE_METADATA_TRUNCATED = defineFault<{ path: string; count: number; length: number; available: number }>(
  {
    ...IMAGE,
    check: 'image-metadata-truncated',
    title: 'SEV metadata is truncated',
    message: (o) =>
      `The SEV metadata of ${o.path} announces ${o.count} sections and ${o.length} bytes; ${16 + o.count * 12} bytes are needed and ${o.available} are left in the image.`,
    why: 'Header and descriptors must lie inside of the announced length and of the image.',
    hint: 'Get the image again, or rebuild it.',
    reference: METADATA,
  },
);

export const IMAGE_SECTION_TYPE = defineFault<{ path: string; index: number; type: string; base: string }>({
  ...IMAGE,
  check: 'image-section-type',
  title: 'Unknown SEV metadata section type',
  message: (o) => `Section ${o.index} (at ${o.base}) in the SEV metadata of ${o.path} has the unknown type ${o.type}.`,
  why: 'The type decides with which page type the section is measured. sev-snp-measure refuses an unknown type; QEMU loads such a section as ZERO pages.',
  hint: 'Check that VMM and measuring tool know this image’s section types, or use an image with known ones.',
  reference: 'QEMU target/i386/sev.c sev_snp_launch_finish; virtee/sev-snp-measure ovmf.py',
});

export const IMAGE_SECTION_TYPE_ZERO = defineFault<{ path: string; index: number; type: string; base: string }>({
  ...IMAGE,
  check: 'image-section-type-as-zero',
  severity: 'warning',
  title: 'Unknown SEV metadata section type, loaded as ZERO',
  message: (o) =>
    `Section ${o.index} (at ${o.base}) in the SEV metadata of ${o.path} has the unknown type ${o.type}; QEMU loads it as ZERO pages, sev-snp-measure refuses the image.`,
  why: 'The type decides with which page type the section is measured. What other VMMs do with an unknown type is not known, so the digest is only right for QEMU.',
  hint: 'Use an image with known section types if other tools must compute the same digest.',
  reference: 'QEMU target/i386/sev.c sev_snp_launch_finish',
});

export const IMAGE_SECTION_UNALIGNED = defineFault<{ path: string; index: number; name: string; length: string }>({
  ...IMAGE,
  check: 'image-section-unaligned',
  title: 'SEV metadata section is not whole pages',
  message: (o) =>
    `The length ${o.length} of section ${o.index} (${o.name}) in the SEV metadata of ${o.path} is not a multiple of 4096.`,
  why: 'LAUNCH_UPDATE works on 4 KiB pages; KVM refuses a length that is not whole pages with EINVAL.',
  hint: 'Rebuild the image with page-aligned sections.',
  reference: 'Linux arch/x86/kvm/svm/sev.c snp_launch_update; AMD pub. 56860, SNP_LAUNCH_UPDATE',
});

export const IMAGE_SIZE_UNALIGNED = defineFault<{ path: string; length: string; recognised: string }>({
  ...IMAGE,
  check: 'image-size-unaligned',
  title: 'Image is not whole pages',
  message: (o) =>
    `The length ${o.length} of ${o.path} is not a multiple of 4096${o.recognised ? `: ${o.recognised}` : ''}.`,
  why: 'The image ends at 4 GiB and is measured page by page. A size that is not whole pages means that the file was cut or is not a firmware image.',
  hint: 'Use the whole, unchanged image file.',
  reference: 'QEMU hw/i386/x86-common.c x86_bios_rom_init; AMD pub. 56860, SNP_LAUNCH_UPDATE',
});

export const IMAGE_BIOS_SIZE = defineFault<{ path: string; length: string }>({
  ...IMAGE,
  command: '-bios',
  check: 'image-bios-size',
  title: 'Image is not a multiple of 64 KiB',
  message: (o) =>
    `QEMU loads ${o.path} with \`-bios\` only if its size is a multiple of 64 KiB; it is ${o.length}. QEMU ends with "could not load PC BIOS".`,
  why: 'QEMU places the image so that it ends at 4 GiB and checks that its size is a multiple of 65536. The digest can be computed all the same.',
  hint: 'Use the whole image; a CODE or combined OVMF build always has such a size.',
  reference: 'QEMU hw/i386/x86-common.c x86_bios_rom_init',
});

export const IMAGE_NO_HASHES_SECTION = defineFault<{ path: string }>({
  ...IMAGE,
  check: 'image-no-hashes-section',
  title: 'Kernel given, but the firmware has no kernel-hashes section',
  message: (o) =>
    `A kernel is given, but the SEV metadata of ${o.path} has no SNP_KERNEL_HASHES section (type 0x10): nothing would tie the kernel to the measurement.`,
  why: 'With direct boot the VMM puts the SHA-256 of kernel, initrd and command line into a measured page, and the firmware compares them. Only OVMF built from OvmfPkg/AmdSev/AmdSevX64.dsc reserves that page and verifies.',
  hint: 'Use an AmdSev build of OVMF (OVMF.amdsev.fd), or remove `kernel`, `initrd` and `append`.',
  reference: 'edk2 OvmfPkg/AmdSev/AmdSevX64.dsc; virtee/sev-snp-measure guest.py',
});

export const IMAGE_NO_HASH_AREA = defineFault<{ path: string; base: string; size: string }>({
  ...IMAGE,
  command: 'kernel-hashes',
  check: 'image-no-hash-area',
  title: 'Kernel given, but the firmware has no usable hashes table area',
  message: (o) =>
    o.base === 'none'
      ? `A kernel is given, but ${o.path} has no hashes table GUID (7255371f-3a3b-4b04-927b-1da6efa8d454).`
      : `A kernel is given, but the hashes table area of ${o.path} is invalid (base=${o.base} size=${o.size}).`,
  why: 'The entry tells where in memory the firmware looks for the table of hashes. OvmfPkgX64 builds have base 0 and size 0 there, which means that they do not verify hashes.',
  hint: 'Use an AmdSev build of OVMF (OVMF.amdsev.fd), or remove `kernel`, `initrd` and `append`.',
  reference: 'QEMU target/i386/sev.c sev_add_kernel_loader_hashes',
});

export const IMAGE_HASHES_CROSS_PAGE = defineFault<{ path: string; offset: string; size: number }>({
  ...IMAGE,
  command: 'kernel-hashes',
  check: 'image-hashes-cross-page',
  title: 'Kernel hashes table crosses its page',
  message: (o) =>
    `The hashes table of ${o.path} begins at offset ${o.offset} of its page; with its ${o.size} bytes it would cross the end.`,
  why: 'The table is measured as a part of one 4 KiB page. A table over the end of the page would be cut.',
  hint: 'Rebuild the image with the hash table area inside of one page (at most offset 0xf50).',
  reference: 'QEMU target/i386/sev.c sev_add_kernel_loader_hashes',
});

export const IMAGE_HASHES_SECTION_SIZE = defineFault<{ path: string; size: string }>({
  ...IMAGE,
  command: 'kernel-hashes',
  check: 'image-hashes-section-size',
  title: 'Kernel-hashes section is not one page',
  message: (o) => `The SNP_KERNEL_HASHES section of ${o.path} is ${o.size} bytes long; it must be one page of 0x1000.`,
  why: 'The VMM fills exactly one page with the table of hashes.',
  hint: 'Rebuild the image with a kernel-hashes section of one page.',
  reference: 'virtee/sev-snp-measure guest.py; edk2 OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm',
});

export const IMAGE_KERNEL_MISSING = defineFault<{ given: string }>({
  ...IMAGE,
  command: 'kernel-hashes',
  check: 'image-kernel-missing',
  severity: 'warning',
  title: 'initrd or append without kernel',
  message: (o) => `${o.given} ${o.given.includes(' and ') ? 'are' : 'is'} ignored, because no kernel is given.`,
  why: 'Hashes of initrd and command line are measured only together with a kernel. Without one the kernel-hashes page is measured as a zero page, and the digest says nothing about them.',
  hint: 'Give the kernel too, or remove them.',
  reference: 'QEMU target/i386/sev.c sev_add_kernel_loader_hashes; virtee/sev-snp-measure guest.py',
});
