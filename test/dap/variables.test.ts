import assert from 'node:assert/strict';
import { type SessionFixture, useSession } from './session-fixture.js';

describe('variables', () => {
  let { client } = {} as SessionFixture;
  useSession(
    (session) => {
      ({ client } = session);
    },
    { stoppedAtEntry: true },
  );

  /** Runs to the firmware command of the data page at GPA 0x1000, then past its change of the RMP. */
  const toPage = async (): Promise<void> => {
    await client.ask('setFunctionBreakpoints', {
      breakpoints: [{ name: 'SNP_LAUNCH_UPDATE', condition: 'page.gpa == 0x1000' }],
    });
    await client.step('continue');
    await client.step('stepIn');
  };

  it('show the policy bit by bit, first as the manifest has it', async () => {
    const policy = await client.scope('Policy');
    assert.match(policy.get('SMT')?.value ?? '', /^true/);
    assert.match(policy.get('DEBUG')?.value ?? '', /^false/);
    assert.match(policy.get('reserved 17')?.value ?? '', /^1/);
  });

  it('show the guest context and mark what hardware hides', async () => {
    await toPage();
    const context = await client.scope('Guest context (not visible on real hardware)');
    assert.equal(context.get('state')?.value, 'LAUNCH');
    assert.equal(context.get('asid')?.value, await client.evaluate('vm.asid'));
    assert.match(context.get('digest')?.value ?? '', /^[0-9a-f]{96}$/);
    assert.match(context.get('digest')?.type ?? '', /not visible on real hardware/);
    assert.equal(context.get('policy')?.value, '0x30000');
    const measured = context.get('measured');
    assert.ok((measured?.indexedVariables ?? 0) >= 16);
    const page = await client.children(measured?.variablesReference ?? 0, { filter: 'indexed', start: 2, count: 3 });
    assert.deepEqual([...page.keys()], ['2', '3', '4']);
    assert.match(page.get('2')?.value ?? '', /^NORMAL at gpa 0xffff2000$/);
  });

  it('show the page at hand, its entry before and after, and both views of its contents', async () => {
    await client.ask('setFunctionBreakpoints', { breakpoints: [{ name: 'RMPUPDATE', condition: 'gpa == 0x1000' }] });
    await client.step('continue');
    assert.match((await client.scope('Page at hand')).get('rmp')?.value ?? '', /^Hypervisor$/);
    await client.step('stepIn');
    const page = await client.scope('Page at hand');
    assert.match(page.get('rmp')?.value ?? '', /^Pre-Guest, asid \d+, gpa 0x1000 \(was Hypervisor\)$/);
    assert.match(page.get('before')?.value ?? '', /^Hypervisor$/);
    assert.match(page.get('madeBy')?.value ?? '', /^update 2/);
    const fields = await client.children(page.get('rmp')?.variablesReference ?? 0);
    assert.equal(fields.get('immutable')?.value, 'true');
    assert.equal(fields.get('raw')?.value.length, 32);

    await client.ask('setFunctionBreakpoints', { breakpoints: [] });
    await client.ask('setFunctionBreakpoints', {
      breakpoints: [{ name: 'SNP_LAUNCH_UPDATE', condition: 'page.gpa == 0x3000' }],
    });
    await client.step('continue');
    const spa = await client.evaluate('spa(0x1000)');
    const [host, plain] = await Promise.all(
      ['host', 'plain'].map((view) =>
        client.ask('readMemory', { memoryReference: `${view}:${spa}`, offset: 0, count: 32 }),
      ),
    );
    const text = (body: Record<string, unknown> | undefined): string =>
      Buffer.from(String(body?.['data']), 'base64').toString('latin1');
    assert.equal(text(plain), 'boot code boot code boot code bo');
    assert.equal(text(host).length, 32);
    assert.notEqual(text(host), text(plain));
  });

  it('show KVM and the platform', async () => {
    await toPage();
    const kvm = await client.scope('KVM');
    assert.equal(kvm.get('release')?.value, '6.11');
    assert.equal(kvm.get('snpEnabled')?.value, 'true');
    assert.match(kvm.get('fw_error')?.value ?? '', /^0x0 SUCCESS/);
    const vm = await client.children(kvm.get('vm')?.variablesReference ?? 0);
    assert.match(vm.get('type')?.value ?? '', /SNP/);
    const slots = await client.children(vm.get('slots')?.variablesReference ?? 0);
    assert.ok(slots.size >= 2, 'RAM and firmware');
    assert.ok((vm.get('privateRanges')?.indexedVariables ?? 0) >= 1);
    const platform = await client.scope('Platform');
    assert.equal(platform.get('state')?.value, 'INIT');
    assert.equal(platform.get('firmware')?.value, '1.55');
  });

  it('show the arguments of the chosen frame', async () => {
    await client.ask('setFunctionBreakpoints', { breakpoints: [{ name: 'RMPUPDATE', condition: 'gpa == 0x1000' }] });
    await client.step('continue');
    const args = await client.scope('Arguments of RMPUPDATE');
    assert.equal(args.get('gpa')?.value, '0x1000');
    assert.equal(args.get('assigned')?.value, 'true');
  });

  it('are reached again by their evaluate names', async () => {
    await toPage();
    const seen = new Set<string>();
    for (const scope of ['Page at hand', 'Policy', 'Guest context', 'KVM', 'Platform', 'Arguments']) {
      for (const variable of (await client.scope(scope)).values()) {
        assert.ok(variable.evaluateName, `${scope}: ${variable.name}`);
        const { result } = await client.ask<{ result: string }>('evaluate', { expression: variable.evaluateName });
        // The scope's row of a changed entry tells also what it was.
        assert.ok(variable.value.startsWith(result), `${variable.evaluateName}: ${result} is not ${variable.value}`);
        seen.add(variable.evaluateName);
      }
    }
    assert.ok(seen.size > 30);
  });

  it('of an earlier stop are refused', async () => {
    const frame = (await client.stack())[0];
    const { scopes } = await client.ask<{ scopes: { variablesReference: number }[] }>('scopes', { frameId: frame?.id });
    await client.step('next');
    const old = await client.send('variables', { variablesReference: scopes[0]?.variablesReference });
    assert.equal(old.success, false);
    assert.match(String(old.message), /moved on/);
    const scope = await client.send('scopes', { frameId: frame?.id });
    assert.match(String(scope.message), /moved on/);
  });
});
