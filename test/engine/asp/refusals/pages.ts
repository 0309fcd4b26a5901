import { PAGE_SIZE_2M, PAGES_PER_2M, pfn, pfnOf, type Spa, spa, spaOf } from '../../../../engine/address.js';
import type { FirmwareResult } from '../../../../engine/asp/command.js';
import { snpDbgDecrypt } from '../../../../engine/asp/commands/snp-dbg-decrypt.js';
import { snpDbgEncrypt } from '../../../../engine/asp/commands/snp-dbg-encrypt.js';
import { snpPageMdInit } from '../../../../engine/asp/commands/snp-page-md-init.js';
import { snpPageMove } from '../../../../engine/asp/commands/snp-page-move.js';
import { snpPageSetState } from '../../../../engine/asp/commands/snp-page-set-state.js';
import { snpPageUnsmash } from '../../../../engine/asp/commands/snp-page-unsmash.js';
import type { DbgParams } from '../../../../engine/asp/dbg-checks.js';
import { readEntry, writeEntry } from '../../../../engine/rmp/table.js';
import type { FirmwareStatusName } from '../../../../engine/spec/firmware-status.js';
import { firmwareProfile } from '../../../../engine/spec/versions.js';
import type { Op } from '../../../../engine/timeline/event.js';
import {
  createBareMachine,
  createGuest,
  createInitialisedMachine,
  firmwarePage,
  launchGuest,
  newPage,
  preGuestPage,
} from '../../../support/bare-machine.js';
import { guestPage, largePage, type PageBench, pageBench, preSwapPage, smallPages } from '../guest-pages.js';
import { at, type Case, type CaseTable, END } from './case.js';

/** PAGE_SWAP_DISABLE, which ABI 1.58 knows. */
export const NO_SWAP = { machine: { firmware: firmwareProfile(58) }, policy: 0x203_0000n } as const;
const DEBUG = 0xb_0000n;

/** A guest in state LAUNCH for the pages, then the command. */
export function onGuest(
  name: string,
  status: FirmwareStatusName,
  check: string,
  op: (bench: PageBench) => Op<FirmwareResult>,
  options: Parameters<typeof pageBench>[0] = {},
): Case {
  return {
    name,
    command: () => {
      const bench = pageBench({ running: false, ...options });
      return { machine: bench.machine, op: op(bench) };
    },
    status,
    check: `fw-${check}`,
  };
}

const GPA = 0x1000;

interface MoveOptions {
  readonly src?: (bench: PageBench) => Spa;
  readonly dst?: (bench: PageBench) => Spa;
  readonly size2M?: boolean;
}

function move({ src, dst, size2M }: MoveOptions = {}): (bench: PageBench) => Op<FirmwareResult> {
  return (bench) =>
    snpPageMove(bench.machine, {
      gctx: bench.gctx,
      src: src ? src(bench) : preSwapPage(bench, GPA, 1),
      dst: dst ? dst(bench) : preGuestPage(bench.machine, 1, GPA),
      pageSize2M: size2M ?? false,
    });
}

/** A page of another guest, in the state that the command needs. */
function foreign({ machine }: PageBench, validated: boolean): Spa {
  const other: PageBench = { machine, ...launchGuest(machine, { asid: 2 }) };
  return validated ? preSwapPage(other, GPA, 1) : preGuestPage(machine, 2, GPA);
}

