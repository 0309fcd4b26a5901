import * as assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { eventually, lineOf, open } from './support.js';

describe('language server', () => {
  it('leaves a correct manifest alone and shows its digest above launch:', async () => {
    const { document } = await open('guest.snp.yaml');
    const lenses = await eventually(
      'code lenses',
      () => vscode.commands.executeCommand<vscode.CodeLens[]>('vscode.executeCodeLensProvider', document.uri, 10),
      (found) => found.some((lens) => lens.command?.command === 'sevSnp.copyDigest'),
    );
    const digest = lenses.find((lens) => lens.command?.command === 'sevSnp.copyDigest');
    assert.match(String(digest?.command?.arguments?.[0]), /^[0-9a-f]{96}$/);
    assert.equal(digest?.range.start.line, lineOf(document, 'launch:'));
    assert.ok(lenses.some((lens) => lens.command?.command === 'sevSnp.debugLaunch'));
    assert.deepEqual(errors(document.uri), []);
  });

  it('copies the digest of the lens', async () => {
    await vscode.commands.executeCommand('sevSnp.copyDigest', 'ab'.repeat(48));
    assert.equal(await vscode.env.clipboard.readText(), 'ab'.repeat(48));
  });

  it('underlines a mistake, and a quick fix mends it', async () => {
    const { document } = await open('mistake.snp.yaml');
    const line = lineOf(document, 'policy:');
    const found = await eventually('a diagnostic on the policy', () =>
      errors(document.uri).find((each) => each.range.start.line === line),
    );
    assert.equal(document.getText(found.range), '0x300000');
    assert.equal(found.source, 'sev-snp');
    assert.ok(
      typeof found.code === 'object' && String(found.code.target).includes('docs/rules'),
      JSON.stringify(found),
    );

    const fixes = await vscode.commands.executeCommand<vscode.CodeAction[]>(
      'vscode.executeCodeActionProvider',
      document.uri,
      found.range,
      vscode.CodeActionKind.QuickFix.value,
    );
    const fix = fixes.find((each) => each.edit && each.title.includes('0x30000'));
    assert.ok(fix?.edit, `offered: ${fixes.map((each) => each.title).join(', ')}`);
    assert.ok(await vscode.workspace.applyEdit(fix.edit));
    assert.match(document.lineAt(line).text, /policy: 0x30000$/);
    await eventually(
      'no error left',
      () => errors(document.uri).length,
      (count) => count === 0,
    );
    await vscode.commands.executeCommand('workbench.action.files.revert');
  });

  it('decodes the policy in a hover', async () => {
    const { document } = await open('guest.snp.yaml');
    const line = lineOf(document, 'policy:');
    const at = new vscode.Position(line, document.lineAt(line).text.indexOf('0x30000') + 2);
    const hovers = await eventually(
      'a hover',
      () => vscode.commands.executeCommand<vscode.Hover[]>('vscode.executeHoverProvider', document.uri, at),
      (found) => found.length > 0,
    );
    const text = hovers.flatMap((hover) =>
      hover.contents.map((each) => (typeof each === 'string' ? each : each.value)),
    );
    assert.match(text.join('\n'), /smt/i);
  });

  it('offers keys', async () => {
    const { document } = await open('guest.snp.yaml');
    const at = new vscode.Position(lineOf(document, 'vcpus:'), 2);
    const list = await vscode.commands.executeCommand<vscode.CompletionList>(
      'vscode.executeCompletionItemProvider',
      document.uri,
      at,
    );
    const labels = list.items.map((item) => (typeof item.label === 'string' ? item.label : item.label.label));
    assert.ok(labels.includes('vmsa-features'), labels.slice(0, 20).join(', '));
  });
});

function errors(uri: vscode.Uri): vscode.Diagnostic[] {
  return vscode.languages.getDiagnostics(uri).filter((each) => each.severity === vscode.DiagnosticSeverity.Error);
}
