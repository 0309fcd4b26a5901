import { type Crypto, portableCrypto } from '../engine/crypto.js';
import { defineFault, type Fault, faultAt, makeFault, type SourceLocation } from '../engine/fault.js';
import { documentKind } from '../engine/launch/document-kind.js';
import type { FileSource } from '../engine/launch/file-source.js';
import { type ParsedManifest, parseManifest } from '../engine/launch/manifest/parse.js';
import type { Measurement } from '../engine/launch/measure.js';
import type { LaunchPlan } from '../engine/launch/plan.js';
import { type ParsedPolicy, parsePolicyFile } from '../engine/launch/policy/parse.js';
import { resolvePlan } from '../engine/launch/resolve.js';
import { createLineIndex, type LineIndex } from '../engine/launch/text.js';
import { type AnalysisMemory, createAnalysisMemory } from './analysis-memory.js';
import { DEFAULT_HOST } from './default-host.js';
import { anticipated, withoutRepeats } from './duplicates.js';
import { launchTooLarge } from './launch-size.js';
import { recordFiles } from './recording-files.js';
import { refinePlace } from './refine-place.js';
import { RULES } from './rules/index.js';
import type { Fix, ManifestContext, PolicyContext, Rule } from './rules/rule.js';

/**
 * Everything the product can say about one document without being asked: the pure core of the language server
 * and of `sev-snp lint`. Knows no LSP, no clock and no disk; files come through `files`.
 */
export interface AnalysisRequest {
  readonly text: string;
  /** As the caller names the document; faults carry it in `at.file`. */
  readonly path: string;
  readonly files: FileSource;
  readonly crypto?: Crypto;
  /** By default decided by the file name; a document of no known kind is taken for a manifest. */
  readonly kind?: 'manifest' | 'policy';
  /** Kept by a caller that analyses the document again and again. */
  readonly memory?: AnalysisMemory;
}

export interface Analysis {
  readonly kind: 'manifest' | 'policy';
  readonly path: string;
  readonly text: string;
  readonly lines: LineIndex;
  /** In the order of the text. Every fault has `at`; `at.file` may be another file that this one refers to. */
  readonly faults: readonly Fault[];
  readonly manifest?: ParsedManifest;
  readonly policy?: ParsedPolicy;
  readonly plan?: LaunchPlan;
  /** The launch digest, known also when a check refuses the launch. 48 bytes. */
  readonly digest?: Uint8Array;
  readonly measurement?: Measurement;
  /** What the dry run of the launch ended with, whether or not it is among `faults`. */
  readonly failure?: Fault;
  /** Resolved paths of all files that were read or looked for. */
  readonly dependencies: ReadonlySet<string>;
  /** What quick fixes are computed from. */
  readonly context?: ManifestContext | PolicyContext;
}

const internalError = defineFault<{ where: string; error: string }>({
  check: 'lint-internal-error',
  layer: 'manifest',
  command: 'analysis',
  code: { kind: 'input' },
  title: 'The workbench failed to analyse this document',
  message: (o) => `${o.where} failed: ${o.error}. This is a bug of SEV-SNP Workbench, not of your file.`,
  why: 'Every input must give an explanation. When the analysis itself breaks, that is said instead of silence, and the other checks still run.',
  hint: 'Report this text together with the document at the issue tracker of SEV-SNP Workbench.',
  reference: 'SEV-SNP Workbench, server/analysis.ts',
  confirmed: true,
});

/** Never throws. */
export function analyse(request: AnalysisRequest): Analysis {
  const kind = request.kind ?? documentKind(request.path) ?? 'manifest';
  const files = recordFiles(request.files);
  const crypto = request.crypto ?? portableCrypto;
  const base = { kind, path: request.path, text: request.text, dependencies: files.dependencies };
  const lines = createLineIndex(request.text);
  const faults: Fault[] = [];
  const attempt = attempts(faults, startOf(request.path, request.text));
  const found =
    kind === 'policy'
      ? analysePolicy(request, crypto, files, faults, attempt)
      : analyseManifest(request, crypto, files, faults, attempt);
  return { ...base, lines, ...found, faults: ordered(faults, request.path, request.text) };
}

