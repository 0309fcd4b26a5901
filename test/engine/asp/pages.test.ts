import assert from 'node:assert/strict';
import { PAGE_SIZE, PAGE_SIZE_2M, PAGES_PER_2M, pfn, pfnOf, type Spa, spa, spaOf } from '../../../engine/address.js';
import { snpDbgDecrypt } from '../../../engine/asp/commands/snp-dbg-decrypt.js';
import { snpDbgEncrypt } from '../../../engine/asp/commands/snp-dbg-encrypt.js';
import { snpInit } from '../../../engine/asp/commands/snp-init.js';
import { snpPageMdInit } from '../../../engine/asp/commands/snp-page-md-init.js';
import { snpPageMove } from '../../../engine/asp/commands/snp-page-move.js';
import { snpPageReclaim } from '../../../engine/asp/commands/snp-page-reclaim.js';
import { snpPageSetState } from '../../../engine/asp/commands/snp-page-set-state.js';
import { snpPageUnsmash } from '../../../engine/asp/commands/snp-page-unsmash.js';
import { decodeMetadataEntry } from '../../../engine/asp/metadata-entry.js';
import { isZero, toHex } from '../../../engine/bytes.js';
import { writePage } from '../../../engine/memory/system-memory.js';
import { psmash } from '../../../engine/rmp/psmash.js';
import { rmpUpdate, SHARED } from '../../../engine/rmp/rmpupdate.js';
import { effectiveEntry, readEntry } from '../../../engine/rmp/table.js';
import { PAGE_TYPE, VMSA_GPA } from '../../../engine/spec/page-type.js';
import {
  createInitialisedMachine,
  firmwarePage,
  must,
  newPage,
  preGuestPage,
  run,
} from '../../support/bare-machine.js';
import {
  bytesOf,
  guestPage,
  largePage,
  metadataPage,
  type PageBench,
  pageBench,
  preSwapPage,
  setImmutable,
  smallPages,
  stateOf,
  swapIn,
  swapOut,
} from './guest-pages.js';

const launching = (more: Parameters<typeof pageBench>[0] = {}): PageBench => pageBench({ running: false, ...more });
const entryAt = ({ machine }: PageBench, page: Spa) => effectiveEntry(machine.rmp, pfnOf(page));
const same = (bytes: Uint8Array, fill: number): boolean => bytes.every((b) => b === fill);

