/** Finds a Chromium-like browser: `CHROMIUM`, then the PATH, then the usual places of each system. */
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

const COMMANDS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge'];
const PLACES = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe',
];

export const HOW_TO_GET_CHROMIUM = 'install Chromium (apt install chromium), or set CHROMIUM to the path of a Chrome';

/** @returns {string | undefined} absolute path */
export function findChromium() {
  const given = process.env.CHROMIUM;
  if (given) return executable(given) ? given : undefined;
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => folder !== '');
  const extension = process.platform === 'win32' ? '.exe' : '';
  const onPath = COMMANDS.flatMap((command) => folders.map((folder) => path.join(folder, command + extension)));
  return [...onPath, ...PLACES].find(executable);
}

function executable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
