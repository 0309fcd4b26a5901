/**
 * `npm test`: installs what is missing and runs everything. The last line is `N passed, N failed`, with
 * `, N skipped` where something is not installed here; with CI=true such a part has failed.
 */
import { build } from './lib/build.mjs';
import { ensureDependencies } from './lib/dependencies.mjs';
import { binary } from './lib/processes.mjs';
import { main, say } from './lib/say.mjs';
import { Suites } from './lib/suites.mjs';
import { makeVsix } from './lib/vsix.mjs';

await main(async () => {
  await ensureDependencies();
  const suites = new Suites();
  const tsc = binary('typescript/bin/tsc');
  await suites.check('types', [tsc, '-p', 'engine/tsconfig.json'], [tsc]);
  await suites.check('format and lint', [binary('@biomejs/biome/bin/biome'), 'check', '.']);
  await suites.suite('unit tests', (result) => [
    binary('mocha/bin/mocha.js'),
    ...['--reporter', './scripts/lib/counting-reporter.mjs', '--reporter-option', `output=${result}`],
  ]);
  let vsix = '';
  const packaged = await suites.step('package', async () => {
    await build({ production: true, tests: true });
    vsix = await makeVsix();
  });
  if (packaged) await inVscode(suites, vsix);
  else say('the tests in VS Code need a package and did not run');

  const { passed, failed, skipped } = suites.total;
  if (failed > 0) console.log(`\nFailed: ${suites.failures.join(', ')}.`);
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exitCode = failed > 0 ? 1 : 0;
});

async function inVscode(suites, vsix) {
  const runner = 'test/extension/run-test.mjs';
  await suites.suite('extension in VS Code', (result) => [runner, '--result', result]);
  await suites.suite('installed package in VS Code', (result) => [runner, '--vsix', vsix, '--result', result]);
  await suites.suite('workbench by keyboard', (result) => [
    'test/workbench/run.mjs',
    '--vsix',
    vsix,
    '--result',
    result,
  ]);
}
