import { defineFault } from '../../fault.js';

/** What makes an IGVM file malformed, in the order in which a reader finds it. */

const IGVM = {
  layer: 'vmm',
  command: 'IGVM file',
  code: { kind: 'input' },
  reference: 'microsoft/igvm, igvm/src/lib.rs IgvmFile::new_from_binary()',
  confirmed: true,
} as const;
const DEFS = 'microsoft/igvm, igvm_defs/src/lib.rs';
const REBUILD = 'Build the file again with the tool that made it; it may be cut or damaged.';

export const IGVM_TOO_SHORT = defineFault<{ path: string; size: number; needed: number }>({
  ...IGVM,
  check: 'image-igvm-too-short',
  title: 'IGVM file without header',
  message: (o) => `${o.path} has ${o.size} bytes; the fixed header of an IGVM file alone has ${o.needed}.`,
  why: 'An IGVM file begins with a fixed header, which says where everything else is.',
  hint: REBUILD,
});

export const IGVM_NOT_IGVM = defineFault<{ path: string; magic: string }>({
  ...IGVM,
  check: 'image-igvm-magic',
  title: 'Not an IGVM file',
  message: (o) => `${o.path} begins with ${o.magic}; an IGVM file begins with 0x4d564749 ("IGVM").`,
  why: 'The first four bytes tell an IGVM file from other images. A firmware image is loaded with `firmware:` instead.',
  hint: 'Name an IGVM file, or load a firmware image with `firmware:`.',
});

export const IGVM_VERSION = defineFault<{ path: string; version: number }>({
  ...IGVM,
  check: 'image-igvm-version',
  title: 'Unknown version of the IGVM format',
  message: (o) => `${o.path} has format version ${o.version}; 1 and 2 are defined.`,
  why: 'The version says how the headers are to be read; a reader must not guess.',
  hint: 'Build the file in version 1.',
});

export const IGVM_V2_FIELDS = defineFault<{ path: string; architecture: number; pageSize: number }>({
  ...IGVM,
  check: 'image-igvm-architecture',
  title: 'Architecture or page size of the IGVM file',
  message: (o) =>
    `${o.path} is for architecture ${o.architecture} with pages of ${o.pageSize} bytes; readable are 0 (x64) and 1 (arm64) with 4096.`,
  why: 'Version 2 of the format names the architecture and the page size to which all addresses are aligned. Loaders support pages of 4096 bytes only.',
  hint: 'Build the file for x64 with 4096-byte pages.',
});

export const IGVM_FILE_SIZE = defineFault<{ path: string; declared: number; actual: number }>({
  ...IGVM,
  check: 'image-igvm-file-size',
  title: 'IGVM file is not as long as it says',
  message: (o) => `${o.path} says that it is ${o.declared} bytes long, but it has ${o.actual}.`,
  why: 'The fixed header holds the size of the whole file, so that a cut file is noticed before it is launched.',
  hint: REBUILD,
});

export const IGVM_HEADER_PLACE = defineFault<{ path: string; offset: string; size: string; actual: string }>({
  ...IGVM,
  check: 'image-igvm-header-place',
  title: 'Variable headers outside of the IGVM file',
  message: (o) =>
    `The variable headers of ${o.path} should be ${o.size} bytes at ${o.offset}; they must start behind the fixed header on a multiple of 8 and end within the file’s ${o.actual} bytes.`,
  why: 'All structures of the file are in this one range.',
  hint: REBUILD,
});

export const IGVM_CHECKSUM = defineFault<{ path: string; stored: string; computed: string }>({
  ...IGVM,
  check: 'image-igvm-checksum',
  title: 'Checksum of the IGVM file is wrong',
  message: (o) => `${o.path} holds the CRC-32 ${o.stored}; its headers have ${o.computed}.`,
  why: 'The checksum covers the fixed and the variable headers (not the page contents). A difference means that a header was changed after the file was built.',
  hint: REBUILD,
});

export const IGVM_CUT = defineFault<{ path: string; offset: string; needed: number; left: number }>({
  ...IGVM,
  check: 'image-igvm-structure-cut',
  title: 'IGVM structure goes beyond the headers',
  message: (o) =>
    `The structure at ${o.offset} of ${o.path} needs ${o.needed} bytes; ${o.left} are left in the variable headers.`,
  why: 'Structures follow each other, each with its length, up to the end of the variable headers. A wrong length makes everything behind it unreadable.',
  hint: REBUILD,
});

export const IGVM_UNKNOWN_TYPE = defineFault<{ path: string; offset: string; type: string }>({
  ...IGVM,
  check: 'image-igvm-type',
  title: 'Unknown structure in the IGVM file',
  message: (o) => `${o.path} has a structure of unknown type ${o.type} at ${o.offset}.`,
  why: 'A structure can change what is launched. One that a loader does not know may be skipped only if bit 31 of its type says so.',
  hint: 'Build the file without this structure, or with a version of the tools that marks it as optional.',
  reference: `${DEFS} IgvmVariableHeaderType`,
});

export const IGVM_LENGTH = defineFault<{
  path: string;
  offset: string;
  name: string;
  length: number;
  expected: number;
}>({
  ...IGVM,
  check: 'image-igvm-length',
  title: 'IGVM structure of wrong length',
  message: (o) => `${o.name} at ${o.offset} of ${o.path} has ${o.length} bytes; it must have ${o.expected}.`,
  why: 'Each type of structure has one length, which does not count the padding.',
  hint: REBUILD,
});

