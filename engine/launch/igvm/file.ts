import type { Gpa } from '../../address.js';
import type { IgvmPageDataType, IgvmPlatformName, IgvmTypeName } from './defs.js';

/** An IGVM file whose structure is valid. Contents of pages are views into `bytes`. */
export interface IgvmFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly version: 1 | 2;
  readonly architecture: 'x64' | 'arm64';
  readonly platforms: readonly IgvmPlatform[];
  readonly initialization: readonly IgvmInitialization[];
  readonly directives: readonly IgvmDirective[];
  /** Structures of unknown type that the file allows to skip. */
  readonly skipped: readonly { readonly type: number; readonly offset: number }[];
}

/** What every structure has: where it stands in the file. */
interface Placed {
  /** Of its 8-byte variable header. */
  readonly offset: number;
}

/** A structure that counts for the platforms in its mask. */
interface Masked extends Placed {
  readonly mask: number;
}

export interface IgvmPlatform extends Masked {
  readonly kind: 'SUPPORTED_PLATFORM';
  readonly highestVtl: number;
  readonly platform: IgvmPlatformName;
  readonly platformVersion: number;
  readonly sharedGpaBoundary: bigint;
}

export type IgvmInitialization =
  | (Masked & { readonly kind: 'GUEST_POLICY'; readonly policy: bigint })
  | (Masked & {
      readonly kind: 'RELOCATABLE_REGION';
      readonly vpIndex: number;
      readonly vtl: number;
      readonly flags: number;
      readonly alignment: bigint;
      readonly gpa: bigint;
      readonly size: bigint;
      readonly minimum: bigint;
      readonly maximum: bigint;
    })
  | (Masked & {
      readonly kind: 'PAGE_TABLE_RELOCATION_REGION';
      readonly vpIndex: number;
      readonly vtl: number;
      readonly gpa: Gpa;
      readonly size: bigint;
      readonly used: bigint;
    });

export const PARAMETER_KINDS = [
  'VP_COUNT_PARAMETER',
  'SRAT',
  'MADT',
  'MMIO_RANGES',
  'MEMORY_MAP',
  'COMMAND_LINE',
  'SLIT',
  'PPTT',
  'DEVICE_TREE',
  'ENVIRONMENT_INFO_PARAMETER',
] as const satisfies readonly IgvmTypeName[];
export type ParameterKind = (typeof PARAMETER_KINDS)[number];

export type IgvmDirective =
  | IgvmPageData
  | IgvmParameterArea
  | IgvmVpContext
  | IgvmSnpIdBlock
  | IgvmParameter
  | (Masked & { readonly kind: 'PARAMETER_INSERT'; readonly gpa: Gpa; readonly area: number })
  | (Masked & {
      readonly kind: 'REQUIRED_MEMORY';
      readonly gpa: Gpa;
      readonly length: number;
      readonly vtl2Protectable: boolean;
    })
  | (Masked & { readonly kind: 'ERROR_RANGE'; readonly gpa: Gpa; readonly length: number })
  | (Masked & { readonly kind: 'VBS_MEASUREMENT' });

export interface IgvmPageData extends Masked {
  readonly kind: 'PAGE_DATA';
  readonly gpa: Gpa;
  readonly dataType: IgvmPageDataType;
  readonly is2MiB: boolean;
  readonly unmeasured: boolean;
  readonly shared: boolean;
  /** File offset of the content; undefined: zeros. */
  readonly dataOffset?: number;
}

export interface IgvmParameterArea extends Placed {
  readonly kind: 'PARAMETER_AREA';
  readonly area: number;
  readonly length: number;
  /** File offset of the initial content; undefined: zeros. */
  readonly dataOffset?: number;
}

/** Says which value goes where in a parameter area. */
export interface IgvmParameter extends Placed {
  readonly kind: ParameterKind;
  readonly area: number;
  readonly byteOffset: number;
}

export interface IgvmVpContext extends Masked {
  readonly kind: 'VP_CONTEXT';
  readonly gpa: bigint;
  readonly vpIndex: number;
  /** File offset of 4096 bytes; for SEV-ES and SNP a VMSA. */
  readonly dataOffset: number;
}

/** Numbers of keys and signatures are 72 bytes each, little-endian, as in the ID authentication page. */
export interface IgvmSnpIdBlock extends Masked {
  readonly kind: 'SNP_ID_BLOCK';
  readonly authorKeyEnabled: number;
  readonly ld: Uint8Array;
  readonly familyId: Uint8Array;
  readonly imageId: Uint8Array;
  readonly version: number;
  readonly guestSvn: number;
  readonly idKeyAlgorithm: number;
  readonly authorKeyAlgorithm: number;
  /** R and S: 144 bytes. */
  readonly idKeySignature: Uint8Array;
  readonly idPublicKey: IgvmPublicKey;
  readonly authorKeySignature: Uint8Array;
  readonly authorPublicKey: IgvmPublicKey;
}

export interface IgvmPublicKey {
  readonly curve: number;
  /** QX and QY: 144 bytes. */
  readonly point: Uint8Array;
}
