#!/usr/bin/env node
import { ReaderGone, standardOutput } from './output.js';
import { run } from './run.js';

const output = standardOutput();
try {
  process.exitCode = run(process.argv.slice(2), output);
  output.flush();
} catch (error) {
  if (error instanceof ReaderGone) process.exitCode = 0;
  else {
    output.err(`sev-snp: internal error, please report it: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 70;
  }
}
