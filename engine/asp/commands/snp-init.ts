import { hex, PAGE_SIZE, pfnOf, type Spa, spa, spaOf } from '../../address.js';
import { defineFault } from '../../fault.js';
import { HYPERVISOR_ENTRY } from '../../rmp/entry.js';
import { fillEntries, RMP_BOOKKEEPING_SIZE, RMP_ENTRY_SIZE, writeEntry } from '../../rmp/table.js';
import { PLATFORM_FEATURES } from '../../spec/platform-features.js';
import { logEvent, type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { stateAt } from '../common-checks.js';
import { currentFirmware } from '../platform-firmware.js';
import type { CoreSetup } from '../state.js';

/** SNP_INIT (0x081) and SNP_INIT_EX (0x085). AMD pub. 56860, SNP_INIT_EX. */

const INIT_EX = 'AMD pub. 56860, SNP_INIT_EX';

/** One element of the HV-Fixed list: `pages` pages of 4 KiB from `base`. */
export interface FixedRange {
  readonly base: Spa;
  readonly pages: number;
}

export interface InitExParams {
  /** INIT_RMP: build the RMP. Without it the RMP of an earlier SNP_INIT is used. */
  readonly initRmp: boolean;
  /** LIST_PADDR: pages that become HV-Fixed; undefined leaves LIST_PADDR_EN clear. */
  readonly ranges?: readonly FixedRange[];
  readonly raplDisable?: boolean;
  readonly ciphertextHiding?: boolean;
  /** TIO_EN: trusted I/O, which no emulated platform has. */
  readonly tioEnable?: boolean;
  /** MAX_SNP_ASID: with ciphertext hiding the highest ASID for SNP guests; otherwise 0 or absent. */
  readonly maxSnpAsid?: number;
}

export const INIT_STATE = defineFault<{ state: string }>({
  check: 'fw-init-platform-state',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('INVALID_PLATFORM_STATE'),
  title: 'SNP platform already initialised',
  message: (o) => `The SNP platform is in state ${o.state}; SNP_INIT needs UNINIT.`,
  why: 'Initialising builds the RMP. Doing that under running guests would take their memory away.',
  hint: 'Use the platform as it is, or run SNP_SHUTDOWN_EX first.',
  reference: INIT_EX,
  confirmed: true,
});

export const INIT_LIST_UNSUPPORTED = defineFault<{ abi: string }>({
  check: 'fw-init-list-unsupported',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('INVALID_PARAM'),
  title: 'HV-Fixed list not supported',
  message: (o) => `LIST_PADDR_EN is set, but firmware ABI ${o.abi} does not know it: the bit is reserved before 1.52.`,
  why: 'The list names memory that can never be given to a guest, such as memory of devices. Older firmware decides that by itself.',
  hint: 'Use SNP_INIT without a list, or a firmware of ABI 1.52 or newer.',
  reference: `${INIT_EX}; Linux drivers/crypto/ccp/sev-dev.c __sev_snp_init_locked()`,
  confirmed: false,
});

export const INIT_OPTION_UNSUPPORTED = defineFault<{ option: string; processor: string }>({
  check: 'fw-init-option-unsupported',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('UNSUPPORTED'),
  title: 'Platform option not supported',
  message: (o) => `${o.option} is set, but ${o.processor} does not support it.`,
  why: 'Options of SNP_INIT_EX promise a property of the whole platform, which the processor must have.',
  hint: 'Leave the option out, or use a newer processor.',
  reference: INIT_EX,
  confirmed: false,
});

export const INIT_RMP_ALIGNMENT = defineFault<{ base: string; end: string }>({
  check: 'fw-init-rmp-alignment',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('INVALID_CONFIG'),
  title: 'RMP not aligned',
  message: (o) => `RMP_BASE ${o.base} or the byte after RMP_END ${o.end} is not a multiple of 8 KiB.`,
  why: 'The processor finds an entry by its distance from RMP_BASE; both ends of the table must be 8 KiB aligned, in practice 1 MiB.',
  hint: 'Let the BIOS reserve the RMP (“SNP Memory (RMP Table) Coverage”), which aligns it.',
  reference: 'AMD64 APM vol. 2, 15.36.4',
  confirmed: false,
});

export const INIT_RMP_MEMORY = defineFault<{ base: string; end: string; memory: string }>({
  check: 'fw-init-rmp-memory',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('INVALID_ADDRESS'),
  title: 'RMP outside of system memory',
  message: (o) => `The RMP from ${o.base} to ${o.end} does not lie in system memory, which ends at ${o.memory}.`,
  why: 'The table is kept in DRAM that the BIOS reserved for it.',
  hint: 'Reserve the RMP inside of system memory.',
  reference: INIT_EX,
  confirmed: false,
});

export const INIT_RMP_REQUIRED = defineFault({
  check: 'fw-init-rmp-required',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('RMP_INIT_REQUIRED'),
  title: 'The RMP must be initialised',
  message: () => 'INIT_RMP is 0, but the RMP has not been initialised since reset.',
  why: 'Without INIT_RMP the firmware trusts the table that it built before. After a reset there is none.',
  hint: 'Set INIT_RMP.',
  reference: INIT_EX,
  confirmed: true,
});

export const INIT_RANGE_ADDRESS = defineFault<{ base: string; pages: number; memory: string }>({
  check: 'fw-init-range-address',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('INVALID_ADDRESS'),
  title: 'HV-Fixed range invalid',
  message: (o) =>
    `The range of ${o.pages} pages at ${o.base} is not page aligned, is empty, or exceeds the memory that the RMP covers (${o.memory}).`,
  why: 'Each range names whole pages of memory with an RMP entry.',
  hint: 'Align the base to 4 KiB and keep the range inside of system memory.',
  reference: INIT_EX,
  confirmed: false,
});

export const INIT_RANGE_STATE = defineFault<{ address: string; state: string }>({
  check: 'fw-init-range-state',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('INVALID_PAGE_STATE'),
  title: 'HV-Fixed page in the wrong state',
  message: (o) => `The page at ${o.address} is in state ${o.state} and cannot become HV-Fixed.`,
  why: 'Only memory that nobody owns, or that the host gave to the firmware, can be fixed as hypervisor memory. The RMP itself never can.',
  hint: 'Take the page off the list, or give it to the firmware first.',
  reference: INIT_EX,
  confirmed: false,
});

export const INIT_MAX_ASID = defineFault<{ asid: number; hiding: boolean; max: number }>({
  check: 'fw-init-max-snp-asid',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('INVALID_PARAM'),
  title: 'MAX_SNP_ASID does not fit',
  message: (o) =>
    o.hiding
      ? `MAX_SNP_ASID is ${o.asid}; with CIPHERTEXT_HIDING_EN it must be between 1 and ${o.max}.`
      : `MAX_SNP_ASID is ${o.asid}, but CIPHERTEXT_HIDING_EN is 0.`,
  why: 'Ciphertext hiding divides the ASIDs of SEV-ES and SNP guests: SNP guests get those up to MAX_SNP_ASID. Without it there is nothing to divide.',
  hint: 'Pass 0 without ciphertext hiding; with it leave at least one ASID to SNP guests.',
  reference: `${INIT_EX}; Linux drivers/crypto/ccp/sev-dev.c __sev_snp_init_locked()`,
  confirmed: false,
});

export const INIT_CORES = defineFault<{ apicId: number; problem: string }>({
  check: 'fw-init-core-msrs',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('INVALID_CONFIG'),
  title: 'A core is not set up for SNP',
  message: (o) => `The core with APIC ID ${o.apicId} ${o.problem}.`,
  why: 'Every core checks the RMP by itself. One core without SNP, or with another table, could write to guest memory as if there were none; so the firmware looks at the MSRs of all of them.',
  hint: 'Set SYSCFG, RMP_BASE and RMP_END alike on all cores, VM_HSAVE_PA to zero, and leave no thread offline.',
  reference: `${INIT_EX}; Linux drivers/crypto/ccp/sev-dev.c __sev_snp_init_locked() and arch/x86/virt/svm/sev.c`,
  confirmed: true,
});

export const INIT_IOMMU_PAGE = defineFault<{ address: string; state: string }>({
  check: 'fw-init-iommu-page',
  layer: 'firmware',
  command: 'SNP_INIT_EX',
  code: status('INVALID_PAGE_STATE'),
  title: 'Buffer of an IOMMU in the wrong state',
  message: (o) =>
    `The buffer of an IOMMU at ${o.address} is in state ${o.state}; it must belong to the host or to the firmware.`,
  why: 'IOMMUs write logs and completion words themselves. From SNP_INIT on these pages belong to the firmware, so that the host cannot make them pages of a guest.',
  hint: 'Give the IOMMUs buffers in memory of the host.',
  reference: `${INIT_EX}; Linux drivers/iommu/amd/init.c iommu_snp_enable()`,
  confirmed: false,
});

const SYSCFG = { MFDM: 1n << 19n, MEM_ENCRYPTION: 1n << 23n, SNP_EN: 1n << 24n, VMPL_EN: 1n << 25n } as const;

/** What is wrong with the MSRs of a core, in words. AMD64 APM vol. 2, 15.36.2. */
function coreProblem(core: CoreSetup, first: CoreSetup, { rmp }: FirmwareMachine): string | undefined {
  const lacks = (bit: bigint): boolean => (core.syscfg & bit) === 0n;
  if (lacks(SYSCFG.MEM_ENCRYPTION)) return 'has SYSCFG.MemEncryptionModEn clear';
  if (lacks(SYSCFG.SNP_EN)) return 'has SYSCFG.SecureNestedPagingEn clear';
  if (lacks(SYSCFG.VMPL_EN)) return 'has SYSCFG.VMPLEn clear';
  if (lacks(SYSCFG.MFDM)) return 'has SYSCFG.MtrrFixDramModEn clear';
  if (core.syscfg !== first.syscfg) return `has SYSCFG ${hex(core.syscfg)}, the first core ${hex(first.syscfg)}`;
  if (core.hsavePa !== 0) return `has VM_HSAVE_PA ${hex(core.hsavePa)} instead of 0`;
  if (core.rmpBase !== rmp.base || core.rmpEnd !== rmp.end) {
    return `has the RMP from ${hex(core.rmpBase)} to ${hex(core.rmpEnd)}, the platform from ${hex(rmp.base)} to ${hex(rmp.end)}`;
  }
  return undefined;
}

function coresRefusal(machine: FirmwareMachine, command: string): FirmwareResult | undefined {
  const { cores } = machine.asp;
  const first = cores?.[0];
  if (!cores || !first) return undefined;
  for (const core of cores) {
    const problem = coreProblem(core, first, machine);
    if (problem) return refuse(INIT_CORES, { apicId: core.apicId, problem }, command);
  }
  return undefined;
}

/** SNP_INIT: INIT_EX with INIT_RMP and nothing else. */
export function snpInit(machine: FirmwareMachine): Op<FirmwareResult> {
  return inCommand(machine, 'SNP_INIT', {}, () => initialise(machine, { initRmp: true }, 'SNP_INIT'));
}

export function snpInitEx(machine: FirmwareMachine, params: InitExParams): Op<FirmwareResult> {
  const args = { initRmp: params.initRmp, ranges: params.ranges?.length ?? 0 };
  return inCommand(machine, 'SNP_INIT_EX', { args }, () => initialise(machine, params, 'SNP_INIT_EX'));
}

function refusal(machine: FirmwareMachine, params: InitExParams, command: string): FirmwareResult | undefined {
  const { asp, rmp, processor, memory } = machine;
  const firmware = currentFirmware(machine);
  const features = PLATFORM_FEATURES[processor.name];
  if (asp.platform !== 'UNINIT') return refuse(INIT_STATE, { state: asp.platform }, command);
  if (params.ranges && !firmware.initEx) {
    return refuse(INIT_LIST_UNSUPPORTED, { abi: `${firmware.major}.${firmware.minor}` }, command);
  }
  if (params.raplDisable && !features.raplDisable) {
    return refuse(INIT_OPTION_UNSUPPORTED, { option: 'RAPL_DIS', processor: processor.name }, command);
  }
  if (params.ciphertextHiding && !features.ciphertextHiding) {
    return refuse(INIT_OPTION_UNSUPPORTED, { option: 'CIPHERTEXT_HIDING_EN', processor: processor.name }, command);
  }
  if (params.tioEnable)
    return refuse(INIT_OPTION_UNSUPPORTED, { option: 'TIO_EN', processor: processor.name }, command);
  const asid = params.maxSnpAsid ?? 0;
  const hiding = params.ciphertextHiding ?? false;
  if (hiding ? asid < 1 || asid >= processor.minSevAsid : asid !== 0) {
    return refuse(INIT_MAX_ASID, { asid, hiding, max: processor.minSevAsid - 1 }, command);
  }
  const wrongCore = coresRefusal(machine, command);
  if (wrongCore) return wrongCore;
  const base = hex(rmp.base);
  const end = hex(rmp.end);
  if (rmp.base % 0x2000 !== 0 || (rmp.end + 1) % 0x2000 !== 0) {
    return refuse(INIT_RMP_ALIGNMENT, { base, end }, command);
  }
  if (rmp.base < 0 || rmp.end >= memory.size) {
    return refuse(INIT_RMP_MEMORY, { base, end, memory: hex(memory.size) }, command);
  }
  if (!params.initRmp && !rmp.initialised) return refuse(INIT_RMP_REQUIRED, {}, command);
  for (const range of params.ranges ?? []) {
    const wrong = rangeRefusal(machine, range, params.initRmp, command);
    if (wrong) return wrong;
  }
  return iommuRefusal(machine, params.initRmp, command);
}

function iommuRefusal(machine: FirmwareMachine, rebuilt: boolean, command: string): FirmwareResult | undefined {
  const { asp, rmp } = machine;
  for (const page of asp.iommuPages) {
    const address = spaOf(page);
    const isRmp = address <= rmp.end && address + PAGE_SIZE > rmp.base;
    const state = rebuilt ? 'Default' : stateAt(machine, page);
    if (!isRmp && (state === 'Default' || state === 'Hypervisor' || state === 'Firmware')) continue;
    const text = isRmp ? 'Firmware (the RMP itself)' : state;
    return refuse(INIT_IOMMU_PAGE, { address: hex(address), state: text }, command);
  }
  return undefined;
}

function rangeRefusal(
  machine: FirmwareMachine,
  { base, pages }: FixedRange,
  rebuilt: boolean,
  command: string,
): FirmwareResult | undefined {
  const { rmp } = machine;
  const first = pfnOf(base);
  if (base < 0 || base % PAGE_SIZE !== 0 || pages < 1 || first + pages > rmp.coveredPages) {
    return refuse(INIT_RANGE_ADDRESS, { base: hex(base), pages, memory: hex(rmp.coveredPages * PAGE_SIZE) }, command);
  }
  for (let i = 0; i < pages; i++) {
    const address = spa(base + i * PAGE_SIZE);
    if (address <= rmp.end && address + PAGE_SIZE > rmp.base) {
      return refuse(INIT_RANGE_STATE, { address: hex(address), state: 'Firmware (the RMP itself)' }, command);
    }
    // A table that is being rebuilt has no states yet.
    const state = rebuilt ? 'Default' : stateAt(machine, pfnOf(address));
    if (state !== 'Default' && state !== 'Firmware' && state !== 'HV-Fixed') {
      return refuse(INIT_RANGE_STATE, { address: hex(address), state }, command);
    }
  }
  return undefined;
}

function* initialise(machine: FirmwareMachine, params: InitExParams, command: string): Op<FirmwareResult> {
  const wrong = refusal(machine, params, command);
  if (wrong) return wrong;
  const { asp, rmp, memory, random, stack } = machine;
  if (params.initRmp) {
    rmp.chunks.clear();
    rmp.shared.clear();
    rmp.changedAt.clear();
    rmp.initialised = true;
    const first = pfnOf(rmp.base);
    const pages = pfnOf(rmp.end) - first + 1;
    // The lock bit keeps these pages from ever being reclaimed.
    fillEntries(rmp, first, Math.min(pages, rmp.coveredPages - first), {
      ...HYPERVISOR_ENTRY,
      assigned: true,
      immutable: true,
      lock: true,
    });
    const covered = hex((rmp.end + 1 - rmp.base - RMP_BOOKKEEPING_SIZE) * (PAGE_SIZE / RMP_ENTRY_SIZE));
    yield logEvent(
      stack,
      'firmware',
      `RMP built: covers memory below ${covered}; the table at ${hex(rmp.base)}..${hex(rmp.end)} is now Firmware, all other pages are Hypervisor`,
    );
  }
  for (const range of params.ranges ?? []) {
    fillEntries(rmp, pfnOf(range.base), range.pages, { ...HYPERVISOR_ENTRY, immutable: true });
    yield logEvent(
      stack,
      'firmware',
      `${range.pages} pages at ${hex(spaOf(pfnOf(range.base)))} are HV-Fixed until reset`,
    );
  }
  for (const page of asp.iommuPages) {
    yield rmpEvent(stack, command, writeEntry(rmp, page, { ...HYPERVISOR_ENTRY, assigned: true, immutable: true }));
  }
  if (asp.firmwareKey === 0) {
    asp.firmwareKey = asp.nextKey++;
    memory.keys.set(asp.firmwareKey, random.bytes('firmware key', 32));
  }
  asp.options = {
    raplDisabled: params.raplDisable ?? false,
    ciphertextHiding: params.ciphertextHiding ?? false,
    ...(params.maxSnpAsid ? { maxSnpAsid: params.maxSnpAsid } : {}),
  };
  asp.platform = 'INIT';
  asp.flushAfterInit = true;
  asp.wbinvdRequired = true;
  return SUCCESS;
}
