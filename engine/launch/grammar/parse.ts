import type { Document } from 'yaml';
import type { LineIndex } from '../text.js';
import { type CheckContext, checkNode, createCheckContext, report } from './check.js';
import type { Checked } from './checked.js';
import { MANIFEST_MISSING_KEY } from './faults.js';
import { loadYaml } from './load-yaml.js';
import type { MapSchema } from './schema.js';

export interface ParsedText {
  /** Its `problems` grow while the caller checks further. */
  readonly context: CheckContext;
  readonly root?: Checked;
  readonly document: Document.Parsed;
  readonly lines: LineIndex;
}

/** Reads a text against a schema. Never throws. */
export function parseWith(schema: MapSchema, text: string, file: string): ParsedText {
  const { document, lines, problems, brokenAt } = loadYaml(text, file);
  const context = createCheckContext(document, file, text, problems, brokenAt);
  let root: Checked | undefined;
  if (document.contents !== null) root = checkNode(context, schema, document.contents, '');
  else if (problems.length === 0) {
    for (const field of schema.fields) {
      if (!field.required) continue;
      const operands = { key: field.key, where: 'the file', example: field.example ?? field.key };
      report(context, field.missing ?? MANIFEST_MISSING_KEY, operands, { start: 0, end: Math.min(1, text.length) });
    }
  }
  return { context, ...(root ? { root } : {}), document, lines };
}
