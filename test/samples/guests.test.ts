/** The sample guests: images, manifests, and what their documentation says. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseOvmf } from '../../engine/launch/ovmf/image.js';
import { cli, repository, samples } from '../cli/run-cli.js';

const folder = join(samples, 'guests');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

async function guests(): Promise<readonly string[]> {
  const script = pathToFileURL(join(repository, 'scripts/build-guests.mjs')).href;
  return ((await import(script)) as { GUESTS: readonly string[] }).GUESTS;
}

/** name → value, text of the comment. */
function endReasons(): Map<string, [value: number, text: string]> {
  const found = new Map<string, [number, string]>();
  for (const line of read('lib/end.h').split('\n')) {
    const match = /^#define (END_\w+) (0x[0-9a-f]+) +\/\* (.*) \*\/$/.exec(line);
    if (match?.[1] && match[2] && match[3]) found.set(match[1], [Number(match[2]), match[3]]);
  }
  return found;
}

interface Segment {
  readonly address: number;
  readonly bytes: Buffer;
}

/** Loadable segments of an ELF file for x86-64. */
function loadable(elf: Buffer): Segment[] {
  const segments: Segment[] = [];
  const table = Number(elf.readBigUInt64LE(32));
  for (let i = 0; i < elf.readUInt16LE(56); i++) {
    const at = table + i * elf.readUInt16LE(54);
    if (elf.readUInt32LE(at) !== 1) continue;
    const start = Number(elf.readBigUInt64LE(at + 8));
    const size = Number(elf.readBigUInt64LE(at + 32));
    segments.push({ address: Number(elf.readBigUInt64LE(at + 16)), bytes: elf.subarray(start, start + size) });
  }
  return segments;
}

describe('samples: guests', () => {
  it('each has its source, image, ELF file and manifest', async () => {
    const expected = (await guests()).flatMap((name) => ['.c', '.elf', '.fd', '.snp.yaml'].map((end) => name + end));
    const others = ['README.md', 'built-with.txt', 'lib'];
    assert.deepEqual(readdirSync(folder).sort(), [...expected, ...others].sort());
  });

  it('images have all that an SNP launch reads, and are what their ELF files hold', async () => {
    for (const name of await guests()) {
      const bytes = readFileSync(join(folder, `${name}.fd`));
      const elf = readFileSync(join(folder, `${name}.elf`));
      const { image, faults } = parseOvmf(bytes, name);
      assert.deepEqual(faults, [], name);
      assert.equal(image.base, 0xffff_0000, name);
      assert.deepEqual(
        image.sections?.map((s) => [s.base, s.size, s.type]),
        [
          [0x800000, 0x9000, 1],
          [0x80d000, 0x1000, 2],
          [0x80e000, 0x1000, 3],
          [0x810000, 0x10000, 1],
        ],
        name,
      );
      const start = (image.resetEip ?? 0) - image.base;
      // The code that other vCPUs start with: mov $MSR_GHCB, %ecx in 16-bit mode.
      assert.equal(bytes.subarray(start, start + 6).toString('hex'), '66b9300101c0', name);

      const [code, reset, ...more] = loadable(elf);
      assert.ok(code && reset && more.length === 0, name);
      assert.deepEqual([code.address, reset.address], [0xffff0000, 0xfffff000], name);
      for (const segment of [code, reset]) {
        const at = segment.address - image.base;
        assert.ok(segment.bytes.equals(bytes.subarray(at, at + segment.bytes.length)), name);
      }
      const text = elf.toString('latin1');
      assert.ok(
        text.includes(`${name}.c`) && !text.includes(repository) && !text.includes(tmpdir()),
        `${name}: absolute paths`,
      );
    }
  });

  it('manifests are clean, say what to look at, and measure', async () => {
    const digests = new Set<string>();
    for (const name of await guests()) {
      const path = join(folder, `${name}.snp.yaml`);
      const lint = cli('lint', '--format', 'json', path);
      assert.equal(lint.status, 0, lint.out);
      const measured = cli('measure', path);
      assert.match(measured.out, /^[0-9a-f]{96}\n$/, name);
      digests.add(measured.out);
      assert.match(read(`${name}.snp.yaml`), /^# .*\bLook at\b/m, name);
      assert.match(read(`${name}.snp.yaml`), new RegExp(`Source: ${name}\\.c\\b`), name);
    }
    assert.equal(digests.size, (await guests()).length);
  });

  it('reasons for the end are the ones of the README', () => {
    const rows = new Map<string, [number, string]>();
    for (const line of read('README.md').split('\n')) {
      const match = /^\| (0x[0-9a-f]+) \| `(END_\w+)` \| (.*) \|$/.exec(line);
      if (match?.[1] && match[2] && match[3]) rows.set(match[2], [Number(match[1]), match[3]]);
    }
    assert.deepEqual(rows, endReasons());
    assert.equal(new Set([...rows.values()].map(([value]) => value)).size, rows.size);
  });

  it('faulty guests end with the reason that their manifest tells', async () => {
    const values = new Map([...endReasons().values()].map(([value, text]) => [value, text]));
    for (const name of await guests()) {
      const said = /requested termination: 0xf:(0x[0-9a-f]+)/.exec(read(`${name}.snp.yaml`))?.[1];
      if (said !== undefined) assert.ok(values.has(Number(said)), `${name}: ${said}`);
    }
  });
});