export const IGVM_ORDER = defineFault<{ path: string; offset: string; name: string; after: string }>({
  ...IGVM,
  check: 'image-igvm-order',
  title: 'IGVM structures out of order',
  message: (o) => `${o.name} at ${o.offset} of ${o.path} stands behind ${o.after} structures.`,
  why: 'Platform headers come first, then initialization headers, then directives: a loader has to know the platform before it can say which of the others count.',
  hint: 'Write the headers in the order platform, initialization, directive.',
});

export const IGVM_RESERVED = defineFault<{ path: string; offset: string; name: string }>({
  ...IGVM,
  check: 'image-igvm-reserved',
  title: 'Reserved field of an IGVM structure is not zero',
  message: (o) => `The reserved field of ${o.name} at ${o.offset} of ${o.path} is not zero.`,
  why: 'Reserved fields are for later versions of the format; a value in them has a meaning that this version does not know.',
  hint: 'Write zeros into reserved fields.',
});

export const IGVM_PLATFORM_HEADER = defineFault<{ path: string; offset: string; problem: string }>({
  ...IGVM,
  check: 'image-igvm-platform',
  title: 'Platform header of the IGVM file is invalid',
  message: (o) => `SUPPORTED_PLATFORM at ${o.offset} of ${o.path} is invalid: ${o.problem}.`,
  why: 'A platform header gives one platform one bit; all other structures say by this bit for which platform they count.',
  hint: 'Give each platform of the file one header with one bit in its mask.',
  reference: 'microsoft/igvm, igvm/src/lib.rs IgvmPlatformHeader::validate(), validate_platform_headers()',
});

export const IGVM_NO_PLATFORM = defineFault<{ path: string }>({
  ...IGVM,
  check: 'image-igvm-no-platform',
  title: 'IGVM file for no platform',
  message: (o) => `${o.path} has no platform header, so that nothing says for which platform it is.`,
  why: 'At least one platform has to be supported.',
  hint: 'Build the file with a platform header for SEV-SNP.',
});

export const IGVM_ALIGNMENT = defineFault<{ path: string; offset: string; name: string; field: string; value: string }>(
  {
    ...IGVM,
    check: 'image-igvm-alignment',
    title: 'Address or size in the IGVM file is not whole pages',
    message: (o) => `${o.field} of ${o.name} at ${o.offset} of ${o.path} is ${o.value}, which is not aligned.`,
    why: 'Memory is loaded by page: addresses and sizes are multiples of 4096, of 2 MiB for pages with that flag, and of the relocation alignment in relocatable regions.',
    hint: 'Align the field.',
    reference: 'microsoft/igvm, igvm/src/lib.rs IgvmDirectiveHeader::validate()',
  },
);

export const IGVM_ADDRESS = defineFault<{ path: string; offset: string; name: string; gpa: string; size: string }>({
  ...IGVM,
  check: 'image-igvm-address',
  title: 'Address in the IGVM file beyond physical memory',
  message: (o) =>
    `${o.name} at ${o.offset} of ${o.path} is at ${o.gpa} (${o.size} bytes); guest physical addresses have 52 bits at most.`,
  why: 'No processor has memory at such an address.',
  hint: 'Correct the address.',
  reference: 'AMD APM volume 2, section 5.1, physical addresses',
});

export const IGVM_PAGE_DATA_TYPE = defineFault<{ path: string; offset: string; type: number }>({
  ...IGVM,
  check: 'image-igvm-page-data-type',
  title: 'Unknown type of page data in the IGVM file',
  message: (o) =>
    `PAGE_DATA at ${o.offset} of ${o.path} has data type ${o.type}; there are 0 NORMAL, 1 SECRETS, 2 CPUID_DATA and 3 CPUID_XF.`,
  why: 'The data type decides how the firmware measures and fills the page.',
  hint: 'Use one of the four types.',
  reference: `${DEFS} IgvmPageDataType`,
});

export const IGVM_DATA_RANGE = defineFault<{ path: string; offset: string; name: string; at: string; length: string }>({
  ...IGVM,
  check: 'image-igvm-data-range',
  title: 'Content outside of the IGVM file’s data',
  message: (o) =>
    `${o.name} at ${o.offset} of ${o.path} takes ${o.length} bytes at file offset ${o.at}, which is not inside of the data behind the headers.`,
  why: 'Contents of pages stand behind the variable headers; anything else cannot be what was meant to be measured.',
  hint: REBUILD,
});

export const IGVM_PARAMETER_AREA = defineFault<{ path: string; offset: string; name: string; problem: string }>({
  ...IGVM,
  check: 'image-igvm-parameter-area',
  title: 'Wrong use of a parameter area in the IGVM file',
  message: (o) => `${o.name} at ${o.offset} of ${o.path}: ${o.problem}.`,
  why: 'A parameter area is declared once, then filled, then inserted into guest memory once; after that it is gone.',
  hint: 'Declare each area with PARAMETER_AREA before the structures that use it, and insert it last.',
  reference: 'microsoft/igvm, igvm/src/lib.rs validate_directive_headers()',
});

export const IGVM_CONTEXT_PLATFORM = defineFault<{ path: string; offset: string; mask: string }>({
  ...IGVM,
  check: 'image-igvm-context-platform',
  title: 'Processor context for no single platform',
  message: (o) =>
    `VP_CONTEXT at ${o.offset} of ${o.path} is for platform mask ${o.mask}, which is not that of one platform header.`,
  why: 'The form of a processor context depends on the platform: for SEV-SNP it is a VMSA. So it belongs to exactly one platform.',
  hint: 'Give the context the mask of its platform.',
});
