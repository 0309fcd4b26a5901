/** The parts of samples/guests/lib that need no guest: compiled for this machine, compared with Node and with vectors. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const library = join(__dirname, '../../samples/guests/lib');
/** The lines of `formatted` in guest-library.c. */
const FORMATTED = [
  '5 plain',
  '8 text-x-%',
  '31 4294967295 18446744073709551615',
  '25 deadbeef 123456789abcdef0',
  '33 0000001f|000000000000002a|  7|007',
  '5 0x0 0',
  '39 a text that is longer than the forty ch',
];

interface Sealed {
  readonly key: Buffer;
  readonly iv: Buffer;
  readonly aad: Buffer;
  readonly text: Buffer;
}

const hex = (bytes: Buffer): string => (bytes.length > 0 ? bytes.toString('hex') : '-');

/** Bytes that differ from case to case, and are the same in every run. */
function bytes(name: string, size: number): Buffer {
  const parts = [];
  for (let i = 0; i * 32 < size; i++) parts.push(createHash('sha256').update(`${name} ${i}`).digest());
  return Buffer.concat(parts).subarray(0, size);
}

function sealedByNode({ key, iv, aad, text }: Sealed): [data: Buffer, tag: Buffer] {
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  cipher.setAAD(aad);
  return [Buffer.concat([cipher.update(text), cipher.final()]), cipher.getAuthTag()];
}

describe('samples: library of the guests', () => {
  let folder = '';
  let program = '';

  before(function () {
    if (spawnSync('gcc', ['--version']).status !== 0) {
      console.log('      skipped: gcc is not on the PATH');
      assert.equal(process.env['CI'], undefined, 'CI needs gcc');
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), 'sev-snp-guest-library-'));
    program = join(folder, 'program');
    const sources = [join(__dirname, 'guest-library.c'), join(library, 'aes-gcm.c'), join(library, 'format.c')];
    const checked = ['-fsanitize=undefined', '-fno-sanitize-recover=all'];
    execFileSync('gcc', ['-std=c17', '-O1', '-Wall', '-Wextra', ...checked, '-I', library, '-o', program, ...sources]);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function run(requests: readonly string[]): string[] {
    const out = execFileSync(program, { input: requests.map((line) => `${line}\n`).join(''), encoding: 'utf8' });
    const lines = out.trimEnd().split('\n');
    assert.equal(lines.length, FORMATTED.length + requests.length);
    return lines;
  }

  it('format', () => {
    assert.deepEqual(run([]), FORMATTED);
  });

  it('AES-256-GCM as Node computes it', () => {
    const cases: Sealed[] = [];
    for (const size of [0, 1, 15, 16, 17, 31, 32, 96, 257, 0x4c0]) {
      for (const aad of [0, 1, 16, 48, 65]) {
        const name = `${size} ${aad}`;
        const part = (kind: string, length: number): Buffer => bytes(`${name} ${kind}`, length);
        cases.push({ key: part('key', 32), iv: part('iv', 12), aad: part('aad', aad), text: part('text', size) });
      }
    }
    const requests = cases.map((c) => `seal ${hex(c.key)} ${hex(c.iv)} ${hex(c.aad)} ${hex(c.text)}`);
    const sealed = cases.map(sealedByNode);
    const lines = run(requests).slice(FORMATTED.length);
    assert.deepEqual(
      lines,
      sealed.map(([data, tag]) => `${hex(data)} ${hex(tag)}`),
    );

    const opening = cases.map(
      (c, i) => `open ${hex(c.key)} ${hex(c.iv)} ${hex(c.aad)} ${Buffer.concat(sealed[i] ?? []).toString('hex')}`,
    );
    assert.deepEqual(
      run(opening).slice(FORMATTED.length),
      cases.map((c) => `good ${hex(c.text)}`),
    );
  });

  it('a changed bit anywhere is noticed, and nothing is decrypted', () => {
    const key = bytes('key', 32);
    const iv = bytes('iv', 12);
    const aad = bytes('aad', 48);
    const [data, tag] = sealedByNode({ key, iv, aad, text: bytes('text', 33) });
    const message = Buffer.concat([data, tag]);
    const flipped = (of: Buffer, bit: number): Buffer => {
      const copy = Buffer.from(of);
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      return copy;
    };
    const requests: string[] = [];
    const expected: string[] = [];
    for (let bit = 0; bit < 8 * message.length; bit += 5) {
      const changed = flipped(message, bit);
      requests.push(`open ${hex(key)} ${hex(iv)} ${hex(aad)} ${hex(changed)}`);
      expected.push(`bad ${hex(changed.subarray(0, data.length))}`);
    }
    for (let bit = 0; bit < 8 * aad.length; bit += 7) {
      requests.push(`open ${hex(key)} ${hex(iv)} ${hex(flipped(aad, bit))} ${hex(message)}`);
      expected.push(`bad ${hex(data)}`);
    }
    assert.deepEqual(run(requests).slice(FORMATTED.length), expected);
  });
});