describe('SNP_PAGE_SWAP_OUT and SNP_PAGE_SWAP_IN', () => {
  it('take a page away and bring it back with all that the guest gave it', () => {
    const bench = launching();
    const { machine, guest } = bench;
    const page = preSwapPage(bench, 0x5000, 0xab, { vmplMasks: [0xf, 1, 3] });
    const before = entryAt(bench, page);
    const [dst, table] = [firmwarePage(machine), metadataPage(bench)];
    const mdata = spa(table + 64 * 9);
    must(swapOut(bench, { src: page, dst, mdata, softwareData: 0x1234n }));
    assert.deepEqual([stateOf(machine, page), stateOf(machine, dst)], ['Pre-Guest', 'Firmware']);
    assert.deepEqual(entryAt(bench, page).vmpl, [0xf, 0, 0, 0]);
    // The ciphertext is that of AES-256-GCM under the OEK, not that of memory.
    const ciphertext = bytesOf(machine, dst);
    assert.ok(!same(ciphertext, 0xab));
    const entry = decodeMetadataEntry(bytesOf(machine, table).subarray(9 * 64, 10 * 64));
    assert.deepEqual(
      { ...entry, tag: toHex(entry.tag).length },
      {
        softwareData: 0x1234n,
        iv: 1n,
        tag: 32,
        valid: true,
        pageValidated: true,
        vmsa: false,
        metadata: false,
        pageSize2M: false,
        gpa: 0x5000,
        vmpl: [0xf, 0xf, 1, 3],
      },
    );
    // Somewhere else in system memory: the guest does not see the difference.
    const elsewhere = preGuestPage(machine, 1, 0x5000);
    must(swapIn(bench, { src: dst, dst: elsewhere, mdata }));
    assert.equal(stateOf(machine, elsewhere), 'Pre-Swap');
    assert.deepEqual({ ...entryAt(bench, elsewhere), subPageCount: 0 }, { ...before, subPageCount: 0 });
    assert.ok(same(bytesOf(machine, elsewhere, guest.vek), 0xab));
    assert.ok(isZero(bytesOf(machine, table)));
    must(snpPageReclaim(machine, { page: elsewhere, pageSize2M: false }));
    assert.equal(stateOf(machine, elsewhere), 'Guest-Valid');
  });

  it('count with each page, so that equal pages have different ciphertexts', () => {
    const bench = launching();
    const table = metadataPage(bench);
    const [a, b] = [0, 1].map((i) => {
      const dst = firmwarePage(bench.machine);
      must(swapOut(bench, { src: preSwapPage(bench, 0x5000 + i * 0x1000, 7), dst, mdata: spa(table + 64 * i) }));
      return toHex(bytesOf(bench.machine, dst));
    });
    assert.notEqual(a, b);
    assert.equal(bench.guest.oekIvCount, 2n);
  });

  it('keep a page that was not validated as it was', () => {
    const bench = launching();
    const { machine } = bench;
    const page = preGuestPage(machine, 1, 0x5000);
    const [dst, mdata] = [firmwarePage(machine), metadataPage(bench)];
    must(swapOut(bench, { src: page, dst, mdata }));
    must(swapIn(bench, { src: dst, dst: page, mdata }));
    assert.equal(stateOf(machine, page), 'Pre-Guest');
  });

  it('restore a VMSA as one', () => {
    const bench = launching();
    const { machine, guest } = bench;
    const page = preSwapPage(bench, VMSA_GPA, 0, { type: PAGE_TYPE.VMSA });
    const plain = bytesOf(machine, page, guest.vek);
    const [dst, mdata] = [firmwarePage(machine), metadataPage(bench)];
    must(swapOut(bench, { src: page, dst, mdata, pageType: 2 }));
    assert.equal(entryAt(bench, page).vmsa, false);
    must(swapIn(bench, { src: dst, dst: page, mdata, pageType: 2 }));
    assert.equal(entryAt(bench, page).vmsa, true);
    assert.equal(toHex(bytesOf(machine, page, guest.vek)), toHex(plain));
  });

  it('move 2 MiB at once', () => {
    const bench = launching();
    const { machine, gctx, guest } = bench;
    const page = largePage(machine, { asid: 1, gpa: PAGE_SIZE_2M, immutable: true });
    for (let i = 0; i < PAGES_PER_2M; i++) {
      const bytes = new Uint8Array(PAGE_SIZE).fill(i & 0xff);
      writePage(machine.memory, pfn(pfnOf(page) + i), { bytes, frozen: true }, guest.vek);
    }
    const dst = largePage(machine, { asid: 0, gpa: 0, immutable: true });
    must(swapOut(bench, { src: page, dst, pageSize2M: true }));
    const again = largePage(machine, { asid: 1, gpa: PAGE_SIZE_2M, immutable: true });
    must(swapIn(bench, { src: dst, dst: again, pageSize2M: true }));
    for (const i of [0, 1, 255, 511]) {
      assert.ok(same(bytesOf(machine, spa(again + i * PAGE_SIZE), guest.vek), i & 0xff), `page ${i}`);
    }
    assert.equal(entryAt(bench, again).pageSize2M, true);
    assert.ok(gctx);
  });

  it('decrypt in place when asked', () => {
    const bench = launching();
    const { machine, guest } = bench;
    const page = preSwapPage(bench, 0x5000, 0x3c);
    const [dst, mdata] = [firmwarePage(machine), metadataPage(bench)];
    must(swapOut(bench, { src: page, dst, mdata }));
    // The host puts the ciphertext into a page of its own and gives that to the guest.
    const frame = newPage(machine);
    writePage(machine.memory, frame, { bytes: bytesOf(machine, dst), frozen: false });
    must(
      rmpUpdate(machine, frame, {
        ...SHARED,
        assigned: true,
        immutable: true,
        pageSize2M: false,
        gpa: 0x5000 as never,
        asid: 1,
      }),
    );
    const place = spaOf(frame);
    must(swapIn(bench, { src: place, dst: place, mdata, inPlace: true }));
    assert.ok(same(bytesOf(machine, place, guest.vek), 0x3c));
  });

  it('catch a host that brings back old contents', () => {
    const bench = launching();
    const { machine, guest } = bench;
    const page = preSwapPage(bench, 0x5000, 1);
    const [first, second, mdata] = [firmwarePage(machine), firmwarePage(machine), metadataPage(bench)];
    must(swapOut(bench, { src: page, dst: first, mdata }));
    const oldEntry = bytesOf(machine, mdata);
    must(swapIn(bench, { src: first, dst: page, mdata }));
    writePage(machine.memory, pfnOf(page), { bytes: new Uint8Array(PAGE_SIZE).fill(2), frozen: false }, guest.vek);
    must(swapOut(bench, { src: page, dst: second, mdata }));
    // The old ciphertext does not fit the new tag …
    assert.equal(run(swapIn(bench, { src: first, dst: page, mdata })).fault?.check, 'fw-page-swap-authentication');
    // … and an old metadata page that the host kept is no metadata page.
    const frame = newPage(machine);
    writePage(machine.memory, frame, { bytes: oldEntry, frozen: false });
    const forged = run(swapIn(bench, { src: first, dst: page, mdata: spaOf(frame) }));
    assert.equal(forged.fault?.check, 'fw-page-swap-mdata-page');
    must(swapIn(bench, { src: second, dst: page, mdata }));
    assert.ok(same(bytesOf(machine, page, guest.vek), 2));
  });

  it('catch a host that brings back an old metadata page, up to the root entry', () => {
    const bench = launching();
    const { machine } = bench;
    const page = preSwapPage(bench, 0x5000, 1);
    const leaf = metadataPage(bench);
    const ciphertext = firmwarePage(machine);
    must(swapOut(bench, { src: page, dst: ciphertext, mdata: leaf }));
    const [first, second] = [firmwarePage(machine), firmwarePage(machine)];
    must(swapOut(bench, { src: leaf, dst: first, pageType: 1 }));
    assert.equal(stateOf(machine, leaf), 'Firmware');
    // Back, the page too, and out again.
    must(swapIn(bench, { src: first, dst: leaf, pageType: 1 }));
    must(swapIn(bench, { src: ciphertext, dst: page, mdata: leaf }));
    must(swapOut(bench, { src: page, dst: ciphertext, mdata: leaf }));
    must(swapOut(bench, { src: leaf, dst: second, pageType: 1 }));
    const replay = run(swapIn(bench, { src: first, dst: leaf, pageType: 1 }));
    assert.equal(replay.fault?.check, 'fw-page-swap-authentication');
    must(swapIn(bench, { src: second, dst: leaf, pageType: 1 }));
    must(swapIn(bench, { src: ciphertext, dst: page, mdata: leaf }));
  });

  it('keep metadata pages in metadata pages', () => {
    const bench = launching();
    const { machine } = bench;
    const [root, leaf, dst] = [metadataPage(bench), metadataPage(bench), firmwarePage(machine)];
    const page = preSwapPage(bench, 0x5000, 1);
    const ciphertext = firmwarePage(machine);
    must(swapOut(bench, { src: page, dst: ciphertext, mdata: spa(leaf + 64 * 63) }));
    must(swapOut(bench, { src: leaf, dst, mdata: root, pageType: 1 }));
    const other = firmwarePage(machine);
    must(swapIn(bench, { src: dst, dst: other, mdata: root, pageType: 1 }));
    must(swapIn(bench, { src: ciphertext, dst: page, mdata: spa(other + 64 * 63) }));
  });
});

