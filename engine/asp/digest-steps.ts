import { gpa, hex, PAGE_SIZE, PAGE_SIZE_2M, PAGES_PER_2M, type Pfn, pfn, type Spa, spa, spaOf } from '../address.js';
import { type Crypto, portableCrypto } from '../crypto.js';
import { defineFault, type Fault, fail, makeFault, ok, type Result } from '../fault.js';
import { type PageBytes, ZERO_PAGE } from '../memory/page-bytes.js';
import { createSystemMemory, writePage } from '../memory/system-memory.js';
import { seededRandom } from '../random.js';
import { rmpUpdate } from '../rmp/rmpupdate.js';
import { createRmp, rmpSize } from '../rmp/table.js';
import { PAGE_TYPE, VMSA_GPA } from '../spec/page-type.js';
import { firmwareProfile, PROCESSOR_PROFILES, type ProcessorProfile } from '../spec/versions.js';
import { createFrameStack, type Op } from '../timeline/event.js';
import type { FirmwareMachine, FirmwareResult } from './command.js';
import { snpActivate } from './commands/snp-activate.js';
import { snpDfFlush } from './commands/snp-df-flush.js';
import { snpGctxCreate } from './commands/snp-gctx-create.js';
import { snpInit } from './commands/snp-init.js';
import { snpLaunchStart } from './commands/snp-launch-start.js';
import { snpLaunchUpdate } from './commands/snp-launch-update.js';
import { createAspState, type GuestContext, wbinvdOnAllCores } from './state.js';

/**
 * The digest of a list of pages, without VMM and KVM: each page goes through RMPUPDATE and SNP_LAUNCH_UPDATE of a
 * small machine, so that what the firmware would refuse is refused here with the same fault.
 */
export interface DigestStep {
  /** PAGE_TYPE; reserved values are refused as the firmware does. */
  readonly type: number;
  /** Guest physical address; a VMSA without one is at 0xfffffffff000, as KVM puts it. */
  readonly gpa?: number;
  readonly pageSize2M?: boolean;
  /** One or more whole pages; without data the pages are filled with `fill`. */
  readonly data?: Uint8Array;
  readonly fill?: number;
  /** Masks of VMPL1 … VMPL3. */
  readonly vmplMasks?: readonly [number, number, number];
  readonly imiPage?: boolean;
}

export interface DigestStepsOptions {
  /** IMI_EN of SNP_LAUNCH_START. */
  readonly imiEnabled?: boolean;
  /** With a processor, CPUID pages are checked against it; without, their contents do not matter. */
  readonly processor?: ProcessorProfile;
  readonly crypto?: Crypto;
}

export interface StepDigests {
  /** 48 bytes each. */
  readonly ld: Uint8Array;
  readonly imd: Uint8Array;
  /** Pages of 4 KiB measured. */
  readonly pages: number;
}

export const PAGE_LIST_LENGTH = defineFault<{ step: number; length: string; size: string }>({
  check: 'image-page-list-length',
  layer: 'manifest',
  command: 'page list',
  code: { kind: 'input' },
  title: 'Length is not a whole number of pages',
  message: (o) => `Step ${o.step}: length ${o.length} is not a multiple of ${o.size} and at least one page.`,
  why: 'Pages are measured whole. What a tool fills a partial page with would change the digest silently.',
  hint: 'Pad the data to the page size.',
  reference: 'AMD pub. 56860, SNP_LAUNCH_UPDATE',
  confirmed: true,
});

export const PAGE_LIST_GPA = defineFault<{ step: number }>({
  check: 'image-page-list-gpa',
  layer: 'manifest',
  command: 'page list',
  code: { kind: 'input' },
  title: 'Page without an address',
  message: (o) => `Step ${o.step} has no guest physical address; only a VMSA may go without.`,
  why: 'The guest physical address of each page is part of the measurement.',
  hint: 'Give the address.',
  reference: 'AMD pub. 56860, SNP_LAUNCH_UPDATE',
  confirmed: true,
});

/** A list that failed: the step and why. */
export type StepResult = Result<StepDigests> & { readonly step?: number };

const GCTX_PAGES = 1;

/** Runs the list. */
export function digestSteps(steps: readonly DigestStep[], options: DigestStepsOptions = {}): StepResult {
  const bench = createBench(steps, options);
  for (const [number, step] of steps.entries()) {
    const fault = runStep(bench, step, number, options);
    if (fault) return { ...fail<StepDigests>(fault), step: number };
  }
  return ok({ ld: bench.guest.ld, imd: bench.guest.imd, pages: bench.guest.measured.length });
}

interface Bench {
  readonly machine: FirmwareMachine;
  readonly guest: GuestContext;
  readonly gctx: Spa;
  next: number;
}

function runOp<T>(op: Op<T>): T {
  for (;;) {
    const step = op.next();
    if (step.done) return step.value;
  }
}

