/** Finds an installed desktop VS Code. */
import { accessSync, constants, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

const COMMAND = process.platform === 'win32' ? 'code.cmd' : 'code';
const MAC = 'Applications/Visual Studio Code.app/Contents/Resources/app/bin/code';

/** @returns {string | undefined} path of the `code` command */
export function findCode() {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => folder !== '');
  const places = folders.map((folder) => path.join(folder, COMMAND));
  if (process.platform === 'darwin') places.push(`/${MAC}`, path.join(homedir(), MAC));
  return places.find(isDesktopCode);
}

function isDesktopCode(file) {
  try {
    accessSync(file, constants.X_OK);
    // In the terminal of a remote window `code` only talks to that window: it cannot load our extension.
    return !realpathSync(file).includes('remote-cli');
  } catch {
    return false;
  }
}
