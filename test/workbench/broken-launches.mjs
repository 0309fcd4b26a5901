/** Launches that cannot begin, and launches that are refused: what a person sees after F5. */

export const title = 'broken launches';
export const trust = false;

/** @type {import('./first-minutes.mjs').steps} */
export const steps = {
  'a manifest that cannot be launched says why and leads to the line': async (driver) => {
    await driver.openFile('firmware-missing.snp.yaml');
    await driver.see('.codelens-decoration', 'launch fails: File not found');
    await driver.keys('F5');
    await driver.see('.notification-toast', 'There is no file');
    await driver.picture('17-not-launched');
    await driver.page.locator('.notification-toast .monaco-button', { hasText: 'Go to Problem' }).click();
    await driver.see('.statusbar-item', 'Ln 12');
  },

  'a refusal of the firmware stops the launch with its explanation': async (driver) => {
    await driver.openFile('id-block-bad-signature.snp.yaml');
    await driver.see('.codelens-decoration', 'launch fails');
    await driver.keys('F5');
    await driver.see('.debug-top-stack-frame-line');
    await driver.keys('F5');
    await driver.see('.exception-widget', 'BAD_SIGNATURE');
    await driver.picture('18-refused');
    await driver.keys('Shift+F5');
  },
};
