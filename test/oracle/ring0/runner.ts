import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as layout from './layout.js';

/** The assembled runner, and where its handlers begin. */
export interface Runner {
  readonly image: Uint8Array;
  /** Handlers for 16-bit, 32-bit and 64-bit code: STUB_SIZE bytes for each vector. */
  readonly stubs: Readonly<Record<16 | 32 | 64, number>>;
}

/** Symbols of runner.S. */
function symbols(): string[] {
  const { ARENA, ARENA_SIZE, BASELINES, REFERENCE, RESULTS, RESULT_SIZE, EXIT_PORT, CONTROL, SELECTOR } = layout;
  const all: [string, number][] = Object.entries({
    ...{ ARENA, ARENA_SIZE, BASELINES, REFERENCE, RESULTS, RESULT_SIZE, EXIT_PORT },
    ...{ CASE_CODE32: SELECTOR.code32, CASE_DATA: SELECTOR.data, CASE_CODE64: SELECTOR.code64 },
  });
  for (const [name, value] of Object.entries(CONTROL)) all.push([name.toUpperCase(), value]);
  for (const [name, value] of Object.entries(layout.CASE)) all.push([`C_${name.toUpperCase()}`, value]);
  for (const [name, value] of Object.entries(layout.RESULT)) all.push([`R_${name.toUpperCase()}`, value]);
  return all.flatMap(([name, value]) => ['--defsym', `${name}=${value}`]);
}

let built: Runner | undefined;

/** Undefined where there are no binutils. */
export function buildRunner(): Runner | undefined {
  if (built) return built;
  const folder = mkdtempSync(join(tmpdir(), 'cpu-ring0-'));
  const [object, elf, flat] = ['o', 'elf', 'bin'].map((e) => join(folder, `runner.${e}`)) as [string, string, string];
  try {
    const source = fileURLToPath(new URL('runner.S', import.meta.url));
    execFileSync('as', ['--64', ...symbols(), '-o', object, source], { stdio: 'pipe' });
    execFileSync('ld', [`-Ttext=0x${layout.RUNNER.toString(16)}`, '--omagic', '-e', 'start', '-o', elf, object], {
      stdio: 'pipe',
    });
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', elf, flat], { stdio: 'pipe' });
    const names = execFileSync('nm', [elf], { encoding: 'utf8' });
    const at = (name: string): number =>
      Number.parseInt(new RegExp(`^([0-9a-f]+) . ${name}$`, 'm').exec(names)?.[1] ?? '', 16);
    built = { image: readFileSync(flat), stubs: { 16: at('stub16'), 32: at('stub32'), 64: at('stub64') } };
    return built;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
