/** Constants of the IGVM file format. microsoft/igvm, igvm_defs. */

/** "IGVM", little-endian. */
export const IGVM_MAGIC = 0x4d56_4749;
export const FIXED_HEADER_SIZE = { 1: 24, 2: 32 } as const;
export const VARIABLE_HEADER_SIZE = 8;
/** A loader that does not know the structure may skip it. */
export const OPTIONAL_BIT = 0x8000_0000;

export const IGVM_TYPE = {
  SUPPORTED_PLATFORM: 0x1,
  GUEST_POLICY: 0x101,
  RELOCATABLE_REGION: 0x102,
  PAGE_TABLE_RELOCATION_REGION: 0x103,
  PARAMETER_AREA: 0x301,
  PAGE_DATA: 0x302,
  PARAMETER_INSERT: 0x303,
  VP_CONTEXT: 0x304,
  REQUIRED_MEMORY: 0x305,
  VP_COUNT_PARAMETER: 0x307,
  SRAT: 0x308,
  MADT: 0x309,
  MMIO_RANGES: 0x30a,
  SNP_ID_BLOCK: 0x30b,
  MEMORY_MAP: 0x30c,
  ERROR_RANGE: 0x30d,
  COMMAND_LINE: 0x30e,
  SLIT: 0x30f,
  PPTT: 0x310,
  VBS_MEASUREMENT: 0x311,
  DEVICE_TREE: 0x312,
  ENVIRONMENT_INFO_PARAMETER: 0x313,
} as const;
export type IgvmTypeName = keyof typeof IGVM_TYPE;

/** Bytes of each structure behind its 8-byte variable header, padding excluded. */
export const IGVM_SIZE: Readonly<Record<IgvmTypeName, number>> = {
  SUPPORTED_PLATFORM: 16,
  GUEST_POLICY: 16,
  RELOCATABLE_REGION: 48,
  PAGE_TABLE_RELOCATION_REGION: 32,
  PARAMETER_AREA: 16,
  PAGE_DATA: 24,
  PARAMETER_INSERT: 16,
  VP_CONTEXT: 20,
  REQUIRED_MEMORY: 24,
  VP_COUNT_PARAMETER: 8,
  SRAT: 8,
  MADT: 8,
  MMIO_RANGES: 8,
  SNP_ID_BLOCK: 696,
  MEMORY_MAP: 8,
  ERROR_RANGE: 16,
  COMMAND_LINE: 8,
  SLIT: 8,
  PPTT: 8,
  VBS_MEASUREMENT: 864,
  DEVICE_TREE: 8,
  ENVIRONMENT_INFO_PARAMETER: 8,
};

const names = new Map<number, IgvmTypeName>(
  (Object.keys(IGVM_TYPE) as IgvmTypeName[]).map((name) => [IGVM_TYPE[name], name]),
);

/** Undefined for a type that no version of the format defines. */
export function igvmTypeName(type: number): IgvmTypeName | undefined {
  return names.get(type);
}

/** The three parts of the variable headers, in the order that a file must have. */
export const IGVM_SECTIONS = ['platform', 'initialization', 'directive'] as const;
export type IgvmSection = (typeof IGVM_SECTIONS)[number];

export function igvmSection(type: number): IgvmSection | undefined {
  if (type >= 0x1 && type <= 0x100) return 'platform';
  if (type >= 0x101 && type <= 0x200) return 'initialization';
  return type >= 0x301 && type <= 0x400 ? 'directive' : undefined;
}

export const IGVM_PLATFORM = {
  NATIVE: 0,
  VSM_ISOLATION: 1,
  SEV_SNP: 2,
  TDX: 3,
  SEV: 4,
  SEV_ES: 5,
  CCA: 6,
} as const;
export type IgvmPlatformName = keyof typeof IGVM_PLATFORM;

export function igvmPlatformName(value: number): IgvmPlatformName | undefined {
  return (Object.keys(IGVM_PLATFORM) as IgvmPlatformName[]).find((name) => IGVM_PLATFORM[name] === value);
}

export const IGVM_PAGE_DATA_TYPES = ['NORMAL', 'SECRETS', 'CPUID_DATA', 'CPUID_XF'] as const;
export type IgvmPageDataType = (typeof IGVM_PAGE_DATA_TYPES)[number];

export const PAGE_DATA_FLAG = { IS_2MB: 1, UNMEASURED: 2, SHARED: 4 } as const;
