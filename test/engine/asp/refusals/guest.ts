import { PAGES_PER_2M, pfn, spa, spaOf } from '../../../../engine/address.js';
import { snpActivate } from '../../../../engine/asp/commands/snp-activate.js';
import { snpDecommission } from '../../../../engine/asp/commands/snp-decommission.js';
import { snpGctxCreate } from '../../../../engine/asp/commands/snp-gctx-create.js';
import { snpGuestStatus } from '../../../../engine/asp/commands/snp-guest-status.js';
import { snpInit } from '../../../../engine/asp/commands/snp-init.js';
import { snpPageReclaim } from '../../../../engine/asp/commands/snp-page-reclaim.js';
import { HYPERVISOR_ENTRY } from '../../../../engine/rmp/entry.js';
import { writeEntry } from '../../../../engine/rmp/table.js';
import { PROCESSOR_PROFILES } from '../../../../engine/spec/versions.js';
import {
  createBareMachine,
  createGuest,
  createInitialisedMachine,
  firmwarePage,
  launchGuest,
  must,
  newPage,
} from '../../../support/bare-machine.js';
import { at, type Case, type CaseTable, END } from './case.js';

const HEAD = 4 * PAGES_PER_2M;
export const SNP_GCTX_CREATE: CaseTable = {
  command: 'SNP_GCTX_CREATE',
  cases: [
    {
      name: 'before SNP_INIT',
      command: () => {
        const machine = createBareMachine();
        return { machine, op: snpGctxCreate(machine, { page: spa(0x80_0000) }) };
      },
      status: 'INVALID_PLATFORM_STATE',
      check: 'fw-platform-state',
    },
    {
      name: 'an odd address',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpGctxCreate(machine, { page: spa(0x80_0010) }) };
      },
      status: 'INVALID_ADDRESS',
      check: 'fw-address-alignment',
    },
    {
      name: 'an address above memory',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpGctxCreate(machine, { page: END }) };
      },
      status: 'INVALID_ADDRESS',
      check: 'fw-address-range',
    },
    {
      name: 'a Hypervisor page',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpGctxCreate(machine, { page: spaOf(newPage(machine)) }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-gctx-create-page-state',
    },
    {
      name: 'a context that exists',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpGctxCreate(machine, { page: createGuest(machine).gctx }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-gctx-create-page-state',
    },
    {
      name: 'a page of the RMP',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpGctxCreate(machine, { page: at(1) }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-gctx-create-page-state',
    },
    {
      name: 'a page of a 2 MiB Firmware page',
      command: () => {
        const machine = createInitialisedMachine();
        const head = 4 * PAGES_PER_2M;
        writeEntry(machine.rmp, pfn(head), { ...HYPERVISOR_ENTRY, assigned: true, immutable: true, pageSize2M: true });
        return { machine, op: snpGctxCreate(machine, { page: at(head) }) };
      },
      status: 'INVALID_PAGE_SIZE',
      check: 'fw-gctx-create-page-size',
    },
    {
      name: 'one guest too many',
      command: () => {
        const machine = createInitialisedMachine({ processor: { ...PROCESSOR_PROFILES.genoa, maxAsid: 2 } });
        createGuest(machine);
        createGuest(machine);
        return { machine, op: snpGctxCreate(machine, { page: firmwarePage(machine) }) };
      },
      status: 'RESOURCE_LIMIT',
      check: 'fw-gctx-create-limit',
    },
  ],
};

const inactive = { asid: 0 };

export const SNP_ACTIVATE: CaseTable = {
  command: 'SNP_ACTIVATE',
  cases: [
    {
      name: 'before LAUNCH_START',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpActivate(machine, { gctx: createGuest(machine).gctx, asid: 1 }) };
      },
      status: 'INVALID_GUEST_STATE',
      check: 'fw-guest-state',
    },
    ...[0, 100, 1.5].map(
      (asid): Case => ({
        name: `ASID ${asid}`,
        command: () => {
          const machine = createInitialisedMachine();
          return { machine, op: snpActivate(machine, { gctx: launchGuest(machine, inactive).gctx, asid }) };
        },
        status: 'INVALID_ASID',
        check: 'fw-activate-asid',
      }),
    ),
    {
      name: "another guest's ASID",
      command: () => {
        const machine = createInitialisedMachine();
        launchGuest(machine, { asid: 5 });
        return { machine, op: snpActivate(machine, { gctx: launchGuest(machine, inactive).gctx, asid: 5 }) };
      },
      status: 'ASID_OWNED',
      check: 'fw-activate-asid-owned',
    },
    {
      name: 'a second ASID',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpActivate(machine, { gctx: launchGuest(machine).gctx, asid: 2 }) };
      },
      status: 'ACTIVE',
      check: 'fw-activate-active',
    },
    {
      name: 'an ASID without flush',
      command: () => {
        const machine = createInitialisedMachine();
        must(snpDecommission(machine, { gctx: launchGuest(machine).gctx }));
        return { machine, op: snpActivate(machine, { gctx: launchGuest(machine, inactive).gctx, asid: 1 }) };
      },
      status: 'DFFLUSH_REQUIRED',
      check: 'fw-activate-df-flush',
    },
    {
      name: 'the first guest without flush',
      command: () => {
        const machine = createBareMachine();
        must(snpInit(machine));
        return { machine, op: snpActivate(machine, { gctx: launchGuest(machine, inactive).gctx, asid: 1 }) };
      },
      status: 'DFFLUSH_REQUIRED',
      check: 'fw-activate-df-flush',
    },
  ],
};

export const SNP_PAGE_RECLAIM: CaseTable = {
  command: 'SNP_PAGE_RECLAIM',
  cases: [
    {
      name: 'a 2 MiB operand for a 4 KiB page',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpPageReclaim(machine, { page: at(HEAD), pageSize2M: true }) };
      },
      status: 'INVALID_PAGE_SIZE',
      check: 'fw-page-reclaim-size',
    },
    {
      name: 'a Hypervisor page',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpPageReclaim(machine, { page: spaOf(newPage(machine)), pageSize2M: false }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-page-reclaim-state',
    },
    {
      name: 'a Context page',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpPageReclaim(machine, { page: createGuest(machine).gctx, pageSize2M: false }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-page-reclaim-state',
    },
    {
      name: 'the RMP',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpPageReclaim(machine, { page: at(0), pageSize2M: false }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-page-reclaim-rmp',
    },
  ],
};

export const SNP_DECOMMISSION: CaseTable = {
  command: 'SNP_DECOMMISSION and SNP_GUEST_STATUS',
  cases: [
    {
      name: 'a page that is no context',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpDecommission(machine, { gctx: spaOf(newPage(machine)) }) };
      },
      status: 'INVALID_GUEST',
      check: 'fw-guest-context',
    },
    {
      name: 'a Hypervisor page for the result',
      command: () => {
        const machine = createInitialisedMachine();
        const { gctx } = createGuest(machine);
        return { machine, op: snpGuestStatus(machine, { gctx, status: spaOf(newPage(machine)) }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-output-page-state',
    },
  ],
};