export const SNP_PAGE_MOVE: CaseTable = {
  command: 'SNP_PAGE_MOVE',
  cases: [
    onGuest('a guest whose policy forbids it', 'POLICY_FAILURE', 'policy-page-swap', move(), NO_SWAP),
    {
      name: 'pages of an inactive guest',
      command: () => {
        const machine = createInitialisedMachine();
        const { gctx } = launchGuest(machine, { asid: 0 });
        return { machine, op: snpPageMove(machine, { gctx, src: END, dst: END, pageSize2M: false }) };
      },
      status: 'INACTIVE',
      check: 'fw-guest-inactive',
    },
    onGuest('an odd source', 'INVALID_ADDRESS', 'address-alignment', move({ src: () => spa(0x80_0008) })),
    onGuest('a destination above memory', 'INVALID_ADDRESS', 'address-range', move({ dst: () => END })),
    onGuest('a 2 MiB source that is 4 KiB', 'INVALID_PAGE_SIZE', 'page-size', (bench) => {
      const small = smallPages(bench.machine, (i) => ({ asid: 1, gpa: PAGE_SIZE_2M + i * 4096, immutable: true }));
      const large = largePage(bench.machine, { asid: 1, gpa: PAGE_SIZE_2M, immutable: true });
      return snpPageMove(bench.machine, { gctx: bench.gctx, src: small, dst: large, pageSize2M: true });
    }),
    onGuest(
      'a 4 KiB destination that is 2 MiB',
      'INVALID_PAGE_SIZE',
      'page-size',
      move({ dst: ({ machine }) => largePage(machine, { asid: 1, gpa: PAGE_SIZE_2M, immutable: true }) }),
    ),
    onGuest(
      'a source in use by the guest',
      'INVALID_PAGE_STATE',
      'page-state',
      move({ src: (bench) => guestPage(bench, GPA, 1) }),
    ),
    onGuest(
      'a Firmware destination',
      'INVALID_PAGE_STATE',
      'page-state',
      move({ dst: ({ machine }) => firmwarePage(machine) }),
    ),
    onGuest(
      "another guest's source",
      'INVALID_PAGE_OWNER',
      'page-owner',
      move({ src: (bench) => foreign(bench, true) }),
    ),
    onGuest(
      "another guest's destination",
      'INVALID_PAGE_OWNER',
      'page-owner',
      move({ dst: (bench) => foreign(bench, false) }),
    ),
    onGuest(
      'to another address of the guest',
      'INVALID_PARAM',
      'page-move-gpa',
      move({ dst: ({ machine }) => preGuestPage(machine, 1, 0x2000) }),
    ),
  ],
};

export const SNP_PAGE_MD_INIT: CaseTable = {
  command: 'SNP_PAGE_MD_INIT',
  cases: [
    {
      name: 'before LAUNCH_START',
      command: () => {
        const machine = createInitialisedMachine();
        const { gctx } = createGuest(machine);
        return { machine, op: snpPageMdInit(machine, { gctx, page: firmwarePage(machine) }) };
      },
      status: 'INVALID_GUEST_STATE',
      check: 'fw-guest-state',
    },
    onGuest('an odd address', 'INVALID_ADDRESS', 'address-alignment', ({ machine, gctx }) =>
      snpPageMdInit(machine, { gctx, page: spa(0x80_0010) }),
    ),
    onGuest('a Hypervisor page', 'INVALID_PAGE_STATE', 'page-state', ({ machine, gctx }) =>
      snpPageMdInit(machine, { gctx, page: spaOf(newPage(machine)) }),
    ),
    onGuest('the RMP', 'INVALID_PAGE_STATE', 'page-state', ({ machine, gctx }) =>
      snpPageMdInit(machine, { gctx, page: at(2) }),
    ),
    onGuest('a 2 MiB Firmware page', 'INVALID_PAGE_SIZE', 'page-size', ({ machine, gctx }) =>
      snpPageMdInit(machine, { gctx, page: largePage(machine, { asid: 0, gpa: 0, immutable: true }) }),
    ),
  ],
};

const BASE = 0x20_0000;

function unsmash(edit: (machine: PageBench['machine'], first: number) => void, immutable = true) {
  return ({ machine }: PageBench): Op<FirmwareResult> => {
    const page = smallPages(machine, (i) => ({ asid: 1, gpa: BASE + i * 4096, immutable }));
    edit(machine, pfnOf(page));
    return snpPageUnsmash(machine, { page });
  };
}

