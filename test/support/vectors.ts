import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Expected results of other implementations, beside the repository and not in it. */
export const VECTORS = join(import.meta.dirname, '../../../shared/vectors');

const missing = new Set<string>();

/**
 * False, with one line on standard error, if a path of the vectors is absent; then tests skip. With CI set a
 * missing vector is an error, because a run that tested nothing must not look green.
 */
export function haveVectors(path = '.'): boolean {
  const full = join(VECTORS, path);
  if (existsSync(full)) return true;
  if (process.env['CI']) throw new Error(`test vectors are missing: ${full}`);
  if (!missing.has(full)) process.stderr.write(`skipped: test vectors are not there: ${full}\n`);
  missing.add(full);
  return false;
}

export function vectorsPresent(): boolean {
  return haveVectors('README.md');
}

/** A suite that is skipped, with a line that says so, when the vectors are absent. */
export function describeVectors(title: string, body: (this: Mocha.Suite) => void): void {
  if (vectorsPresent()) describe(title, body);
  else describe.skip(title, () => {});
}

export function readVector(path: string): Buffer {
  return readFileSync(join(VECTORS, path));
}

export function readVectorJson(path: string): unknown {
  return JSON.parse(readFileSync(join(VECTORS, path), 'utf8'));
}

/** All `*.json` files directly in a folder of the vectors, with their content. */
export function vectorFiles(folder: string): readonly { readonly path: string; readonly json: unknown }[] {
  return readdirSync(join(VECTORS, folder))
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => ({ path: join(folder, name), json: readVectorJson(join(folder, name)) }));
}

export interface MeasureCase {
  readonly id: string;
  readonly ovmf: Uint8Array;
  readonly vcpus: number;
  readonly vcpuType: string;
  readonly vmm: 'qemu' | 'ec2' | 'gce';
  readonly guestFeatures: bigint;
  readonly kernel?: Uint8Array;
  readonly initrd?: Uint8Array;
  readonly append?: string;
  /** Digest in hex, or the text of the error. */
  readonly expected: { readonly digest: string } | { readonly error: string };
  /** Advice only: tools differ. */
  readonly soft?: string;
}

export interface SynthCase {
  readonly kind: string;
  readonly tag?: string;
  readonly soft?: string;
  readonly disputed?: unknown;
  readonly [key: string]: unknown;
}

/** Entries of one kind in all case files below synth/. */
export function synthCases(kind: string): readonly SynthCase[] {
  return vectorFiles('synth').flatMap(({ json }) =>
    Array.isArray(json) ? (json as SynthCase[]).filter((c) => c.kind === kind) : [],
  );
}

interface RawInput {
  readonly sha256: string;
  readonly origin: { readonly path?: string; readonly cut?: string };
}

interface RawMeasure {
  readonly id?: string;
  readonly tag?: string;
  readonly ovmf: string;
  readonly vcpus: number;
  readonly vcpu_type: string;
  readonly vmm_type: string;
  readonly guest_features: string | number;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly digest?: string;
  readonly expect?: string;
  readonly error?: string;
  readonly soft?: string;
  readonly disputed?: unknown;
}

/** Every case of kind measure: of the files {inputs, cases} and of the lists below synth/. */
export function measureCases(): readonly MeasureCase[] {
  const cases: MeasureCase[] = [];
  for (const { path, json } of vectorFiles('.')) {
    if (!isMeasureFile(json)) continue;
    const load = inputLoader(json.inputs);
    json.cases.forEach((raw, i) => {
      if (haveInput(raw.ovmf, json.inputs)) cases.push(measureCase(raw, raw.id ?? `${path}#${i}`, load));
    });
  }
  const load = (name: string): Uint8Array => new Uint8Array(readVector(join('synth', name)));
  synthCases('measure').forEach((raw, i) => {
    const c = raw as unknown as RawMeasure;
    cases.push(measureCase(c, `synth ${i} ${c.tag ?? ''} ${c.ovmf}`, load));
  });
  return cases;
}

function isMeasureFile(json: unknown): json is { inputs: Record<string, RawInput>; cases: RawMeasure[] } {
  if (typeof json !== 'object' || json === null || !('inputs' in json) || !('cases' in json)) return false;
  return Array.isArray(json.cases) && json.cases.every((c) => typeof c?.ovmf === 'string' && 'vcpu_type' in c);
}

function measureCase(raw: RawMeasure, id: string, load: (name: string) => Uint8Array): MeasureCase {
  const digest = raw.digest ?? raw.expect;
  const vmm = raw.vmm_type.toLowerCase();
  if (vmm !== 'qemu' && vmm !== 'ec2' && vmm !== 'gce') throw new Error(`${id}: unknown VMM ${raw.vmm_type}`);
  const soft = raw.soft ?? (raw.disputed ? 'disputed' : undefined);
  return {
    id,
    ovmf: load(raw.ovmf),
    vcpus: raw.vcpus,
    vcpuType: raw.vcpu_type,
    vmm,
    guestFeatures: BigInt(raw.guest_features),
    ...(raw.kernel === undefined ? {} : { kernel: load(raw.kernel) }),
    ...(raw.initrd === undefined ? {} : { initrd: load(raw.initrd) }),
    ...(raw.append === undefined ? {} : { append: raw.append }),
    expected: raw.error === undefined ? { digest: digest ?? '' } : { error: raw.error },
    ...(soft === undefined ? {} : { soft }),
  };
}

function inputPath(name: string, inputs: Record<string, RawInput>): string | undefined {
  const here = join(VECTORS, 'ovmf', name);
  return existsSync(here) ? here : inputs[name]?.origin.path;
}

/** Whether an image can be loaded; like missing vectors if not. */
function haveInput(name: string, inputs: Record<string, RawInput>): boolean {
  const path = inputPath(name, inputs);
  if (path && existsSync(path)) return true;
  if (process.env['CI']) throw new Error(`${name}: install the package that has ${path ?? 'it'}`);
  if (!missing.has(name)) process.stderr.write(`skipped: ${name} is not installed (${path ?? 'unknown origin'})\n`);
  missing.add(name);
  return false;
}

/** Small images are beside the cases; the others come from the distribution's package. Both are verified. */
function inputLoader(inputs: Record<string, RawInput>): (name: string) => Uint8Array {
  const loaded = new Map<string, Uint8Array>();
  return (name) => {
    const known = loaded.get(name);
    if (known) return known;
    const input = inputs[name];
    const path = inputPath(name, inputs);
    if (!path) throw new Error(`${name}: its origin is not known`);
    const bytes = new Uint8Array(readFileSync(path));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    if (input && sha256 !== input.sha256) throw new Error(`${path} has SHA-256 ${sha256}, expected ${input.sha256}`);
    loaded.set(name, bytes);
    return bytes;
  };
}
