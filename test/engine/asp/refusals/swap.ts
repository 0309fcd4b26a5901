import { PAGE_SIZE_2M, pfnOf, type Spa, spa, spaOf } from '../../../../engine/address.js';
import type { FirmwareResult } from '../../../../engine/asp/command.js';
import { readPage, writePage } from '../../../../engine/memory/system-memory.js';
import type { FirmwareStatusName } from '../../../../engine/spec/firmware-status.js';
import { PAGE_TYPE, VMSA_GPA } from '../../../../engine/spec/page-type.js';
import type { Op } from '../../../../engine/timeline/event.js';
import {
  createGuest,
  createInitialisedMachine,
  firmwarePage,
  launchGuest,
  must,
  newPage,
  preGuestPage,
} from '../../../support/bare-machine.js';
import {
  guestPage,
  largePage,
  metadataPage,
  type PageBench,
  pageBench,
  preSwapPage,
  smallPages,
  swapIn,
  swapOut,
} from '../guest-pages.js';
import type { Case, CaseTable } from './case.js';
import { END } from './case.js';
import { NO_SWAP, onGuest } from './pages.js';

const GPA = 0x1000;
const entryOf = (page: Spa, index: number): Spa => spa(page + 64 * index);
const other = ({ machine }: PageBench): PageBench => ({ machine, ...launchGuest(machine, { asid: 2 }) });

type OutParams = Parameters<typeof swapOut>[1];
type Change<P> = (bench: PageBench) => Partial<P>;

/** A swap-out that would work, with changed parameters. */
function outCase(name: string, status: FirmwareStatusName, check: string, change: Change<OutParams>): Case {
  return onGuest(name, status, check, (bench): Op<FirmwareResult> => {
    const changed = change(bench);
    const dst = firmwarePage(bench.machine);
    return swapOut(bench, {
      src: changed.src ?? preSwapPage(bench, GPA, 1),
      dst,
      mdata: metadataPage(bench),
      ...changed,
    });
  });
}

