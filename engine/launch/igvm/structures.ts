import { PAGE_SIZE, PAGE_SIZE_2M } from '../../address.js';
import { copyBytes } from '../../bytes.js';
import { fail, makeFault, ok, type Result } from '../../fault.js';
import { IGVM_PAGE_DATA_TYPES, type IgvmTypeName, igvmPlatformName, PAGE_DATA_FLAG } from './defs.js';
import * as faults from './faults.js';
import type { IgvmDirective, IgvmInitialization, IgvmPlatform, IgvmSnpIdBlock, ParameterKind } from './file.js';
import { dataFault, placeOf, rangeAt, reserved, type StructureReader, u32, u64, unaligned } from './reader.js';

/**
 * The fields of each structure. Offsets: microsoft/igvm igvm_defs IGVM_VHS_*; checks: igvm validate(). The length
 * of the structure is known to be right.
 */

const PAGE = BigInt(PAGE_SIZE);

export function decodePlatform(reader: StructureReader): Result<IgvmPlatform> {
  const invalid = (problem: string) =>
    fail<never>(makeFault(faults.IGVM_PLATFORM_HEADER, { ...placeOf(reader), problem }));
  const mask = u32(reader, 0);
  const highestVtl = reader.body.getUint8(4);
  const type = reader.body.getUint8(5);
  const platformVersion = reader.body.getUint16(6, true);
  const sharedGpaBoundary = u64(reader, 8);
  const platform = igvmPlatformName(type);
  if (mask === 0 || (mask & (mask - 1)) !== 0)
    return invalid(`its mask 0x${mask.toString(16)} has not exactly one bit`);
  if (highestVtl !== 0 && highestVtl !== 2) return invalid(`its highest VTL is ${highestVtl}, not 0 or 2`);
  if (platform === undefined) return invalid(`there is no platform type ${type}`);
  if (platformVersion !== 1) return invalid(`its platform version is ${platformVersion}, not 1`);
  if ((platform === 'NATIVE' || platform === 'VSM_ISOLATION') && sharedGpaBoundary !== 0n)
    return invalid(`a platform of type ${platform} has no shared GPA boundary`);
  const { offset } = reader;
  return ok({
    kind: 'SUPPORTED_PLATFORM',
    offset,
    mask,
    highestVtl,
    platform,
    platformVersion,
    sharedGpaBoundary,
  });
}

export function decodeInitialization(
  reader: StructureReader,
  kind: 'GUEST_POLICY' | 'RELOCATABLE_REGION' | 'PAGE_TABLE_RELOCATION_REGION',
): Result<IgvmInitialization> {
  const { offset, body } = reader;
  switch (kind) {
    case 'GUEST_POLICY':
      if (u32(reader, 12) !== 0) return reserved(reader);
      return ok({ kind, offset, policy: u64(reader, 0), mask: u32(reader, 8) });
    case 'RELOCATABLE_REGION': {
      const [alignment, gpa, size, minimum, maximum] = [8, 16, 24, 32, 40].map((at) => u64(reader, at)) as [
        bigint,
        bigint,
        bigint,
        bigint,
        bigint,
      ];
      if (size % PAGE !== 0n) return unaligned(reader, 'relocation_region_size', size);
      if (alignment === 0n || alignment % PAGE !== 0n) return unaligned(reader, 'relocation_alignment', alignment);
      if (gpa % alignment !== 0n) return unaligned(reader, 'relocation_region_gpa', gpa);
      if (minimum % alignment !== 0n) return unaligned(reader, 'minimum_relocation_gpa', minimum);
      if (maximum % alignment !== 0n) return unaligned(reader, 'maximum_relocation_gpa', maximum);
      const head = { mask: u32(reader, 0), vpIndex: body.getUint16(4, true), vtl: body.getUint8(6) };
      return ok({ kind, offset, ...head, flags: body.getUint8(7), alignment, gpa, size, minimum, maximum });
    }
    case 'PAGE_TABLE_RELOCATION_REGION': {
      const size = u64(reader, 16);
      const used = u64(reader, 24);
      if (body.getUint8(7) !== 0) return reserved(reader);
      if (size % PAGE !== 0n) return unaligned(reader, 'size', size);
      if (used % PAGE !== 0n || used > size) return unaligned(reader, 'used_size', used);
      const range = rangeAt(reader, 8, size);
      if (!range.ok) return range;
      const head = { mask: u32(reader, 0), vpIndex: body.getUint16(4, true), vtl: body.getUint8(6) };
      return ok({ kind, offset, ...head, gpa: range.value.gpa, size, used });
    }
  }
}

