import type { KvmRelease } from '../../engine/spec/versions.js';
import { hashOf, runEpisode } from './run.js';
import { seededNumbers } from './source.js';

/** Entry of scripts/invariants.mjs: --operations=N --seed=S [--episode=operations of one host]. */
const option = (name: string, fallback: number): number => {
  const text = process.argv.find((a) => a.startsWith(`--${name}=`))?.slice(name.length + 3);
  return text === undefined ? fallback : Number(text);
};
const operations = option('operations', 1_000_000);
const seed = option('seed', 1);
const length = option('episode', 2000);
const RELEASES: readonly KvmRelease[] = ['v15', 'v15+fixes', '6.11', '6.18'];

const start = performance.now();
const effects = new Map<string, number>();
let done = 0;
let repeated = 0;
for (let episode = 0; done < operations; episode++) {
  const settings = {
    kvm: RELEASES[episode % RELEASES.length] ?? '6.11',
    hugePages: Math.floor(episode / RELEASES.length) % 2 === 1,
    operations: Math.min(length, operations - done),
  };
  const numbers = () => seededNumbers(seed * 1_000_003 + episode);
  try {
    const world = runEpisode({ ...settings, numbers: numbers() });
    for (const [name, n] of world.effects) effects.set(name, (effects.get(name) ?? 0) + n);
    // One in ten once more: the same sequence, the same state.
    if (episode % 10 === 0) {
      const again = runEpisode({ ...settings, numbers: numbers() });
      if (hashOf(world) !== hashOf(again)) throw new Error('the same sequence gave another state');
      repeated++;
    }
  } catch (error) {
    console.log(`episode ${episode} of seed ${seed} (${JSON.stringify(settings)}) failed:`);
    throw error;
  }
  done += settings.operations;
}
const seconds = (performance.now() - start) / 1000;
console.log(`${done} operations in ${seconds.toFixed(0)} s, seed ${seed}: no violation; ${repeated} episodes repeated`);
for (const [name, n] of [...effects].sort((a, b) => b[1] - a[1])) console.log(`  ${name}: ${n}`);
