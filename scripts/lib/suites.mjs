/** Runs the parts of the whole test and adds up what they count. */
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { ROOT, runNode } from './processes.mjs';
import { say } from './say.mjs';

/** Exit status of a suite that cannot run here because something is not installed; its last line said what. */
const NOT_AVAILABLE = 77;

/**
 * @typedef {object} Counts
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 */

export class Suites {
  /** @type {Counts} */
  total = { passed: 0, failed: 0, skipped: 0 };
  /** @type {string[]} */
  failures = [];

  /** A step without counts of its own: it passes or fails as a whole. */
  async step(name, body) {
    say(name);
    try {
      await body();
      this.#add(name, { passed: 1, failed: 0, skipped: 0 });
      return true;
    } catch (error) {
      console.error(error instanceof Error ? error.message : error);
      this.#add(name, { passed: 0, failed: 1, skipped: 0 });
      return false;
    }
  }

  /** A tool that fails by its exit status. */
  check(name, ...commands) {
    return this.step(name, async () => {
      for (const command of commands) {
        if ((await runNode(command)) !== 0) throw new Error(`${path.basename(command[0])} found problems: see above.`);
      }
    });
  }

  /**
   * A suite that writes its counts as JSON into the file that it is given. Its exit status and its counts must
   * agree; a suite that leaves no counts has failed.
   * @param {string} name
   * @param {(result: string) => readonly string[]} command arguments for Node
   */
  async suite(name, command) {
    say(name);
    const result = path.join(ROOT, 'out', 'results', `${name.replace(/\W+/g, '-')}.json`);
    await mkdir(path.dirname(result), { recursive: true });
    await rm(result, { force: true });
    const status = await runNode(command(result)).catch(() => 1);
    if (status === NOT_AVAILABLE) {
      // The suite has printed how to get what is missing. In CI nothing may be missing.
      this.#add(name, process.env.CI ? { passed: 0, failed: 1, skipped: 0 } : { passed: 0, failed: 0, skipped: 1 });
      return;
    }
    const counts = await readCounts(result);
    if (!counts) console.error(`${name} ended with status ${status} and left no result.`);
    const { passed = 0, failed = 0, skipped = 0 } = counts ?? {};
    const wrong = status !== 0 || passed + skipped === 0;
    this.#add(name, { passed, skipped, failed: wrong ? Math.max(failed, 1) : failed });
  }

  #add(name, counts) {
    for (const key of ['passed', 'failed', 'skipped']) this.total[key] += counts[key];
    if (counts.failed > 0) this.failures.push(name);
    const { passed, failed, skipped } = counts;
    say(`${name}: ${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  }
}

async function readCounts(file) {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    return undefined;
  }
}