/** The bench itself must work: a refusal here is a bug of ours. */
function must(result: FirmwareResult): void {
  if (result.fault) throw new Error(`digest bench: ${result.fault.check}: ${result.fault.message}`);
}

const lengthOf = (step: DigestStep): number => step.data?.length ?? (step.pageSize2M ? PAGE_SIZE_2M : PAGE_SIZE);

function createBench(steps: readonly DigestStep[], options: DigestStepsOptions): Bench {
  let frames = GCTX_PAGES;
  for (const step of steps) {
    const pages = Math.ceil(lengthOf(step) / PAGE_SIZE);
    frames += step.pageSize2M ? pages + PAGES_PER_2M : pages;
  }
  // The table lies at the bottom of the memory that it covers: 1/256 of it, and the bookkeeping.
  const covered = Math.ceil((frames * 1.01 + 16) / PAGES_PER_2M + 1) * PAGES_PER_2M;
  const machine: FirmwareMachine = {
    processor: options.processor ?? PROCESSOR_PROFILES.genoa,
    firmware: firmwareProfile(55),
    crypto: options.crypto ?? portableCrypto,
    random: seededRandom('digest'),
    memory: createSystemMemory(covered * PAGE_SIZE, pfn(0)),
    rmp: createRmp(spa(0), covered),
    asp: createAspState(),
    stack: createFrameStack(),
  };
  const context = pfn(Math.ceil(rmpSize(covered) / PAGE_SIZE));
  const gctx = spaOf(context);
  must(runOp(snpInit(machine)));
  wbinvdOnAllCores(machine.asp);
  must(runOp(snpDfFlush(machine)));
  runOp(rmpUpdate(machine, context, { assigned: true, pageSize2M: false, immutable: true, gpa: gpa(0), asid: 0 }));
  must(runOp(snpGctxCreate(machine, { page: gctx })));
  const start = { gctx, policy: 0x3_0000n, gosvw: new Uint8Array(16), maEnabled: false };
  must(runOp(snpLaunchStart(machine, { ...start, imiEnabled: options.imiEnabled ?? false })));
  must(runOp(snpActivate(machine, { gctx, asid: 1 })));
  const guest = machine.asp.guests.get(gctx);
  if (!guest) throw new Error('digest bench: no guest');
  return { machine, guest, gctx, next: context + GCTX_PAGES };
}

/** The pages of one step, each through RMPUPDATE and SNP_LAUNCH_UPDATE. */
function runStep(bench: Bench, step: DigestStep, number: number, options: DigestStepsOptions): Fault | undefined {
  const pageSize2M = step.pageSize2M ?? false;
  const size = pageSize2M ? PAGE_SIZE_2M : PAGE_SIZE;
  const length = lengthOf(step);
  if (length === 0 || length % size !== 0) {
    return makeFault(PAGE_LIST_LENGTH, { step: number, length: hex(length), size: hex(size) });
  }
  const start = step.gpa ?? (step.type === PAGE_TYPE.VMSA ? VMSA_GPA : undefined);
  if (start === undefined) return makeFault(PAGE_LIST_GPA, { step: number });
  const { machine, gctx } = bench;
  for (let offset = 0; offset < length; offset += size) {
    const frame = allocate(bench, pageSize2M);
    fill(machine, frame, step, offset, size, options);
    const state = { assigned: true, pageSize2M, immutable: true, gpa: gpa(start + offset), asid: bench.guest.asid };
    const { fault } = runOp(rmpUpdate(machine, frame, state));
    if (fault) return fault;
    const result = runOp(
      snpLaunchUpdate(machine, {
        gctx,
        page: spaOf(frame),
        pageSize2M,
        pageType: step.type,
        vmplMasks: step.vmplMasks ?? [0, 0, 0],
        imiPage: step.imiPage ?? false,
      }),
    );
    if (result.fault) return result.fault;
  }
  return undefined;
}

function allocate(bench: Bench, pageSize2M: boolean): Pfn {
  if (pageSize2M) bench.next = Math.ceil(bench.next / PAGES_PER_2M) * PAGES_PER_2M;
  const frame = pfn(bench.next);
  bench.next += pageSize2M ? PAGES_PER_2M : 1;
  return frame;
}

function fill(
  machine: FirmwareMachine,
  frame: Pfn,
  step: DigestStep,
  offset: number,
  size: number,
  options: DigestStepsOptions,
): void {
  if (step.type === PAGE_TYPE.CPUID && !options.processor) return;
  const filled: PageBytes = step.fill ? { bytes: new Uint8Array(PAGE_SIZE).fill(step.fill), frozen: true } : ZERO_PAGE;
  for (let at = 0; at < size; at += PAGE_SIZE) {
    const bytes = step.data?.subarray(offset + at, offset + at + PAGE_SIZE);
    writePage(machine.memory, pfn(frame + at / PAGE_SIZE), bytes ? { bytes, frozen: true } : filled);
  }
}
