/** The user settings of a VS Code that is to be quiet: no welcome page, no telemetry, no update, no assistant. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

export const QUIET_SETTINGS = {
  'chat.disableAIFeatures': true,
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  // A workbench in a browser saves by itself, a desktop one does not.
  'files.autoSave': 'off',
  'git.openRepositoryInParentFolders': 'never',
  'security.workspace.trust.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'window.newWindowDimensions': 'maximized',
  'workbench.enableExperiments': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.startupEditor': 'none',
};

/**
 * Writes User/settings.json below `userData`, unless there is one.
 * @param {string} userData
 * @param {Record<string, unknown>} [more]
 */
export async function writeQuietSettings(userData, more = {}) {
  const file = path.join(userData, 'User', 'settings.json');
  if (existsSync(file)) return;
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify({ ...QUIET_SETTINGS, ...more }, undefined, 2)}\n`);
}
