/**
 * Writes docs/rules: one page for each check of the product, and an index.
 *   npx tsx scripts/generate-rule-docs.ts           writes
 *   npx tsx scripts/generate-rule-docs.ts --check   fails if the committed pages differ
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rulePages } from './rule-pages/render.js';

const folder = join(import.meta.dirname, '..', 'docs', 'rules');
const check = process.argv.includes('--check');

mkdirSync(folder, { recursive: true });
const pages = rulePages();
const present = readdirSync(folder).filter((name) => name.endsWith('.md'));
const stale = present.filter((name) => !pages.has(name));
const different = [...pages].filter(([name, text]) => !present.includes(name) || read(name) !== text);

if (check) {
  if (stale.length + different.length > 0) {
    const names = [...stale, ...different.map(([name]) => name)];
    console.error(`docs/rules is out of date: ${names.join(', ')}`);
    console.error('Run `npx tsx scripts/generate-rule-docs.ts` and commit the result.');
    process.exit(1);
  }
  console.log(`docs/rules: ${pages.size} pages are up to date.`);
} else {
  for (const name of stale) rmSync(join(folder, name));
  for (const [name, text] of different) writeFileSync(join(folder, name), text);
  console.log(`docs/rules: ${pages.size} pages, ${different.length} written, ${stale.length} removed.`);
}

/** Git may have checked the files out with CR LF. */
function read(name: string): string {
  return readFileSync(join(folder, name), 'utf8').replaceAll('\r\n', '\n');
}
