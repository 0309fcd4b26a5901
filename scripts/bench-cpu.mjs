// Runs the guest CPU's benchmark.
import { runBundled } from './lib/bundled.mjs';

process.exitCode = runBundled('test/bench/cpu/bench.ts');