export const SNP_PAGE_SWAP_OUT: CaseTable = {
  command: 'SNP_PAGE_SWAP_OUT',
  cases: [
    {
      name: 'before LAUNCH_START',
      command: () => {
        const machine = createInitialisedMachine();
        const bench: PageBench = { machine, ...createGuest(machine) };
        return { machine, op: swapOut(bench, { src: END, dst: END }) };
      },
      status: 'INVALID_GUEST_STATE',
      check: 'fw-guest-state',
    },
    onGuest(
      'a guest whose policy forbids it',
      'POLICY_FAILURE',
      'policy-page-swap',
      (bench) => swapOut(bench, { src: END, dst: END }),
      NO_SWAP,
    ),
    outCase('page type 3', 'INVALID_PARAM', 'page-swap-type', () => ({ pageType: 3 })),
    outCase('a 2 MiB VMSA', 'INVALID_PARAM', 'page-swap-type-size', () => ({ pageType: 2, pageSize2M: true })),
    {
      name: 'pages of an inactive guest',
      command: () => {
        const machine = createInitialisedMachine();
        const bench: PageBench = { machine, ...launchGuest(machine, { asid: 0 }) };
        return { machine, op: swapOut(bench, { src: END, dst: END }) };
      },
      status: 'INACTIVE',
      check: 'fw-guest-inactive',
    },
    outCase('an odd source', 'INVALID_ADDRESS', 'address-alignment', () => ({ src: spa(0x80_0008) })),
    outCase('a destination above memory', 'INVALID_ADDRESS', 'address-range', () => ({ dst: END })),
    outCase('an entry above memory', 'INVALID_ADDRESS', 'address-range', () => ({ mdata: END })),
    outCase('an odd entry', 'INVALID_ADDRESS', 'page-swap-mdata-alignment', (bench) => ({
      mdata: spa(metadataPage(bench) + 32),
    })),
    outCase('a 4 KiB source that is 2 MiB', 'INVALID_PAGE_SIZE', 'page-size', ({ machine }) => ({
      src: largePage(machine, { asid: 1, gpa: PAGE_SIZE_2M, immutable: true }),
    })),
    outCase('a 2 MiB destination that is 4 KiB', 'INVALID_PAGE_SIZE', 'page-size', ({ machine }) => ({
      pageSize2M: true,
      src: largePage(machine, { asid: 1, gpa: PAGE_SIZE_2M, immutable: true }),
      dst: smallPages(machine, () => ({ asid: 0, gpa: 0, immutable: true })),
    })),
    outCase('a page in use by the guest', 'INVALID_PAGE_STATE', 'page-state', (bench) => ({
      src: guestPage(bench, GPA, 1),
    })),
    outCase('a VMSA as data', 'INVALID_PAGE_STATE', 'page-state', (bench) => ({
      src: preSwapPage(bench, VMSA_GPA, 0, { type: PAGE_TYPE.VMSA }),
    })),
    outCase('data as a VMSA', 'INVALID_PAGE_STATE', 'page-state', () => ({ pageType: 2 })),
    outCase('a Firmware page as metadata', 'INVALID_PAGE_STATE', 'page-state', ({ machine }) => ({
      pageType: 1,
      src: firmwarePage(machine),
    })),
    outCase("another guest's page", 'INVALID_PAGE_OWNER', 'page-owner', (bench) => ({
      src: preSwapPage(other(bench), GPA, 1),
    })),
    outCase("another guest's metadata", 'INVALID_PAGE_OWNER', 'page-owner', (bench) => ({
      pageType: 1,
      src: metadataPage(other(bench)),
    })),
    outCase('a Hypervisor destination', 'INVALID_PAGE_STATE', 'page-state', ({ machine }) => ({
      dst: spaOf(newPage(machine)),
    })),
    outCase('the RMP as destination', 'INVALID_PAGE_STATE', 'page-state', () => ({ dst: spa(0) })),
    outCase('an entry in a Firmware page', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-page', ({ machine }) => ({
      mdata: firmwarePage(machine),
    })),
    outCase("an entry in another guest's page", 'INVALID_MDATA_ENTRY', 'page-swap-mdata-page', (bench) => ({
      mdata: metadataPage(other(bench)),
    })),
    outCase('an entry in the page itself', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-page', (bench) => {
      const page = metadataPage(bench);
      return { pageType: 1, src: page, mdata: entryOf(page, 3) };
    }),
    outCase('an entry in use', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-used', (bench) => {
      const mdata = entryOf(metadataPage(bench), 5);
      must(swapOut(bench, { src: preSwapPage(bench, 0x2000, 2), dst: firmwarePage(bench.machine), mdata }));
      return { mdata };
    }),
    onGuest('the root entry in use', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-used', (bench) => {
      must(swapOut(bench, { src: preSwapPage(bench, 0x2000, 2), dst: firmwarePage(bench.machine) }));
      return swapOut(bench, { src: preSwapPage(bench, GPA, 1), dst: firmwarePage(bench.machine) });
    }),
    outCase('one page too many', 'AEAD_OFLOW', 'page-swap-count', ({ guest }) => {
      guest.oekIvCount = 2n ** 64n - 1n;
      return {};
    }),
  ],
};

type InParams = Parameters<typeof swapIn>[1];

interface Swapped {
  readonly src: Spa;
  readonly mdata: Spa;
  readonly dst: Spa;
}

/** A swap-in that would work, with changed parameters. */
function inCase(
  name: string,
  status: FirmwareStatusName,
  check: string,
  change: (bench: PageBench, swapped: Swapped) => Partial<InParams>,
): Case {
  return onGuest(name, status, check, (bench): Op<FirmwareResult> => {
    const [src, page] = [firmwarePage(bench.machine), preSwapPage(bench, GPA, 1)];
    const swapped = { src, mdata: metadataPage(bench), dst: page };
    must(swapOut(bench, { src: page, dst: src, mdata: swapped.mdata }));
    return swapIn(bench, { ...swapped, ...change(bench, swapped) });
  });
}

const flip = ({ machine }: PageBench, page: Spa): void => {
  const bytes = readPage(machine.memory, pfnOf(page)).slice();
  bytes[77] = (bytes[77] ?? 0) ^ 1;
  writePage(machine.memory, pfnOf(page), { bytes, frozen: false });
};

