import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { PAGE_SIZE } from '../../engine/address.js';
import type { Crypto } from '../../engine/crypto.js';
import type { FileRead, FileSource } from '../../engine/launch/file-source.js';
import { filePage, type LoadedFile, pageDigest } from '../../engine/memory/page-bytes.js';
import { createFileSource } from '../../platform/file-source.js';
import { nativeCrypto } from '../../platform/native-crypto.js';

const windows = process.platform === 'win32';

describe('file source', () => {
  let base: string;
  let folder: string;
  let outside: string;
  let from: string;

  beforeEach(() => {
    base = realpathSync(mkdtempSync(join(tmpdir(), 'sev-snp-files-')));
    folder = join(base, 'workspace');
    outside = join(base, 'outside');
    mkdirSync(join(folder, 'sub'), { recursive: true });
    mkdirSync(outside);
    from = join(folder, 'a.snp.yaml');
    writeFileSync(join(folder, 'in.bin'), 'inside');
    writeFileSync(join(outside, 'out.bin'), 'outside');
  });
  afterEach(() => rmSync(base, { recursive: true }));

  const reasonOf = (read: FileRead): string => (read.ok ? 'ok' : read.reason);
  const loaded = (source: FileSource, path: string, document = from): LoadedFile => {
    const read = source.read(path, document);
    assert.ok(read.ok, JSON.stringify(read));
    return read.file;
  };

  it('reads relative to the document, which may be named by a URI', () => {
    const source = createFileSource();
    assert.equal(Buffer.from(loaded(source, 'in.bin').bytes).toString(), 'inside');
    assert.equal(loaded(source, 'in.bin', pathToFileURL(from).href).path, join(folder, 'in.bin'));
    assert.equal(loaded(source, '../in.bin', join(folder, 'sub', 'b.yaml')).path, join(folder, 'in.bin'));
    assert.equal(loaded(source, join(outside, 'out.bin')).path, join(outside, 'out.bin'));
  });

  it('tells the reasons apart', () => {
    const source = createFileSource({ maxFileBytes: 100 });
    writeFileSync(join(folder, 'large.bin'), new Uint8Array(101));
    const cases: [path: string, reason: string][] = [
      ['nothing.bin', 'missing'],
      ['in.bin/below', 'missing'],
      ['sub', 'not-a-file'],
      ['large.bin', 'too-large'],
      ['a\0b', 'missing'],
      ['x'.repeat(5000), 'missing'],
    ];
    for (const [path, reason] of cases) {
      const read = source.read(path, from);
      assert.equal(reasonOf(read), reason, path);
      assert.ok(!read.ok && read.detail !== '');
    }
  });

  it('does not open pipes and devices', function () {
    if (windows) this.skip();
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    const source = createFileSource();
    assert.equal(reasonOf(source.read('pipe', from)), 'not-a-file');
    assert.equal(reasonOf(source.read('/dev/zero', from)), 'not-a-file');
  });

  it('reports a circle of links', function () {
    if (windows) this.skip();
    symlinkSync('loop', join(folder, 'loop'));
    assert.equal(reasonOf(createFileSource().read('loop', from)), 'unreadable');
    assert.notEqual(reasonOf(createFileSource({ trusted: false, folders: [folder] }).read('loop', from)), 'ok');
  });

  it('confines an untrusted workspace to its folders', () => {
    const source = createFileSource({ trusted: false, folders: [folder] });
    const cases: [path: string, reason: string][] = [
      ['in.bin', 'ok'],
      [join(folder, 'in.bin'), 'ok'],
      ['sub/../in.bin', 'ok'],
      ['nothing.bin', 'missing'],
      ['../outside/out.bin', 'untrusted'],
      [join(outside, 'out.bin'), 'untrusted'],
      ['../outside/nothing.bin', 'untrusted'],
      [`${folder}-other/x`, 'untrusted'],
      ['/etc/passwd', 'untrusted'],
    ];
    for (const [path, reason] of cases) assert.equal(reasonOf(source.read(path, from)), reason, path);
    assert.equal(reasonOf(createFileSource({ trusted: false }).read('in.bin', from)), 'untrusted');
    assert.equal(
      reasonOf(createFileSource({ trusted: true, folders: [folder] }).read('../outside/out.bin', from)),
      'ok',
    );
  });

  it('follows links before it decides', function () {
    if (windows) this.skip();
    symlinkSync(join(outside, 'out.bin'), join(folder, 'link.bin'));
    symlinkSync(outside, join(folder, 'linked'));
    symlinkSync(join(folder, 'in.bin'), join(folder, 'own.bin'));
    symlinkSync(folder, join(base, 'alias'));
    const source = createFileSource({ trusted: false, folders: [folder] });
    assert.equal(reasonOf(source.read('link.bin', from)), 'untrusted');
    assert.equal(reasonOf(source.read('linked/out.bin', from)), 'untrusted');
    assert.equal(reasonOf(source.read('linked/new.bin', from)), 'untrusted');
    assert.equal(reasonOf(source.read('own.bin', from)), 'ok');
    const alias = createFileSource({ trusted: false, folders: [join(base, 'alias')] });
    assert.equal(reasonOf(alias.read('in.bin', join(base, 'alias', 'a.snp.yaml'))), 'ok');
    assert.equal(reasonOf(alias.read('in.bin', from)), 'ok');
  });

  it('never reads outside an untrusted workspace, whatever the path', () => {
    const source = createFileSource({ trusted: false, folders: [folder] });
    const part = fc.constantFrom('..', '.', 'sub', 'in.bin', 'outside', 'out.bin', 'workspace', '', '/', 'x');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), fc.boolean(), (parts, absolute) => {
        const read = source.read((absolute ? '/' : '') + parts.join('/'), from);
        if (read.ok) assert.equal(read.file.path, join(folder, 'in.bin'));
      }),
      { numRuns: 300 },
    );
  });

  it('gives the same object for an unchanged file', () => {
    const source = createFileSource();
    const first = loaded(source, 'in.bin');
    assert.equal(loaded(source, 'in.bin'), first);
    writeFileSync(join(folder, 'in.bin'), 'other!');
    const second = loaded(source, 'in.bin');
    assert.notEqual(second, first);
    assert.equal(Buffer.from(second.bytes).toString(), 'other!');
    unlinkSync(join(folder, 'in.bin'));
    assert.equal(reasonOf(source.read('in.bin', from)), 'missing');
  });

  it('notices a change that keeps size and modification time', function () {
    if (windows) this.skip();
    const path = join(folder, 'in.bin');
    utimesSync(path, 1, 1);
    const source = createFileSource();
    loaded(source, 'in.bin');
    unlinkSync(path);
    writeFileSync(path, 'INSIDE');
    utimesSync(path, 1, 1);
    assert.equal(Buffer.from(loaded(source, 'in.bin').bytes).toString(), 'INSIDE');
  });

  it('hashes only the changed page of a changed file again', () => {
    const image = new Uint8Array(8 * PAGE_SIZE).map((_, i) => i >> 12);
    const path = join(folder, 'image.fd');
    writeFileSync(path, image);
    let hashed = 0;
    const counting: Crypto = {
      ...nativeCrypto,
      sha384(data) {
        hashed++;
        return nativeCrypto.sha384(data);
      },
    };
    const source = createFileSource();
    const digestAll = () => {
      const { bytes } = loaded(source, 'image.fd');
      for (let i = 0; i < 8; i++) pageDigest(filePage(bytes, i), counting);
    };
    digestAll();
    assert.equal(hashed, 8);
    image[3 * PAGE_SIZE] = 0xff;
    writeFileSync(path, image);
    digestAll();
    assert.equal(hashed, 9);
  });

  it('keeps memory bounded', () => {
    const source = createFileSource({ maxCachedBytes: 25 });
    for (const name of ['1.bin', '2.bin', '3.bin']) writeFileSync(join(folder, name), '0123456789');
    const first = loaded(source, '1.bin');
    loaded(source, '2.bin');
    assert.equal(loaded(source, '1.bin'), first);
    loaded(source, '3.bin');
    assert.equal(loaded(source, '1.bin'), first, 'the most recently used stays');
    const large = createFileSource({ maxCachedBytes: 5 });
    assert.equal(loaded(large, '1.bin').bytes.length, 10);
  });

  it('prefers the text of an open editor', () => {
    let text: string | undefined = 'snp-policy: 1 # ü';
    const source = createFileSource({ overlay: (path) => (path === join(folder, 'in.bin') ? text : undefined) });
    const first = loaded(source, 'in.bin');
    assert.equal(Buffer.from(first.bytes).toString(), text);
    assert.equal(loaded(source, 'in.bin'), first);
    text = undefined;
    assert.equal(Buffer.from(loaded(source, 'in.bin').bytes).toString(), 'inside');
    const untrusted = createFileSource({ trusted: false, folders: [folder], overlay: () => 'x' });
    assert.equal(reasonOf(untrusted.read('../outside/out.bin', from)), 'untrusted');
  });
});
