import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

describe('schemas/', () => {
  it('is what the grammar says', () => {
    const script = join('scripts', 'generate-schemas.ts');
    const args = ['--import', 'tsx', script, '--check'];
    const { status, stderr } = spawnSync(process.execPath, args, {
      cwd: join(__dirname, '..', '..'),
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
  });
});
