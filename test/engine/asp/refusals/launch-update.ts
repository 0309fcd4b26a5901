import { gpa, PAGES_PER_2M, pfn, pfnOf, type Spa, spa, spaOf } from '../../../../engine/address.js';
import { type LaunchUpdateParams, snpLaunchUpdate } from '../../../../engine/asp/commands/snp-launch-update.js';
import { CPUID_ENTRY, type CpuidEntry, cpuidEntryOffset, encodeCpuidPage } from '../../../../engine/asp/cpuid-table.js';
import { view } from '../../../../engine/bytes.js';
import type { Machine } from '../../../../engine/machine.js';
import { writePage } from '../../../../engine/memory/system-memory.js';
import { HYPERVISOR_ENTRY } from '../../../../engine/rmp/entry.js';
import { writeEntry } from '../../../../engine/rmp/table.js';
import type { FirmwareStatusName } from '../../../../engine/spec/firmware-status.js';
import { PAGE_TYPE } from '../../../../engine/spec/page-type.js';
import { PROCESSOR_PROFILES } from '../../../../engine/spec/versions.js';
import { createInitialisedMachine, launchGuest, newPage, preGuestPage } from '../../../support/bare-machine.js';
import { at, type Case, type CaseTable, END } from './case.js';

const milan = PROCESSOR_PROFILES.milan;
export const update = (gctx: Spa, page: Spa, fields: Partial<LaunchUpdateParams> = {}): LaunchUpdateParams => ({
  gctx,
  page,
  pageSize2M: false,
  pageType: PAGE_TYPE.NORMAL,
  vmplMasks: [0, 0, 0],
  imiPage: false,
  ...fields,
});

const HEAD = 4 * PAGES_PER_2M;

/** LAUNCH_UPDATE of a Pre-Guest page of ASID 1, changed by `arrange`. */
function updateCase(
  name: string,
  fields: Partial<LaunchUpdateParams>,
  status: FirmwareStatusName,
  check: string,
  options: {
    readonly machine?: Partial<Machine>;
    readonly imiEnabled?: boolean;
    readonly asid?: number;
    readonly page?: (machine: Machine) => Spa;
  } = {},
): Case {
  return {
    name,
    command: () => {
      const machine = createInitialisedMachine(options.machine);
      const { gctx } = launchGuest(machine, { asid: options.asid ?? 1, imiEnabled: options.imiEnabled ?? false });
      const page = options.page ? options.page(machine) : preGuestPage(machine, 1, 0x1000);
      return { machine, op: snpLaunchUpdate(machine, update(gctx, page, fields)) };
    },
    status,
    check,
  };
}

const preGuest2M = (machine: Machine): Spa => {
  writeEntry(machine.rmp, pfn(HEAD), {
    ...HYPERVISOR_ENTRY,
    assigned: true,
    immutable: true,
    pageSize2M: true,
    asid: 1,
    gpa: gpa(0x20_0000),
  });
  return at(HEAD);
};

export const cpuidPage =
  (edit: (bytes: Uint8Array) => void, entries: readonly CpuidEntry[] = []) =>
  (machine: Machine): Spa => {
    const bytes = encodeCpuidPage(entries);
    edit(bytes);
    const page = preGuestPage(machine, 1, 0x1000);
    writePage(machine.memory, pfnOf(page), { bytes, frozen: false });
    return page;
  };

export const CACHE: CpuidEntry = {
  eaxIn: 0x8000_001d,
  ecxIn: 3,
  xcr0In: 0n,
  xssIn: 0n,
  eax: 0x163,
  ebx: 0,
  ecx: 0,
  edx: 6,
};
export const cpuid = { pageType: PAGE_TYPE.CPUID };

export const SNP_LAUNCH_UPDATE: CaseTable = {
  command: 'SNP_LAUNCH_UPDATE',
  cases: [
    updateCase('an inactive guest', {}, 'INACTIVE', 'fw-launch-update-inactive', { asid: 0 }),
    updateCase('type 0', { pageType: 0 }, 'INVALID_PARAM', 'fw-launch-update-page-type'),
    updateCase('type 7', { pageType: 7 }, 'INVALID_PARAM', 'fw-launch-update-page-type'),
    updateCase('a page without IMI_PAGE', {}, 'INVALID_PARAM', 'fw-launch-update-imi', { imiEnabled: true }),
    updateCase('an odd address', {}, 'INVALID_ADDRESS', 'fw-address-alignment', { page: () => spa(0x80_0001) }),
    updateCase('2 MiB at 4 KiB', { pageSize2M: true }, 'INVALID_ADDRESS', 'fw-address-alignment', {
      page: () => spa(0x80_1000),
    }),
    updateCase('an address above memory', {}, 'INVALID_ADDRESS', 'fw-address-range', { page: () => END }),
    updateCase('4 KiB of 2 MiB', {}, 'INVALID_PAGE_SIZE', 'fw-launch-update-page-size', { page: preGuest2M }),
    updateCase('2 MiB of a 4 KiB page', { pageSize2M: true }, 'INVALID_PAGE_SIZE', 'fw-launch-update-page-size', {
      page: () => at(HEAD),
    }),
    updateCase(
      'a 2 MiB VMSA',
      { pageSize2M: true, pageType: PAGE_TYPE.VMSA },
      'INVALID_PAGE_SIZE',
      'fw-launch-update-type-size',
      { page: preGuest2M },
    ),
    updateCase('a Hypervisor page', {}, 'INVALID_PAGE_STATE', 'fw-launch-update-page-state', {
      page: (machine) => spaOf(newPage(machine)),
    }),
    updateCase('a page of ASID 2', {}, 'INVALID_PAGE_OWNER', 'fw-launch-update-page-owner', {
      page: (machine) => preGuestPage(machine, 2, 0x1000),
    }),
    updateCase('mask 0x20', { vmplMasks: [0, 0x20, 0] }, 'INVALID_PARAM', 'fw-launch-update-vmpl-mask'),
    updateCase('shadow stacks on Milan', { vmplMasks: [0x1f, 0, 0] }, 'INVALID_PARAM', 'fw-launch-update-vmpl-mask', {
      machine: { processor: milan },
    }),
    updateCase('65 CPUID entries', cpuid, 'INVALID_PARAM', 'fw-launch-update-cpuid-count', {
      page: cpuidPage((bytes) => view(bytes).setUint32(0, 65, true)),
    }),
    updateCase('a reserved byte in the header', cpuid, 'INVALID_PARAM', 'fw-launch-update-cpuid-reserved', {
      page: cpuidPage((bytes) => bytes.fill(1, 9, 10)),
    }),
    updateCase('a reserved byte in an entry', cpuid, 'INVALID_PARAM', 'fw-launch-update-cpuid-reserved', {
      page: cpuidPage(
        (bytes) => bytes.fill(1, cpuidEntryOffset(0) + CPUID_ENTRY.reserved + 7, cpuidEntryOffset(1)),
        [CACHE],
      ),
    }),
    updateCase('a function twice', cpuid, 'INVALID_PARAM', 'fw-launch-update-cpuid-duplicate', {
      page: cpuidPage(() => undefined, [CACHE, { ...CACHE, edx: 0 }]),
    }),
    updateCase('complex cache indexing', cpuid, 'INVALID_PARAM', 'fw-launch-update-cpuid-policy', {
      page: cpuidPage(() => undefined, [CACHE]),
    }),
  ],
};
