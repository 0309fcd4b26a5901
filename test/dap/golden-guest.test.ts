import { dirname } from 'node:path';
import { GuestClient, sampleGuest } from './guest.js';
import { checkTranscript } from './transcript.js';

/** Samples are rebuilt identically, so that their addresses stay what they are. */
describe('golden transcripts of guests', function () {
  this.timeout(120_000);
  const folder = dirname(sampleGuest('hello'));
  let client: GuestClient;
  beforeEach(() => {
    client = new GuestClient();
  });
  afterEach(() => client.send('disconnect'));

  it('of the first instructions and an exit', async () => {
    await client.run('hello', { instructions: [{ instructionReference: 'gva0:0xfffffff0' }] });
    await client.disassembly(0, 4);
    for (let n = 0; n < 3; n++) {
      await client.go('stepIn');
      await client.frames();
    }
    await client.set({ functions: [{ name: 'exit:VMGEXIT' }] });
    await client.go('continue');
    await client.frames();
    await client.scope('vCPU 0');
    await client.go('stepIn');
    await client.frames();
    await client.go('stepOut');
    await client.frames();
    await client.go('continue');
    await client.scope('General registers');
    await client.ask('disconnect');
    checkTranscript('guest-exit', client, folder);
  });

  it('of a mistake of the guest', async () => {
    await client.run('forgotten-pvalidate');
    await client.frames();
    await client.ask('exceptionInfo', { threadId: 1 });
    await client.ask('continue', { threadId: 1 });
    await client.event('terminated');
    await client.ask('disconnect');
    checkTranscript('guest-mistake', client, folder);
  });
});
