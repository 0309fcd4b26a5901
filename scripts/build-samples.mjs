/**
 * Builds the images of the sample workspace from their sources: with binutils (as, ld), and the guests with gcc as
 * well. The images are committed, so that nobody needs these tools to use the samples; a test checks that they are
 * what this script makes.
 *
 *   node scripts/build-samples.mjs [--out FOLDER]   the default folder is samples/
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildGuests, canBuildGuests, guestTools } from './build-guests.mjs';

const samples = join(dirname(fileURLToPath(import.meta.url)), '..', 'samples');

/** Images by path below samples/: source, link address, assembler symbols. */
const ASSEMBLED = {
  'firmware/minimal.fd': { source: 'firmware/minimal.S', address: 0xffff0000, symbols: [] },
  'broken/firmware/no-kernel-hashes.fd': {
    source: 'firmware/minimal.S',
    address: 0xffff0000,
    symbols: ['NO_HASHES=1', 'NO_HASHES_SECTION=1'],
  },
  'broken/firmware/empty-hash-area.fd': {
    source: 'firmware/minimal.S',
    address: 0xffff0000,
    symbols: ['EMPTY_HASHES=1', 'NO_HASHES_SECTION=1'],
  },
  'broken/firmware/no-reset-block.fd': {
    source: 'firmware/minimal.S',
    address: 0xffff0000,
    symbols: ['NO_RESET_BLOCK=1'],
  },
  'broken/firmware/no-sev-metadata.fd': {
    source: 'firmware/minimal.S',
    address: 0xffff0000,
    symbols: ['NO_METADATA=1'],
  },
  'pages/boot.bin': { source: 'pages/boot.S', address: 0x1000, symbols: [] },
};

/** True when the tools are there. */
export function canBuildSamples() {
  return ['as', 'ld'].every((tool) => {
    const run = spawnSync(tool, ['--version'], { encoding: 'utf8' });
    return run.status === 0 && run.stdout.includes('GNU');
  });
}

/** True when the tools for the guests are there. */
export { canBuildGuests } from './build-guests.mjs';

/** All images but the guests, by path below samples/. */
export function buildImages() {
  const images = new Map();
  for (const [path, image] of Object.entries(ASSEMBLED)) images.set(path, assemble(image));
  images.set('broken/firmware/vars.fd', variableStore());
  return images;
}

/** The guests, by path below samples/, and the tools that made them. */
export function buildSampleGuests() {
  const files = buildGuests(samples);
  files.set('guests/built-with.txt', Buffer.from(guestTools()));
  return files;
}

function assemble({ source, address, symbols }) {
  const folder = mkdtempSync(join(tmpdir(), 'sev-snp-samples-'));
  try {
    const object = join(folder, 'image.o');
    const binary = join(folder, 'image.bin');
    const defines = symbols.flatMap((symbol) => ['--defsym', symbol]);
    execFileSync('as', ['--32', ...defines, '-o', object, join(samples, source)]);
    const at = `0x${address.toString(16)}`;
    execFileSync('ld', ['-m', 'elf_i386', '--oformat', 'binary', '-Ttext', at, '-e', at, '-o', binary, object]);
    return readFileSync(binary);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A variable store as OVMF_VARS.fd has one: the header of a firmware volume, otherwise erased flash. */
function variableStore() {
  const size = 0x10000;
  const bytes = Buffer.alloc(size, 0xff);
  const header = Buffer.alloc(72);
  // EFI_SYSTEM_NV_DATA_FV_GUID, PI specification, volume 3, firmware volume header.
  Buffer.from('8d2bf1ff96768b4ca9852747075b4f50', 'hex').copy(header, 16);
  header.writeBigUInt64LE(BigInt(size), 32);
  header.write('_FVH', 40);
  header.writeUInt32LE(0x4feff, 44);
  header.writeUInt16LE(header.length, 48);
  header.writeUInt8(2, 55);
  header.writeUInt32LE(size / 0x1000, 56);
  header.writeUInt32LE(0x1000, 60);
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += header.readUInt16LE(i);
  header.writeUInt16LE(-sum & 0xffff, 50);
  header.copy(bytes);
  return bytes;
}

function main() {
  if (!canBuildSamples() || !canBuildGuests()) {
    console.error('The samples need GNU binutils and gcc for x86-64 on the PATH: install binutils and gcc.');
    process.exit(1);
  }
  const option = process.argv.indexOf('--out');
  const out = option < 0 ? samples : process.argv[option + 1];
  for (const [path, bytes] of [...buildImages(), ...buildSampleGuests()]) {
    const target = join(out, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, bytes);
    console.log(`${target}: ${bytes.length} bytes`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
