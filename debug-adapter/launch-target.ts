import { isAbsolute, resolve } from 'node:path';
import { type Fault, faultAt } from '../engine/fault.js';
import { parseManifest } from '../engine/launch/manifest/parse.js';
import type { LaunchPlan } from '../engine/launch/plan.js';
import { resolvePlan } from '../engine/launch/resolve.js';
import { createFileSource } from '../platform/file-source.js';
import { nativeCrypto } from '../platform/native-crypto.js';
import { asRecord, flag, optionalList, type RawArguments } from './arguments.js';
import { userErrors } from './errors.js';
import { createPlaces, type Places, type StopPlace, stopPlaces } from './places.js';
import type { SnpLaunchArguments } from './protocol.js';

/** A manifest that can be launched, with everything that was read for it. */
export interface LaunchTarget {
  readonly manifest: string;
  readonly plan: LaunchPlan;
  readonly places: Places;
  readonly stops: readonly StopPlace[];
  /** Problems that do not keep the launch from being tried. */
  readonly faults: readonly Fault[];
}

export type LoadResult =
  | { readonly ok: true; readonly target: LaunchTarget }
  | { readonly ok: false; readonly faults: readonly Fault[]; readonly places: Places };

export function readLaunchArguments(raw: unknown): SnpLaunchArguments {
  const args: RawArguments = asRecord(raw);
  const manifest = args['manifest'];
  if (typeof manifest !== 'string' || manifest === '') throw userErrors.noManifest();
  const folders = optionalList(args, 'workspaceFolders').filter((f): f is string => typeof f === 'string');
  return {
    manifest: isAbsolute(manifest) ? manifest : resolve(folders[0] ?? '.', manifest),
    stopOnEntry: flag(args, 'stopOnEntry', false),
    noDebug: flag(args, 'noDebug', false),
    runGuest: flag(args, 'runGuest', true),
    traceExits: flag(args, 'traceExits', false),
    trusted: flag(args, 'trusted', true),
    workspaceFolders: folders,
    clientShowsProblems: flag(args, 'clientShowsProblems', false),
  };
}

/** Reads and resolves the manifest. Throws a UserError if the file itself cannot be read. */
export function loadTarget(args: SnpLaunchArguments): LoadResult {
  const files = createFileSource({ trusted: args.trusted, folders: args.workspaceFolders });
  const read = files.read(args.manifest, args.manifest);
  if (!read.ok) throw userErrors.unreadableManifest(args.manifest, read.detail);
  const text = new TextDecoder().decode(read.file.bytes);
  const places = createPlaces(args.manifest, text, files);
  const parsed = parseManifest(text, args.manifest);
  const { plan, faults } = resolvePlan(parsed, files, nativeCrypto);
  const all = [...parsed.problems, ...faults.filter((fault) => !parsed.problems.includes(fault))].map((fault) =>
    faultAt(fault, { file: args.manifest, range: { start: 0, end: 0 } }),
  );
  if (!plan) return { ok: false, faults: errorsFirst(all), places };
  return {
    ok: true,
    target: { manifest: args.manifest, plan, places, stops: stopPlaces(plan, places), faults: errorsFirst(all) },
  };
}

function errorsFirst(faults: readonly Fault[]): readonly Fault[] {
  return [...faults.filter((f) => f.severity === 'error'), ...faults.filter((f) => f.severity !== 'error')];
}
