// The decoder against iced-x86: node scripts/cpu-decoder.mjs [--seed=1] [--cases=10000000]. Random byte strings in
// three code sizes, and all code in the OVMF images of this machine. Prints disagreements and figures.
import { runBundled } from './lib/bundled.mjs';

process.exitCode = runBundled('test/oracle/decoder-full.ts', { external: ['iced-x86'] });
