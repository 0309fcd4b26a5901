import { writeSync } from 'node:fs';
import { SnpDebugAdapter } from './adapter.js';

/**
 * Entry of the adapter's process: speaks the protocol on standard input and output. It always runs, whoever
 * loads it, because VS Code starts it through a wrapper.
 */
const adapter = new SnpDebugAdapter((code) => {
  // Lets what was written go out first.
  process.stdout.write('', () => process.exit(code));
});

process.on('uncaughtException', (error) => {
  adapter.reportCrash(error);
  process.stdout.write('', () => process.exit(70));
});
process.on('SIGTERM', () => process.exit(0));

// Standard output belongs to the protocol.
console.log = (...parts: unknown[]) => writeSync(process.stderr.fd, `${parts.map(String).join(' ')}\n`);

adapter.start(process.stdin, process.stdout);
