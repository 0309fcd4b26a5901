import assert from 'node:assert/strict';
import { gpa, PAGE_SIZE, PAGES_PER_2M, pfn, pfnOf, type Spa, spa, spaOf } from '../../../engine/address.js';
import { snpActivate } from '../../../engine/asp/commands/snp-activate.js';
import { snpDecommission } from '../../../engine/asp/commands/snp-decommission.js';
import { snpDfFlush } from '../../../engine/asp/commands/snp-df-flush.js';
import { decodeGuestStatus, snpGuestStatus } from '../../../engine/asp/commands/snp-guest-status.js';
import { snpInit, snpInitEx } from '../../../engine/asp/commands/snp-init.js';
import { snpLaunchFinish } from '../../../engine/asp/commands/snp-launch-finish.js';
import { snpLaunchUpdate } from '../../../engine/asp/commands/snp-launch-update.js';
import { snpPageReclaim } from '../../../engine/asp/commands/snp-page-reclaim.js';
import { decodePlatformStatus, snpPlatformStatus } from '../../../engine/asp/commands/snp-platform-status.js';
import { snpShutdownEx } from '../../../engine/asp/commands/snp-shutdown.js';
import { encodeIdBlock } from '../../../engine/asp/id-block.js';
import { SECRETS_LAYOUT } from '../../../engine/asp/secrets-page.js';
import { signIdBlock } from '../../../engine/asp/sign-id.js';
import { wbinvdOnAllCores } from '../../../engine/asp/state.js';
import { isZero, toHex } from '../../../engine/bytes.js';
import type { Machine } from '../../../engine/machine.js';
import { readPage, writePage } from '../../../engine/memory/system-memory.js';
import { HYPERVISOR_ENTRY, VMPL_ALL } from '../../../engine/rmp/entry.js';
import { pageState } from '../../../engine/rmp/page-state.js';
import { readEntry, writeEntry } from '../../../engine/rmp/table.js';
import { PAGE_TYPE, type PageType, VMSA_GPA } from '../../../engine/spec/page-type.js';
import {
  BARE_PAGES,
  type BareGuest,
  collect,
  createBareMachine,
  createGuest,
  createInitialisedMachine,
  firmwarePage,
  launchGuest,
  must,
  newPage,
  POLICY,
  preGuestPage,
  run,
} from '../../support/bare-machine.js';

const stateOf = (machine: Machine, page: Spa) =>
  pageState(readEntry(machine.rmp, pfnOf(page)), machine.rmp.initialised);

/** Measures one 4 KiB page of the guest with ASID 1. */
function measure(
  machine: Machine,
  { gctx }: BareGuest,
  type: PageType,
  address: number,
  bytes?: Uint8Array,
  vmplMasks: [number, number, number] = [0, 0, 0],
): Spa {
  const page = preGuestPage(machine, 1, address);
  if (bytes) writePage(machine.memory, pfnOf(page), { bytes, frozen: true });
  must(snpLaunchUpdate(machine, { gctx, page, pageSize2M: false, pageType: type, vmplMasks, imiPage: false }));
  return page;
}

describe('SNP_INIT', () => {
  it('makes the table Firmware, ranges HV-Fixed and the rest Hypervisor', () => {
    const machine = createBareMachine();
    assert.equal(stateOf(machine, spa(0)), 'Default');
    must(snpInitEx(machine, { initRmp: true, ranges: [{ base: spa(0xa0_0000), pages: 3 }] }));
    const states = new Map<string, number>();
    for (let i = 0; i < BARE_PAGES; i++) {
      const state = stateOf(machine, spaOf(pfn(i)));
      states.set(state, (states.get(state) ?? 0) + 1);
    }
    // 16 KiB of bookkeeping and 16 bytes for each page.
    const table = (0x4000 + BARE_PAGES * 16) / PAGE_SIZE;
    assert.deepEqual(Object.fromEntries(states), {
      Firmware: table,
      'HV-Fixed': 3,
      Hypervisor: BARE_PAGES - table - 3,
    });
    assert.equal(readEntry(machine.rmp, pfn(0)).subPageCount, table);
  });

  it('can be repeated after SNP_SHUTDOWN_EX, with or without building the table', () => {
    const machine = createInitialisedMachine();
    const kept = firmwarePage(machine);
    must(snpShutdownEx(machine));
    must(snpInitEx(machine, { initRmp: false }));
    assert.equal(stateOf(machine, kept), 'Firmware');
    wbinvdOnAllCores(machine.asp);
    must(snpDfFlush(machine));
    must(snpShutdownEx(machine));
    must(snpInit(machine));
    assert.equal(stateOf(machine, kept), 'Hypervisor');
  });

  it('reports itself in SNP_PLATFORM_STATUS', () => {
    const machine = createBareMachine();
    const page = spaOf(newPage(machine));
    must(snpPlatformStatus(machine, { status: page }));
    const status = (at: Spa) => decodePlatformStatus(readPage(machine.memory, pfnOf(at)));
    assert.deepEqual([status(page).state, status(page).rmpInitialised, status(page).apiMinor], [0, false, 55]);
    must(snpInit(machine));
    createGuest(machine);
    const result = firmwarePage(machine);
    must(snpPlatformStatus(machine, { status: result }));
    assert.deepEqual([status(result).state, status(result).rmpInitialised, status(result).guestCount], [1, true, 1]);
  });
});

