/** SARIF 2.1.0 (OASIS), as code scanning services take it. */
import { isAbsolute, relative, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Fault, faultDefinition, rootFault, type Severity } from '../../engine/fault.js';
import type { JsonObject } from '../../engine/timeline/format.js';
import { placedFaultJson } from './json.js';
import { placeOf, type Sources } from './place.js';
import { headline } from './text.js';

export interface SarifInput {
  readonly faults: readonly Fault[];
  readonly sources: Sources;
  /** All files that were checked. */
  readonly files: readonly string[];
  /** What could not be read, and why. */
  readonly unreadable: readonly string[];
  readonly toolVersion: string;
  /** Paths below it are written relative to it. */
  readonly root: string;
}

const LEVELS: Readonly<Record<Severity, string>> = {
  error: 'error',
  warning: 'warning',
  information: 'note',
  hint: 'note',
};

export function sarifLog(input: SarifInput): JsonObject {
  const checks = [...new Set(input.faults.map((fault) => fault.check))].sort();
  const rules = checks.map((check) => rule(check, input.faults));
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'sev-snp-workbench', version: input.toolVersion, rules } },
        columnKind: 'utf16CodeUnits',
        originalUriBaseIds: { SRCROOT: { uri: `${pathToFileURL(input.root).href.replace(/\/$/, '')}/` } },
        invocations: [
          {
            executionSuccessful: input.unreadable.length === 0,
            toolExecutionNotifications: input.unreadable.map((text) => ({ level: 'error', message: { text } })),
          },
        ],
        artifacts: input.files.map((file) => ({ location: artifact(file, input.root) })),
        results: input.faults.map((fault) => result(fault, checks.indexOf(fault.check), input)),
      },
    ],
  };
}

function rule(check: string, faults: readonly Fault[]): JsonObject {
  const definition = faultDefinition(check);
  const example = faults.find((fault) => fault.check === check);
  const title = definition?.title ?? example?.title ?? check;
  return {
    id: check,
    shortDescription: { text: title },
    fullDescription: { text: definition?.why ?? title },
    help: { text: `${definition?.why ?? title}\n\nRule: ${definition?.reference ?? example?.reference ?? ''}` },
    defaultConfiguration: { level: LEVELS[definition?.severity ?? 'error'] },
    properties: { layer: definition?.layer ?? 'manifest', command: definition?.command ?? '' },
  };
}

function result(fault: Fault, ruleIndex: number, input: SarifInput): JsonObject {
  const place = placeOf(fault, input.sources);
  const messages: string[] = [];
  for (let f: Fault | undefined = fault; f; f = f.cause) {
    messages.push(f === fault ? headline(f) : `Because ${f.layer}: ${headline(f)}`);
  }
  return {
    ruleId: fault.check,
    ruleIndex,
    level: LEVELS[fault.severity],
    message: { text: `${messages.join('\n')}\nTo fix: ${rootFault(fault).hint}` },
    locations: place
      ? [
          {
            physicalLocation: {
              artifactLocation: artifact(place.file, input.root),
              region: {
                startLine: place.line,
                startColumn: place.column,
                endLine: place.endLine,
                endColumn: place.endColumn,
              },
            },
          },
        ]
      : [],
    properties: { fault: placedFaultJson(fault, input.sources) },
  };
}

function artifact(file: string, root: string): JsonObject {
  const way = relative(root, file);
  if (way === '' || way.startsWith('..') || isAbsolute(way)) return { uri: pathToFileURL(file).href };
  return { uri: way.split(sep).map(encodeURIComponent).join('/'), uriBaseId: 'SRCROOT' };
}
