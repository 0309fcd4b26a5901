/** The workbench as a person at the keyboard meets it. */
import path from 'node:path';

const TIMEOUT = 20_000;
/** The launch has stopped, and with it "continue" is offered. */
const IDLE = '.debug-toolbar .codicon-debug-continue';

export class Driver {
  /**
   * @param {import('playwright-core').Page} page
   * @param {string} pictures folder for screenshots
   */
  constructor(page, pictures) {
    this.page = page;
    this.pictures = pictures;
    page.setDefaultTimeout(TIMEOUT);
  }

  /** `Control+Shift+P` and the like, one after the other. */
  async keys(...chords) {
    for (const chord of chords) await this.page.keyboard.press(chord);
  }

  async type(text) {
    await this.page.keyboard.type(text, { delay: 5 });
  }

  async openFile(name) {
    await this.#pick('Control+P', name);
    await this.see(`.tab.active[data-resource-name="${name}"]`);
  }

  /** A command; one that `leadsOn` asks something more in the quick input. */
  async command(title, { leadsOn = false } = {}) {
    await this.#pick('F1', `>${title}`, leadsOn);
  }

  /** Waits for an element, with a text in it if given. */
  async see(selector, text) {
    const found = this.page.locator(selector);
    const wanted = text === undefined ? found : found.filter({ hasText: text });
    await wanted.first().waitFor({ state: 'visible' });
    return wanted.first();
  }

  async gone(selector) {
    await this.page.locator(selector).first().waitFor({ state: 'hidden' });
  }

  /** Asks until `wanted` holds of the texts of all matching elements. */
  async texts(what, selector, wanted) {
    let last = [];
    for (const end = Date.now() + TIMEOUT; Date.now() < end; await this.page.waitForTimeout(50)) {
      last = await this.rows(selector);
      if (wanted(last)) return last;
    }
    throw new Error(`${what}: not seen; last:\n${last.join('\n')}`);
  }

  /** The texts of all matching elements, blanks collapsed. */
  async rows(selector) {
    const texts = await this.page.locator(selector).allTextContents();
    return texts.map((text) => text.replace(/\s+/g, ' ').trim());
  }

  stopped() {
    return this.see(IDLE);
  }

  /** Presses a key, once after each change of the view, until a row looks as wanted. */
  async press(key, what, selector, wanted) {
    for (let presses = 0; presses < 40; presses++) {
      const rows = await this.rows(selector);
      if (rows.some((row) => wanted.test(row))) return;
      await this.keys(key);
      // On a busy machine the view follows late; another key before that would be one too many.
      for (let wait = 0; wait < 20 && (await this.rows(selector)).join() === rows.join(); wait++) {
        await this.page.waitForTimeout(100);
      }
      await this.page.waitForTimeout(200);
      await this.stopped();
    }
    throw new Error(`40 times ${key} did not lead to ${what}; last:\n${(await this.rows(selector)).join('\n')}`);
  }

  /** Stops at a function, exit, exception or RMP instruction by its name. */
  async breakAt(name) {
    await this.command('Add Function Breakpoint');
    await this.see('.debug-breakpoints .monaco-inputbox');
    await this.type(name);
    await this.keys('Enter');
    await this.texts('the breakpoint', '.debug-breakpoints .monaco-list-row', (rows) =>
      rows.some((r) => r.includes(name)),
    );
  }

  /** Changes a check box of the Breakpoints view. */
  async tick(label) {
    await this.command('Focus on Breakpoints View');
    await this.keys('Home');
    const focused = '.debug-breakpoints .monaco-list-row.focused';
    for (let row = 0; row < 10 && !(await this.rows(focused)).join().includes(label); row++)
      await this.keys('ArrowDown');
    await this.see(focused, label);
    await this.keys('Space');
  }

  /** The RMP view goes to the secondary side bar, where it can be seen together with the registers. */
  async moveRmpAside() {
    await this.command('Focus on RMP View');
    await this.command('View: Move View', { leadsOn: true });
    await this.#choose('New Secondary Side Bar Entry');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }

  async theme(name) {
    await this.command('Preferences: Color Theme', { leadsOn: true });
    await this.see('.quick-input-box input[placeholder*="Color Theme"]');
    await this.type(name);
    await this.#choose(name);
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }

  async until(what, holds) {
    for (const end = Date.now() + TIMEOUT; Date.now() < end; await this.page.waitForTimeout(50)) {
      if (await holds()) return;
    }
    throw new Error(`not within ${TIMEOUT / 1000} s: ${what}`);
  }

  /** A screenshot, when the workbench has come to rest. */
  async picture(name) {
    await this.page.waitForTimeout(800);
    await this.page.screenshot({ path: path.join(this.pictures, `${name}.png`) });
  }

  /** Goes to the row of the quick input that has the text, wherever the list has put it, and takes it. */
  async #choose(text) {
    await this.see('.quick-input-list .monaco-list-row', text);
    await this.until(`${text} is chosen`, async () => {
      const [row = ''] = await this.rows('.quick-input-list .monaco-list-row.focused');
      if (row.includes(text)) return true;
      await this.keys('ArrowDown');
      return false;
    });
    await this.keys('Enter');
  }

  /** Opens the quick input by a key and chooses what the text finds. */
  async #pick(chord, text, leadsOn = false) {
    const input = this.page.locator('.quick-input-widget .quick-input-box input');
    // A key pressed while the workbench moves the focus is lost.
    await this.until('the quick input opens', async () => {
      await this.keys(chord);
      return input.waitFor({ state: 'visible', timeout: 2000 }).then(
        () => true,
        () => false,
      );
    });
    await input.fill(text);
    await this.#choose(text.replace(/^>/, ''));
    if (!leadsOn) await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }
}
