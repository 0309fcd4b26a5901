/**
 * Builds the sample guests (samples/guests): C and assembly with gcc and binutils, one firmware image and one ELF file
 * with DWARF for each. `build-samples.mjs` calls it.
 *
 * Same tools, same bytes: paths are relative, nothing depends on time or folder, archives are deterministic. Another
 * release of gcc compiles to other code; built-with.txt says which one made the committed files.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Each is samples/guests/NAME.c, and becomes NAME.fd and NAME.elf beside it. */
export const GUESTS = [
  'hello',
  'two-vcpus',
  'page-states',
  'forgotten-pvalidate',
  'validated-twice',
  'wrong-page-size',
  'ghcb-in-private-memory',
  'vc-inside-vc',
  'unknown-exit',
];

/** The guests of samples/attacks, with the library of samples/guests. */
export const ATTACKED_GUESTS = ['account', 'account-trusting', 'account-lazy'];

/** The guests of samples/host-changes: KVM differs from release to release. */
export const HOST_CHANGE_GUESTS = ['psmash-last', 'implicit-conversion', 'vmsa-at-2m'];

/** Always linked; the rest of lib/ as far as a guest calls it. */
const ENTRY = 'reset.S';

// No vector registers and no red zone: exceptions come on the stack of the code. No jump tables, unwind tables, stack
// protector, or markers for indirect branches: distributions differ in their defaults.
const COMPILE = [
  ...['-std=c17', '-Og', '-g', '-gdwarf-4', '-gstrict-dwarf', '-Wall', '-Wextra', '-Werror'],
  ...['-ffreestanding', '-fpie', '-fvisibility=hidden', '-march=x86-64', '-mgeneral-regs-only', '-mno-red-zone'],
  ...['-fcf-protection=none', '-fno-stack-protector', '-fno-stack-clash-protection', '-fno-jump-tables'],
  ...['-fno-asynchronous-unwind-tables', '-fno-unwind-tables', '-fno-ident', '-fno-strict-aliasing'],
  ...['-fno-tree-loop-distribute-patterns', '-fno-omit-frame-pointer'],
];

const LINK = [
  ...['-m', 'elf_x86_64', '-nostdlib', '-static', '--build-id=none', '--hash-style=sysv', '-z', 'noexecstack'],
  ...['-z', 'max-page-size=16', '--orphan-handling=error', '--fatal-warnings'],
];

const TOOLS = ['gcc', 'as', 'ld', 'ar', 'objcopy'];

/** True when the tools are there and make code for x86-64. */
export function canBuildGuests() {
  const tools = TOOLS.every((tool) => spawnSync(tool, ['--version']).status === 0);
  return tools && spawnSync('gcc', ['-dumpmachine'], { encoding: 'utf8' }).stdout.startsWith('x86_64');
}

/** The tools whose release decides the bytes, one a line. */
export function guestTools() {
  const firstLine = (tool) => execFileSync(tool, ['--version'], { encoding: 'utf8' }).split('\n')[0];
  return `${['gcc', 'as', 'ld'].map(firstLine).join('\n')}\n`;
}

/** All images and ELF files, by path below samples/. */
export function buildGuests(samples) {
  return new Map([
    ...buildFolder(samples, { folder: 'guests', guests: GUESTS, library: 'lib' }),
    ...buildFolder(samples, {
      folder: 'attacks',
      guests: ATTACKED_GUESTS,
      library: '../guests/lib',
      compile: ['-I../guests'],
      link: ['--wrap=handle_vc'],
    }),
    ...buildFolder(samples, {
      folder: 'host-changes',
      guests: HOST_CHANGE_GUESTS,
      library: '../guests/lib',
      compile: ['-I../guests'],
    }),
  ]);
}

/** The library is compiled for each folder: debuggers find a source file from the folder of the ELF file. */
function buildFolder(samples, { folder, guests, library, compile: options = [], link = [] }) {
  const source = join(samples, folder);
  const objects = mkdtempSync(join(tmpdir(), 'sev-snp-guests-'));
  const run = (tool, ...args) => execFileSync(tool, args, { cwd: source, stdio: ['ignore', 'pipe', 'inherit'] });
  const compile = (file) => {
    const object = join(objects, `${file.replaceAll(/[^\w.]/g, '-')}.o`);
    run('gcc', ...COMPILE, ...options, `-ffile-prefix-map=${source}=.`, '-c', '-o', object, file);
    return object;
  };
  try {
    const sources = readdirSync(join(source, library)).filter((name) => /\.[cS]$/.test(name));
    const built = new Map(sources.sort().map((name) => [name, compile(`${library}/${name}`)]));
    const archive = join(objects, 'lib.a');
    run('ar', 'rcD', archive, ...built.values());

    const files = new Map();
    for (const name of guests) {
      const elf = join(objects, `${name}.elf`);
      const image = join(objects, `${name}.fd`);
      const inputs = [compile(`${name}.c`), built.get(ENTRY), archive];
      run('ld', ...LINK, ...link, '-T', `${library}/image.ld`, '-o', elf, ...inputs);
      run('objcopy', '-O', 'binary', elf, image);
      files.set(`${folder}/${name}.fd`, readFileSync(image));
      files.set(`${folder}/${name}.elf`, readFileSync(elf));
    }
    return files;
  } finally {
    rmSync(objects, { recursive: true });
  }
}
