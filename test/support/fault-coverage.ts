import assert from 'node:assert/strict';
import { faultDefinitions } from '../../engine/fault.js';

/** Every check whose id begins with one of `prefixes` is in `produced`. Runs after the tests that fill the set. */
export function assertAllProduced(produced: ReadonlySet<string>, prefixes: readonly string[]): void {
  const declared = faultDefinitions()
    .map((definition) => definition.check)
    .filter((check) => prefixes.some((prefix) => check.startsWith(prefix)));
  assert.ok(declared.length > 0, 'no checks with these prefixes');
  assert.deepEqual(
    declared.filter((check) => !produced.has(check)),
    [],
    'checks that no test reaches',
  );
}
