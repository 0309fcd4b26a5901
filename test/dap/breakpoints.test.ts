import assert from 'node:assert/strict';
import { LONG_MANIFEST, TINY_MANIFEST } from './client.js';
import { type SessionFixture, useSession } from './session-fixture.js';

/** Lines of TINY_MANIFEST, from 1. */
const HOST = 2;
const POLICY = 11;
const FIRMWARE = 13;
const NORMAL = 14;
const ZERO = 17;
const FINISH = 18;

describe('breakpoints', () => {
  let { folder, client } = {} as SessionFixture;
  useSession((session) => {
    ({ folder, client } = session);
  });

  const lineNow = async (): Promise<number | undefined> => (await client.stack())[0]?.line;

  it('are verified on entries, moved to their first line, and refused below the launch', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    const set = await client.setLines(folder.manifest, [FIRMWARE, NORMAL + 1, ZERO, 400]);
    assert.deepEqual(
      set.map((b) => [b.verified, b.line]),
      [
        [true, FIRMWARE],
        [true, NORMAL],
        [true, ZERO],
        [false, 400],
      ],
    );
    assert.match(String(set[3]?.message), /does nothing/);
  });

  it('stop the launch at their lines, in the order of the launch', async () => {
    await client.start(folder.manifest, { lines: [FINISH, ZERO, FIRMWARE] });
    const seen: (number | undefined)[] = [];
    for (let i = 0; i < 3; i++) {
      const stopped = await client.event('stopped');
      assert.equal(stopped['reason'], 'breakpoint');
      assert.equal((stopped['hitBreakpointIds'] as number[]).length, 1);
      seen.push(await lineNow());
      await client.ask('continue', { threadId: 1 });
    }
    assert.deepEqual(seen, [FIRMWARE, ZERO, FINISH]);
    assert.equal((await client.event('exited'))['exitCode'], 0);
  });

  it('are pending before the launch is loaded, and then bound', async () => {
    await client.ask('initialize', {});
    const [pending] = await client.setLines(folder.manifest, [NORMAL + 2]);
    assert.equal(pending?.verified, false);
    await client.ask('launch', { manifest: folder.manifest, runGuest: false });
    const changed = await client.event('breakpoint');
    assert.deepEqual(
      { ...(changed['breakpoint'] as object), source: undefined },
      { id: pending?.id, verified: true, line: NORMAL, source: undefined },
    );
    await client.ask('configurationDone');
    assert.equal((await client.event('stopped'))['reason'], 'breakpoint');
    assert.equal(await lineNow(), NORMAL);
  });

  it('of other files do not stop this launch', async () => {
    const other = folder.write('other.snp.yaml', TINY_MANIFEST);
    await client.start(folder.manifest, { stopOnEntry: true, lines: [FINISH] });
    await client.event('stopped');
    const [foreign] = await client.setLines(other, [FIRMWARE]);
    assert.equal(foreign?.verified, false);
    assert.match(String(foreign?.message), /another file/);
    await client.step('continue');
    assert.equal(await lineNow(), FINISH, 'the breakpoint of the manifest is still there');
  });

  it('can be set, moved and removed between stops', async () => {
    await client.start(folder.manifest, { stopOnEntry: true, lines: [FIRMWARE] });
    await client.event('stopped');
    await client.setLines(folder.manifest, [NORMAL]);
    await client.step('continue');
    assert.equal(await lineNow(), NORMAL);
    await client.setLines(folder.manifest, [FINISH]);
    await client.step('continue');
    assert.equal(await lineNow(), FINISH);
    await client.setLines(folder.manifest, []);
    await client.ask('continue', { threadId: 1 });
    await client.event('terminated');
  });

  it('can be set and removed while the launch runs', async () => {
    const manifest = folder.write('long.snp.yaml', LONG_MANIFEST);
    await client.start(manifest, { lines: [FINISH, ZERO] });
    await client.event('stopped');
    await client.ask('continue', { threadId: 1 });
    // The zero pages are being added: this answer comes from between two slices.
    await new Promise((resolve) => setTimeout(resolve, 20));
    await client.setLines(manifest, []);
    assert.ok(!client.wire.some(({ message }) => message.event === 'terminated'), 'the launch still runs');
    const set = await client.ask('setFunctionBreakpoints', { breakpoints: [{ name: 'SNP_LAUNCH_FINISH' }] });
    assert.deepEqual((set['breakpoints'] as { verified: boolean }[])[0]?.verified, true);
    const stopped = await client.event('stopped');
    assert.equal(stopped['reason'], 'function breakpoint', 'not the removed one of the finish line');
  });

  it('by the name of a command stop inside it', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    await client.event('stopped');
    const names = ['KVM_SEV_INIT2', 'RMPUPDATE', 'SNP_LAUNCH_START', 'snp_launch_update_vmsa'];
    for (const name of names) {
      await client.ask('setFunctionBreakpoints', { breakpoints: [{ name }] });
      const stopped = await client.step('continue');
      assert.equal(stopped['reason'], 'function breakpoint');
      assert.match((await client.names())[0] ?? '', new RegExp(`^${name}\\b`, 'i'));
    }
  });

  it('by a name that no launch reaches are not verified, with the name that may be meant', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    await client.event('stopped');
    const names = ['SNP_LAUNCH_UPDTE', 'launch_start', 'main', ' snp_launch_finish ', 'update 3: zero at 0x3000'];
    const { breakpoints } = await client.ask<{ breakpoints: { verified: boolean; message?: string }[] }>(
      'setFunctionBreakpoints',
      { breakpoints: names.map((name) => ({ name })) },
    );
    assert.deepEqual(
      breakpoints.map((b) => b.verified),
      [false, false, false, true, true],
    );
    assert.match(
      breakpoints[0]?.message ?? '',
      /No launch reaches "SNP_LAUNCH_UPDTE"\. Did you mean SNP_LAUNCH_UPDATE\?/,
    );
    assert.match(breakpoints[1]?.message ?? '', /Did you mean SNP_LAUNCH_START\?/);
    assert.match(breakpoints[2]?.message ?? '', /Names are those of the call stack/);
  });

  it('with a condition stop where it holds', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    await client.event('stopped');
    await client.ask('setFunctionBreakpoints', {
      breakpoints: [{ name: 'SNP_LAUNCH_UPDATE', condition: 'entry.kind == "update" && page.gpa == 0x1000' }],
    });
    await client.step('continue');
    assert.equal(await client.evaluate('page.gpa'), '0x1000');
    assert.equal(await lineNow(), NORMAL);
    await client.ask('continue', { threadId: 1 });
    await client.event('terminated');
  });

  it('with a hit count stop at that hit, and count on when others are set', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    await client.event('stopped');
    const third = { name: 'SNP_LAUNCH_UPDATE', hitCondition: '% 5' };
    await client.ask('setFunctionBreakpoints', { breakpoints: [third] });
    await client.step('continue');
    assert.equal(await client.evaluate('gctx.measured[3].gpa == 0xffff3000'), 'true');
    await client.ask('setFunctionBreakpoints', { breakpoints: [third, { name: 'SNP_NOTHING' }] });
    await client.step('continue');
    assert.equal(await client.evaluate('gctx.measured[8].gpa == 0xffff8000'), 'true');
  });

  it('with a message print it and go on', async () => {
    await client.ask('initialize', {});
    await client.ask('launch', { manifest: folder.manifest, runGuest: false });
    await client.setLines(folder.manifest, [
      { line: ZERO, logMessage: 'at {entry.index}: {gctx.state} {nonsense} {1 + 1}' },
    ]);
    await client.ask('configurationDone');
    await client.event('terminated');
    assert.match(client.output('stdout'), /at 6: LAUNCH <There is no nonsense here; help lists the names.> 2/);
  });

  it('with a wrong condition are refused with the reason', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    const set = await client.setLines(folder.manifest, [
      { line: HOST, condition: 'gctx.' },
      { line: POLICY, hitCondition: 'often' },
      { line: FIRMWARE, logMessage: '{1 +}' },
    ]);
    assert.deepEqual(
      set.map((b) => b.verified),
      [false, false, false],
    );
    assert.match(
      set.map((b) => b.message).join('\n'),
      /field name after the dot.*hit count is a number.*ends too early/s,
    );
  });

  it('whose condition cannot be answered do not stop, and say so once', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    await client.event('stopped');
    await client.ask('setFunctionBreakpoints', { breakpoints: [{ name: 'RMPUPDATE', condition: 'unknown == 1' }] });
    await client.ask('continue', { threadId: 1 });
    await client.event('terminated');
    assert.equal(client.output().match(/Condition of the breakpoint at RMPUPDATE/g)?.length, 1);
  });

  it('are offered at the lines where the launch can stop', async () => {
    await client.start(folder.manifest, { stopOnEntry: true });
    const { breakpoints } = await client.ask<{ breakpoints: { line: number }[] }>('breakpointLocations', {
      source: { path: folder.manifest },
      line: FIRMWARE,
      endLine: FINISH,
    });
    assert.deepEqual(
      breakpoints.map((b) => b.line),
      [FIRMWARE, NORMAL, ZERO, FINISH],
    );
  });
});
