import assert from 'node:assert/strict';
import { pfn, pfnOf, type Spa, spaOf } from '../../../../engine/address.js';
import { encodeKeyRequest } from '../../../../engine/asp/attestation/key-request.js';
import { encodeReportRequest } from '../../../../engine/asp/attestation/report-request.js';
import { snpActivate } from '../../../../engine/asp/commands/snp-activate.js';
import { snpPageReclaim } from '../../../../engine/asp/commands/snp-page-reclaim.js';
import { MESSAGE_TYPE } from '../../../../engine/asp/guest-message.js';
import {
  decodeContext,
  EXPORTED_CONTEXT_SIZE,
  type ExportedContext,
  encodeContext,
} from '../../../../engine/asp/migration/exported-context.js';
import { encodeImportRequest } from '../../../../engine/asp/migration/import-request.js';
import { encodeVmrkRequest } from '../../../../engine/asp/migration/vmrk-request.js';
import { isZero, toHex, view } from '../../../../engine/bytes.js';
import type { Machine } from '../../../../engine/machine.js';
import { readPage, writePage } from '../../../../engine/memory/system-memory.js';
import { seededRandom } from '../../../../engine/random.js';
import { createGuest, firmwarePage, must, newPage, preGuestPage, run } from '../../../support/bare-machine.js';
import { type Channel, exchange, openChannel } from '../guest-channel.js';
import { bytesOf, stateOf, swapIn } from '../guest-pages.js';
import { type Client, exportContext, launchClient, swapOutAll } from './agent.js';

const VMRK = new Uint8Array(32).fill(0x5e);
const STATUS = (payload: Uint8Array): number => view(payload).getUint32(0, true);

/** The same bytes in a page of another machine, as a network carries them. */
function carry(from: Machine, page: Spa, to: Machine): Spa {
  const frame = newPage(to);
  writePage(to.memory, frame, { bytes: readPage(from.memory, pfnOf(page)).slice(), frozen: false });
  return spaOf(frame);
}

describe('an exported context', () => {
  const context: ExportedContext = {
    ld: new Uint8Array(48).fill(1),
    oek: new Uint8Array(32).fill(2),
    vmpck: [3, 4, 5, 6].map((n) => new Uint8Array(32).fill(n)) as unknown as ExportedContext['vmpck'],
    vmrk: new Uint8Array(32).fill(7),
    hostData: new Uint8Array(32).fill(8),
    idKeyDigest: new Uint8Array(48).fill(9),
    authorKeyDigest: new Uint8Array(48).fill(10),
    reportId: new Uint8Array(32).fill(11),
    imd: new Uint8Array(48).fill(12),
    messageCount: [0x10n, 0x20n, 0x30n, 0x40n],
    rootMdata: new Uint8Array(64).fill(13),
    authorKeyEnabled: true,
    idBlock: new Uint8Array(96).fill(14),
    policy: 0x7_0000n,
    state: 'RUNNING',
    oekIvCount: 0x99n,
    gosvw: new Uint8Array(16).fill(15),
  };

  it('is laid out as AMD lays it out', () => {
    const bytes = encodeContext(context);
    assert.equal(bytes.length, EXPORTED_CONTEXT_SIZE);
    const fields: [offset: number, size: number, fill: number][] = [
      [0x000, 48, 1],
      [0x030, 32, 2],
      [0x050, 32, 3],
      [0x070, 32, 4],
      [0x090, 32, 5],
      [0x0b0, 32, 6],
      [0x0d0, 32, 7],
      [0x0f0, 32, 8],
      [0x110, 48, 9],
      [0x140, 48, 10],
      [0x170, 32, 11],
      [0x190, 48, 12],
      [0x1e0, 64, 13],
      [0x240, 96, 14],
      [0x2a0, 16, 15],
    ];
    for (const [offset, size, fill] of fields) {
      assert.ok(
        bytes.subarray(offset, offset + size).every((b) => b === fill),
        offset.toString(16),
      );
    }
    const word = (offset: number): bigint => view(bytes).getBigUint64(offset, true);
    assert.deepEqual([0x1c0, 0x1c8, 0x1d0, 0x1d8].map(word), [0x10n, 0x20n, 0x30n, 0x40n]);
    assert.deepEqual([0x220, 0x228, 0x230, 0x238].map(word), [3n, 0x7_0000n, 2n, 0x99n]);
    assert.ok(isZero(bytes.subarray(0x2b0)));
    assert.deepEqual(decodeContext(bytes), context);
  });
});

