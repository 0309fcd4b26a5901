import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RmpRangesResponse } from '../../debug-adapter/protocol.js';
import { createFileSource } from '../../platform/file-source.js';
import { DapClient, type Folder, temporaryFolder } from './client.js';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const SHARED = join(ROOT, '..', 'shared', 'firmware', 'deb13-OVMF.fd');

/** The distribution's image, else one beside the repository. */
function realFirmware(): string | undefined {
  return createFileSource().findFirmware().path ?? (existsSync(SHARED) ? SHARED : undefined);
}

describe('a launch of a real OVMF', () => {
  let folder: Folder;
  let client: DapClient;
  let manifest: string;
  before(function () {
    const firmware = realFirmware();
    if (!firmware) {
      assert.ok(!process.env['CI'], 'no SNP-capable OVMF: install one, or put it into ../shared/firmware');
      console.log('      skipped: no SNP-capable OVMF on this machine and none in ../shared/firmware');
      this.skip();
    }
    folder = temporaryFolder();
    manifest = folder.write(
      'ovmf.snp.yaml',
      `snp: 1\nvm:\n  vcpus: 2\n  cpu: EPYC-Milan-v2\nlaunch:\n  policy: 0x30000\n  update:\n    - firmware: ${firmware}\n`,
    );
  });
  after(() => folder?.remove());
  beforeEach(() => {
    client = new DapClient();
  });
  afterEach(() => client?.send('disconnect'));

  it('is stepped through, with the RMP shown at each entry', async () => {
    await client.start(manifest, { stopOnEntry: true });
    await client.event('stopped');
    const labels = [...(await client.names())];
    for (;;) {
      const { ranges } = await client.ask<RmpRangesResponse>('snp/rmpRanges');
      assert.ok(ranges.length < 60, `${ranges.length} ranges are too many to read`);
      await client.ask('next', { threadId: 1 });
      const next = await client.stoppedOrEnded();
      if (!next) break;
      assert.equal(next['reason'], 'step', client.output('stderr'));
      labels.push(...(await client.names()));
    }
    assert.match(labels.join('\n'), /^update 1: firmware/m);
    assert.match(client.output(), /Launch digest:\n[0-9a-f]{96}/);
  });

  it('stops at a single page by its address', async () => {
    await client.ask('initialize', {});
    await client.ask('launch', { manifest });
    await client.ask('setFunctionBreakpoints', {
      breakpoints: [{ name: 'SNP_LAUNCH_UPDATE', condition: 'page.gpa == 0xfffff000' }],
    });
    await client.ask('configurationDone');
    await client.event('stopped');
    assert.equal(await client.evaluate('page.gpa'), '0xfffff000');
    assert.match(await client.evaluate('gctx.measured'), /pages$/);
  });
});
