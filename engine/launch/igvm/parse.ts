import { hex } from '../../address.js';
import { copyBytes, view } from '../../bytes.js';
import { type Fault, type FaultDefinition, fail, makeFault, type Operands, ok, type Result } from '../../fault.js';
import { crc32 } from './crc32.js';
import {
  FIXED_HEADER_SIZE,
  IGVM_MAGIC,
  IGVM_SECTIONS,
  IGVM_SIZE,
  type IgvmPlatformName,
  type IgvmSection,
  type IgvmTypeName,
  igvmSection,
  igvmTypeName,
  OPTIONAL_BIT,
  VARIABLE_HEADER_SIZE,
} from './defs.js';
import * as faults from './faults.js';
import type { IgvmDirective, IgvmFile, IgvmInitialization, IgvmPlatform } from './file.js';
import { structureReader } from './reader.js';
import { decodeDirective, decodeInitialization, decodePlatform } from './structures.js';
import { validateDirectives } from './validate-directives.js';

const parsed = new WeakMap<Uint8Array, { readonly path: string; readonly result: Result<IgvmFile> }>();

/**
 * Reads an IGVM file, or says what is the first thing wrong with it. Never throws. The same file gives the same
 * object, so that what is derived from it is kept.
 */
export function parseIgvm(bytes: Uint8Array, path: string): Result<IgvmFile> {
  const known = parsed.get(bytes);
  if (known?.path === path) return known.result;
  const result = parse(bytes, path);
  parsed.set(bytes, { path, result });
  return result;
}

interface FixedHeader {
  readonly version: 1 | 2;
  readonly architecture: 'x64' | 'arm64';
  readonly start: number;
  /** Where the variable headers end and contents begin. */
  readonly end: number;
}

function refuse<O extends Operands>(definition: FaultDefinition<O>, operands: O): Result<never> {
  return fail(makeFault(definition, operands));
}

function parse(bytes: Uint8Array, path: string): Result<IgvmFile> {
  const header = parseFixedHeader(bytes, path);
  if (!header.ok) return header;
  const structures = parseStructures(bytes, path, header.value);
  if (!structures.ok) return structures;
  const { version, architecture } = header.value;
  const file: IgvmFile = { path, bytes, version, architecture, ...structures.value };
  const wrong = platformFault(file) ?? validateDirectives(file);
  return wrong ? fail(wrong) : ok(file);
}

function parseFixedHeader(bytes: Uint8Array, path: string): Result<FixedHeader> {
  const size = bytes.length;
  if (size < FIXED_HEADER_SIZE[1]) return refuse(faults.IGVM_TOO_SHORT, { path, size, needed: FIXED_HEADER_SIZE[1] });
  const v = view(bytes);
  const word = (at: number): number => v.getUint32(at, true);
  if (word(0) !== IGVM_MAGIC) return refuse(faults.IGVM_NOT_IGVM, { path, magic: hex(word(0)) });
  const version = word(4);
  if (version !== 1 && version !== 2) return refuse(faults.IGVM_VERSION, { path, version });
  const headerSize = FIXED_HEADER_SIZE[version];
  if (size < headerSize) return refuse(faults.IGVM_TOO_SHORT, { path, size, needed: headerSize });
  if (version === 2 && (word(24) > 1 || word(28) !== 4096))
    return refuse(faults.IGVM_V2_FIELDS, { path, architecture: word(24), pageSize: word(28) });
  if (word(16) !== size) return refuse(faults.IGVM_FILE_SIZE, { path, declared: word(16), actual: size });
  const start = word(8);
  const end = start + word(12);
  if (start < headerSize || start % 8 !== 0 || end > size) {
    const operands = { path, offset: hex(start), size: hex(word(12)), actual: hex(size) };
    return refuse(faults.IGVM_HEADER_PLACE, operands);
  }
  const stored = word(20);
  const fixed = copyBytes(bytes, 0, headerSize);
  fixed.fill(0, 20, 24);
  const computed = crc32(fixed, bytes.subarray(start, end));
  if (stored !== computed) return refuse(faults.IGVM_CHECKSUM, { path, stored: hex(stored), computed: hex(computed) });
  return ok({ version, architecture: version === 2 && word(24) === 1 ? 'arm64' : 'x64', start, end });
}

