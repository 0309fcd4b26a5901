import assert from 'node:assert/strict';
import { DapClient } from './client.js';
import { type SessionFixture, useSession } from './session-fixture.js';

describe('stepping', () => {
  let { folder, client } = {} as SessionFixture;
  useSession((session) => {
    ({ folder, client } = session);
  });

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
      layers.add((names[0] ?? '').split(' · ').at(-1) ?? '');
      assert.ok((names[0] ?? '').length <= 64, `${names[0]} fits into a side bar`);
      assert.match(names.at(-1) ?? '', /^update 2/);
      assert.ok((await client.stack()).every((frame) => frame.line === 14 && frame.source?.path === folder.manifest));
    }
    assert.ok(
      ['VMM', 'KVM', 'firmware', 'CPU'].every((layer) => layers.has(layer)),
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

  describe('faster than the launch', () => {
    const hurry = async (...commands: readonly string[]): Promise<readonly boolean[]> => {
      const answers = commands.map((command) => client.send(command, { threadId: 1 }));
      return (await Promise.all(answers)).map((answer) => answer.success);
    };

    it('adds the steps up, without an error and with one stop', async () => {
      await client.start(folder.manifest, { stopOnEntry: true });
      await client.event('stopped');
      assert.deepEqual(await hurry('next', 'next', 'next', 'next'), [true, true, true, true]);
      await client.event('stopped');
      assert.match((await client.names())[0] ?? '', /^update 1/);
      assert.equal(client.wire.filter(({ message }) => message.event === 'stopped').length, 2, 'entry and this one');
    });

    it('stops at a breakpoint all the same, and forgets the rest', async () => {
      await client.start(folder.manifest, { stopOnEntry: true, lines: [11] });
      await client.event('stopped');
      await hurry('next', 'next', 'next', 'next');
      assert.equal((await client.event('stopped'))['reason'], 'breakpoint');
      assert.equal((await client.names())[0], 'start');
      await client.step('next');
      assert.equal((await client.names())[0], 'memory', 'one step, not those left over');
    });

    it('goes on to the end when asked to meanwhile', async () => {
      await client.start(folder.manifest, { stopOnEntry: true });
      await client.event('stopped');
      assert.deepEqual(await hurry('next', 'continue', 'next'), [true, true, true]);
      await client.event('terminated');
      assert.equal(client.wire.filter(({ message }) => message.event === 'stopped').length, 1);
    });

    it('raises no message box, whatever is asked while the launch runs and after it', async () => {
      await client.start(folder.manifest, { stopOnEntry: true });
      await client.event('stopped');
      const frameId = (await client.stack())[0]?.id;
      const all = ['continue', 'next', 'stepIn', 'stepOut', 'pause', 'stackTrace', 'exceptionInfo', 'snp/rmpRanges'];
      const requests: [string, object][] = [
        ...all.map((command): [string, object] => [command, { threadId: 1 }]),
        ['evaluate', { expression: 'gctx.state', context: 'hover', frameId }],
        ['evaluate', { expression: 'rmp(0x1000)', context: 'watch', frameId: 4711 }],
        ['scopes', { frameId }],
        ['variables', { variablesReference: 1 }],
      ];
      const ask = async (): Promise<void> => {
        const answers = await Promise.all(requests.map(([command, args]) => client.send(command, args)));
        for (const [index, answer] of answers.entries()) {
          const error = (answer.body as { error?: { showUser?: boolean } } | undefined)?.error;
          assert.ok(answer.success || error?.showUser === false, requests[index]?.[0]);
        }
        for (const command of ['continue', 'next', 'stepIn', 'stepOut', 'pause']) {
          const index = requests.findIndex(([name]) => name === command);
          assert.equal(answers[index]?.success, true, `VS Code shows any refusal of ${command}`);
        }
      };
      await ask();
      if (await client.stoppedOrEnded()) {
        await client.ask('continue', { threadId: 1 });
        await client.event('terminated');
      }
      await ask();
    });
  });
});
