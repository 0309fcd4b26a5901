import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Output } from '../../cli/output.js';
import { run } from '../../cli/run.js';

export const repository = join(__dirname, '../..');
export const samples = join(repository, 'samples');

export interface CliResult {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

const ARGUMENTS = ['--import', 'tsx', join(repository, 'cli/main.ts')];

/** As a user runs it: a process of its own. */
export function cliProcess(args: readonly string[], options: { readonly cwd?: string } = {}): CliResult {
  const child = spawnSync(process.execPath, [...ARGUMENTS, ...args], {
    encoding: 'utf8',
    cwd: options.cwd ?? repository,
    maxBuffer: 1 << 28,
  });
  return { status: child.status, out: child.stdout, err: child.stderr };
}

/** The command's reader goes away after the first bytes. */
export function cliWithImpatientReader(args: readonly string[]): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...ARGUMENTS, ...args], {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').once('data', (text: string) => {
      out = text;
      child.stdout.destroy();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, out, err }));
  });
}

/** The same command line in this process: for tables of cases. */
export function cli(...args: readonly string[]): CliResult {
  const out: string[] = [];
  const err: string[] = [];
  const output: Output = { out: (text) => out.push(text), err: (text) => err.push(text) };
  const status = run(args, output);
  return { status, out: out.join(''), err: err.join('') };
}