type Structures = Pick<IgvmFile, 'platforms' | 'initialization' | 'directives' | 'skipped'>;

function parseStructures(bytes: Uint8Array, path: string, header: FixedHeader): Result<Structures> {
  const platforms: IgvmPlatform[] = [];
  const initialization: IgvmInitialization[] = [];
  const directives: IgvmDirective[] = [];
  const skipped: { type: number; offset: number }[] = [];
  const v = view(bytes);
  let stage = 0;
  let at = header.start;
  while (at < header.end) {
    const offset = hex(at);
    const left = header.end - at;
    if (left < VARIABLE_HEADER_SIZE)
      return refuse(faults.IGVM_CUT, { path, offset, needed: VARIABLE_HEADER_SIZE, left });
    const type = v.getUint32(at, true);
    const length = v.getUint32(at + 4, true);
    const plain = type >= OPTIONAL_BIT ? type - OPTIONAL_BIT : type;
    const name = igvmTypeName(plain);
    const section = igvmSection(plain);
    if (name === undefined && type < OPTIONAL_BIT)
      return refuse(faults.IGVM_UNKNOWN_TYPE, { path, offset, type: hex(type) });
    const expected = name && IGVM_SIZE[name];
    if (name && length !== expected)
      return refuse(faults.IGVM_LENGTH, { path, offset, name, length, expected: expected ?? 0 });
    // The padding belongs to the section, too.
    const needed = VARIABLE_HEADER_SIZE + Math.ceil(length / 8) * 8;
    if (needed > left) return refuse(faults.IGVM_CUT, { path, offset, needed, left });
    if (section) {
      const position = IGVM_SECTIONS.indexOf(section);
      if (position < stage)
        return refuse(faults.IGVM_ORDER, { path, offset, name: name ?? hex(type), after: sectionName(stage) });
      stage = position;
    }
    if (name) {
      const place = { name, offset: at, start: at + VARIABLE_HEADER_SIZE, length };
      const reader = structureReader({ path, bytes, dataStart: header.end }, place);
      const fault = decode(name, reader, { platforms, initialization, directives });
      if (fault) return fail(fault);
    } else skipped.push({ type, offset: at });
    at += needed;
  }
  return ok({ platforms, initialization, directives, skipped });
}

function sectionName(stage: number): IgvmSection {
  return IGVM_SECTIONS[stage] ?? 'directive';
}

function decode(
  name: IgvmTypeName,
  reader: ReturnType<typeof structureReader>,
  lists: {
    readonly platforms: IgvmPlatform[];
    readonly initialization: IgvmInitialization[];
    readonly directives: IgvmDirective[];
  },
): Fault | undefined {
  switch (name) {
    case 'SUPPORTED_PLATFORM':
      return take(decodePlatform(reader), lists.platforms);
    case 'GUEST_POLICY':
    case 'RELOCATABLE_REGION':
    case 'PAGE_TABLE_RELOCATION_REGION':
      return take(decodeInitialization(reader, name), lists.initialization);
    default:
      return take(decodeDirective(reader, name), lists.directives);
  }
}

function take<T>(result: Result<T>, list: T[]): Fault | undefined {
  if (!result.ok) return result.fault;
  list.push(result.value);
  return undefined;
}

const ARM_PLATFORMS: ReadonlySet<IgvmPlatformName> = new Set(['CCA', 'VSM_ISOLATION']);

function platformFault({ path, platforms, architecture }: IgvmFile): Fault | undefined {
  if (platforms.length === 0) return makeFault(faults.IGVM_NO_PLATFORM, { path });
  const seen = new Set<string>();
  for (const { platform, offset } of platforms) {
    const at = { path, offset: hex(offset) };
    const fits = architecture === 'arm64' ? ARM_PLATFORMS.has(platform) : platform !== 'CCA';
    if (!fits) {
      const problem = `there is no ${platform} on ${architecture}`;
      return makeFault(faults.IGVM_PLATFORM_HEADER, { ...at, problem });
    }
    if (seen.has(platform))
      return makeFault(faults.IGVM_PLATFORM_HEADER, { ...at, problem: `${platform} already has a header` });
    seen.add(platform);
  }
  return undefined;
}
