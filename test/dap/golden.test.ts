import { DapClient, TINY_MANIFEST, tinyFolder } from './client.js';
import { checkTranscript } from './transcript.js';

describe('golden transcripts', () => {
  let folder: ReturnType<typeof tinyFolder>;
  let client: DapClient;
  beforeEach(() => {
    folder = tinyFolder();
    client = new DapClient();
  });
  afterEach(() => folder.remove());

  it('of a launch without stops', async () => {
    await client.start(folder.manifest);
    await client.event('terminated');
    await client.ask('disconnect');
    checkTranscript('run-to-end', client, folder.path);
  });

  it('of a few steps into one page', async () => {
    await client.start(folder.manifest, { lines: [14] });
    await client.event('stopped');
    for (let i = 0; i < 6; i++) {
      await client.step('stepIn');
      await client.stack();
    }
    await client.scope('Page at hand');
    await client.step('stepOut');
    await client.stack();
    await client.step('next');
    await client.ask('disconnect');
    checkTranscript('step-into-page', client, folder.path);
  });

  it('of a fault', async () => {
    const manifest = folder.write('abi.snp.yaml', TINY_MANIFEST.replace('0x30000', '0x3013f'));
    await client.start(manifest);
    await client.event('stopped');
    await client.stack();
    await client.ask('exceptionInfo', { threadId: 1 });
    await client.ask('continue', { threadId: 1 });
    await client.event('terminated');
    await client.ask('disconnect');
    checkTranscript('firmware-fault', client, folder.path);
  });

  it('of a manifest that cannot be launched', async () => {
    const manifest = folder.write('wrong.snp.yaml', TINY_MANIFEST.replace('tiny.fd', 'missing.fd'));
    await client.ask('initialize', {});
    await client.send('launch', { manifest });
    await client.ask('disconnect');
    checkTranscript('launch-error', client, folder.path);
  });
});