describe('a launch', () => {
  it('goes through the guest states', () => {
    const machine = createInitialisedMachine();
    const { gctx, guest } = launchGuest(machine, { asid: 9 });
    assert.equal(stateOf(machine, gctx), 'Context');
    const status = firmwarePage(machine);
    must(snpGuestStatus(machine, { gctx, status }));
    const read = decodeGuestStatus(readPage(machine.memory, pfnOf(status)));
    assert.deepEqual(read, { policy: POLICY, asid: 9, state: 1 });
    assert.equal(
      guest.reportIdMa.every((b) => b === 0xff),
      true,
    );
    must(
      snpLaunchFinish(machine, {
        gctx,
        idBlock: spa(0),
        idAuth: spa(0),
        idBlockEnabled: false,
        authKeyEnabled: false,
        vcekDisabled: true,
        hostData: new Uint8Array(32).fill(7),
      }),
    );
    assert.deepEqual([guest.state, guest.vcekDisabled, guest.hostData[31]], ['RUNNING', true, 7]);
    assert.ok(isZero(guest.idKeyDigest));
    must(snpDecommission(machine, { gctx }));
    assert.equal(stateOf(machine, gctx), 'Firmware');
    must(snpPageReclaim(machine, { page: gctx, pageSize2M: false }));
    assert.equal(stateOf(machine, gctx), 'Reclaim');
    wbinvdOnAllCores(machine.asp);
    must(snpDfFlush(machine));
    must(snpActivate(machine, { gctx: launchGuest(machine, { asid: 0 }).gctx, asid: 9 }));
  });

  it('gives the published digests page by page', () => {
    const machine = createInitialisedMachine();
    const made = launchGuest(machine);
    const zeros = new Uint8Array(PAGE_SIZE);
    // Chained by hand from AMD pub. 56860, SNP_LAUNCH_UPDATE, PAGE_INFO.
    const steps: [PageType, number, Uint8Array | undefined, string][] = [
      [PAGE_TYPE.ZERO, 0, undefined, '70c0ecaab9608f14'],
      [PAGE_TYPE.NORMAL, 0x1000, zeros, 'bee42e2c150cfeea'],
      [PAGE_TYPE.UNMEASURED, 0x2000, new Uint8Array(PAGE_SIZE).fill(9), '4edde47ac3602d55'],
      [PAGE_TYPE.SECRETS, 0x3000, undefined, '5bcf763900839b35'],
      [PAGE_TYPE.CPUID, 0x4000, zeros, '38a4474c03d4b909'],
      [PAGE_TYPE.VMSA, VMSA_GPA, zeros, '7ab70b26f7434c96'],
    ];
    for (const [type, address, bytes, ld] of steps) {
      const page = measure(machine, made, type, address, bytes);
      assert.equal(toHex(made.guest.ld).slice(0, 16), ld);
      const entry = readEntry(machine.rmp, pfnOf(page));
      assert.equal(pageState(entry), 'Guest-Valid');
      assert.equal(entry.vmsa, type === PAGE_TYPE.VMSA);
    }
    assert.deepEqual(
      made.guest.measured.map((m) => m.gpa),
      steps.map(([, address]) => address),
    );
  });

  it('leaves the page to the guest: the host sees ciphertext', () => {
    const machine = createInitialisedMachine();
    const made = launchGuest(machine);
    const text = new TextEncoder().encode('the secret of the guest');
    const bytes = new Uint8Array(PAGE_SIZE);
    bytes.set(text);
    const page = pfnOf(measure(machine, made, PAGE_TYPE.NORMAL, 0x1000, bytes, [1, 3, 0xf]));
    assert.deepEqual(readPage(machine.memory, page, made.guest.vek), bytes);
    assert.notDeepEqual(readPage(machine.memory, page).slice(0, 16), bytes.slice(0, 16));
    assert.deepEqual(readEntry(machine.rmp, page).vmpl, [VMPL_ALL, 1, 3, 0xf]);
    // The key is gone for everybody, but DRAM is not.
    must(snpDecommission(machine, { gctx: made.gctx }));
    assert.notDeepEqual(readPage(machine.memory, page).slice(0, 16), bytes.slice(0, 16));
  });

  it('replaces what a ZERO or SECRETS page held', () => {
    const machine = createInitialisedMachine();
    const made = launchGuest(machine);
    const junk = new Uint8Array(PAGE_SIZE).fill(0x5a);
    const zero = measure(machine, made, PAGE_TYPE.ZERO, 0, junk);
    assert.ok(isZero(readPage(machine.memory, pfnOf(zero), made.guest.vek)));
    const secrets = readPage(machine.memory, pfnOf(measure(machine, made, PAGE_TYPE.SECRETS, 0, junk)), made.guest.vek);
    assert.equal(new DataView(secrets.buffer).getUint32(SECRETS_LAYOUT.fms, true), machine.processor.signature);
    for (const [level, offset] of SECRETS_LAYOUT.vmpck.entries()) {
      assert.deepEqual(secrets.slice(offset, offset + 32), made.guest.vmpck[level]);
    }
    assert.ok(isZero(secrets.subarray(SECRETS_LAYOUT.osArea)));
  });

  it('clears and ignores the TSC fields of a VMSA', () => {
    const plain = new Uint8Array(PAGE_SIZE).fill(3);
    plain.fill(0, 0x2f0, 0x300);
    const scaled = plain.slice();
    scaled.fill(8, 0x2f0, 0x300);
    const [a, b] = [plain, scaled].map((bytes) => {
      const machine = createInitialisedMachine();
      const made = launchGuest(machine);
      const page = measure(machine, made, PAGE_TYPE.VMSA, VMSA_GPA, bytes);
      assert.deepEqual(readPage(machine.memory, pfnOf(page), made.guest.vek), plain);
      return toHex(made.guest.ld);
    });
    assert.equal(a, b);
    assert.equal(scaled[0x2f0], 8);
  });

  it('measures 2 MiB as 512 pages and yields each', () => {
    const machine = createInitialisedMachine();
    const { gctx, guest } = launchGuest(machine);
    const head = pfn(4 * PAGES_PER_2M);
    const entry = { assigned: true, immutable: true, pageSize2M: true, asid: 1, gpa: gpa(0x4000_0000) };
    writeEntry(machine.rmp, head, { ...HYPERVISOR_ENTRY, ...entry });
    const { value, events } = collect(
      snpLaunchUpdate(machine, {
        gctx,
        page: spaOf(head),
        pageSize2M: true,
        pageType: PAGE_TYPE.NORMAL,
        vmplMasks: [0, 0, 0],
        imiPage: true,
      }),
    );
    assert.equal(value.status, 0);
    const digests = events.flatMap((e) => (e.kind === 'digest' ? [e.update] : []));
    assert.equal(digests.length, PAGES_PER_2M);
    assert.equal(digests[511]?.gpa, 0x401f_f000);
    assert.equal(toHex(digests[511]?.after ?? new Uint8Array()), toHex(guest.ld));
    assert.equal(toHex(guest.imd), toHex(guest.ld));
    for (let i = 1; i < digests.length; i++) assert.equal(digests[i]?.before, digests[i - 1]?.after);
    assert.equal(events.filter((e) => e.kind === 'rmp').length, 1);
    assert.equal(stateOf(machine, spaOf(head)), 'Guest-Valid');
  });

  it('measures what the DRAM holds if the host left the page under another key', () => {
    const machine = createInitialisedMachine();
    const made = launchGuest(machine);
    const page = preGuestPage(machine, 1, 0x1000);
    const bytes = new Uint8Array(PAGE_SIZE).fill(1);
    writePage(machine.memory, pfnOf(page), { bytes, frozen: true }, machine.asp.firmwareKey);
    const cipher = readPage(machine.memory, pfnOf(page)).slice();
    const params = { gctx: made.gctx, page, pageSize2M: false, vmplMasks: [0, 0, 0] as const, imiPage: false };
    must(snpLaunchUpdate(machine, { ...params, vmplMasks: [0, 0, 0], pageType: PAGE_TYPE.NORMAL }));
    assert.deepEqual(readPage(machine.memory, pfnOf(page), made.guest.vek), cipher);
  });

  it('says that a mask with write and without read is useless', () => {
    const machine = createInitialisedMachine();
    const { gctx } = launchGuest(machine);
    const page = preGuestPage(machine, 1, 0x1000);
    const { value, events } = collect(
      snpLaunchUpdate(machine, {
        gctx,
        page,
        pageSize2M: false,
        pageType: PAGE_TYPE.ZERO,
        vmplMasks: [1, 2, 3],
        imiPage: false,
      }),
    );
    assert.equal(value.status, 0);
    const logs = events.flatMap((e) => (e.kind === 'log' ? [e.text] : []));
    assert.equal(logs.length, 1);
    assert.match(logs[0] ?? '', /^VMPL2 /);
  });

  it('stores the ID block and the digests of its keys', () => {
    const machine = createInitialisedMachine();
    const { gctx, guest } = launchGuest(machine);
    const block = encodeIdBlock({
      ld: guest.ld,
      familyId: new Uint8Array(16).fill(1),
      imageId: new Uint8Array(16).fill(2),
      version: 1,
      guestSvn: 42,
      policy: POLICY,
    });
    const [blockPage, authPage] = [newPage(machine), newPage(machine)];
    const bytes = new Uint8Array(PAGE_SIZE);
    bytes.set(block, PAGE_SIZE - 96);
    const auth = signIdBlock(block, new Uint8Array(48).fill(3), new Uint8Array(48).fill(4));
    writePage(machine.memory, blockPage, { bytes, frozen: false });
    writePage(machine.memory, authPage, { bytes: auth, frozen: false });
    must(
      snpLaunchFinish(machine, {
        gctx,
        idBlock: spa(spaOf(blockPage) + PAGE_SIZE - 96),
        idAuth: spaOf(authPage),
        idBlockEnabled: true,
        authKeyEnabled: true,
        vcekDisabled: false,
        hostData: new Uint8Array(32),
      }),
    );
    assert.equal(guest.idBlock?.guestSvn, 42);
    assert.deepEqual(guest.idBlock?.imageId, new Uint8Array(16).fill(2));
    assert.equal(toHex(guest.idKeyDigest), toHex(machine.crypto.sha384(auth.subarray(0x240, 0x644))));
    assert.equal(toHex(guest.authorKeyDigest), toHex(machine.crypto.sha384(auth.subarray(0x880, 0xc84))));
    assert.equal(guest.authorKeyEnabled, true);
  });

  it('is the same with the same seed', () => {
    const [a, b] = [0, 1].map(() => {
      const machine = createInitialisedMachine();
      return launchGuest(machine).guest;
    });
    assert.deepEqual(a, b);
  });
});

