import * as assert from 'node:assert/strict';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { extension, open } from './support.js';

describe('activation', () => {
  it('happens when a manifest is opened', async () => {
    await open('guest.snp.yaml');
    const api = await extension().activate();
    // A figure to read, not a verdict: the aim is 20 ms, and the machine may be busy.
    console.log(`    activation: ${api.activationTime.toFixed(1)} ms (aim: 20 ms)`);
    assert.ok(api.activationTime > 0);
  });

  it('loads no code of the engine into the extension host', () => {
    const loaded = Object.keys(require.cache).filter((file) => file.startsWith(extension().extensionPath));
    const names = loaded.map((file) => path.relative(extension().extensionPath, file));
    assert.ok(names.includes(path.join('dist', 'extension.js')), 'the require cache does not show the extension');
    assert.deepEqual(
      names.filter((name) => /^(server|debug-adapter|cli)\.js$/.test(path.basename(name))),
      [],
    );
  });

  it('gives both kinds of file their language', async () => {
    assert.equal((await open('guest.snp.yaml')).document.languageId, 'snp-manifest');
    const policy = await vscode.workspace.openTextDocument({ language: 'snp-policy', content: 'snp-policy: 1\n' });
    assert.equal(policy.languageId, 'snp-policy');
  });

  it('registers every command of package.json', async () => {
    const declared = extension().packageJSON.contributes.commands as { command: string }[];
    const known = new Set(await vscode.commands.getCommands(true));
    assert.deepEqual(
      declared.map(({ command }) => command).filter((command) => !known.has(command)),
      [],
    );
  });

  if (process.env['SNP_TEST_INSTALLED']) {
    it('is the installed package', () => {
      assert.match(extension().extensionPath, /extensions[\\/]sev-snp-workbench\.sev-snp-workbench-/);
    });
  }
});