describe('SNP_PAGE_MOVE', () => {
  it('moves contents, validation and permissions', () => {
    const bench = launching();
    const { machine, gctx, guest } = bench;
    const src = preSwapPage(bench, 0x5000, 0x42, { vmplMasks: [1, 3, 0xf] });
    const dst = preGuestPage(machine, 1, 0x5000);
    const [before, stored] = [entryAt(bench, src), toHex(bytesOf(machine, src))];
    must(snpPageMove(machine, { gctx, src, dst, pageSize2M: false }));
    assert.deepEqual([stateOf(machine, src), stateOf(machine, dst)], ['Pre-Guest', 'Pre-Swap']);
    assert.deepEqual(entryAt(bench, dst).vmpl, before.vmpl);
    assert.ok(same(bytesOf(machine, dst, guest.vek), 0x42));
    // The ciphertext depends on the address.
    assert.notEqual(toHex(bytesOf(machine, dst)), stored);
  });

  it('moves 2 MiB', () => {
    const bench = launching();
    const { machine, gctx, guest } = bench;
    const [src, dst] = [0, 1].map(() => largePage(machine, { asid: 1, gpa: PAGE_SIZE_2M, immutable: true }));
    assert.ok(src !== undefined && dst !== undefined);
    const last = pfn(pfnOf(src) + 511);
    writePage(machine.memory, last, { bytes: new Uint8Array(PAGE_SIZE).fill(9), frozen: true }, guest.vek);
    const wrong = run(snpPageMove(machine, { gctx, src, dst, pageSize2M: true }));
    assert.equal(wrong.fault?.check, 'fw-page-state');
    // Validated as a guest does it, in one entry.
    setValidated(bench, src);
    must(snpPageMove(machine, { gctx, src, dst, pageSize2M: true }));
    assert.ok(same(bytesOf(machine, spa(dst + 511 * PAGE_SIZE), guest.vek), 9));
  });
});

