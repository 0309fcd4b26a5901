/**
 * Speed of what people wait for. Run with `npm run bench`; not part of the tests. Times are of this machine,
 * ratios are of one run.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PAGE_SIZE } from '../../engine/address.js';
import type { FileSource } from '../../engine/launch/file-source.js';
import { parseManifest } from '../../engine/launch/manifest/parse.js';
import { createMeasurer, measurePlan } from '../../engine/launch/measure.js';
import type { LaunchPlan } from '../../engine/launch/plan.js';
import { resolvePlan } from '../../engine/launch/resolve.js';
import { finishRun } from '../../engine/timeline/run.js';
import { launch } from '../../engine/vmm/launch.js';
import { createFileSource } from '../../platform/file-source.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { analyse } from '../../server/analysis.js';

const samples = join(__dirname, '../../samples');
const IMAGE_BYTES = 4 * 1024 * 1024;

interface Row {
  readonly what: string;
  readonly result: string;
  readonly target: string;
  readonly met: boolean | undefined;
}

function time(body: () => void): number {
  const start = process.hrtime.bigint();
  body();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}
const median = (values: readonly number[]): number => quantile(values, 0.5);
const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} ms`;

/** The distribution's 4 MiB image if there is one, else one made of the sample's top and varied pages below. */
function image(): { readonly bytes: Uint8Array; readonly name: string } {
  const files = createFileSource();
  const { path } = files.findFirmware();
  const read = path === undefined ? undefined : files.read(path, path);
  if (read?.ok && read.file.bytes.length === IMAGE_BYTES) return { bytes: read.file.bytes, name: read.file.path };
  const top = readFileSync(join(samples, 'firmware/minimal.fd'));
  const bytes = new Uint8Array(IMAGE_BYTES);
  let state = 1;
  for (let i = 0; i < bytes.length - top.length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    bytes[i] = state >> 16;
  }
  bytes.set(top, bytes.length - top.length);
  const found = read?.ok ? ` (${read.file.path} has ${read.file.bytes.length / 1024} KiB)` : '';
  return { bytes, name: `a synthetic image: no 4 MiB image with SEV metadata is installed${found}` };
}

const MANIFEST = `snp: 1
vm: { vcpus: 64, cpu: EPYC-Milan-v2, memory: 512MiB }
launch:
  policy: 0x30000
  update:
    - firmware: OVMF.fd
`;

/** A copy, so that no digest of its pages is remembered. */
function planOf(bytes: Uint8Array): LaunchPlan {
  const file = { path: '/bench/OVMF.fd', bytes };
  const files: FileSource = { read: () => ({ ok: true, file }), findFirmware: () => ({ tried: [] }) };
  const { plan, faults } = resolvePlan(parseManifest(MANIFEST, '/bench/a.snp.yaml'), files, nativeCrypto);
  if (!plan) throw new Error(faults.map((fault) => fault.message).join('\n'));
  return plan;
}

function hashPages(bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i += PAGE_SIZE) nativeCrypto.sha384(bytes.subarray(i, i + PAGE_SIZE));
}

function benchMeasure(bytes: Uint8Array): Row {
  const alone: number[] = [];
  const measured: number[] = [];
  for (let i = 0; i < 25; i++) {
    const plan = planOf(bytes.slice());
    measured.push(
      time(() => {
        if (!measurePlan(plan, nativeCrypto).ok) throw new Error('not measured');
      }),
    );
    const copy = bytes.slice();
    alone.push(time(() => hashPages(copy)));
  }
  const ratio = median(measured) / median(alone);
  return {
    what: 'measure 4 MiB OVMF, 64 vCPUs',
    result: `${ms(median(measured))} = ${ratio.toFixed(2)} × SHA-384 of its ${bytes.length / PAGE_SIZE} pages alone (${ms(median(alone))})`,
    target: '≤ 2 ×',
    met: ratio <= 2,
  };
}

