import { type Gpa, hex } from '../../address.js';
import { type Fault, makeFault } from '../../fault.js';
import { PAGE_TYPE, type PageType } from '../../spec/page-type.js';
import { IGVM_TYPE, type IgvmTypeName } from './defs.js';
import type { IgvmDirective, IgvmFile, IgvmPageData, IgvmSnpIdBlock, IgvmVpContext } from './file.js';
import { type IgvmIdentity, igvmIdentity } from './id-block.js';
import {
  continuesRun,
  filePart,
  largePageFault,
  type PageRun,
  runLength,
  runUpdates,
  startRun,
  type ZeroPages,
} from './page-data.js';
import {
  createParameterArea,
  isHandledParameter,
  type ParameterArea,
  type ParameterValues,
  writeParameter,
} from './parameters.js';
import * as faults from './vmm-faults.js';
import { vmsaFault } from './vmsa-checks.js';

export interface IgvmOptions extends ParameterValues {
  readonly zeroPages: ZeroPages;
  /** The table that replaces the content of CPUID pages. */
  readonly cpuidPage: () => Uint8Array;
}

/** One KVM_SEV_SNP_LAUNCH_UPDATE. */
export interface IgvmUpdate {
  readonly type: PageType;
  readonly gpa: Gpa;
  readonly length: number;
  readonly label: string;
  readonly source?: { readonly path: string; readonly bytes: Uint8Array };
}

/** Memory that must be there before pages are loaded; where the machine has none it gets a region of its own. */
export interface IgvmRegion {
  readonly gpa: Gpa;
  readonly length: number;
  /** Number of the directive, after which QEMU names the region. */
  readonly directive: number;
  /** Only made private, not loaded. */
  readonly required: boolean;
}

export interface IgvmLaunch {
  readonly updates: readonly IgvmUpdate[];
  readonly regions: readonly IgvmRegion[];
  readonly policy: bigint;
  /** VMSAs of the vCPUs that the file has one for; 4096 bytes each. */
  readonly vmsas: ReadonlyMap<number, Uint8Array>;
  readonly identity?: IgvmIdentity;
  readonly faults: readonly Fault[];
}

/** What is known so far while the directives are gone through. */
interface Processing {
  readonly file: IgvmFile;
  /** Bit of the SNP platform. */
  readonly mask: number;
  readonly options: IgvmOptions;
  readonly updates: IgvmUpdate[];
  readonly regions: IgvmRegion[];
  readonly vmsas: Map<number, Uint8Array>;
  readonly areas: Map<number, ParameterArea>;
  readonly faults: Fault[];
  idBlock?: IgvmSnpIdBlock;
  /** Pages that are collected and not launched yet. */
  run?: PageRun;
  contexts: number;
  outOfOrder?: Fault;
}

/**
 * What a VMM like QEMU does with a file, in file order. Faults of severity error are those at which it ends. QEMU
 * backends/igvm.c qigvm_process_file(). QEMU launches a run of pages when the next one begins, so that a parameter
 * area between them comes before; here the order is that of the file, as the format says.
 */
export function processIgvm(file: IgvmFile, options: IgvmOptions): IgvmLaunch {
  const { path } = file;
  const platform = file.platforms.find((p) => p.platform === 'SEV_SNP');
  if (!platform) {
    const platforms = file.platforms.map((p) => p.platform).join(', ');
    return nothing(makeFault(faults.IGVM_NOT_FOR_SNP, { path, platforms }));
  }
  if (file.directives.length === 0) return nothing(makeFault(faults.IGVM_NO_DIRECTIVES, { path }));
  const p: Processing = {
    file,
    mask: platform.mask,
    options,
    updates: [],
    regions: [],
    vmsas: new Map(),
    areas: new Map(),
    faults: file.skipped.map(({ type, offset }) =>
      makeFault(faults.IGVM_SKIPPED, { path, type: hex(type), offset: hex(offset) }),
    ),
    contexts: 0,
  };
  for (const [index, directive] of file.directives.entries()) {
    const fault = processDirective(p, directive, index);
    if (!fault) continue;
    p.faults.push(fault);
    break;
  }
  flush(p);
  const policy = processInitialization(p);
  if (p.outOfOrder) p.faults.push(p.outOfOrder);
  if (p.contexts > 0 && p.vmsas.size < options.vcpus)
    p.faults.push(makeFault(faults.IGVM_MORE_VCPUS, { path, contexts: p.vmsas.size, vcpus: options.vcpus }));
  return {
    updates: p.updates,
    regions: p.regions,
    policy,
    vmsas: p.vmsas,
    ...(p.idBlock ? { identity: igvmIdentity(p.idBlock, policy) } : {}),
    faults: p.faults,
  };
}

function nothing(fault: Fault): IgvmLaunch {
  return { updates: [], regions: [], policy: 0n, vmsas: new Map(), faults: [fault] };
}