/** The bit that PVALIDATE sets, in an entry that is immutable already. */
function setValidated({ machine }: PageBench, page: Spa): void {
  const chunk = machine.rmp.chunks.get(pfnOf(page) / PAGES_PER_2M);
  assert.ok(chunk);
  chunk.setUint32(4, chunk.getUint32(4, true) | (1 << 30), true);
}

describe('SNP_PAGE_MD_INIT', () => {
  it('makes 64 free entries of a page that the host cannot write', () => {
    const bench = launching();
    const { machine, gctx } = bench;
    const page = firmwarePage(machine);
    writePage(machine.memory, pfnOf(page), { bytes: new Uint8Array(PAGE_SIZE).fill(0xff), frozen: false });
    must(snpPageMdInit(machine, { gctx, page }));
    assert.equal(stateOf(machine, page), 'Metadata');
    assert.ok(isZero(bytesOf(machine, page)));
    const taken = run(rmpUpdate(machine, pfnOf(page), { ...SHARED, pageSize2M: false }));
    assert.equal(taken.fault?.check, 'hw-rmpupdate-immutable');
    must(snpPageReclaim(machine, { page, pageSize2M: false }));
    assert.equal(stateOf(machine, page), 'Reclaim');
  });
});

describe('SNP_PAGE_UNSMASH', () => {
  it('joins what PSMASH split', () => {
    const bench = launching();
    const { machine } = bench;
    const page = largePage(machine, { asid: 1, gpa: PAGE_SIZE_2M, immutable: false });
    setValidated(bench, page);
    const before = readEntry(machine.rmp, pfnOf(page));
    must(psmash(machine, pfnOf(page)));
    for (let i = 0; i < PAGES_PER_2M; i++) setImmutable(machine, spa(page + i * PAGE_SIZE), true);
    must(snpPageUnsmash(machine, { page }));
    assert.deepEqual(readEntry(machine.rmp, pfnOf(page)), { ...before, immutable: true });
    assert.equal(stateOf(machine, spa(page + 4096)), 'Pre-Swap');
    must(snpPageReclaim(machine, { page, pageSize2M: true }));
    assert.deepEqual(readEntry(machine.rmp, pfnOf(page)), before);
    // And again: no entry below is left behind.
    must(psmash(machine, pfnOf(page)));
    assert.equal(readEntry(machine.rmp, pfnOf(page)).subPageCount, 0); // 512 wraps
  });
});

describe('SNP_PAGE_SET_STATE', () => {
  it('takes pages from the host until reset', () => {
    const machine = createInitialisedMachine();
    const page = smallPages(machine, () => ({ asid: 0, gpa: 0, immutable: true }));
    must(snpPageSetState(machine, { ranges: [{ base: page, pages: 512 }] }));
    for (const i of [0, 1, 511]) assert.equal(stateOf(machine, spa(page + i * PAGE_SIZE)), 'HV-Fixed');
    const taken = run(rmpUpdate(machine, pfnOf(page), { ...SHARED, pageSize2M: false }));
    assert.equal(taken.fault?.check, 'hw-rmpupdate-immutable');
    assert.equal(run(snpPageReclaim(machine, { page, pageSize2M: false })).fault?.check, 'fw-page-reclaim-state');
    assert.ok(run(snpInit(machine)).fault);
  });

  it('takes a 2 MiB Firmware page', () => {
    const machine = createInitialisedMachine();
    const page = largePage(machine, { asid: 0, gpa: 0, immutable: true });
    must(snpPageSetState(machine, { ranges: [{ base: page, pages: 512 }] }));
    assert.equal(stateOf(machine, spa(page + 4096)), 'HV-Fixed');
  });
});

describe('SNP_DBG_DECRYPT and SNP_DBG_ENCRYPT', () => {
  it('read and write the memory of a guest whose policy allows it', () => {
    const bench = pageBench({ policy: 0xb_0000n, running: false });
    const { machine, gctx, guest } = bench;
    const page = guestPage(bench, 0x5000, 0x42);
    guest.state = 'RUNNING';
    const plain = firmwarePage(machine);
    must(snpDbgDecrypt(machine, { gctx, src: page, dst: plain }));
    assert.ok(same(bytesOf(machine, plain), 0x42));
    assert.ok(!same(bytesOf(machine, page), 0x42));
    const frame = newPage(machine);
    writePage(machine.memory, frame, { bytes: new Uint8Array(PAGE_SIZE).fill(0x43), frozen: false });
    setImmutable(machine, page, true);
    must(snpDbgEncrypt(machine, { gctx, src: spaOf(frame), dst: page }));
    assert.ok(same(bytesOf(machine, page, guest.vek), 0x43));
    assert.equal(stateOf(machine, page), 'Pre-Swap');
  });
});
