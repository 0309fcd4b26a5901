import * as assert from 'node:assert/strict';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { DebugDriver } from './debug-driver.js';

/** Waits for what the workbench does on its own time. */
async function eventually<T>(what: string, look: () => T | undefined): Promise<T> {
  for (let tries = 0; tries < 200; tries++) {
    const found = look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not come`);
}

const activeTab = (): vscode.Tab | undefined => vscode.window.tabGroups.activeTabGroup.activeTab;

describe('a guest', () => {
  let driver: DebugDriver;
  beforeEach(() => {
    driver = new DebugDriver();
  });
  afterEach(async () => {
    await driver.finish();
    driver.dispose();
    await vscode.commands.executeCommand('workbench.action.closeActiveEditor');
  });

  it('is shown as disassembly, and stepped by instruction there', async () => {
    const extension = vscode.extensions.all.find((each) => each.packageJSON.name === 'sev-snp-workbench');
    const manifest = path.join(extension?.extensionPath ?? '', 'samples', 'guests', 'hello.snp.yaml');
    vscode.debug.addBreakpoints([new vscode.FunctionBreakpoint('exit:VMGEXIT')]);
    await vscode.debug.startDebugging(vscode.workspace.workspaceFolders?.[0], {
      type: 'sev-snp',
      request: 'launch',
      name: 'guest',
      manifest,
    });
    assert.equal((await driver.stopped()).reason, 'function breakpoint');
    const tab = await eventually('the disassembly', () => {
      const active = activeTab();
      return active && !(active.input instanceof vscode.TabInputText) ? active : undefined;
    });
    assert.match(tab.label, /Disassembly/);

    vscode.debug.removeBreakpoints(vscode.debug.breakpoints);
    const before = (await driver.frames())[0]?.name;
    await vscode.commands.executeCommand('workbench.action.debug.stepOver');
    assert.equal((await driver.stopped()).reason, 'step');
    const after = (await driver.frames())[0]?.name ?? '';
    assert.match(after, /^guest 0x[0-9a-f]+ · 64-bit/);
    assert.notEqual(after, before);
    assert.match(activeTab()?.label ?? '', /Disassembly/, 'it stays there');
    assert.match(await driver.evaluate('rip'), /^0x00000000ffff/);
  });
});
