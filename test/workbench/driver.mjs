/** The workbench as a person at the keyboard meets it. */
import path from 'node:path';

const TIMEOUT = 20_000;

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

  async command(title) {
    await this.#pick('F1', `>${title}`);
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

  /** Opens the quick input by a key and chooses what the text finds. */
  async #pick(chord, text) {
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
    await this.see('.quick-input-list .monaco-list-row.focused', text.replace(/^>/, ''));
    await this.keys('Enter');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }
}
