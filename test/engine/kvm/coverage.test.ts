import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { VMM_CASES } from '../vmm/cases.js';
import { RUN_CASES } from '../vmm/run-cases.js';
import { DEV_SEV_CASES } from './cases/dev-sev-cases.js';
import { MEMORY_CASES } from './cases/memory-cases.js';
import { START_CASES } from './cases/start-cases.js';
import { UPDATE_CASES } from './cases/update-cases.js';
import { VM_CASES } from './cases/vm-cases.js';
import { GHCB_CASES } from './ghcb/cases.js';

/** Ids of the checks that the files of a folder declare. */
function declaredIn(folder: string): string[] {
  const root = join(import.meta.dirname, '../../../engine', folder);
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => [...readFileSync(join(root, name), 'utf8').matchAll(/^ {2}check: '([^']+)'/gm)])
    .map((match) => match[1] ?? '');
}

/** Checks that need a whole launch to be reached: the test that does. */
const BY_LAUNCH: Readonly<Record<string, string>> = { 'vmm-igvm-memory': 'launch/igvm/process.test.ts' };

describe('Every check of the host', () => {
  const cases = [
    ...VM_CASES,
    ...MEMORY_CASES,
    ...START_CASES,
    ...UPDATE_CASES,
    ...VMM_CASES,
    ...RUN_CASES,
    ...GHCB_CASES,
    ...DEV_SEV_CASES,
  ];
  const reached = new Set(cases.flatMap((c) => [c.check, ...('causes' in c ? (c.causes ?? []) : [])]));

  for (const [check, file] of Object.entries(BY_LAUNCH)) {
    const text = readFileSync(join(import.meta.dirname, '..', file), 'utf8');
    if (text.includes(`'${check}'`)) reached.add(check);
  }

  for (const folder of ['kvm', 'vmm']) {
    it(`in engine/${folder} is produced by a test case`, () => {
      const declared = declaredIn(folder);
      assert.ok(declared.length > 5);
      assert.deepEqual(
        declared.filter((check) => !reached.has(check)),
        [],
      );
      assert.ok(declared.every((check) => check.startsWith(`${folder}-`)));
    });
  }
});
