/** Guests that run: one stepped by instruction to its end, one to an end that is explained, one with two vCPUs. */

export const title = 'guests';
export const trust = false;

const CALL_STACK = '.debug-call-stack .monaco-list-row';
const VARIABLES = '.debug-variables .monaco-list-row';
const RMP = '.tree-explorer-viewlet-tree-view .monaco-list-row';
const CONSOLE = '.repl .monaco-list-row';
const CODE = '.disassembly-view .monaco-list-row';
const STOPPED_LINE = '.debug-top-stack-frame-line';
const THEMES = ['Light Modern', 'Dark High Contrast', 'Dark Modern'];

/** @type {import('./first-minutes.mjs').steps} */
export const steps = {
  'F5 leads through the launch to the first instruction of the guest': async (driver) => {
    await driver.openFile('hello.snp.yaml');
    await driver.keys('Control+Shift+D');
    await driver.keys('F5');
    await driver.see(STOPPED_LINE);
    await driver.tick('First guest instruction');
    await driver.keys('F5');
    await driver.texts('the reset vector', CALL_STACK, (rows) => /^guest 0xfffffff0 · real mode/.test(rows[0] ?? ''));
    await driver.texts('its code', CODE, (rows) => rows.some((row) => /0xfffffff0.*jmp/.test(row)));
    await driver.picture('20-reset-vector');
  },

  'F11 goes on by instruction': async (driver) => {
    await driver.press('F11', 'the first instruction after the jump', CALL_STACK, /^guest 0xfffff000 /);
    await driver.press('F11', '32-bit mode', CALL_STACK, /^guest 0x[0-9a-f]+ · 32-bit/);
    await driver.texts('registers', VARIABLES, (rows) => rows.some((row) => /^rax =0x[0-9a-f]{16}$/.test(row)));
    await driver.picture('21-stepped');
  },

  'a VMGEXIT says what the guest asks for, and F11 leads into its handler': async (driver) => {
    await driver.breakAt('exit:VMGEXIT');
    await driver.keys('F5');
    await driver.texts('the request', CALL_STACK, (rows) => /VMGEXIT: get SEV information/.test(rows[0] ?? ''));
    await driver.picture('22-vmgexit');
    await driver.keys('F11');
    await driver.texts('the handler above the code of the guest', CALL_STACK, (rows) => {
      const handler = rows.findIndex((row) => row.startsWith('sev_handle_vmgexit_msr_protocol'));
      return handler >= 0 && /^guest 0x/.test(rows[handler + 1] ?? '');
    });
    await driver.picture('23-handler');
  },

  'the RMP follows PVALIDATE, beside code and registers': async (driver) => {
    await driver.command('Remove All Breakpoints');
    await driver.breakAt('PVALIDATE');
    await driver.keys('F5');
    await driver.texts('too large', CALL_STACK, (rows) => /PVALIDATE → FAIL_SIZEMISMATCH/.test(rows[0] ?? ''));
    await driver.moveRmpAside();
    await driver.keys('Control+Shift+D');
    await driver.texts('the page', RMP, (rows) => rows.some((row) => /^Guest-InvalidGPA 0xa00000/.test(row)));
    await driver.keys('F5');
    await driver.texts('it is valid', RMP, (rows) => rows.some((row) => /^Guest-ValidGPA 0xa00000.*changed/.test(row)));
    await driver.texts('all is well', CALL_STACK, (rows) => /PVALIDATE → SUCCESS/.test(rows[0] ?? ''));
    await driver.picture('24-pvalidate');
  },

  'other themes show it as well': async (driver) => {
    for (const theme of THEMES) {
      await driver.theme(theme);
      await driver.picture(`25-${theme.toLowerCase().replaceAll(' ', '-')}`);
    }
  },

  'the guest prints its report and ends in order': async (driver) => {
    await driver.command('Remove All Breakpoints');
    await driver.keys('F5');
    await driver.gone('.debug-toolbar');
    await driver.see('.tab.active[data-resource-name="hello.snp.yaml"]');
    await driver.keys('Control+Shift+Y');
    await driver.texts('the end', CONSOLE, (rows) => /the sample guest finished/.test(rows.at(-1) ?? ''));
    await driver.picture('26-finished');
  },

  'the end of a guest with a mistake is explained where it stands': async (driver) => {
    await driver.openFile('forgotten-pvalidate.snp.yaml');
    await driver.keys('F5');
    await driver.see(STOPPED_LINE);
    await driver.tick('First guest instruction');
    await driver.keys('F5');
    await driver.see('.exception-widget', 'PVALIDATE the page once');
    await driver.texts('its frames', CALL_STACK, (rows) => /^the guest asked for its end/.test(rows[0] ?? ''));
    await driver.picture('27-explained');
  },

  'the instruction that led to it is one key away': async (driver) => {
    await driver.command('Focus on Call Stack View');
    await driver.keys('Home', 'ArrowDown', 'Enter');
    await driver.see(`${CODE}.focused, ${CODE}`, 'mov qword ptr [0xa00000], 1');
    await driver.picture('28-cause');
    await driver.keys('Shift+F5');
    await driver.gone('.debug-toolbar');
  },

  'two vCPUs are two threads': async (driver) => {
    await driver.openFile('two-vcpus.snp.yaml');
    await driver.breakAt('sev_snp_ap_creation');
    await driver.keys('F5');
    await driver.texts('the first entry', CALL_STACK, (rows) => /^host/.test(rows[0] ?? ''));
    await driver.keys('F5');
    await driver.see(CALL_STACK, 'sev_snp_ap_creation');
    // The view is low, and shows no rows that are scrolled away: the frames of the first thread are folded.
    await driver.command('Focus on Call Stack View');
    await driver.keys('Home', 'ArrowLeft');
    await driver.texts('both', CALL_STACK, (rows) =>
      ['vCPU 0', 'vCPU 1'].every((name) => rows.some((row) => row.startsWith(name))),
    );
    await driver.picture('29-two-vcpus');
    await driver.keys('Shift+F5');
    await driver.gone('.debug-toolbar');
  },
};
