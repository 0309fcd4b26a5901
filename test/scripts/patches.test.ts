import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** docs/patches.md names code, tests and guests: each of them exists, and each patch has its row. */
const root = join(import.meta.dirname, '../..');
const text = readFileSync(join(root, 'docs/patches.md'), 'utf8');
const rows = text.split('\n').filter((line) => /^\| (\d\d|\d\d\/\d\d) \|/.test(line));

function named(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)]
    .map((match) => match[1] ?? '')
    .filter((name) => /\.ts$|^[a-z-]+\/[a-z0-9-]+$/.test(name));
}

const exists = (name: string, ...folders: string[]): boolean =>
  [root, ...folders.map((folder) => join(root, folder))].some((folder) => existsSync(join(folder, name)));

describe('docs/patches.md', () => {
  it('has a row for each of the 20 patches and 3 fix-ups', () => {
    const numbers = rows.map((row) => row.split('|')[1]?.trim());
    const patches = Array.from({ length: 20 }, (_, i) => String(i + 1).padStart(2, '0'));
    assert.deepEqual(numbers, [...patches, '21/23', '22/23', '23/23']);
  });

  it('names code and tests for each patch but the revert', () => {
    for (const row of rows.slice(1)) {
      const [, , , , code = '', test = ''] = row.split('|');
      assert.ok(named(code).length > 0 && named(test).length > 0, row);
    }
  });

  it('names files that exist', () => {
    const names = text
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .flatMap(named);
    assert.ok(names.length > 80);
    const missing = names.filter(
      (name) =>
        !exists(name, 'engine/kvm', 'test/engine/kvm') &&
        !['.c', '.snp.yaml'].some((end) => exists(`${name}${end}`, 'samples')),
    );
    assert.deepEqual(missing, []);
  });
});