export const SNP_PAGE_SWAP_IN: CaseTable = {
  command: 'SNP_PAGE_SWAP_IN',
  cases: [
    onGuest(
      'a guest whose policy forbids it',
      'POLICY_FAILURE',
      'policy-page-swap',
      (bench) => swapIn(bench, { src: END, dst: END }),
      NO_SWAP,
    ),
    inCase('page type 3', 'INVALID_PARAM', 'page-swap-type', () => ({ pageType: 3 })),
    inCase('2 MiB of metadata', 'INVALID_PARAM', 'page-swap-type-size', () => ({ pageType: 1, pageSize2M: true })),
    {
      name: 'pages of an inactive guest',
      command: () => {
        const bench = pageBench({ running: false });
        bench.guest.asid = 0;
        return { machine: bench.machine, op: swapIn(bench, { src: END, dst: END }) };
      },
      status: 'INACTIVE',
      check: 'fw-guest-inactive',
    },
    inCase('a source above memory', 'INVALID_ADDRESS', 'address-range', () => ({ src: END })),
    inCase('an odd destination', 'INVALID_ADDRESS', 'address-alignment', () => ({ dst: spa(0x80_0008) })),
    inCase('an odd entry', 'INVALID_ADDRESS', 'page-swap-mdata-alignment', (_, { mdata }) => ({
      mdata: spa(mdata + 1),
    })),
    inCase('one page without SWAP_IN_PLACE', 'INVALID_PARAM', 'page-swap-in-place', (_, { dst }) => ({ src: dst })),
    inCase('two pages with SWAP_IN_PLACE', 'INVALID_PARAM', 'page-swap-in-place', () => ({ inPlace: true })),
    inCase('a 2 MiB destination', 'INVALID_PAGE_SIZE', 'page-size', ({ machine }) => ({
      dst: largePage(machine, { asid: 1, gpa: PAGE_SIZE_2M, immutable: true }),
    })),
    inCase('a page in use by the guest', 'INVALID_PAGE_STATE', 'page-state', (bench) => ({
      dst: guestPage(bench, GPA, 1),
    })),
    inCase("another guest's page", 'INVALID_PAGE_OWNER', 'page-owner', (bench) => {
      other(bench);
      return { dst: preGuestPage(bench.machine, 2, GPA) };
    }),
    inCase('an entry outside of metadata', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-page', (_, { src }) => ({
      mdata: src,
    })),
    inCase('a free entry', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-free', (_, { mdata }) => ({
      mdata: entryOf(mdata, 1),
    })),
    inCase('the free root entry', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-free', () => ({ rootMdata: true })),
    inCase('a page a second time', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-free', (bench, swapped) => {
      must(swapIn(bench, swapped));
      return { dst: preGuestPage(bench.machine, 1, GPA) };
    }),
    inCase('data as a VMSA', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-mismatch', () => ({ pageType: 2 })),
    inCase('data as metadata', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-mismatch', ({ machine }) => ({
      pageType: 1,
      dst: firmwarePage(machine),
    })),
    inCase('4 KiB as 2 MiB', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-mismatch', ({ machine }) => ({
      pageSize2M: true,
      src: spa(7 * PAGE_SIZE_2M),
      dst: largePage(machine, { asid: 1, gpa: PAGE_SIZE_2M, immutable: true }),
    })),
    inCase('another address of the guest', 'INVALID_MDATA_ENTRY', 'page-swap-mdata-mismatch', ({ machine }) => ({
      dst: preGuestPage(machine, 1, 0x2000),
    })),
    inCase('changed bytes', 'BAD_MEASUREMENT', 'page-swap-authentication', (bench, { src }) => {
      flip(bench, src);
      return {};
    }),
    inCase('the bytes of another page', 'BAD_MEASUREMENT', 'page-swap-authentication', (bench, { mdata }) => {
      const src = firmwarePage(bench.machine);
      must(swapOut(bench, { src: preSwapPage(bench, 0x2000, 1), dst: src, mdata: entryOf(mdata, 1) }));
      return { src };
    }),
  ],
};
