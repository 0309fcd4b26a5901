import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { LONG_MANIFEST, TINY_MANIFEST } from './client.js';
import { type SessionFixture, useSession } from './session-fixture.js';

describe('life of a session', () => {
  let { folder, client } = {} as SessionFixture;
  useSession((session) => {
    ({ folder, client } = session);
  });

  it('runs to the end, prints the digest and what does not happen', async () => {
    await client.start(folder.manifest);
    assert.equal((await client.event('exited'))['exitCode'], 0);
    await client.event('terminated');
    const output = client.output();
    const labels = ['host', 'vm', 'start', 'memory', 'update 1', 'update 2', 'update 3', 'finish'];
    const lines = [...output.matchAll(/^\[\d\/8\] (?:update \d|\w+)/gm)].map(([line]) => line);
    assert.deepEqual(
      lines,
      labels.map((label, i) => `[${i + 1}/8] ${label}`),
    );
    assert.match(
      output,
      /Launch digest:\n[0-9a-f]{96}\n.*expect in tiny\.snp\.yaml\.\nThe guest is not run \("runGuest" is false\)/,
    );
    const digest = /[0-9a-f]{96}/.exec(output)?.[0];
    const alone = client.wire.some(({ message }) => message.body?.['output'] === `${digest}\n`);
    assert.ok(alone, 'the digest is a piece of its own, to be copied');
    assert.equal(await client.evaluate('digest'), digest, 'the guest context can be asked to the end');
  });

  it('ignores breakpoints without debugging', async () => {
    await client.start(folder.manifest, { noDebug: true, stopOnEntry: true, lines: [13] });
    assert.equal((await client.event('exited'))['exitCode'], 0);
    assert.ok(!client.wire.some(({ message }) => message.event === 'stopped'));
  });

  it('restarts with the manifest as it is now', async () => {
    const manifest = folder.write('edited.snp.yaml', TINY_MANIFEST);
    await client.start(manifest, { stopOnEntry: true, lines: [13] });
    await client.event('stopped');
    await client.step('continue');
    folder.write('edited.snp.yaml', `# a line more\n${TINY_MANIFEST}`);
    await client.ask('restart', {});
    assert.equal((await client.event('stopped'))['reason'], 'entry');
    assert.equal((await client.stack())[0]?.line, 3, 'one line lower than before');
    assert.match(await client.evaluate('position'), /^[12]$/);
    await client.ask('continue', { threadId: 1 });
    await client.event('stopped');
    assert.equal((await client.stack())[0]?.line, 14, 'the breakpoint of line 13 has moved to the next entry');
  });

  it('keeps the old launch when the manifest cannot be loaded again', async () => {
    const manifest = folder.write('spoilt.snp.yaml', TINY_MANIFEST);
    await client.start(manifest, { stopOnEntry: true });
    await client.event('stopped');
    folder.write('spoilt.snp.yaml', 'launch: {');
    const response = await client.send('restart', {});
    assert.equal(response.success, false);
    assert.equal((await client.names())[0], 'host');
  });

  it('restarts after the end', async () => {
    await client.start(folder.manifest);
    await client.event('terminated');
    await client.ask('restart', { arguments: { manifest: folder.manifest, stopOnEntry: true } });
    assert.equal((await client.event('stopped'))['reason'], 'entry');
  });

  it('pauses in the middle of a long launch and goes on', async () => {
    await client.start(folder.write('long.snp.yaml', LONG_MANIFEST), { lines: [17] });
    await client.event('stopped');
    await client.ask('continue', { threadId: 1 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await client.ask('pause', { threadId: 1 });
    assert.equal((await client.event('stopped'))['reason'], 'pause');
    assert.equal((await client.stack()).at(-1)?.line, 17);
    await client.ask('continue', { threadId: 1 });
    await client.event('terminated');
  });

  it('can be disconnected in the middle', async () => {
    await client.start(folder.write('long.snp.yaml', LONG_MANIFEST));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await client.ask('disconnect', {});
    assert.equal(client.exitCode, 0);
    const messages = client.wire.length;
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(client.wire.length, messages, 'nothing more is sent');
  });

  it('can be terminated', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    await client.event('stopped');
    await client.ask('terminate', {});
    await client.event('terminated');
    const messages = client.wire.length;
    assert.equal((await client.send('next', { threadId: 1 })).success, true, 'a late key is no error');
    assert.equal(client.wire.length, messages + 2, 'and does nothing');
    assert.match(String((await client.send('stackTrace', { threadId: 1 })).message), /has ended/);
  });

  const errorOf = (response: DebugProtocol.Response): DebugProtocol.Message =>
    (response.body as { error: DebugProtocol.Message }).error;

  it('refuses a manifest that cannot be resolved, naming the first problem and the number of others', async () => {
    const manifest = folder.write(
      'wrong.snp.yaml',
      TINY_MANIFEST.replace('tiny.fd', 'missing.fd').replace('boot.bin', 'absent.bin').replace('0x30000', 'none'),
    );
    await client.ask('initialize', {});
    const response = await client.send('launch', { manifest });
    assert.equal(response.success, false);
    assert.equal(errorOf(response).showUser, true);
    assert.match(String(response.message), /^wrong\.snp\.yaml, line 1\d: .*more problem/s);
    assert.match(client.output('stderr'), /missing\.fd/);
    assert.match(client.output('stderr'), /absent\.bin/);
    const quiet = await client.send('launch', { manifest, clientShowsProblems: true });
    assert.equal(errorOf(quiet).showUser, false, 'a client that leads to the place needs no box');
    assert.equal(errorOf(quiet).variables?.['path'], manifest);
    assert.match(errorOf(quiet).variables?.['line'] ?? '', /^1\d$/);
    const again = await client.send('launch', { manifest: folder.manifest });
    assert.equal(again.success, true, 'another try is possible');
  });

  const refusedLaunches: [string, object, RegExp][] = [
    ['without a manifest', {}, /names no manifest/],
    ['with a manifest of the wrong type', { manifest: 7 }, /names no manifest/],
    ['of a file that does not exist', { manifest: '/nowhere/x.snp.yaml' }, /\/nowhere\/x\.snp\.yaml cannot be read/],
    ['of a folder', { manifest: '/' }, /cannot be read/],
    ['with a wrong flag', { manifest: 'x', stopOnEntry: 'yes' }, /stopOnEntry/],
  ];
  for (const [name, args, message] of refusedLaunches) {
    it(`refuses a launch ${name}`, async () => {
      await client.ask('initialize', {});
      const response = await client.send('launch', args);
      assert.equal(response.success, false);
      assert.match(String(response.message), message);
    });
  }

  it('refuses files outside an untrusted workspace', async () => {
    const outside = join(folder.path, '..');
    await client.ask('initialize', {});
    const refused = await client.send('launch', {
      manifest: folder.manifest,
      trusted: false,
      workspaceFolders: [join(outside, 'another-folder')],
    });
    assert.equal(refused.success, false);
    assert.match(String(refused.message), /not trusted/);
    const accepted = await client.send('launch', {
      manifest: folder.manifest,
      trusted: false,
      workspaceFolders: [folder.path],
    });
    assert.equal(accepted.success, true, accepted.message);
  });

  const wrongOrder: [string, object][] = [
    ['next', { threadId: 1 }],
    ['continue', { threadId: 1 }],
    ['pause', { threadId: 1 }],
    ['stackTrace', { threadId: 1 }],
    ['scopes', { frameId: 1 }],
    ['variables', { variablesReference: 1 }],
    ['evaluate', { expression: 'gctx' }],
    ['restart', {}],
    ['snp/rmpRanges', {}],
    ['attach', {}],
    ['reverseContinue', { threadId: 1 }],
  ];
  for (const [command, args] of wrongOrder) {
    it(`refuses ${command} before the launch`, async () => {
      const response = await client.send(command, args);
      assert.equal(response.success, false);
      assert.ok(errorOf(response).id >= 1000);
    });
  }
});
