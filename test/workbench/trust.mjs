/** Workspace trust: files outside the folder are read only after the person has trusted it. */
import { cp, writeFile } from 'node:fs/promises';
import path from 'node:path';

export const title = 'workspace trust';
export const trust = true;

const MANIFEST = 'outside.snp.yaml';
const ERROR = '.monaco-editor .squiggly-error';

export async function prepare(workspace) {
  await cp(path.join(workspace, 'firmware', 'minimal.fd'), path.join(workspace, '..', 'outside.fd'));
  const text = 'snp: 1\nvm: { memory: 64MiB }\nlaunch:\n  policy: 0x30000\n  update:\n    - firmware: ../outside.fd\n';
  await writeFile(path.join(workspace, MANIFEST), text);
}

/** @type {import('./first-minutes.mjs').steps} */
export const steps = {
  'a folder opens in restricted mode': async (driver) => {
    await driver.see('.statusbar-item', 'Restricted Mode');
  },

  'an image outside the folder is not read, and the message says so': async (driver) => {
    await driver.openFile(MANIFEST);
    await driver.see(ERROR);
    await driver.keys('F8');
    await driver.see('.zone-widget', 'trust');
    await driver.picture('15-restricted');
    await driver.keys('Escape');
  },

  'it is read as soon as the workspace is trusted': async (driver) => {
    await driver.command('Workspaces: Manage Workspace Trust');
    await driver.see('.workspace-trust-editor');
    await driver.page.locator('.workspace-trust-editor .monaco-button', { hasText: /^Trust$/ }).click();
    await driver.page.locator('.statusbar-item', { hasText: 'Restricted Mode' }).waitFor({ state: 'hidden' });
    await driver.gone(ERROR);
    await driver.see('.codelens-decoration', 'launch digest');
    await driver.picture('16-trusted');
  },
};
