/** From an underlined mistake to a digest, in the order of the README's first five minutes. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

export const title = 'first five minutes';
export const trust = false;

const MANIFEST = 'first-mistake.snp.yaml';
const ROWS = '.tree-explorer-viewlet-tree-view .monaco-list-row';
const FRAMES = '.debug-call-stack .monaco-list-row';
const STOPPED_LINE = '.debug-top-stack-frame-line';

/** @type {Record<string, (driver: import('./driver.mjs').Driver, at: { workspace: string, root: string }) => Promise<void>>} */
export const steps = {
  'the mistake in a sample is underlined': async (driver) => {
    await driver.openFile(MANIFEST);
    await driver.see('.monaco-editor .squiggly-error');
    await driver.see('.statusbar-item', /1/);
    await driver.picture('1-mistake');
  },

  'F8 explains it': async (driver) => {
    await driver.keys('F8');
    await driver.see('.zone-widget .marker-widget, .peekview-widget, .zone-widget', 'policy');
    await driver.picture('2-explanation');
    await driver.keys('Escape');
  },

  'a quick fix mends it': async (driver, { workspace }) => {
    await driver.keys('Control+.');
    await driver.see('.action-widget', '0x30000');
    await driver.picture('3-quick-fix');
    await driver.keys('Enter');
    await driver.gone('.monaco-editor .squiggly-error');
    await driver.keys('Control+S');
    await driver.gone('.tab.active.dirty');
    await driver.until('the file is saved', async () =>
      /^ {2}policy: 0x30000$/m.test(await readFile(path.join(workspace, MANIFEST), 'utf8')),
    );
  },

  'the digest stands above launch:': async (driver) => {
    await driver.see('.codelens-decoration', 'Debug launch');
    await driver.picture('4-code-lens');
  },

  'F5 stops at the first step': async (driver) => {
    await driver.keys('F5');
    await driver.see('.debug-toolbar');
    await driver.see(STOPPED_LINE);
    await driver.keys('Control+Shift+D');
    await driver.see('.debug-call-stack');
    await driver.picture('5-stopped');
  },

  'F10 goes from entry to entry, F11 into the firmware': async (driver) => {
    const first = await driver.texts('the call stack', FRAMES, (rows) => rows.length > 0);
    await driver.keys('F10');
    await driver.texts('another place', FRAMES, (rows) => rows.length > 0 && rows.join() !== first.join());
    await driver.press('F10', 'the entry of the firmware image', FRAMES, /^update 1/);
    await driver.press('F11', 'the firmware command', FRAMES, /^SNP_LAUNCH_UPDATE/);
    await driver.picture('6-stepped-in');
  },

  'the RMP view shows ranges and marks what a step changed': async (driver) => {
    await driver.command('Focus on RMP View');
    await driver.texts('ranges', ROWS, (rows) => rows.some((row) => /Hypervisor/.test(row)));
    await driver.picture('7-rmp');
    await driver.press('Shift+F11', 'a range of the guest', ROWS, /Guest-Valid.*changed/);
    await driver.picture('8-rmp-stepped');
  },

  'a range unfolds to pages and fields by keyboard, and leads to its line': async (driver) => {
    await driver.command('Focus on RMP View');
    await driver.keys('Home');
    await driver.press('ArrowDown', 'the range of the guest', `${ROWS}.focused`, /Guest-Valid/);
    await driver.keys('ArrowRight');
    await driver.texts('pages', ROWS, (rows) => rows.some((row) => /^GPA 0x/.test(row)));
    await driver.keys('ArrowDown', 'ArrowRight');
    await driver.texts('fields', ROWS, (rows) => rows.some((row) => /raw entry/.test(row)));
    await driver.keys('Enter');
    await driver.see('.monaco-editor .selected-text');
    await driver.picture('9-rmp-fields');
  },

  'the range stays unfolded while its pages change': async (driver) => {
    const page = await driver.texts('the unfolded page', ROWS, (rows) => rows.some((row) => /^GPA 0x/.test(row)));
    const address = /^GPA 0x[0-9a-f]+/.exec(page.find((row) => /^GPA 0x/.test(row)) ?? '')?.[0] ?? 'GPA';
    for (const key of ['F11', 'F11', 'F11', 'F10', 'F10']) {
      await driver.keys(key);
      await driver.page.waitForTimeout(300);
      await driver.stopped();
    }
    const rows = await driver.texts('another change', ROWS, (all) => all.some((row) => /changed/.test(row)));
    for (const wanted of [new RegExp(`^${address}`), /raw entry/]) {
      if (!rows.some((row) => wanted.test(row))) throw new Error(`${wanted} is folded away:\n${rows.join('\n')}`);
    }
    await driver.picture('9-rmp-still-unfolded');
  },

  'keys pressed faster than the launch raise no message': async (driver) => {
    await driver.keys(...Array(12).fill('F10'), 'F11', 'F11');
    await driver.page.waitForTimeout(1000);
    const messages = await driver.rows('.notifications-toasts .notification-list-item-message');
    if (messages.length > 0) throw new Error(messages.join('\n'));
  },

  'the digest is printed when the launch is complete': async (driver, { workspace, root }) => {
    await driver.keys('F5');
    await driver.keys('Control+Shift+Y');
    const digest = await measured(root, path.join(workspace, MANIFEST));
    await driver.texts('the digest of the command line', '.repl .monaco-list-row', (rows) =>
      rows.join().includes(digest),
    );
    await driver.picture('10-digest');
  },

  "the distribution's OVMF stops inside the firmware": async (driver, { workspace, root }) => {
    const manifest = (await hasOvmf(root, workspace)) ? 'ovmf.snp.yaml' : 'minimal.snp.yaml';
    console.log(`      with ${manifest}`);
    await driver.openFile(manifest);
    await driver.keys('F5');
    await driver.see(STOPPED_LINE);
    await driver.keys('Control+Shift+D');
    await driver.texts('the first entry', FRAMES, (rows) => rows.some((row) => /^host/.test(row)));
    await driver.press('F10', 'the entry of the firmware image', FRAMES, /^update 1/);
    await driver.press('F11', 'the firmware command', FRAMES, /^SNP_LAUNCH_UPDATE/);
    await driver.picture('11-ovmf');
    await driver.command('Focus on RMP View');
    await driver.texts('the page at hand', ROWS, (rows) => rows.some((row) => /Pre-Guest/.test(row)));
    await driver.picture('12-ovmf-rmp');
    await driver.press('F10', 'a mark', ROWS, /changed/);
    await driver.picture('13-ovmf-stepped');
  },

  'a light theme shows it as well': async (driver) => {
    await driver.command('Preferences: Toggle between Light/Dark Themes');
    await driver.see('.monaco-workbench.vs');
    await driver.picture('14-light');
    await driver.keys('Shift+F5');
    await driver.gone('.debug-toolbar');
  },
};

async function hasOvmf(root, workspace) {
  return measured(root, path.join(workspace, 'ovmf.snp.yaml')).then(
    () => true,
    () => false,
  );
}

async function measured(root, manifest) {
  const { stdout } = await promisify(execFile)(process.execPath, [
    path.join(root, 'dist', 'cli.js'),
    'measure',
    manifest,
  ]);
  return stdout.trim();
}