/** The policy; QEMU knows no other initialization header, for whatever platform. */
function processInitialization(p: Processing): bigint {
  let policy: bigint | undefined;
  for (const header of p.file.initialization) {
    if (header.kind !== 'GUEST_POLICY') {
      p.faults.push(unknown(p, header.kind, header.offset));
      return policy ?? 0n;
    }
    if (applies(p, header)) policy = header.policy;
  }
  if (policy === undefined) p.faults.push(makeFault(faults.IGVM_NO_POLICY, { path: p.file.path }));
  return policy ?? 0n;
}

/** The fault at which processing ends. */
function processDirective(p: Processing, directive: IgvmDirective, index: number): Fault | undefined {
  switch (directive.kind) {
    case 'PAGE_DATA':
      return applies(p, directive) ? pageData(p, directive, index) : undefined;
    case 'VP_CONTEXT':
      return applies(p, directive) ? vpContext(p, directive) : undefined;
    case 'PARAMETER_AREA':
      p.areas.set(directive.area, createParameterArea(p.file, directive));
      return undefined;
    case 'PARAMETER_INSERT': {
      const area = p.areas.get(directive.area);
      if (!applies(p, directive) || !area || area.length === 0) return undefined;
      flush(p);
      noteOrder(p, directive);
      const { gpa } = directive;
      const { length, content } = area;
      const source = content.length === 0 ? {} : { source: { path: 'IGVM parameters', bytes: content } };
      const label = `IGVM parameter area ${directive.area}`;
      p.regions.push({ gpa, length, directive: index, required: false });
      p.updates.push({ type: PAGE_TYPE.UNMEASURED, gpa, length, label, ...source });
      return undefined;
    }
    case 'REQUIRED_MEMORY': {
      const { gpa, length } = directive;
      if (applies(p, directive) && length > 0) p.regions.push({ gpa, length, directive: index, required: true });
      return undefined;
    }
    case 'SNP_ID_BLOCK':
      return applies(p, directive) ? snpIdBlock(p, directive) : undefined;
    case 'ERROR_RANGE':
    case 'VBS_MEASUREMENT':
      return unknown(p, directive.kind, directive.offset);
    default: {
      const { kind, offset } = directive;
      if (!isHandledParameter(kind)) return unknown(p, kind, offset);
      const area = p.areas.get(directive.area);
      return area && writeParameter(p.file.path, area, directive, kind, p.options);
    }
  }
}

function applies(p: Processing, { mask }: { readonly mask: number }): boolean {
  return (mask & p.mask) !== 0;
}

function unknown(p: Processing, name: IgvmTypeName, offset: number): Fault {
  const type = `0x${IGVM_TYPE[name].toString(16).toUpperCase()}`;
  return makeFault(faults.IGVM_DIRECTIVE_UNKNOWN, { path: p.file.path, name, type, offset: hex(offset) });
}

function noteOrder(p: Processing, { kind, offset }: IgvmDirective): void {
  if (p.contexts === 0) return;
  p.outOfOrder ??= makeFault(faults.IGVM_VMSA_NOT_LAST, { path: p.file.path, name: kind, offset: hex(offset) });
}

function pageData(p: Processing, page: IgvmPageData, index: number): Fault | undefined {
  const large = largePageFault(p.file, page);
  if (large) return large;
  if (page.shared) {
    const operands = { path: p.file.path, offset: hex(page.offset), gpa: hex(page.gpa) };
    p.faults.push(makeFault(faults.IGVM_SHARED_PAGE, operands));
  }
  noteOrder(p, page);
  if (p.run && continuesRun(p.run, page, index)) {
    p.run.pages.push(page);
    return undefined;
  }
  flush(p);
  p.run = startRun(page, index);
  return undefined;
}

/** Launches the pages that were collected. */
function flush(p: Processing): void {
  const { run } = p;
  if (!run) return;
  delete p.run;
  p.regions.push({ gpa: run.first.gpa, length: runLength(run), directive: run.directive, required: false });
  p.updates.push(...runUpdates(p.file, run, p.options.zeroPages, p.options.cpuidPage));
}

function vpContext(p: Processing, context: IgvmVpContext): Fault | undefined {
  const vmsa = filePart(p.file, context.dataOffset);
  p.contexts++;
  const fault = vmsaFault(p.file.path, context, vmsa, p.options.vcpus);
  if (!fault) p.vmsas.set(context.vpIndex, vmsa);
  return fault;
}

function snpIdBlock(p: Processing, block: IgvmSnpIdBlock): Fault | undefined {
  const at = { path: p.file.path, offset: hex(block.offset) };
  if (p.idBlock) return makeFault(faults.IGVM_ID_BLOCKS, at);
  p.idBlock = block;
  const { authorKeyEnabled: enabled, authorPublicKey, version } = block;
  if ((enabled !== 0) !== ((authorPublicKey.curve & 0xff) !== 0))
    p.faults.push(makeFault(faults.IGVM_AUTHOR_KEY, { ...at, enabled, curve: authorPublicKey.curve }));
  if (version !== 1) p.faults.push(makeFault(faults.IGVM_ID_VERSION, { ...at, version }));
  return undefined;
}