const change =
  (index: number, fields: Partial<ReturnType<typeof readEntry>>) =>
  (machine: PageBench['machine'], first: number): void => {
    const frame = pfn(first + index);
    writeEntry(machine.rmp, frame, { ...readEntry(machine.rmp, frame), ...fields });
  };

export const SNP_PAGE_UNSMASH: CaseTable = {
  command: 'SNP_PAGE_UNSMASH',
  cases: [
    {
      name: 'before SNP_INIT',
      command: () => {
        const machine = createBareMachine();
        return { machine, op: snpPageUnsmash(machine, { page: spa(BASE) }) };
      },
      status: 'INVALID_PLATFORM_STATE',
      check: 'fw-platform-state',
    },
    onGuest('an address inside of a region', 'INVALID_ADDRESS', 'address-alignment', ({ machine }) =>
      snpPageUnsmash(machine, { page: spa(BASE + 4096) }),
    ),
    onGuest('a 2 MiB page', 'INVALID_PAGE_SIZE', 'page-size', ({ machine }) =>
      snpPageUnsmash(machine, { page: largePage(machine, { asid: 1, gpa: BASE, immutable: true }) }),
    ),
    onGuest(
      'pages in use by the guest',
      'INVALID_PAGE_STATE',
      'page-state',
      unsmash(() => undefined, false),
    ),
    onGuest(
      'one page that is validated',
      'INVALID_PAGE_STATE',
      'page-unsmash-states',
      unsmash(change(511, { validated: true })),
    ),
    onGuest('one page of another guest', 'INVALID_PAGE_OWNER', 'page-owner', unsmash(change(1, { asid: 2 }))),
    onGuest(
      'a first address that is not aligned',
      'INVALID_ADDRESS',
      'page-unsmash-gpa',
      unsmash(change(0, { gpa: (BASE + 4096) as never })),
    ),
    onGuest(
      'one page out of order',
      'INVALID_ADDRESS',
      'page-unsmash-gpa',
      unsmash(change(300, { gpa: BASE as never })),
    ),
    onGuest('a VMSA', 'INVALID_PARAM', 'page-unsmash-attributes', unsmash(change(7, { vmsa: true }))),
    onGuest(
      'one page with other permissions',
      'INVALID_PARAM',
      'page-unsmash-attributes',
      unsmash(change(8, { vmpl: [15, 1, 0, 0] })),
    ),
  ],
};

export const SNP_PAGE_SET_STATE: CaseTable = {
  command: 'SNP_PAGE_SET_STATE',
  cases: [
    {
      name: 'before SNP_INIT',
      command: () => {
        const machine = createBareMachine();
        return { machine, op: snpPageSetState(machine, { ranges: [] }) };
      },
      status: 'INVALID_PLATFORM_STATE',
      check: 'fw-platform-state',
    },
    onGuest('a short buffer', 'INVALID_LENGTH', 'command-length', ({ machine }) =>
      snpPageSetState(machine, { length: 8, ranges: [] }),
    ),
    ...(
      [
        ['an odd base', BASE + 4096, 512],
        ['an odd number of pages', BASE, 511],
        ['no page', BASE, 0],
        ['a range above memory', 8 * PAGE_SIZE_2M, PAGES_PER_2M],
      ] as const
    ).map(([name, base, pages]) =>
      onGuest(name, 'INVALID_ADDRESS', 'page-set-state-range', ({ machine }) =>
        snpPageSetState(machine, { ranges: [{ base: spa(base), pages }] }),
      ),
    ),
    onGuest('Hypervisor pages', 'INVALID_PAGE_STATE', 'page-state', ({ machine }) =>
      snpPageSetState(machine, { ranges: [{ base: spa(2 * BASE), pages: 512 }] }),
    ),
    onGuest('the RMP', 'INVALID_PAGE_STATE', 'page-state', ({ machine }) =>
      snpPageSetState(machine, { ranges: [{ base: spa(0), pages: 512 }] }),
    ),
  ],
};

