import assert from 'node:assert/strict';
import { DapClient, tinyFolder } from './client.js';

describe('evaluate', () => {
  let folder: ReturnType<typeof tinyFolder>;
  let client: DapClient;
  before(async () => {
    folder = tinyFolder();
    client = new DapClient();
    await client.start(folder.manifest, { lines: [18] });
    await client.event('stopped');
  });
  after(async () => {
    await client.send('disconnect');
    folder.remove();
  });

  const answers: [string, RegExp][] = [
    ['rmp(0x1000)', /^Guest-Valid, asid \d+, gpa 0x1000$/],
    ['rmp(0x1fff).gpa', /^0x1000$/],
    ['spa(0x1000) == rmp(0x1000).spa', /^true$/],
    ['rmp(0x1000).assigned && rmp(0x1000).validated', /^true$/],
    ['rmp(spa:0).state', /^Hypervisor$/],
    ['rmp(0x1000).asid == asid', /^true$/],
    ['gctx', /^LAUNCH, asid \d+, policy 0x30000$/],
    ['gctx.state == "launch"', /^true$/],
    ['digest', /^[0-9a-f]{96}$/],
    ['digest == gctx.digest', /^true$/],
    ['policy', /^0x30000$/],
    ['policy & 0x20000', /^0x20000 \(131072\)$/],
    ['policy.smt', /^true/],
    ['policy.single_socket == false', /^true$/],
    ['asid', /^[1-9]\d*$/],
    ['position > 100', /^true$/],
    ['entry.kind', /^finish$/],
    ['fw_error == 0', /^true$/],
    ['vm.type', /SNP/],
    ['plain(0x1000)', /^626f6f7420636f6465/],
    ['1 + 2 * 3 == 7 && !(4KiB < 4096)', /^true$/],
    ['fault', /^no fault$/],
  ];
  for (const [expression, expected] of answers) {
    it(expression, async () => assert.match(await client.evaluate(expression), expected));
  }

  const refusals: [string, RegExp][] = [
    ['rmp', /There is no rmp here/],
    ['rmp()', /rmp takes one address/],
    ['rmp("a")', /needs a number/],
    ['rmp(0x7000000000)', /No page is behind GPA 0x7000000000: no memory slot/],
    ['rmp(0x2000)', /guest_memfd has not allocated the page yet/],
    ['rmp(spa:0xffffffffff)', /outside the host's memory/],
    ['gctx.nothing', /There is no field nothing; there are state, asid/],
    ['nothing', /There is no nothing here/],
    ['nothing(1)', /There is no function nothing/],
    ['1 / 0', /Division by zero/],
    ['1 << 100', /shift count/],
    ['gctx.measured[99999]', /lies outside/],
    ['digest + 1', /needs a number/],
    ['hva:1', /spa:… or gpa:…/],
  ];
  for (const [expression, expected] of refusals) {
    it(`refuses ${expression}`, async () => {
      const response = await client.send('evaluate', { expression, context: 'repl' });
      assert.equal(response.success, false);
      assert.match(String(response.message), expected);
    });
  }

  it('lists names and functions for help', async () => {
    const help = await client.evaluate('help');
    for (const word of ['rmp(gpa)', 'gctx', 'digest', 'position']) assert.ok(help.includes(word));
  });

  it('unfolds what has parts', async () => {
    const answer = await client.ask<{ variablesReference: number }>('evaluate', { expression: 'rmp(0x1000)' });
    const fields = await client.children(answer.variablesReference);
    assert.equal(fields.get('state')?.value, 'Guest-Valid');
    assert.equal(fields.get('gpa')?.evaluateName, 'rmp(0x1000).gpa');
  });

  it('completes names, functions and fields', async () => {
    const labels = async (text: string): Promise<readonly string[]> => {
      const { targets } = await client.ask<{ targets: { label: string }[] }>('completions', {
        text,
        column: text.length + 1,
      });
      return targets.map((t) => t.label);
    };
    assert.deepEqual(await labels('gc'), ['gctx']);
    assert.deepEqual(await labels('1 + pos'), ['position']);
    assert.deepEqual(await labels('gctx.st'), ['state']);
    assert.ok((await labels('rmp(0x1000).')).includes('asid'));
    assert.ok((await labels('rm')).includes('rmp'));
    assert.deepEqual(await labels('nonsense.'), []);
  });
});
