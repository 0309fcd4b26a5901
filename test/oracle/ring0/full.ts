import { compareWithQemu, generateCases } from './compare.js';
import { explain } from './explain.js';
import { qemuVersion } from './qemu.js';
import { buildRunner } from './runner.js';

/** Entry of scripts/cpu-ring0.mjs. */

const option = (name: string): string | undefined =>
  process.argv.find((a) => a.startsWith(`--${name}=`))?.slice(name.length + 3);
const seed = Number(option('seed') ?? 1);
const cases = Number(option('cases') ?? 100_000);
const pattern = option('only');
const only = pattern === undefined ? undefined : new RegExp(pattern);
const most = Number(option('most') ?? 1000);
const show = Number(option('show') ?? 12);
const index = option('case');

const version = qemuVersion();
const runner = buildRunner();
if (version === undefined || !runner) {
  console.error('This needs qemu-system-x86_64 (Debian package qemu-system-x86) and binutils.');
  process.exit(77);
}
if (index !== undefined) {
  const [one] = generateCases(runner, { seed, cases: Number(index) + 1, only }, Number(index));
  if (one) await explain(runner, one.case);
} else {
  const start = performance.now();
  const result = await compareWithQemu(runner, { seed, cases, only, most });
  const table = (title: string, map: ReadonlyMap<string, number>): void => {
    if (map.size === 0) return;
    const first = [...map].sort((a, b) => b[1] - a[1]).slice(0, 40);
    console.log(`${title}: ${first.map(([name, n]) => `${name} ${n}`).join(', ')}`);
  };
  // One example of each kind of disagreement.
  const shown = new Map<string, number>();
  for (const { index: n, name, found, signature } of result.wrong) {
    const before = shown.get(signature) ?? 0;
    shown.set(signature, before + 1);
    if (before === 0 && shown.size <= show) console.log(`case ${n}: ${name}\n    ${found.slice(0, 24).join('\n    ')}`);
  }
  table('generators', result.cases);
  table('ends', result.ends);
  table('excused', new Map([...result.excused].map(([d, n]) => [d.name, n])));
  table('missing', result.missing);
  const seconds = (performance.now() - start) / 1000;
  const done = [...result.cases.values()].reduce((sum, n) => sum + n, 0);
  console.log(
    `${done} cases against ${version} in ${seconds.toFixed(0)} s, seed ${seed}: ${result.wrong.length} wrong`,
  );
  process.exitCode = result.wrong.length > 0 ? 1 : 0;
}