function benchRemeasure(bytes: Uint8Array, page: number, label: string): Row {
  const measurer = createMeasurer(nativeCrypto);
  let current = bytes.slice();
  measurer.measure(planOf(current));
  const times: number[] = [];
  for (let i = 0; i < 40; i++) {
    current = current.slice();
    current[page * PAGE_SIZE + 7] = ((current[page * PAGE_SIZE + 7] ?? 0) + 1) & 0xff;
    const plan = planOf(current);
    times.push(
      time(() => {
        if (!measurer.measure(plan).ok) throw new Error('not measured');
      }),
    );
  }
  return {
    what: `measure again, ${label} page changed`,
    result: `${ms(median(times))}, 95 %: ${ms(quantile(times, 0.95))}`,
    target: '< 5 ms',
    met: median(times) < 5,
  };
}

/** 500 lines that end with a mistake. */
function longManifest(edit: number): string {
  const lines = MANIFEST.split('\n').slice(0, -1);
  let page = 0x1000;
  while (lines.length < 498) {
    lines.push(
      `    - gpa: 0x${page.toString(16)}`,
      '      type: zero',
      '      length: 4KiB',
      `      # page ${page} ${edit}`,
    );
    page += 0x1000;
  }
  lines.push(`    - { gpa: 0x1080, type: zero, length: 4KiB } # not aligned ${edit}`, '');
  return lines.join('\n');
}

function benchDiagnostics(bytes: Uint8Array): Row {
  const file = { path: '/bench/OVMF.fd', bytes: bytes.slice() };
  const files: FileSource = { read: () => ({ ok: true, file }), findFirmware: () => ({ tried: [] }) };
  const times: number[] = [];
  let faults = 0;
  for (let i = 0; i < 60; i++) {
    const text = longManifest(i);
    times.push(
      time(() => {
        faults = analyse({ text, path: '/bench/a.snp.yaml', files, crypto: nativeCrypto }).faults.length;
      }),
    );
  }
  const warm = times.slice(10);
  return {
    what: `diagnostics of ${longManifest(0).split('\n').length} lines (${faults} found)`,
    result: `${ms(median(warm))}, 95 %: ${ms(quantile(warm, 0.95))} (first: ${ms(times[0] ?? Number.NaN)})`,
    target: '95 % < 50 ms',
    met: quantile(warm, 0.95) < 50,
  };
}

function benchLaunch(bytes: Uint8Array): Row {
  const times: number[] = [];
  let events = 0;
  const plan = planOf(bytes.slice());
  for (let i = 0; i < 7; i++) {
    times.push(
      time(() => {
        const run = launch(plan, { crypto: nativeCrypto });
        const outcome = finishRun(run);
        if (outcome.fault) throw new Error(outcome.fault.message);
        events = run.position;
      }),
    );
  }
  return { what: `whole launch, ${events} events`, result: ms(median(times)), target: '', met: undefined };
}

const { bytes, name } = image();
console.log(
  `image: ${name}\nNode.js ${process.version}, ${process.platform} ${process.arch}; times are medians, SHA-384 is that of node:crypto\n`,
);
const pages = bytes.length / PAGE_SIZE;
const rows: Row[] = [
  benchMeasure(bytes),
  benchRemeasure(bytes, 0, 'the first'),
  benchRemeasure(bytes, pages >> 1, 'the middle'),
  benchDiagnostics(bytes),
  benchLaunch(bytes),
];
const width = Math.max(...rows.map((row) => row.what.length));
for (const row of rows) {
  const verdict = row.met === undefined ? '' : `   target ${row.target}: ${row.met ? 'met' : 'MISSED'}`;
  console.log(`${row.what.padEnd(width)}   ${row.result}${verdict}`);
}
const stepping = spawnSync(process.execPath, ['--import', 'tsx', join(__dirname, 'debugger.ts')], { stdio: 'inherit' });
// The processor alone, and a guest that runs on it: bundled, as code that came through tsx is several times slower.
const processors = ['bench-cpu.mjs', 'bench-guest.mjs'].map((name) => {
  console.log('');
  const root = join(__dirname, '../..');
  return spawnSync(process.execPath, [join(root, 'scripts', name)], { stdio: 'inherit', cwd: root });
});
const statuses = [stepping, ...processors].map(({ status }) => status);
process.exitCode = rows.some((row) => row.met === false) || statuses.some((status) => status !== 0) ? 1 : 0;
