import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import '../../server/all-checks.js';
import { faultDefinitions } from '../../engine/fault.js';
import { RULE_EXAMPLES } from '../../scripts/rule-pages/examples.js';
import { NO_FILES } from '../../scripts/rule-pages/no-files.js';
import { rulePages } from '../../scripts/rule-pages/render.js';
import { analyse } from '../../server/analysis.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name).replaceAll('\\', '/'));
}

describe('all checks', () => {
  const declared = (folders: readonly string[]): string[] =>
    folders.flatMap(sources).filter((file) => {
      if (file === 'engine/fault.ts') return false;
      return /defineFault(<[\s\S]*?>)?\(/.test(readFileSync(join(root, file), 'utf8'));
    });

  /** The modules that `importer` does not name, although they declare a check. */
  const missing = (importer: string, folders: readonly string[]): string[] => {
    const text = readFileSync(join(root, importer), 'utf8');
    return declared(folders).filter((file) => {
      const path = posix.relative(posix.dirname(importer), file).replace(/\.ts$/, '.js');
      return !text.includes(`'${path.startsWith('.') ? path : `./${path}`}'`);
    });
  };

  it('server/all-checks.ts reaches every module of engine and server that declares one', () => {
    assert.deepEqual(missing('server/all-checks.ts', ['engine', 'server']), []);
  });

  it('the pages also know those of the other parts', () => {
    assert.deepEqual(missing('scripts/rule-pages/render.ts', ['debug-adapter', 'cli', 'platform']), []);
  });

  it('every check has texts that a person can act on', () => {
    for (const definition of faultDefinitions()) {
      const { check } = definition;
      assert.match(check, /^(manifest|policy|vmm|kvm|fw|hw|image|lint|guest)-[a-z0-9-]+$/, check);
      assert.ok(definition.title.length > 5 && !definition.title.endsWith('.'), `title of ${check}`);
      assert.ok(definition.why.length > 10 && definition.why.trimEnd().endsWith('.'), `why of ${check}`);
      assert.ok(definition.reference.length > 5, `reference of ${check}`);
      assert.doesNotMatch(`${definition.reference} ${definition.why}`, /\/(home|root|tmp)\/|\.md\b/, check);
    }
  });

  it('every check has a page, and every link of the index leads to one', () => {
    const pages = rulePages();
    assert.ok(pages.size > faultDefinitions().length);
    const index = pages.get('README.md') ?? '';
    const links = [...index.matchAll(/\]\(([^)]+)\)/g)].map((match) => match[1] ?? '');
    assert.equal(links.length, faultDefinitions().length);
    for (const link of links) assert.ok(pages.has(link), link);
  });

  it('every example leads to its check', () => {
    for (const [check, example] of Object.entries(RULE_EXAMPLES)) {
      const { faults } = analyse({ text: example.trimStart(), path: '/example.snp.yaml', files: NO_FILES });
      assert.ok(
        faults.some((fault) => fault.check === check),
        `${check}: ${faults.map((fault) => fault.check).join(', ')}`,
      );
    }
  });

  it('no page shows an internal value', () => {
    for (const [name, text] of rulePages()) {
      assert.doesNotMatch(text, /undefined|NaN|\[object|Infinity/, name);
    }
  });
});
