/** Wrong, cut, oversized, binary and self-contradicting files: one clear error each, and never an exception. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { cli, samples } from './run-cli.js';

const IMAGE = readFileSync(join(samples, 'firmware/minimal.fd'));
const ID_BLOCK = readFileSync(join(samples, 'id-block/id-block.bin'));
const ID_AUTH = readFileSync(join(samples, 'id-block/id-auth.bin'));
const MINIMAL = readFileSync(join(samples, 'minimal.snp.yaml'), 'utf8').replace('firmware/minimal.fd', 'image.fd');
const PAGES = `snp: 1
vm: { memory: 64MiB }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: normal, file: image.fd }
    - { gpa: 0x5000000, type: secrets }
`;

describe('hostile files', function () {
  this.timeout(60_000);
  let folder: string;
  let manifest: string;
  let image: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sev-snp-hostile-'));
    manifest = join(folder, 'a.snp.yaml');
    image = join(folder, 'image.fd');
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Lint must find something, and no command may break. */
  function refused(what: string): void {
    const lint = cli('lint', manifest, '--format', 'json');
    assert.equal(lint.status, 1, `${what}: lint found no error\n${lint.out}`);
    const [file] = (JSON.parse(lint.out) as { files: { unreadable?: string; faults: { check: string }[] }[] }).files;
    assert.ok(file?.unreadable !== undefined || (file?.faults.length ?? 0) > 0, what);
    assert.ok(!file?.faults.some((fault) => fault.check === 'lint-internal-error'), `${what}\n${lint.out}`);
    for (const verb of ['measure', 'launch']) {
      const { status, out, err } = cli(verb, manifest);
      assert.ok(status === 0 || status === 1, what);
      if (status === 1) assert.match(err, /\S/, `${what}: ${verb} says why`);
      if (verb === 'launch') {
        assert.equal(status, 1, `${what}: launch went through\n${out}`);
        assert.doesNotMatch(out, /launch digest/, what);
      }
    }
  }

  /** Anything may happen but an exception or silence. */
  function survived(what: string): void {
    const lint = cli('lint', manifest, '--format', 'json');
    assert.doesNotMatch(lint.out, /lint-internal-error/, what);
    const faults = (JSON.parse(lint.out) as { files: { faults: { severity: string }[] }[] }).files[0]?.faults ?? [];
    const most = ['--max-instructions', '100000'];
    for (const [verb, more] of [
      ['measure', []],
      ['launch', most],
    ] as const) {
      const { status, err } = cli(verb, manifest, ...more);
      if (status === 1) assert.match(err, /\S/, `${what}: ${verb} says why`);
    }
    // What runs in the guest is none of the linter's business.
    const launched = cli('launch', '--json', '--max-instructions', '0', manifest);
    if (launched.status === 1) {
      assert.ok(
        faults.some((fault) => fault.severity === 'error'),
        `${what}: the launch fails, lint finds no error`,
      );
    }
  }

  describe('manifests', () => {
    before(() => writeFileSync(image, IMAGE));

    const texts: [what: string, text: string | Uint8Array][] = [
      ['empty', ''],
      ['only a comment', '# nothing\n'],
      ['white space', ' \n\n \n'],
      ['null', 'null\n'],
      ['a scalar', 'hello\n'],
      ['a list', '- snp: 1\n- launch\n'],
      ['binary', IMAGE.subarray(0xf000)],
      ['NUL characters', 'snp: 1\0\0\nlaunch:\0\n'],
      ['UTF-16', Buffer.from('\ufeffsnp: 1\nlaunch: {}\n', 'utf16le')],
      ['invalid UTF-8', Buffer.from([0x73, 0xff, 0xfe, 0x80, 0x0a, 0xc3, 0x28])],
      ['an open bracket', 'snp: 1\nlaunch: { update: [\n'],
      ['an open quote', 'snp: 1\nlaunch: "abc\n'],
      ['tabs', 'snp: 1\nlaunch:\n\tpolicy: 1\n'],
      ['deep nesting', `snp: 1\nlaunch: ${'['.repeat(20_000)}`],
      ['deep indentation', Array.from({ length: 2000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
      [
        'a bomb of aliases',
        `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghij'
          .split('')
          .map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefghij'[i]}`).join(',')}]`)
          .join('\n')}\nsnp: 1\nlaunch: *j\n`,
      ],
      ['an alias of itself', 'snp: 1\nlaunch: &a { update: *a }\n'],
      ['an unknown alias', 'snp: 1\nlaunch: *nothing\n'],
      ['two documents', 'snp: 1\n---\nsnp: 1\nlaunch: {}\n'],
      ['a duplicate key', `${MINIMAL}launch: {}\n`],
      ['a tag', 'snp: !!js/function "function(){}"\nlaunch: !x {}\n'],
      ['__proto__', 'snp: 1\n__proto__: { launch: 1 }\nconstructor: 1\n'],
      ['a version from the future', MINIMAL.replace('snp: 1', 'snp: 2')],
      ['a huge number', MINIMAL.replace('vcpus: 1', `vcpus: 1${'0'.repeat(400)}`)],
      ['many vCPUs', MINIMAL.replace('vcpus: 1', 'vcpus: 18446744073709551616')],
      ['no vCPU', MINIMAL.replace('vcpus: 1', 'vcpus: 0')],
      ['a negative size', MINIMAL.replace('64MiB', '-64MiB')],
      ['a float', MINIMAL.replace('0x30000', '1.5')],
      ['not a number', MINIMAL.replace('0x30000', '.nan')],
      ['infinite', MINIMAL.replace('0x30000', '.inf')],
      ['a map for a number', MINIMAL.replace('vcpus: 1', 'vcpus: { a: 1 }')],
      ['a list for a path', MINIMAL.replace('image.fd', '[image.fd]')],
      ['an empty path', MINIMAL.replace('image.fd', '""')],
      ['the folder itself', MINIMAL.replace('image.fd', '.')],
      ['a device', MINIMAL.replace('image.fd', '/dev/zero')],
      ['a path with NUL', MINIMAL.replace('image.fd', '"a\\0b"')],
      ['itself as policy file', MINIMAL.replace('0x30000', 'a.snp.yaml')],
      ['itself as image', MINIMAL.replace('image.fd', 'a.snp.yaml')],
      ['a page at the end of the address space', PAGES.replace('0x5000000', '0xffffffffff000')],
      ['a gigantic length', PAGES.replace('type: secrets', 'type: zero, length: 4096TiB')],
      ['a length of zero', PAGES.replace('type: normal', 'type: normal, length: 0')],
      ['an offset behind the file', PAGES.replace('type: normal', 'type: normal, offset: 16MiB, length: 4KiB')],
      ['secrets beyond the memory', PAGES],
      ['no host memory', `${PAGES}host: { memory: 0 }\n`],
      ['little host memory', `${MINIMAL.replace(/host:\n(?: .*\n)*/, '')}host: { memory: 1MiB }\n`],
      ['65 leaves', PAGES.replace('secrets', `cpuid, leaves: [${'{ leaf: 1 },'.repeat(65)}]`)],
      ['a VMSA for a vCPU that is not there', `${MINIMAL}    - { type: vmsa, vcpu: 9, registers: { rip: 1 } }\n`],
    ];
    for (const [what, text] of texts) {
      it(`refuses ${what}`, () => {
        writeFileSync(manifest, text);
        refused(what);
      });
    }

    it('refuses a manifest of 5 MiB', () => {
      writeFileSync(manifest, `${MINIMAL}# ${'x'.repeat(5 << 20)}\n`);
      refused('large manifest');
    });

    it('survives any damage of a good manifest', () => {
      const sources = ['minimal', 'pages', 'id-block', 'kernel-hashes'].map((name) =>
        readFileSync(join(samples, `${name}.snp.yaml`), 'utf8').replaceAll(
          /(firmware|pages|kernel|id-block)\//g,
          `${samples}/$1/`,
        ),
      );
      const scraps = [
        '',
        ' ',
        '\n',
        '  ',
        ':',
        '-',
        '{',
        '}',
        '[',
        ']',
        '"',
        '&a',
        '*a',
        '0x',
        '-1',
        '~',
        '#',
        '\t',
        '1e9',
        ',',
      ];
      fc.assert(
        fc.property(
          fc.constantFrom(...sources),
          fc.array(fc.tuple(fc.nat(1000), fc.nat(12), fc.constantFrom(...scraps)), { minLength: 1, maxLength: 3 }),
          (source, edits) => {
            let text = source;
            for (const [at, length, scrap] of edits) {
              const start = at % (text.length + 1);
              text = text.slice(0, start) + scrap + text.slice(start + length);
            }
            writeFileSync(manifest, text);
            survived(text);
          },
        ),
        { numRuns: 120 },
      );
    });
  });

  describe('images', () => {
    before(() => writeFileSync(manifest, MINIMAL));

    const patched = (edit: (bytes: Buffer) => void): Buffer => {
      const bytes = Buffer.from(IMAGE);
      edit(bytes);
      return bytes;
    };
    const end = IMAGE.length - 32;
    const tableLength = end - 18;
    const metadata = IMAGE.length - IMAGE.readUInt32LE(end - 18 - 22 - 22);
    const images: [what: string, bytes: Uint8Array][] = [
      ['empty', new Uint8Array(0)],
      ['one byte', new Uint8Array(1)],
      ['47 bytes', IMAGE.subarray(-47)],
      ['erased flash', new Uint8Array(0x10000).fill(0xff)],
      ['zeros', new Uint8Array(0x10000)],
      ['the lower half', IMAGE.subarray(0, 0x8000)],
      ['not whole pages', IMAGE.subarray(1)],
      ['not 64 KiB', IMAGE.subarray(0x1000)],
      ['text', Buffer.from('this is no image\n')],
      ['a table that is too long', patched((b) => b.writeUInt16LE(0xffff, tableLength))],
      ['a table that is too short', patched((b) => b.writeUInt16LE(1, tableLength))],
      ['an entry of length 0', patched((b) => b.writeUInt16LE(0, tableLength - 18))],
      ['an entry that is too long', patched((b) => b.writeUInt16LE(0x7fff, tableLength - 18))],
      ['metadata outside', patched((b) => b.writeUInt32LE(0xffff_ffff, end - 18 - 22 - 22))],
      ['metadata at the very end', patched((b) => b.writeUInt32LE(4, end - 18 - 22 - 22))],
      ['another signature', patched((b) => b.write('ASEX', metadata))],
      ['another version', patched((b) => b.writeUInt32LE(2, metadata + 8))],
      ['4 billion sections', patched((b) => b.writeUInt32LE(0xffff_ffff, metadata + 12))],
      ['a section of 4 GiB', patched((b) => b.writeUInt32LE(0xffff_f000, metadata + 16 + 4))],
      ['a section in the image', patched((b) => b.writeUInt32LE(0xffff_0000, metadata + 16))],
      ['a section that is not aligned', patched((b) => b.writeUInt32LE(0x10010, metadata + 16))],
      ['sections on each other', patched((b) => b.writeUInt32LE(0x14000, metadata + 16 + 24))],
      ['secrets of two pages over the CPUID page', patched((b) => b.writeUInt32LE(0x2000, metadata + 16 + 12 + 4))],
    ];
    for (const [what, bytes] of images) {
      it(`refuses ${what}`, () => {
        writeFileSync(image, bytes);
        refused(what);
        const { status, out, err } = cli('measure', '--ovmf', image, '--vcpu-type', 'EPYC-v4');
        assert.ok(status === 1 ? out === '' && err !== '' : /^[0-9a-f]{96}\n$/.test(out), what);
      });
    }

    it('refuses a file of 600 MB without reading it', () => {
      writeFileSync(image, '');
      truncateSync(image, 600_000_000);
      refused('large image');
      rmSync(image);
    });

    it('survives any damage of table and metadata', () => {
      const places = [
        ...Array.from({ length: 128 }, (_, i) => IMAGE.length - 160 + i),
        ...Array.from({ length: 64 }, (_, i) => metadata + i),
      ];
      fc.assert(
        fc.property(
          fc.array(fc.tuple(fc.constantFrom(...places), fc.nat(255)), { minLength: 1, maxLength: 4 }),
          (edits) => {
            writeFileSync(
              image,
              patched((b) => {
                for (const [at, value] of edits) b[at] = value;
              }),
            );
            survived(JSON.stringify(edits));
          },
        ),
        { numRuns: 120 },
      );
    });

    it('survives any cut', () => {
      fc.assert(
        fc.property(fc.nat(IMAGE.length), fc.boolean(), (length, fromEnd) => {
          writeFileSync(image, fromEnd ? IMAGE.subarray(IMAGE.length - length) : IMAGE.subarray(0, length));
          survived(`${length} ${fromEnd}`);
        }),
        { numRuns: 40 },
      );
    });
  });

  describe('ID blocks', () => {
    const block = (): string => join(folder, 'id-block.bin');
    const auth = (): string => join(folder, 'id-auth.bin');
    before(() => {
      writeFileSync(image, IMAGE);
      writeFileSync(
        manifest,
        readFileSync(join(samples, 'id-block.snp.yaml'), 'utf8')
          .replace('firmware/minimal.fd', 'image.fd')
          .replaceAll('id-block/', ''),
      );
    });
    beforeEach(() => {
      writeFileSync(block(), ID_BLOCK);
      writeFileSync(auth(), ID_AUTH);
    });

    it('the good one passes', () => {
      assert.equal(cli('lint', manifest).status, 0);
      assert.equal(cli('launch', manifest).status, 0);
    });

    const files: [what: string, block: Uint8Array | undefined, auth: Uint8Array | undefined][] = [
      ['an empty ID block', new Uint8Array(0), undefined],
      ['95 bytes', ID_BLOCK.subarray(0, 95), undefined],
      ['97 bytes', Buffer.concat([ID_BLOCK, Buffer.from([0])]), undefined],
      ['zeros', new Uint8Array(96), undefined],
      ['text', Buffer.from('x'.repeat(96)), undefined],
      ['an empty ID authentication page', undefined, new Uint8Array(0)],
      ['a page of zeros', undefined, new Uint8Array(4096)],
      ['a page of ones', undefined, new Uint8Array(4096).fill(0xff)],
      ['half a page', undefined, ID_AUTH.subarray(0, 2048)],
      ['two pages', undefined, Buffer.concat([ID_AUTH, ID_AUTH])],
    ];
    for (const [what, blockBytes, authBytes] of files) {
      it(`refuses ${what}`, () => {
        if (blockBytes) writeFileSync(block(), blockBytes);
        if (authBytes) writeFileSync(auth(), authBytes);
        refused(what);
      });
    }

    it('refuses every flipped bit that is covered by a signature', () => {
      const covered = [
        ...Array.from({ length: 96 }, (_, i) => ['block', i] as const),
        ...Array.from({ length: 96 }, (_, i) => ['auth', 0x40 + (i < 48 ? i : i + 24)] as const),
        ...Array.from({ length: 0x404 }, (_, i) => ['auth', 0x240 + i] as const),
      ];
      fc.assert(
        fc.property(fc.constantFrom(...covered), fc.nat(7), ([file, at], bit) => {
          const bytes = Buffer.from(file === 'block' ? ID_BLOCK : ID_AUTH);
          bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          writeFileSync(block(), file === 'block' ? bytes : ID_BLOCK);
          writeFileSync(auth(), file === 'auth' ? bytes : ID_AUTH);
          assert.equal(cli('launch', manifest).status, 1);
          assert.equal(cli('lint', manifest).status, 1);
        }),
        { numRuns: 25 },
      );
    });
  });
});
