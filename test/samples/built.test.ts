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

interface BuildScript {
  canBuildSamples(): boolean;
  canBuildGuests(): boolean;
  buildImages(): Map<string, Uint8Array>;
  buildSampleGuests(): Map<string, Uint8Array>;
}

describe('samples: built files', () => {
  const committed = (path: string): Uint8Array => new Uint8Array(readFileSync(join(samples, path)));

  it('are what their sources make', async function () {
    const { buildImages, canBuildSamples } = await script<BuildScript>('build-samples.mjs');
    if (!canBuildSamples()) {
      console.log('      skipped: GNU binutils (as, ld) are not on the PATH');
      assert.equal(process.env['CI'], undefined, 'CI needs binutils');
      this.skip();
    }
    const images = buildImages();
    assert.equal(images.size, 7);
    for (const [path, bytes] of images) assert.deepEqual(new Uint8Array(bytes), committed(path), path);
  });

  it('guests are what their sources make', async function () {
    this.timeout(120000);
    const { buildSampleGuests, canBuildGuests } = await script<BuildScript>('build-samples.mjs');
    if (!canBuildGuests()) {
      console.log('      skipped: gcc for x86-64 and GNU binutils are not on the PATH');
      assert.equal(process.env['CI'], undefined, 'CI needs gcc and binutils');
      this.skip();
    }
    const files = buildSampleGuests();
    assert.equal(files.size, 2 * (9 + 3 + 3) + 1);
    const differing = [...files].filter(([path, bytes]) => !Buffer.from(bytes).equals(committed(path)));
    if (differing.length === 0) return;

    const tools = 'guests/built-with.txt';
    const [mine, theirs] = [files.get(tools), committed(tools)].map((bytes) => Buffer.from(bytes ?? []).toString());
    const names = differing.map(([path]) => path).join(', ');
    if (mine === theirs) assert.fail(`${names}: run node scripts/build-samples.mjs`);
    const text = `other tools make other bytes: ${names}\nhere:\n${mine}committed, samples/${tools}:\n${theirs}`;
    // Where results count the tools have to be the same: rebuild the guests with those of CI.
    assert.equal(process.env['CI'], undefined, text);
    console.log(`      skipped: ${text}`);
    this.skip();
  });

  it('ID blocks are made again bit for bit', () => {
    for (const [path, bytes] of makeIdBlocks()) {
      assert.deepEqual(bytes, committed(path), `${path}: run npx tsx scripts/make-id-block.ts`);
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