/** A guest of three pages on one machine, exported, and an empty machine with an agent of its own. */
function twoHosts(): {
  from: Channel;
  client: Client;
  to: Channel;
  context: Uint8Array;
  moved: readonly Spa[];
  metadata: Spa;
} {
  const from = openChannel();
  const client = launchClient(from, { pages: [0x11, 0x22, 0x33] });
  assert.equal(STATUS(exchange(from, MESSAGE_TYPE.VMRK_REQ, encodeVmrkRequest(client.gctx, VMRK))), 0);
  const swapped = swapOutAll(client);
  const context = exportContext(from, client);
  const to = openChannel({ machine: { random: seededRandom('elsewhere') } });
  const moved = swapped.ciphertexts.map((page) => carry(from.machine, page, to.machine));
  return { from, client, to, context, moved, metadata: carry(from.machine, swapped.metadata, to.machine) };
}

describe('a guest with a migration agent', () => {
  it('moves to another host with its pages, keys and measurement', () => {
    const { client, to, context, moved, metadata } = twoHosts();
    const { machine } = to;
    const empty = createGuest(machine);
    const ownReportId = empty.guest.reportId.slice();
    const reply = exchange(to, MESSAGE_TYPE.IMPORT_REQ, encodeImportRequest(empty.gctx, context));
    assert.deepEqual([STATUS(reply), reply.length], [0, 16]);
    const { guest } = empty;
    assert.equal(guest.state, 'RUNNING');
    assert.equal(guest.policy, client.guest.policy);
    assert.deepEqual(guest.ld, client.guest.ld);
    assert.deepEqual(guest.vmpck, client.guest.vmpck);
    assert.deepEqual(guest.vmrk, VMRK);
    assert.deepEqual(guest.reportId, ownReportId);
    assert.deepEqual(guest.reportIdMa, to.guest.reportId);
    assert.deepEqual(guest.messageCount, client.guest.messageCount);
    // The memory key is new: the host cannot compare ciphertexts of the two machines.
    assert.notDeepEqual(machine.memory.keys.get(guest.vek), client.machine.memory.keys.get(client.guest.vek));

    must(snpActivate(machine, { gctx: empty.gctx, asid: 7 }));
    const bench = { machine, ...empty };
    const table = firmwarePage(machine);
    must(swapIn(bench, { src: metadata, dst: table, pageType: 1 }));
    assert.equal(stateOf(machine, table), 'Metadata');
    assert.equal(guest.rootMdata, undefined);
    moved.forEach((src, i) => {
      const dst = preGuestPage(machine, 7, 0x1_0000 + i * 0x1000);
      must(swapIn(bench, { src, dst, mdata: (table + 64 * i) as Spa }));
      assert.equal(stateOf(machine, dst), 'Pre-Swap');
      assert.deepEqual([...new Set(bytesOf(machine, dst, guest.vek))], [[0x11, 0x22, 0x33][i]]);
    });
    // The guest talks to the firmware with the keys that it knows.
    const channel: Channel = { ...to, gctx: empty.gctx, guest, keys: client.guest.vmpck };
    const report = exchange(
      channel,
      MESSAGE_TYPE.REPORT_REQ,
      encodeReportRequest({ reportData: new Uint8Array(64), vmpl: 0 }),
    );
    assert.equal(toHex(report.subarray(0x20 + 0x160, 0x20 + 0x180)), toHex(to.guest.reportId));
  });

  it('derives the same keys from the VMRK on both hosts', () => {
    const { from, client, to, context } = twoHosts();
    const request = encodeKeyRequest({ rootKey: 1, keySelect: 0, fields: 0n, vmpl: 0, guestSvn: 0, tcb: 0n });
    const before = exchange(
      { ...from, gctx: client.gctx, guest: client.guest, keys: client.guest.vmpck },
      MESSAGE_TYPE.KEY_REQ,
      request,
    );
    const { gctx, guest } = createGuest(to.machine);
    exchange(to, MESSAGE_TYPE.IMPORT_REQ, encodeImportRequest(gctx, context));
    const after = exchange({ ...to, gctx, guest, keys: guest.vmpck }, MESSAGE_TYPE.KEY_REQ, request);
    assert.deepEqual([STATUS(before), STATUS(after)], [0, 0]);
    assert.deepEqual(after, before);
    assert.ok(!isZero(after.subarray(0x20)));
  });

  it('cannot be brought back with older pages', () => {
    const from = openChannel();
    const client = launchClient(from, { pages: [0x11] });
    const old = swapOutAll(client);
    const [page] = client.pages;
    assert.ok(page !== undefined && old.ciphertexts[0] !== undefined);
    const oldContext = exportContext(from, client);
    const oldBytes = bytesOf(client.machine, old.ciphertexts[0]);
    // The guest runs on, and is swapped out again with other contents.
    const table = firmwarePage(client.machine);
    must(swapIn(client, { src: old.metadata, dst: table, pageType: 1 }));
    must(swapIn(client, { src: old.ciphertexts[0], dst: page, mdata: table }));
    must(snpPageReclaim(client.machine, { page, pageSize2M: false }));
    assert.equal(stateOf(client.machine, page), 'Guest-Valid');
    writePage(
      client.machine.memory,
      pfnOf(page),
      { bytes: new Uint8Array(4096).fill(0x99), frozen: false },
      client.guest.vek,
    );
    const recent = swapOutAll(client);
    const context = exportContext(from, client);
    assert.notDeepEqual(context, oldContext);

    const to = openChannel({ machine: { random: seededRandom('elsewhere') } });
    const empty = createGuest(to.machine);
    exchange(to, MESSAGE_TYPE.IMPORT_REQ, encodeImportRequest(empty.gctx, context));
    must(snpActivate(to.machine, { gctx: empty.gctx, asid: 7 }));
    const bench = { machine: to.machine, ...empty };
    // The root entry vouches for the newer metadata page alone.
    const oldTable = carry(from.machine, old.metadata, to.machine);
    const dst = firmwarePage(to.machine);
    assert.equal(run(swapIn(bench, { src: oldTable, dst, pageType: 1 })).fault?.check, 'fw-page-swap-authentication');
    must(swapIn(bench, { src: carry(from.machine, recent.metadata, to.machine), dst, pageType: 1 }));
    // And the metadata page for the newer contents alone.
    const target = preGuestPage(to.machine, 7, 0x1_0000);
    const replay = newPage(to.machine);
    writePage(to.machine.memory, replay, { bytes: oldBytes, frozen: false });
    const refused = run(swapIn(bench, { src: spaOf(pfn(replay)), dst: target, mdata: dst }));
    assert.equal(refused.fault?.check, 'fw-page-swap-authentication');
    assert.ok(recent.ciphertexts[0] !== undefined);
    must(swapIn(bench, { src: carry(from.machine, recent.ciphertexts[0], to.machine), dst: target, mdata: dst }));
    assert.ok(bytesOf(to.machine, target, empty.guest.vek).every((b) => b === 0x99));
  });

  it('is absorbed by the image that it expects', () => {
    const from = openChannel();
    const client = launchClient(from, { imiEnabled: true, pages: [0x77] });
    swapOutAll(client);
    const context = exportContext(from, client, true);
    const to = openChannel({ machine: { random: seededRandom('elsewhere') } });
    // The image alone is launched, with the same page.
    const target = launchClient(to, { imiEnabled: true, pages: [0x77], launching: true });
    assert.deepEqual(target.guest.imd, client.guest.imd);
    const { vek, asid } = target.guest;
    const reply = exchange(to, MESSAGE_TYPE.ABSORB_REQ, encodeImportRequest(target.gctx, context));
    assert.equal(STATUS(reply), 0);
    assert.equal(target.guest.state, 'RUNNING');
    assert.deepEqual([target.guest.vek, target.guest.asid], [vek, asid]);
    assert.deepEqual(target.guest.oek, client.guest.oek);
    assert.deepEqual(target.guest.rootMdata, client.guest.rootMdata);
  });

  it('exports no image digest unless asked', () => {
    const from = openChannel();
    const client = launchClient(from, { imiEnabled: true, pages: [0x77] });
    swapOutAll(client);
    const plain = decodeContext(exportContext(from, client));
    const forImage = decodeContext(exportContext(from, client, true));
    assert.ok(typeof plain === 'object' && typeof forImage === 'object');
    assert.ok(isZero(plain.imd));
    assert.deepEqual(forImage.imd, client.guest.imd);
  });
});

describe('MSG_ABSORB_NOMA_REQ', () => {
  it('is answered under the old key, and the next message needs the new one', () => {
    const channel = openChannel();
    const { guest } = channel;
    // A guest whose image is already there, and a context made for it.
    guest.imiEnabled = true;
    const keys = [1, 2, 3, 4].map((n) => new Uint8Array(32).fill(n)) as unknown as ExportedContext['vmpck'];
    const context = encodeContext({
      ...guest,
      idBlock: new Uint8Array(96),
      imd: guest.imd,
      vmpck: keys,
      messageCount: [40n, 0n, 0n, 6n],
    });
    const reply = exchange(channel, MESSAGE_TYPE.ABSORB_NOMA_REQ, encodeImportRequest(0, context));
    assert.equal(STATUS(reply), 0);
    assert.deepEqual(guest.vmpck, keys);
    assert.deepEqual(guest.messageCount, [40n, 0n, 0n, 6n]);
    const request = encodeReportRequest({ reportData: new Uint8Array(64), vmpl: 0 });
    const report = exchange({ ...channel, keys }, MESSAGE_TYPE.REPORT_REQ, request);
    assert.equal(STATUS(report), 0);
    assert.equal(guest.messageCount[0], 42n);
  });
});
