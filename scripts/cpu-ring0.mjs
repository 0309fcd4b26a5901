// Ring-0 sequences in qemu-system-x86_64 and in the guest CPU: node scripts/cpu-ring0.mjs [--seed=1] [--cases=100000]
// [--only=REGEX of generators] [--case=N, to look at one].
import { runBundled } from './lib/bundled.mjs';

process.exitCode = runBundled('test/oracle/ring0/full.ts', { beside: ['test/oracle/ring0/runner.S'] });
