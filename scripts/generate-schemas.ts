/**
 * Writes schemas/: the grammar of manifests and policies as JSON Schema, for editors that do not run the server.
 *   npx tsx scripts/generate-schemas.ts           writes
 *   npx tsx scripts/generate-schemas.ts --check   fails if the committed files differ
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jsonSchema } from '../engine/launch/grammar/json-schema.js';

const folder = join(import.meta.dirname, '..', 'schemas');
const check = process.argv.includes('--check');
const files = [
  ['launch-manifest.schema.json', jsonSchema('manifest')],
  ['launch-policy.schema.json', jsonSchema('policy')],
] as const;

mkdirSync(folder, { recursive: true });
for (const [name, schema] of files) {
  const path = join(folder, name);
  const text = `${JSON.stringify(schema, undefined, 2)}\n`;
  const present = existsSync(path) ? readFileSync(path, 'utf8').replaceAll('\r\n', '\n') : '';
  if (present === text) console.log(`schemas/${name} is up to date.`);
  else if (check) {
    console.error(`schemas/${name} is out of date. Run \`npm run docs\` and commit the result.`);
    process.exitCode = 1;
  } else {
    writeFileSync(path, text);
    console.log(`schemas/${name} written.`);
  }
}
