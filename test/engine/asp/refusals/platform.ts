import { PAGE_SIZE, pfn, spa, spaOf } from '../../../../engine/address.js';
import { snpDecommission } from '../../../../engine/asp/commands/snp-decommission.js';
import { snpDfFlush } from '../../../../engine/asp/commands/snp-df-flush.js';
import { snpInit, snpInitEx } from '../../../../engine/asp/commands/snp-init.js';
import { snpPlatformStatus } from '../../../../engine/asp/commands/snp-platform-status.js';
import { snpShutdownEx } from '../../../../engine/asp/commands/snp-shutdown.js';
import { wbinvdOnAllCores } from '../../../../engine/asp/state.js';
import { createSystemMemory } from '../../../../engine/memory/system-memory.js';
import { createRmp } from '../../../../engine/rmp/table.js';
import { firmwareProfile, PROCESSOR_PROFILES } from '../../../../engine/spec/versions.js';
import {
  BARE_PAGES,
  createBareMachine,
  createGuest,
  createInitialisedMachine,
  firmwarePage,
  launchGuest,
  must,
  newPage,
} from '../../../support/bare-machine.js';
import { at, type Case, type CaseTable } from './case.js';

export const SNP_INIT_EX: CaseTable = {
  command: 'SNP_INIT_EX',
  cases: [
    {
      name: 'a second time',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpInit(machine) };
      },
      status: 'INVALID_PLATFORM_STATE',
      check: 'fw-init-platform-state',
    },
    {
      name: 'a list on ABI 1.51',
      command: () => {
        const machine = createBareMachine({ firmware: firmwareProfile(51) });
        return { machine, op: snpInitEx(machine, { initRmp: true, ranges: [] }) };
      },
      status: 'INVALID_PARAM',
      check: 'fw-init-list-unsupported',
    },
    {
      name: 'ciphertext hiding on Milan',
      command: () => {
        const machine = createBareMachine({ processor: PROCESSOR_PROFILES.milan });
        return { machine, op: snpInitEx(machine, { initRmp: true, ciphertextHiding: true }) };
      },
      status: 'UNSUPPORTED',
      check: 'fw-init-option-unsupported',
    },
    {
      name: 'RAPL_DIS on Milan',
      command: () => {
        const machine = createBareMachine({ processor: PROCESSOR_PROFILES.milan });
        return { machine, op: snpInitEx(machine, { initRmp: true, raplDisable: true }) };
      },
      status: 'UNSUPPORTED',
      check: 'fw-init-option-unsupported',
    },
    {
      name: 'an RMP at an odd page',
      command: () => {
        const machine = createBareMachine({ rmp: createRmp(spa(PAGE_SIZE), BARE_PAGES) });
        return { machine, op: snpInit(machine) };
      },
      status: 'INVALID_CONFIG',
      check: 'fw-init-rmp-alignment',
    },
    {
      name: 'an RMP above memory',
      command: () => {
        const machine = createBareMachine({ memory: createSystemMemory(0x1_0000, pfn(0)) });
        return { machine, op: snpInit(machine) };
      },
      status: 'INVALID_ADDRESS',
      check: 'fw-init-rmp-memory',
    },
    {
      name: 'to trust a table that was never built',
      command: () => {
        const machine = createBareMachine();
        return { machine, op: snpInitEx(machine, { initRmp: false }) };
      },
      status: 'RMP_INIT_REQUIRED',
      check: 'fw-init-rmp-required',
    },
    ...[
      { base: spa(0x80_0001), pages: 1 },
      { base: spa(0x80_0000), pages: 0 },
      { base: at(BARE_PAGES - 1), pages: 2 },
    ].map(
      (range): Case => ({
        name: `the range of ${range.pages} pages at 0x${range.base.toString(16)}`,
        command: () => {
          const machine = createBareMachine();
          return { machine, op: snpInitEx(machine, { initRmp: true, ranges: [range] }) };
        },
        status: 'INVALID_ADDRESS',
        check: 'fw-init-range-address',
      }),
    ),
    {
      name: 'to fix the RMP itself',
      command: () => {
        const machine = createBareMachine();
        return { machine, op: snpInitEx(machine, { initRmp: true, ranges: [{ base: at(3), pages: 1 }] }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-init-range-state',
    },
    {
      name: 'to fix a Hypervisor page without building the table',
      command: () => {
        const machine = createInitialisedMachine();
        must(snpShutdownEx(machine));
        return { machine, op: snpInitEx(machine, { initRmp: false, ranges: [{ base: spa(0x80_0000), pages: 1 }] }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-init-range-state',
    },
  ],
};

export const SNP_SHUTDOWN_EX: CaseTable = {
  command: 'SNP_SHUTDOWN_EX',
  cases: [
    {
      name: 'before SNP_INIT',
      command: () => {
        const machine = createBareMachine();
        return { machine, op: snpShutdownEx(machine) };
      },
      status: 'INVALID_PLATFORM_STATE',
      check: 'fw-platform-state',
    },
    {
      name: 'with a guest',
      command: () => {
        const machine = createInitialisedMachine();
        createGuest(machine);
        return { machine, op: snpShutdownEx(machine) };
      },
      status: 'INVALID_PLATFORM_STATE',
      check: 'fw-shutdown-guests',
    },
    {
      name: 'without WBINVD',
      command: () => {
        const machine = createInitialisedMachine();
        must(snpDecommission(machine, { gctx: launchGuest(machine).gctx }));
        return { machine, op: snpShutdownEx(machine) };
      },
      status: 'WBINVD_REQUIRED',
      check: 'fw-shutdown-wbinvd',
    },
    {
      name: 'without DF_FLUSH',
      command: () => {
        const machine = createInitialisedMachine();
        must(snpDecommission(machine, { gctx: launchGuest(machine).gctx }));
        wbinvdOnAllCores(machine.asp);
        return { machine, op: snpShutdownEx(machine) };
      },
      status: 'DFFLUSH_REQUIRED',
      check: 'fw-shutdown-df-flush',
    },
  ],
};

export const SNP_DF_FLUSH: CaseTable = {
  command: 'SNP_DF_FLUSH',
  cases: [
    {
      name: 'without WBINVD',
      command: () => {
        const machine = createBareMachine();
        must(snpInit(machine));
        return { machine, op: snpDfFlush(machine) };
      },
      status: 'WBINVD_REQUIRED',
      check: 'fw-df-flush-wbinvd',
    },
  ],
};

export const SNP_PLATFORM_STATUS: CaseTable = {
  command: 'SNP_PLATFORM_STATUS',
  cases: [
    {
      name: 'a Hypervisor page',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpPlatformStatus(machine, { status: spaOf(newPage(machine)) }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-output-page-state',
    },
    {
      name: 'the RMP as result page',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpPlatformStatus(machine, { status: at(2) }) };
      },
      status: 'INVALID_PAGE_STATE',
      check: 'fw-output-page-state',
    },
    {
      name: 'a result across pages',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpPlatformStatus(machine, { status: spa(firmwarePage(machine) + 0xff0) }) };
      },
      status: 'INVALID_ADDRESS',
      check: 'fw-output-crosses-page',
    },
  ],
};