describe('SNP_PAGE_RECLAIM', () => {
  const cases: [string, Parameters<typeof writeEntry>[2], string][] = [
    ['Firmware', { ...HYPERVISOR_ENTRY, assigned: true, immutable: true }, 'Reclaim'],
    ['Metadata', { ...HYPERVISOR_ENTRY, assigned: true, immutable: true, gpa: gpa(0x1000) }, 'Reclaim'],
    ['Pre-Guest', { ...HYPERVISOR_ENTRY, assigned: true, immutable: true, asid: 1 }, 'Guest-Invalid'],
    ['Pre-Swap', { ...HYPERVISOR_ENTRY, assigned: true, immutable: true, asid: 1, validated: true }, 'Guest-Valid'],
  ];
  for (const size2M of [false, true]) {
    for (const [from, entry, to] of cases) {
      it(`${from} → ${to}, ${size2M ? '2M' : '4K'}`, () => {
        const machine = createInitialisedMachine();
        const head = pfn(4 * PAGES_PER_2M);
        writeEntry(machine.rmp, head, { ...entry, pageSize2M: size2M });
        assert.equal(stateOf(machine, spaOf(head)), from);
        assert.equal(run(snpPageReclaim(machine, { page: spaOf(head), pageSize2M: size2M })).status, 0);
        assert.equal(stateOf(machine, spaOf(head)), to);
      });
    }
  }
});
