import * as assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { DebugDriver } from './debug-driver.js';
import { lineOf, open } from './support.js';

describe('debug session', () => {
  let driver: DebugDriver;
  beforeEach(() => {
    driver = new DebugDriver();
  });
  afterEach(async () => {
    await driver.finish();
    driver.dispose();
  });

  it('starts by F5 on an open manifest, steps by entry and into the firmware', async () => {
    const { document } = await open('guest.snp.yaml');
    // What F5 does without a launch.json.
    await vscode.commands.executeCommand('workbench.action.debug.start');
    const entry = await driver.stopped();
    assert.equal(entry.reason, 'entry');
    // A workbench in a browser makes a URI of the path.
    assert.ok((await driver.frames())[0]?.source?.path?.endsWith(document.uri.path));

    const lines: (number | undefined)[] = [];
    for (let steps = 0; steps < 20; steps++) {
      lines.push((await driver.frames())[0]?.line);
      if (lines.at(-1) === lineOf(document, 'boot.bin') + 1) break;
      await driver.stepOver();
    }
    assert.ok(lines.includes(lineOf(document, 'boot.bin') + 1), `stopped at lines ${lines.join(', ')}`);

    const depth = (await driver.frames()).length;
    await driver.stepIn();
    const inside = await driver.frames();
    assert.ok(inside.length > depth, 'step in goes deeper');
    await driver.stepOut();
    assert.ok((await driver.frames()).length < inside.length, 'step out returns');
  });

  it('stops at a breakpoint, shows variables and evaluates', async () => {
    const { document } = await open('guest.snp.yaml');
    const line = lineOf(document, 'type: secrets');
    const at = new vscode.Location(document.uri, new vscode.Position(line, 0));
    vscode.debug.addBreakpoints([new vscode.SourceBreakpoint(at)]);
    await vscode.debug.startDebugging(vscode.workspace.workspaceFolders?.[0], {
      type: 'sev-snp',
      request: 'launch',
      name: 'test',
      manifest: document.uri.fsPath,
    });
    assert.equal((await driver.stopped()).reason, 'breakpoint');
    assert.equal((await driver.frames())[0]?.line, line + 1);
    const variables = await driver.variables();
    const text = JSON.stringify(variables);
    assert.match(text, /policy/i);
    assert.match(text, /asid/i);
    assert.match(await driver.evaluate('digest'), /[0-9a-f]{96}/);
  });

  it('takes trust and folders from the window, whatever a launch.json says', async () => {
    const { document } = await open('guest.snp.yaml');
    await vscode.debug.startDebugging(vscode.workspace.workspaceFolders?.[0], {
      type: 'sev-snp',
      request: 'launch',
      name: 'hostile',
      manifest: document.uri.fsPath,
      stopOnEntry: true,
      trusted: 'yes',
      workspaceFolders: ['/'],
    });
    await driver.stopped();
    const { configuration } = driver.session;
    assert.equal(configuration['trusted'], vscode.workspace.isTrusted);
    assert.deepEqual(
      configuration['workspaceFolders'],
      vscode.workspace.workspaceFolders?.map((folder) => folder.uri.fsPath),
    );
  });

  it('prints the same digest as the code lens when the launch is complete', async () => {
    const { document } = await open('guest.snp.yaml');
    const lenses = await vscode.commands.executeCommand<vscode.CodeLens[]>(
      'vscode.executeCodeLensProvider',
      document.uri,
      10,
    );
    const digest = lenses.find((lens) => lens.command?.command === 'sevSnp.copyDigest')?.command?.arguments?.[0];
    await vscode.commands.executeCommand('sevSnp.debugLaunch', document.uri.toString());
    assert.equal((await driver.stopped()).reason, 'entry');
    await driver.session.customRequest('continue', { threadId: 1 });
    await driver.printed(String(digest));
  });

  it('stops at a refusal with its explanation', async () => {
    const { document } = await open('mistake.snp.yaml');
    await vscode.commands.executeCommand('sevSnp.debugLaunch', document.uri);
    await driver.stopped();
    const stop = await driver.go();
    assert.equal(stop.reason, 'exception');
    assert.match(`${stop.text} ${stop.description} ${driver.output}`, /policy/i);
  });
});
