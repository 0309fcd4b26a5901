/** Steps that several scripts share. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { ROOT, runNode } from './processes.mjs';
import { say } from './say.mjs';

/** Bundles into dist/, and the extension tests into out/test/ if asked. */
export async function build({ production = false, tests = false } = {}) {
  say(`building dist/${production ? ' for production' : ''}${tests ? ' and the extension tests' : ''}`);
  await rm(path.join(ROOT, 'dist'), { recursive: true, force: true });
  const flags = [...(production ? ['--production'] : []), ...(tests ? ['--tests'] : [])];
  if ((await runNode(['esbuild.js', ...flags])) !== 0) throw new Error('the build failed: see its message above.');
}
