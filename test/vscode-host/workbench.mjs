/** Opens the workbench of a running server in a headless Chromium. */
import path from 'node:path';
import { format } from 'node:util';
import { chromium } from 'playwright-core';
import { findChromium, HOW_TO_GET_CHROMIUM } from './chromium.mjs';

/**
 * @typedef {object} Workbench
 * @property {import('playwright-core').Page} page
 * @property {import('playwright-core').Browser} browser
 * @property {() => Promise<void>} close
 * @property {() => Promise<void>} drained all console output so far has been printed
 */

/**
 * @param {object} options
 * @param {import('./server.mjs').RunningServer} options.server
 * @param {string} [options.folder] folder or .code-workspace file; absent: an empty window
 * @param {readonly string[]} [options.developmentPaths]
 * @param {string} [options.testsPath]
 * @param {{ width: number, height: number }} [options.viewport]
 * @param {(line: string) => void} options.onConsole what extensions print, and the tests with them
 * @param {(code: number) => void} [options.onTestsEnded] what the tests' `run()` came to
 * @param {() => void} [options.onCrash]
 * @returns {Promise<Workbench>}
 */
export async function openWorkbench(options) {
  const executablePath = findChromium();
  if (!executablePath) throw new Error(`No Chromium found: ${HOW_TO_GET_CHROMIUM}.`);
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
  });
  const context = await browser.newContext({
    viewport: options.viewport ?? { width: 1400, height: 900 },
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const page = await context.newPage();
  let printing = Promise.resolve();
  page.on('console', (message) => {
    printing = printing.then(() => print(message, options.onConsole)).catch(() => {});
  });
  page.on('crash', () => options.onCrash?.());
  // The workbench reports the end of a test run by these two globals, as it does to its own automation.
  await page.exposeFunction('codeAutomationLog', () => {});
  await page.exposeFunction('codeAutomationExit', (code) => options.onTestsEnded?.(code));
  await page.goto(address(options), { waitUntil: 'domcontentloaded' });
  await page.waitForSelector('.monaco-workbench .part.statusbar', { timeout: 60_000 });
  return { page, browser, close: () => browser.close(), drained: () => printing };
}

function address({ server, folder, developmentPaths = [], testsPath }) {
  const remote = (file) => `vscode-remote://${server.authority}${path.resolve(file)}`;
  const payload = [
    ...developmentPaths.map((file) => ['extensionDevelopmentPath', remote(file)]),
    ...(testsPath ? [['extensionTestsPath', remote(testsPath)]] : []),
    ['skipWelcome', 'true'],
    ['skipReleaseNotes', 'true'],
  ];
  const query = new URLSearchParams({ payload: JSON.stringify(payload) });
  if (folder === undefined) query.set('ew', 'true');
  else query.set(folder.endsWith('.code-workspace') ? 'workspace' : 'folder', path.resolve(folder));
  return `${server.url}/?${query}`;
}

/**
 * In a test run the console of the extension host arrives in the page with a coloured prefix: `%c INFO`,
 * `%c[Extension Host] %c…`. Everything else is the workbench talking to itself.
 */
async function print(message, onConsole) {
  const text = message.text();
  const fromHost = /^%c\[Extension Host\]/.test(text);
  if (!fromHost && !/^%c\s*(INFO|WARN|ERR)/.test(text)) return;
  const values = await Promise.all(
    message
      .args()
      .slice(2)
      .map((handle) => handle.jsonValue().catch(() => '?')),
  );
  const line = format(...values).replace(/^color: \w* ?/, '');
  if (!NOISE.test(line)) onConsole(line);
}

/** What a server without a network and without Microsoft's private modules complains about. */
const NOISE = new RegExp(
  [
    'vsda|open-vsx|ERR_NAME_NOT_RESOLVED|404 \\(Not Found\\)|HTTP response code \\(404\\)|authentication provider',
    '^(Resolv(ing|ed) connection token|Creating a socket|Updating additional builtin)',
    '^\\[(Service Worker|reconnection-grace-time|AccountPolicyGate|AgentHost|driver)',
  ].join('|'),
);