/** Quick fixes for one of the analysis' faults. */
export function fixesOf(analysis: Analysis, fault: Fault): readonly Fix[] {
  const { context } = analysis;
  if (!context) return [];
  return RULES.flatMap((rule) => {
    try {
      return rule.fixes?.(fault, context) ?? [];
    } catch {
      return [];
    }
  });
}

type Attempt = <T>(where: string, body: () => T) => T | undefined;

function attempts(faults: Fault[], at: SourceLocation): Attempt {
  return (where, body) => {
    try {
      return body();
    } catch (error) {
      const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      faults.push(makeFault(internalError, { where, error: text }, { at }));
      return undefined;
    }
  };
}

type Found = Pick<Analysis, 'manifest' | 'policy' | 'plan' | 'digest' | 'measurement' | 'failure' | 'context'>;

function analyseManifest(
  request: AnalysisRequest,
  crypto: Crypto,
  files: FileSource,
  faults: Fault[],
  attempt: Attempt,
): Found {
  const { path, text, memory = createAnalysisMemory(crypto) } = request;
  const parsed = attempt('reading the manifest', () => parseManifest(text, path));
  if (!parsed) return {};
  faults.push(...parsed.problems);
  const resolved = attempt('resolving the launch', () => resolvePlan(parsed, files, crypto));
  if (resolved) faults.push(...resolved.faults);
  const plan = resolved?.plan;
  const tooLarge = plan && launchTooLarge(plan, parsed.tree);
  if (tooLarge) faults.push(tooLarge);
  const trial = tooLarge ? undefined : plan;
  const measured = trial && attempt('measuring the launch', () => memory.measurer.measure(trial));
  const measurement = measured?.ok ? measured.value : undefined;
  const context: ManifestContext = { kind: 'manifest', path, text, crypto, files, parsed, plan, measurement };
  for (const rule of RULES) {
    faults.push(...(attempt(`the rule ${rule.name}`, () => rule.manifest?.(context) ?? []) ?? []));
  }
  const outcome = trial && attempt('the dry run of the launch', () => memory.dryRunner.run(trial));
  const failure = outcome?.fault && refinePlace(outcome.fault, parsed);
  if (failure && !anticipated(failure, faults, RULES)) faults.push(failure);
  const digest = measurement?.digest ?? outcome?.digest;
  return { manifest: parsed, plan, measurement, digest, failure, context };
}

function analysePolicy(
  request: AnalysisRequest,
  crypto: Crypto,
  files: FileSource,
  faults: Fault[],
  attempt: Attempt,
): Found {
  const { path, text } = request;
  const parsed = attempt('reading the policy', () => parsePolicyFile(text, path));
  if (!parsed) return {};
  faults.push(...parsed.problems);
  const context: PolicyContext = { kind: 'policy', path, text, crypto, files, parsed, host: DEFAULT_HOST };
  for (const rule of RULES) {
    faults.push(...(attempt(`the rule ${rule.name}`, () => rule.policy?.(context) ?? []) ?? []));
  }
  return { policy: parsed, context };
}

function ordered(faults: readonly Fault[], path: string, text: string): readonly Fault[] {
  const placed = faults.map((fault) => faultAt(fault, startOf(path, text)));
  const start = (fault: Fault): number => fault.at?.range.start ?? 0;
  return withoutRepeats(placed).sort((a, b) => start(a) - start(b));
}

/** The first line that says something; where to show what belongs nowhere else. */
function startOf(file: string, text: string): SourceLocation {
  const match = /\S[^\r\n]*/.exec(text);
  return match
    ? { file, range: { start: match.index, end: match.index + match[0].length } }
    : { file, range: { start: 0, end: 0 } };
}

export type { Fix, Rule };
