// Full run of the guest CPU's oracle: node scripts/cpu-oracle.mjs [--seed=1] [--cases=1000000]. Prints disagreements
// and the rows of the table never executed.
import { runBundled } from './lib/bundled.mjs';

process.exitCode = runBundled('test/oracle/full.ts', { external: ['iced-x86'], beside: ['test/oracle/native.c'] });
