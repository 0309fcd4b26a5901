import assert from 'node:assert/strict';
import type { DebugProtocol } from '@vscode/debugprotocol';
import fc from 'fast-check';
import { SnpDebugAdapter } from '../../debug-adapter/adapter.js';
import { HANDLERS } from '../../debug-adapter/handlers.js';
import { DapClient, tinyFolder } from './client.js';
import { GuestClient } from './guest.js';

/** Requests that a client may send in any state with anything in them; `disconnect` would end the test. */
const COMMANDS = [...HANDLERS.keys(), 'unknown', '', '__proto__', 'constructor'].filter((c) => c !== 'disconnect');

describe('hostile requests', () => {
  let folder: ReturnType<typeof tinyFolder>;
  before(() => {
    folder = tinyFolder();
  });
  after(() => folder.remove());

  const junk = fc.anything({ maxDepth: 2, withBigInt: false });
  const plausible = fc.record(
    {
      threadId: fc.oneof(fc.constant(1), junk),
      frameId: fc.oneof(fc.nat(20), junk),
      variablesReference: fc.oneof(fc.nat(20), junk),
      expression: fc.oneof(fc.constantFrom('gctx', 'rmp(0x1000)', 'digest.x', '1/0', 'page.rmp'), fc.string()),
      text: fc.string(),
      column: fc.integer(),
      line: fc.integer(),
      start: fc.oneof(fc.constant('0x1000'), fc.integer(), junk),
      count: fc.integer(),
      offset: fc.integer(),
      memoryReference: fc.constantFrom(
        'host:0x1000',
        'plain:0x5000000',
        'x',
        'gva0:0xfffffff0',
        'gva7:0x0',
        'gpa:0x1000',
      ),
      instructionCount: fc.integer(),
      instructionOffset: fc.integer(),
      data: fc.oneof(fc.constantFrom('AAAA', 'zz'), junk),
      name: fc.constantFrom('rax', 'rip', 'ZF', 'cr0', ''),
      value: fc.oneof(fc.constantFrom('1', 'rsp + 8', '0x', '-1'), fc.string()),
      filters: fc.array(fc.oneof(fc.constantFrom('fault', 'refusal'), junk)),
      source: fc.record({ path: fc.constantFrom('/a', 'b', '', 'file:///%zz', 'file://host/x') }),
      breakpoints: fc.array(
        fc.record(
          {
            line: fc.oneof(fc.integer(), junk),
            instructionReference: fc.oneof(fc.constantFrom('gva0:0x1000', '0xfffff000'), junk),
            name: fc.oneof(fc.constant('RMPUPDATE'), junk),
            condition: fc.oneof(fc.constantFrom('1', 'gctx.', 'asid > 3'), junk),
            hitCondition: fc.oneof(fc.constant('3'), junk),
            logMessage: fc.oneof(fc.constant('{asid}'), junk),
          },
          { requiredKeys: [] },
        ),
        { maxLength: 3 },
      ),
      manifest: junk,
      arguments: junk,
    },
    { requiredKeys: [] },
  );
  const requests = fc.array(fc.tuple(fc.constantFrom(...COMMANDS), fc.oneof(junk, plausible)), { maxLength: 12 });

  it('each get one answer in a stopped guest', async () => {
    await fc.assert(
      fc.asyncProperty(requests, async (list) => {
        const client = new GuestClient();
        await client.run('hello', { instructions: [{ instructionReference: 'gva0:0xfffff000' }] });
        for (const [command, args] of list) {
          const response = await client.send(command, args);
          const error = (response.body as { error?: { id?: number; format?: string } } | undefined)?.error;
          assert.notEqual(error?.id, 1003, `${command}: ${error?.format}`);
          if (client.exitCode !== undefined) return;
          // A request may have run it on: it is to stand again, or to have ended.
          await client.send('pause', { threadId: 1 });
        }
        await client.send('disconnect');
      }),
      { numRuns: 20 },
    );
  }).timeout(120_000);

  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  for (const launched of [false, true]) {
    it(`each get one answer ${launched ? 'in a stopped launch' : 'before a launch'}`, async () => {
      await fc.assert(
        fc.asyncProperty(requests, async (list) => {
          const client = new DapClient();
          if (launched) {
            await client.start(folder.manifest, { stopOnEntry: true });
            await client.event('stopped');
          }
          for (const [command, args] of list) {
            const response = await client.send(command, args);
            assert.equal(typeof response.success, 'boolean');
            if (!response.success) {
              assert.notEqual((response.body as { error: DebugProtocol.Message }).error.id, 1003, response.message);
            }
            await settle();
          }
          assert.equal(client.exitCode, undefined);
          await client.ask('disconnect');
          assert.equal(client.exitCode, 0);
        }),
        { numRuns: launched ? 60 : 150 },
      );
    });
  }

  it('that are no requests are survived', () => {
    const adapter = new SnpDebugAdapter(() => assert.fail('must not exit'));
    fc.assert(
      fc.property(junk, (message) => {
        adapter.handleMessage(message as DebugProtocol.ProtocolMessage);
        adapter.handleMessage({ type: 'request', ...(message as object) } as DebugProtocol.ProtocolMessage);
      }),
    );
  });
});
