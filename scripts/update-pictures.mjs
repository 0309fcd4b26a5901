/**
 * Renews the pictures that ship: the icon from its drawing, and those of README and walkthrough from the screenshots
 * of the workbench scenario (run `npm test` first). Look at them before you commit them.
 */
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { findChromium, HOW_TO_GET_CHROMIUM } from '../test/vscode-host/chromium.mjs';
import { ROOT } from './lib/processes.mjs';
import { main } from './lib/say.mjs';

const ICON_SIZE = 256;

/** Parts of the screenshots: left, top, width, height in pixels. */
const PICTURES = [
  { from: '12-ovmf-rmp', to: 'docs/images/debug-launch.png', part: [0, 0, 1440, 900] },
  { from: '18-refused', to: 'docs/images/refusal.png', part: [352, 98, 1088, 762] },
  { from: '24-pvalidate', to: 'docs/images/guest.png', part: [0, 0, 1440, 900] },
  { from: '27-explained', to: 'docs/images/guest-end.png', part: [48, 36, 1392, 824] },
  { from: '24-pvalidate', to: 'media/walkthrough/guest.png', part: [48, 36, 1092, 664] },
  { from: '2-explanation', to: 'media/walkthrough/fix.png', part: [352, 90, 960, 360] },
  { from: '11-ovmf', to: 'media/walkthrough/debug.png', part: [48, 36, 760, 664] },
  { from: '9-rmp-fields', to: 'media/walkthrough/rmp.png', part: [48, 36, 700, 580] },
];

await main(async () => {
  const executablePath = findChromium();
  if (!executablePath) throw new Error(`no Chromium found: ${HOW_TO_GET_CHROMIUM}.`);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    const icon = await readFile(path.join(ROOT, 'media', 'icon.svg'), 'utf8');
    await render(browser, icon, 'media/icon.png', [0, 0, ICON_SIZE, ICON_SIZE]);
    for (const { from, to, part } of PICTURES) {
      const shot = await readFile(path.join(ROOT, 'out', 'screenshots', `${from}.png`), 'base64');
      await render(browser, `<img src="data:image/png;base64,${shot}">`, to, part);
    }
  } finally {
    await browser.close();
  }
});

async function render(browser, html, to, [x, y, width, height]) {
  const file = path.join(ROOT, to);
  await mkdir(path.dirname(file), { recursive: true });
  const page = await browser.newPage({ viewport: { width: x + width, height: y + height } });
  await page.setContent(`<style>body { margin: 0 } svg, img { display: block }</style>${html}`);
  await page.screenshot({ path: file, clip: { x, y, width, height }, omitBackground: true });
  await page.close();
  console.log(to);
}