function dbg(
  command: typeof snpDbgDecrypt,
  pages: (bench: PageBench) => Omit<DbgParams, 'gctx'>,
): (bench: PageBench) => Op<FirmwareResult> {
  return (bench) => command(bench.machine, { gctx: bench.gctx, ...pages(bench) });
}

const free = ({ machine }: PageBench): Spa => spaOf(newPage(machine));
const debug = { policy: DEBUG, running: true };

function dbgCases(command: typeof snpDbgDecrypt): readonly Case[] {
  const none = (bench: PageBench) => ({ src: free(bench), dst: firmwarePage(bench.machine) });
  return [
    onGuest('a guest in state LAUNCH', 'INVALID_GUEST_STATE', 'guest-state', dbg(command, none), { policy: DEBUG }),
    onGuest('a guest without DEBUG', 'POLICY_FAILURE', 'dbg-policy', dbg(command, none), { running: true }),
    onGuest(
      'an inactive guest',
      'INACTIVE',
      'guest-inactive',
      (bench) => {
        // No command leaves a running guest without ASID but an import.
        bench.guest.asid = 0;
        return dbg(command, none)(bench);
      },
      debug,
    ),
    onGuest(
      'an odd source',
      'INVALID_ADDRESS',
      'address-alignment',
      dbg(command, (bench) => ({ ...none(bench), src: spa(0x80_0001) })),
      debug,
    ),
    onGuest(
      'a destination above memory',
      'INVALID_ADDRESS',
      'address-range',
      dbg(command, (bench) => ({ ...none(bench), dst: END })),
      debug,
    ),
    onGuest(
      'one page for both',
      'INVALID_ADDRESS',
      'dbg-same-page',
      dbg(command, (bench) => {
        const page = free(bench);
        return { src: page, dst: page };
      }),
      debug,
    ),
  ];
}

export const SNP_DBG_DECRYPT: CaseTable = {
  command: 'SNP_DBG_DECRYPT',
  cases: [
    ...dbgCases(snpDbgDecrypt),
    onGuest(
      'a page of the host',
      'INVALID_PAGE_OWNER',
      'page-owner',
      dbg(snpDbgDecrypt, (bench) => ({ src: free(bench), dst: firmwarePage(bench.machine) })),
      debug,
    ),
    onGuest(
      "another guest's page",
      'INVALID_PAGE_OWNER',
      'page-owner',
      dbg(snpDbgDecrypt, (bench) => ({ src: foreign(bench, true), dst: firmwarePage(bench.machine) })),
      debug,
    ),
    onGuest(
      'a Hypervisor destination',
      'INVALID_PAGE_STATE',
      'page-state',
      dbg(snpDbgDecrypt, (bench) => ({ src: preGuestPage(bench.machine, 1, GPA), dst: free(bench) })),
      debug,
    ),
  ],
};

export const SNP_DBG_ENCRYPT: CaseTable = {
  command: 'SNP_DBG_ENCRYPT',
  cases: [
    ...dbgCases(snpDbgEncrypt),
    onGuest(
      'a page in use by the guest',
      'INVALID_PAGE_STATE',
      'page-state',
      dbg(snpDbgEncrypt, (bench) => {
        const page = preGuestPage(bench.machine, 1, GPA);
        writeEntry(bench.machine.rmp, pfnOf(page), { ...readEntry(bench.machine.rmp, pfnOf(page)), immutable: false });
        return { src: free(bench), dst: page };
      }),
      debug,
    ),
    onGuest(
      "another guest's page",
      'INVALID_PAGE_OWNER',
      'page-owner',
      dbg(snpDbgEncrypt, (bench) => ({ src: free(bench), dst: foreign(bench, false) })),
      debug,
    ),
  ],
};
