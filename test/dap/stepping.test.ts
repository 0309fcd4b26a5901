import assert from 'node:assert/strict';
import { DapClient, tinyFolder } from './client.js';

describe('stepping', () => {
  let folder: ReturnType<typeof tinyFolder>;
  let client: DapClient;
  before(() => {
    folder = tinyFolder();
  });
  after(() => folder.remove());
  beforeEach(() => {
    client = new DapClient();
  });
  afterEach(() => client.send('disconnect'));

  it('over goes from entry to entry, to the end', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    assert.equal((await client.event('stopped'))['reason'], 'entry');
    const labels = [...(await client.names())];
    for (let i = 0; i < 7; i++) {
      assert.equal((await client.step('next'))['reason'], 'step');
      const names = await client.names();
      assert.equal(names.length, 1);
      labels.push(...names);
    }
    assert.deepEqual(
      labels.map((label) => label.split(':')[0]),
      ['host', 'vm', 'start', 'memory', 'update 1', 'update 2', 'update 3', 'finish'],
    );
    await client.ask('next', { threadId: 1 });
    assert.equal((await client.event('exited'))['exitCode'], 0);
    await client.event('terminated');
  });

  it('in goes down through the layers, out comes back', async () => {
    await client.start(folder.manifest, { lines: [14] });
    await client.event('stopped');
    const depths: number[] = [];
    const layers = new Set<string>();
    for (let i = 0; i < 8; i++) {
      await client.step('stepIn');
      const names = await client.names();
      depths.push(names.length);
      layers.add((names[0] ?? '').split(':')[0] ?? '');
      assert.match(names.at(-1) ?? '', /^update 2/);
      assert.ok((await client.stack()).every((frame) => frame.line === 14 && frame.source?.path === folder.manifest));
    }
    assert.ok(
      ['VMM', 'KVM', 'Firmware', 'CPU'].every((layer) => layers.has(layer)),
      [...layers].join(),
    );
    const depth = (await client.names()).length;
    assert.ok(depth > 4);
    await client.step('stepOut');
    assert.ok((await client.names()).length < depth);
    assert.match((await client.names())[0] ?? '', /^update 3/);
  });

  it('over inside an operation stays at its level or above', async () => {
    await client.start(folder.manifest, { lines: [14] });
    await client.event('stopped');
    for (let i = 0; i < 4; i++) await client.step('stepIn');
    let depth = (await client.names()).length;
    for (let i = 0; i < 2; i++) {
      await client.step('next');
      const now = (await client.names()).length;
      assert.ok(now <= depth);
      depth = now;
    }
  });

  it('visits every event in the same order each time', async () => {
    const walk = async (): Promise<readonly string[]> => {
      const walker = new DapClient();
      await walker.start(folder.manifest, { lines: [17] });
      await walker.event('stopped');
      const names: string[] = [];
      for (let i = 0; i < 20; i++) {
        names.push((await walker.names())[0] ?? '');
        await walker.step('stepIn');
      }
      await walker.send('disconnect');
      return names;
    };
    assert.deepEqual(await walk(), await walk());
  });

  it('stops at a breakpoint on the way', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    await client.event('stopped');
    await client.ask('setFunctionBreakpoints', { breakpoints: [{ name: 'SNP_LAUNCH_START' }] });
    let reason: unknown = '';
    for (let i = 0; i < 8 && reason !== 'function breakpoint'; i++) reason = (await client.step('next'))['reason'];
    assert.equal(reason, 'function breakpoint');
    assert.ok((await client.names()).length > 2);
  });
});
