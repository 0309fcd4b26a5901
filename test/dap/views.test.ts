import assert from 'node:assert/strict';
import type { RmpPagesResponse, RmpRangesResponse } from '../../debug-adapter/protocol.js';
import { DapClient, tinyFolder } from './client.js';
import { type SessionFixture, useSession } from './session-fixture.js';

describe('RMP requests', () => {
  let { folder, client } = {} as SessionFixture;
  useSession(
    (session) => {
      ({ folder, client } = session);
    },
    { stoppedAtEntry: true },
  );

  const ranges = (): Promise<RmpRangesResponse> => client.ask('snp/rmpRanges');

  it('cover the whole table without gaps, before and after SNP_INIT', async () => {
    const check = async (): Promise<ReadonlySet<string>> => {
      let next = 0;
      const states = new Set<string>();
      for (const range of (await ranges()).ranges) {
        assert.equal(Number(range.start), next * 4096);
        assert.ok(range.pages > 0);
        next += range.pages;
        states.add(range.state);
      }
      assert.equal(next, 2 ** 20, '4 GiB');
      return states;
    };
    assert.deepEqual([...(await check())], ['Default']);
    await client.setLines(folder.manifest, [18]);
    await client.step('continue');
    const states = await check();
    for (const state of ['Hypervisor', 'Firmware', 'Context', 'Guest-Valid', 'Guest-Invalid']) {
      if (state === 'Guest-Invalid') continue;
      assert.ok(states.has(state), `${state} among ${[...states].join()}`);
    }
  });

  it('mark what the last step changed', async () => {
    await client.setLines(folder.manifest, [14, 17]);
    await client.step('continue');
    const before = await ranges();
    await client.step('continue');
    const after = await ranges();
    assert.ok(after.position > before.position);
    const changed = after.ranges.filter((range) => range.changed > 0);
    assert.deepEqual(
      changed.map((range) => [range.state, range.gpa, range.changed]),
      [['Guest-Valid', '0x1000', 1]],
    );
    await client.step('next');
    assert.equal((await ranges()).ranges.find((range) => range.gpa === '0x1000')?.changed, 0);
  });

  it('lead from a page to the manifest line that made it', async () => {
    await client.setLines(folder.manifest, [18]);
    await client.step('continue');
    const { ranges: all } = await ranges();
    const lineOf = async (gpa: string): Promise<number | undefined> => {
      const range = all.find((r) => r.gpa === gpa);
      assert.ok(range, gpa);
      const { pages } = await client.ask<RmpPagesResponse>('snp/rmpPages', { start: range.start, count: range.pages });
      assert.equal(pages.length, range.pages);
      assert.ok(pages.every((page) => page.state === range.state && page.raw.length === 32));
      assert.ok(pages[0]?.fields.some((field) => field.name === 'ASID' && Number(field.value) > 0));
      return pages[0]?.source?.line;
    };
    // Lines start at 0 here.
    const image = all.find((range) => range.gpa === '0xffff0000');
    assert.equal(image?.label, 'update 1: firmware tiny.fd', 'the file without the way to it');
    assert.deepEqual(image?.source, { path: folder.manifest, line: 12, endLine: 12 });
    assert.ok(!JSON.stringify(all.map((range) => range.label)).includes(folder.path), 'no absolute path');
    assert.equal(await lineOf('0xffff0000'), 12);
    assert.equal(await lineOf('0x1000'), 13);
    assert.equal(await lineOf('0x3000'), 16);
  });

  it('refuse wrong arguments', async () => {
    for (const args of [{}, { start: 5, count: 1 }, { start: '0xzz', count: 1 }, { start: '0x0', count: -1 }]) {
      assert.equal((await client.send('snp/rmpPages', args)).success, false);
    }
    const far = await client.ask<RmpPagesResponse>('snp/rmpPages', { start: '0xfffffffff000', count: 1e9 });
    assert.deepEqual(far.pages, []);
  });
});

describe('readMemory', () => {
  let folder: ReturnType<typeof tinyFolder>;
  let client: DapClient;
  before(async () => {
    folder = tinyFolder();
    client = new DapClient();
    await client.start(folder.manifest, { stopOnEntry: true });
    await client.event('stopped');
  });
  after(async () => {
    await client.send('disconnect');
    folder.remove();
  });

  const lengthOf = (body: Record<string, unknown>): number => Buffer.from(String(body['data']), 'base64').length;

  it('crosses pages and stops at the end of memory', async () => {
    const across = await client.ask('readMemory', { memoryReference: 'host:0x1ff0', offset: 0, count: 64 });
    assert.equal(lengthOf(across), 64);
    const end = await client.ask('readMemory', { memoryReference: 'host:0xfffffff0', offset: 0, count: 64 });
    assert.equal(lengthOf(end), 16);
    assert.equal(end['unreadableBytes'], 48);
    const beyond = await client.ask('readMemory', { memoryReference: 'host:0x100000000', offset: 16, count: 8 });
    assert.equal(lengthOf(beyond), 0);
  });

  it('refuses other references', async () => {
    for (const memoryReference of ['', '0x1000', 'host:', 'host:0xgg', 'x:0x0']) {
      assert.equal((await client.send('readMemory', { memoryReference, count: 1 })).success, false);
    }
  });
});
