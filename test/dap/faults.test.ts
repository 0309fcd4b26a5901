import assert from 'node:assert/strict';
import { TINY_MANIFEST } from './client.js';
import { type SessionFixture, useSession } from './session-fixture.js';

describe('faults', () => {
  let { folder, client } = {} as SessionFixture;
  useSession((session) => {
    ({ folder, client } = session);
  });

  const broken = (name: string, from: string, to: string): string =>
    folder.write(`${name}.snp.yaml`, TINY_MANIFEST.replace(from, to));

  it('of the firmware stop where the check fails, with the whole chain explained', async () => {
    await client.start(broken('abi', '0x30000', '0x3013f'));
    const stopped = await client.event('stopped');
    assert.equal(stopped['reason'], 'exception');
    assert.ok(stopped['text']);

    const stack = await client.stack();
    assert.match(stack[0]?.name ?? '', /^SNP_LAUNCH_START → POLICY_FAILURE policy=0x3013f · firmware$/);
    assert.match(stack.at(-1)?.name ?? '', /^start/);
    assert.equal(stack[0]?.line, 11, 'the line of the policy');

    const info = await client.ask<{ exceptionId: string; description: string }>('exceptionInfo', { threadId: 1 });
    assert.equal(info.exceptionId, stopped['text']);
    assert.match(info.description, /because firmware: SNP_LAUNCH_START → POLICY_FAILURE \(fw_error=0x7\)/);
    assert.match(info.description, /To fix: /);
    assert.doesNotMatch(info.description, /operands/, 'they are in the sentences, and in the view of the fault');

    assert.match(client.output('stderr'), /To fix: /);
    assert.match(client.output('stderr'), /SNP_LAUNCH_START ret=-5 fw_error=7/);
    assert.match(await client.evaluate('fault.cause.check'), /./);

    await client.ask('continue', { threadId: 1 });
    assert.equal((await client.event('exited'))['exitCode'], 1);
    await client.event('terminated');
    for (const once of ['To fix: ', 'because firmware: ', 'failed to create encryption context'])
      assert.equal(client.output().split(once).length - 1, 1, `${once} is said once`);
    assert.match(client.output(), /Launch failed\. Change line 11 of abi\.snp\.yaml .*start the launch again\.\n$/);
  });

  it('of KVM stop in KVM', async () => {
    await client.start(broken('bit17', '0x30000', '0x10000'));
    assert.equal((await client.event('stopped'))['reason'], 'exception');
    assert.match((await client.names())[0] ?? '', /^KVM_SEV_SNP_LAUNCH_START → -EINVAL .*KVM/);
    const { description } = await client.ask<{ description: string }>('exceptionInfo', { threadId: 1 });
    assert.match(description, /-EINVAL \(-22\)/);
  });

  it('let one step on through the layers that pass them on', async () => {
    await client.start(broken('abi', '0x30000', '0x3013f'));
    await client.event('stopped');
    const tops: string[] = [];
    for (;;) {
      await client.ask('stepOut', { threadId: 1 });
      const next = await client.stoppedOrEnded();
      if (!next) break;
      assert.equal(next['reason'], 'step');
      tops.push((await client.names())[0] ?? '');
    }
    assert.ok(
      tops.some((name) => /KVM_SEV_SNP_LAUNCH_START.*→/.test(name)),
      tops.join('\n'),
    );
  });

  it('do not stop without the filter, but are explained at the end', async () => {
    await client.ask('initialize', {});
    await client.ask('launch', { manifest: broken('abi', '0x30000', '0x3013f') });
    await client.ask('setExceptionBreakpoints', { filters: [] });
    await client.ask('configurationDone');
    assert.equal((await client.event('exited'))['exitCode'], 1);
    assert.ok(!client.wire.some(({ message }) => message.event === 'stopped'));
    assert.match(client.output('stderr'), /To fix: /);
  });

  it('stop for the filter of every refusal as well', async () => {
    await client.ask('initialize', {});
    await client.ask('launch', { manifest: broken('abi', '0x30000', '0x3013f') });
    await client.ask('setExceptionBreakpoints', { filters: ['refusal'] });
    await client.ask('configurationDone');
    assert.equal((await client.event('stopped'))['reason'], 'exception');
    assert.match((await client.names())[0] ?? '', /^SNP_LAUNCH_START .*firmware/);
    await client.ask('continue', { threadId: 1 });
    assert.equal((await client.event('exited'))['exitCode'], 1);
  });

  it('are explained without debugging too', async () => {
    await client.start(broken('abi', '0x30000', '0x3013f'), { noDebug: true, stopOnEntry: true });
    assert.equal((await client.event('exited'))['exitCode'], 1);
    assert.match(client.output('stderr'), /To fix: /);
  });

  it('of an unexpected digest come at the end', async () => {
    const manifest = folder.write('digest.snp.yaml', `${TINY_MANIFEST}expect:\n  digest: "${'00'.repeat(48)}"\n`);
    await client.start(manifest);
    assert.equal((await client.event('stopped'))['reason'], 'exception');
    const stack = await client.stack();
    assert.equal(stack[0]?.line, 21, 'the line of expect.digest');
    const { description } = await client.ask<{ description: string }>('exceptionInfo', { threadId: 1 });
    assert.match(description, /The launch digest is [0-9a-f]{96}, not 0000/);
    await client.ask('continue', { threadId: 1 });
    assert.equal((await client.event('exited'))['exitCode'], 1);
  });

  it('cannot be asked about where there is none', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    await client.event('stopped');
    const response = await client.send('exceptionInfo', { threadId: 1 });
    assert.equal(response.success, false);
  });
});
