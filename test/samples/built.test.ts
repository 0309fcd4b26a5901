import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseOvmf } from '../../engine/launch/ovmf/image.js';
import { makeIdBlocks } from '../../scripts/make-id-block.js';

const repository = join(__dirname, '../..');
const samples = join(repository, 'samples');
const script = <T>(name: string): Promise<T> =>
  import(pathToFileURL(join(repository, 'scripts', name)).href) as Promise<T>;

describe('samples: built files', () => {
  it('are what their sources make', async function () {
    const { buildSamples, canBuildSamples } = await script<{
      canBuildSamples(): boolean;
      buildSamples(): Map<string, Uint8Array>;
    }>('build-samples.mjs');
    if (!canBuildSamples()) {
      console.log('      skipped: GNU binutils (as, ld) are not on the PATH');
      assert.equal(process.env['CI'], undefined, 'CI needs binutils');
      this.skip();
    }
    const images = buildSamples();
    assert.equal(images.size, 7);
    for (const [path, bytes] of images) {
      assert.deepEqual(new Uint8Array(bytes), new Uint8Array(readFileSync(join(samples, path))), path);
    }
  });

  it('ID blocks are made again bit for bit', () => {
    for (const [path, bytes] of makeIdBlocks()) {
      const committed = new Uint8Array(readFileSync(join(samples, path)));
      assert.deepEqual(bytes, committed, `${path}: run npx tsx scripts/make-id-block.ts`);
    }
  });

  it('the minimal image has all that an SNP launch reads', () => {
    const { image, faults } = parseOvmf(readFileSync(join(samples, 'firmware/minimal.fd')));
    assert.deepEqual(faults, []);
    assert.equal(image.base, 0xffff_0000);
    assert.deepEqual(
      image.sections?.map((s) => [s.base, s.size, s.type]),
      [
        [0x10000, 0x4000, 1],
        [0x14000, 0x1000, 2],
        [0x15000, 0x1000, 3],
        [0x16000, 0x1000, 0x10],
      ],
    );
    assert.deepEqual(image.hashTable, { base: 0x16c00, size: 0x400 });
    // The code that other vCPUs start with: mov $MSR_GHCB, %ecx.
    const start = (image.resetEip ?? 0) - image.base;
    assert.deepEqual([...image.bytes.subarray(start, start + 6)], [0x66, 0xb9, 0x30, 0x01, 0x01, 0xc0]);
  });
});
