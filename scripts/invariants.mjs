// Random operations of host, firmware and guests, and the invariants behind each of them:
// node scripts/invariants.mjs [--operations=1000000] [--seed=1] [--episode=2000]. Prints how often each had an effect.
import { runBundled } from './lib/bundled.mjs';

process.exitCode = runBundled('test/invariants/full.ts');