export function decodeDirective(
  reader: StructureReader,
  kind: Exclude<IgvmTypeName, 'SUPPORTED_PLATFORM' | IgvmInitialization['kind']>,
): Result<IgvmDirective> {
  const { offset } = reader;
  switch (kind) {
    case 'PARAMETER_AREA':
      return decodeParameterArea(reader);
    case 'PAGE_DATA':
      return decodePageData(reader);
    case 'PARAMETER_INSERT': {
      const range = rangeAt(reader, 0, 0n);
      if (!range.ok) return range;
      return ok({ kind, offset, gpa: range.value.gpa, mask: u32(reader, 8), area: u32(reader, 12) });
    }
    case 'VP_CONTEXT': {
      const dataOffset = u32(reader, 12);
      const outside = dataFault(reader, dataOffset, PAGE_SIZE);
      if (outside) return fail(outside);
      const head = { mask: u32(reader, 8), vpIndex: reader.body.getUint16(16, true) };
      const gpa = u64(reader, 0);
      if (gpa % PAGE !== 0n) return unaligned(reader, 'gpa', gpa);
      return ok({ kind, offset, ...head, gpa, dataOffset });
    }
    case 'REQUIRED_MEMORY': {
      if (u32(reader, 20) !== 0) return reserved(reader);
      const range = rangeAt(reader, 0, BigInt(u32(reader, 12)));
      if (!range.ok) return range;
      const vtl2Protectable = (u32(reader, 16) & 1) !== 0;
      return ok({ kind, offset, mask: u32(reader, 8), ...range.value, vtl2Protectable });
    }
    case 'ERROR_RANGE': {
      const range = rangeAt(reader, 0, 0n);
      if (!range.ok) return range;
      return ok({ kind, offset, mask: u32(reader, 8), gpa: range.value.gpa, length: u32(reader, 12) });
    }
    case 'SNP_ID_BLOCK':
      return ok(decodeIdBlock(reader));
    case 'VBS_MEASUREMENT':
      return ok({ kind, offset, mask: u32(reader, 0) });
    default:
      return ok({ kind: kind satisfies ParameterKind, offset, area: u32(reader, 0), byteOffset: u32(reader, 4) });
  }
}

function decodeParameterArea(reader: StructureReader): Result<IgvmDirective> {
  const length = u64(reader, 0);
  const area = u32(reader, 8);
  const dataOffset = u32(reader, 12);
  if (length % PAGE !== 0n) return unaligned(reader, 'number_of_bytes', length);
  if (length > BigInt(Number.MAX_SAFE_INTEGER)) {
    const problem = `an area of ${length} bytes fits into no memory`;
    return fail(makeFault(faults.IGVM_PARAMETER_AREA, { ...placeOf(reader), problem }));
  }
  const outside = dataOffset === 0 ? undefined : dataFault(reader, dataOffset, Number(length));
  if (outside) return fail(outside);
  return ok({
    kind: 'PARAMETER_AREA',
    offset: reader.offset,
    area,
    length: Number(length),
    ...(dataOffset === 0 ? {} : { dataOffset }),
  });
}

function decodePageData(reader: StructureReader): Result<IgvmDirective> {
  const flags = u32(reader, 16);
  const is2MiB = (flags & PAGE_DATA_FLAG.IS_2MB) !== 0;
  const size = is2MiB ? PAGE_SIZE_2M : PAGE_SIZE;
  const dataOffset = u32(reader, 12);
  const outside = dataOffset === 0 ? undefined : dataFault(reader, dataOffset, size);
  if (outside) return fail(outside);
  if (reader.body.getUint16(22, true) !== 0) return reserved(reader);
  const range = rangeAt(reader, 0, BigInt(size), BigInt(size));
  if (!range.ok) return range;
  const type = reader.body.getUint16(20, true);
  const dataType = IGVM_PAGE_DATA_TYPES[type];
  if (dataType === undefined) return fail(makeFault(faults.IGVM_PAGE_DATA_TYPE, { ...placeOf(reader), type }));
  return ok({
    kind: 'PAGE_DATA',
    offset: reader.offset,
    mask: u32(reader, 8),
    gpa: range.value.gpa,
    dataType,
    is2MiB,
    unmeasured: (flags & PAGE_DATA_FLAG.UNMEASURED) !== 0,
    shared: (flags & PAGE_DATA_FLAG.SHARED) !== 0,
    ...(dataOffset === 0 ? {} : { dataOffset }),
  });
}

function decodeIdBlock(reader: StructureReader): IgvmSnpIdBlock {
  const start = reader.body.byteOffset - reader.bytes.byteOffset;
  const part = (at: number, length: number): Uint8Array => copyBytes(reader.bytes, start + at, start + at + length);
  return {
    kind: 'SNP_ID_BLOCK',
    offset: reader.offset,
    mask: u32(reader, 0),
    authorKeyEnabled: reader.body.getUint8(4),
    ld: part(8, 48),
    familyId: part(56, 16),
    imageId: part(72, 16),
    version: u32(reader, 88),
    guestSvn: u32(reader, 92),
    idKeyAlgorithm: u32(reader, 96),
    authorKeyAlgorithm: u32(reader, 100),
    idKeySignature: part(104, 144),
    idPublicKey: { curve: u32(reader, 248), point: part(256, 144) },
    authorKeySignature: part(400, 144),
    authorPublicKey: { curve: u32(reader, 544), point: part(552, 144) },
  };
}
