/** What the scripts print. */

const started = Date.now();

/** One line on what happens now. */
export function say(line) {
  console.log(`[${((Date.now() - started) / 1000).toFixed(0).padStart(3)} s] ${line}`);
}

/** Runs a script's main function; an error ends it with one sentence and status 1. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    console.error(`\nFailed: ${text}`);
    if (process.env.DEBUG && error instanceof Error) console.error(error.stack);
    process.exit(1);
  }
}
