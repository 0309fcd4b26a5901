import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createFileSource } from '../../platform/file-source.js';

const samples = join(__dirname, '../../samples');
const GOOD = readFileSync(join(samples, 'firmware/minimal.fd'));
const BAD = readFileSync(join(samples, 'broken/firmware/no-sev-metadata.fd'));

describe('firmware: auto', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'sev-snp-firmware-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const put = (path: string, content: string | Uint8Array): string => {
    const full = join(root, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content);
    return full;
  };
  const source = (environment: NodeJS.ProcessEnv = {}) =>
    createFileSource({ systemRoot: root, environment: { HOME: join(root, 'home'), ...environment } });
  const descriptor = (image: string, features: string[] = [], more: object = {}): string =>
    JSON.stringify({
      description: 'test',
      'interface-types': ['uefi'],
      mapping: { device: 'flash', executable: { filename: image, format: 'raw' } },
      targets: [{ architecture: 'x86_64', machines: ['pc-q35-*'] }],
      features,
      tags: [],
      ...more,
    });

  it('says what it tried and what to install when there is nothing', () => {
    const search = source().findFirmware();
    assert.equal(search.path, undefined);
    assert.ok(search.tried.some((t) => t.path.endsWith('/usr/share/ovmf/OVMF.fd') && t.outcome === 'no such file'));
    assert.match(search.advice ?? '', /apt install ovmf.*dnf install edk2-ovmf.*SEV_SNP_FIRMWARE_DIRS/);
  });

  it('takes the usual path of a distribution', () => {
    const image = put('usr/share/ovmf/OVMF.fd', GOOD);
    assert.equal(source().findFirmware().path, image);
    const amdSev = put('usr/share/ovmf/OVMF.amdsev.fd', GOOD);
    assert.equal(source().findFirmware().path, amdSev);
  });

  it('passes over images without SEV metadata', () => {
    const bad = put('usr/share/ovmf/OVMF.amdsev.fd', BAD);
    put('usr/share/edk2/ovmf/OVMF.amdsev.fd', 'not an image');
    const image = put('usr/share/ovmf/OVMF.fd', GOOD);
    const search = source().findFirmware();
    assert.equal(search.path, image);
    assert.match(search.tried.find((t) => t.path === bad)?.outcome ?? '', /SEV metadata/);
  });

  it('prefers descriptors with amd-sev-snp, then the order of their names', () => {
    const plain = put('images/plain.fd', GOOD);
    const snp1 = put('images/snp1.fd', GOOD);
    put('images/snp2.fd', GOOD);
    put('usr/share/qemu/firmware/10-plain.json', descriptor('/images/plain.fd'));
    assert.equal(source().findFirmware().path, plain);
    put('usr/share/qemu/firmware/60-snp.json', descriptor('/images/snp2.fd', ['amd-sev-snp']));
    put('etc/qemu/firmware/50-snp.json', descriptor('/images/snp1.fd', ['amd-sev', 'amd-sev-snp']));
    const search = source().findFirmware();
    assert.equal(search.path, snp1);
    assert.match(search.tried.at(-1)?.outcome ?? '', /described by .*50-snp\.json/);
  });

  it('lets a later folder hide a descriptor of the same name', () => {
    put('images/system.fd', GOOD);
    const own = put('images/own.fd', GOOD);
    put('usr/share/qemu/firmware/50-snp.json', descriptor('/images/system.fd', ['amd-sev-snp']));
    put('home/.config/qemu/firmware/50-snp.json', descriptor('/images/own.fd', ['amd-sev-snp']));
    assert.equal(source().findFirmware().path, own);
    put('config/qemu/firmware/50-snp.json', '');
    const usual = put('usr/share/ovmf/OVMF.fd', GOOD);
    assert.equal(source({ XDG_CONFIG_HOME: join(root, 'config') }).findFirmware().path, usual);
  });

  it('reads descriptors of device memory, and no others than x86-64 UEFI in raw format', () => {
    const memory = put('images/memory.fd', GOOD);
    put('images/x.fd', GOOD);
    const folder = 'usr/share/qemu/firmware';
    put(`${folder}/10-arm.json`, descriptor('/images/x.fd', [], { targets: [{ architecture: 'aarch64' }] }));
    put(`${folder}/11-bios.json`, descriptor('/images/x.fd', [], { 'interface-types': ['bios'] }));
    put(
      `${folder}/12-qcow2.json`,
      descriptor('', [], { mapping: { device: 'flash', executable: { filename: '/images/x.fd', format: 'qcow2' } } }),
    );
    put(
      `${folder}/20-memory.json`,
      descriptor('', ['amd-sev-snp'], { mapping: { device: 'memory', filename: '/images/memory.fd' } }),
    );
    put(`${folder}/readme.txt`, 'no descriptor');
    assert.equal(source().findFirmware().path, memory);
  });

  it('survives broken descriptors', () => {
    const image = put('usr/share/ovmf/OVMF.fd', GOOD);
    const contents = ['{', '[]', 'null', '7', '"x"', '{"mapping":3}', '{"targets":[null],"interface-types":"uefi"}'];
    for (const [i, text] of contents.entries()) put(`usr/share/qemu/firmware/0${i}.json`, text);
    const search = source().findFirmware();
    assert.equal(search.path, image);
    assert.match(search.tried[0]?.outcome ?? '', /descriptor is ignored/);
  });

  it('searches SEV_SNP_FIRMWARE_DIRS first', () => {
    put('usr/share/ovmf/OVMF.fd', GOOD);
    put('own/a.fd', BAD);
    const own = put('own/b.fd', GOOD);
    const folders = [join(root, 'nowhere'), join(root, 'own')].join(delimiter);
    const search = source({ SEV_SNP_FIRMWARE_DIRS: folders }).findFirmware();
    assert.equal(search.path, own);
    assert.match(search.tried[0]?.outcome ?? '', /no such folder/);
  });

  it('lets an untrusted workspace read the image that was found', () => {
    const image = put('usr/share/ovmf/OVMF.fd', GOOD);
    const other = put('usr/share/ovmf/other.fd', GOOD);
    const files = createFileSource({ systemRoot: root, environment: {}, trusted: false, folders: [join(root, 'w')] });
    assert.equal(files.read(image, join(root, 'w/a.yaml')).ok, false);
    assert.equal(files.findFirmware().path, image);
    assert.equal(files.read(image, join(root, 'w/a.yaml')).ok, true);
    assert.equal(files.read(other, join(root, 'w/a.yaml')).ok, false);
  });
});
