/** Mocha's dot reporter which also writes the counts to the file of the reporter option `output`. */
import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';

// biome-ignore lint/style/noDefaultExport: Mocha takes the default export of a reporter's file.
export default class CountingReporter extends Mocha.reporters.Dot {
  constructor(runner, options) {
    super(runner, options);
    const file = options.reporterOptions.output;
    runner.once('end', () => {
      const { passes, failures, pending } = runner.stats;
      writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, skipped: pending }));
    });
  }
}
