/**
 * Quick fix for an image that is no SNP-capable firmware (a variable store, an image without table or metadata):
 * `auto` takes the distribution's image, if there is one on this computer.
 */
import type { Fault } from '../../engine/fault.js';
import { IMAGE_NO_FOOTER, IMAGE_NO_METADATA, IMAGE_NO_RESET_BLOCK } from '../../engine/launch/ovmf/faults.js';
import { firmwareEntries } from './page-entries.js';
import type { Fix, FixContext, Rule } from './rule.js';

const REPLACEABLE: readonly string[] = [IMAGE_NO_FOOTER.check, IMAGE_NO_METADATA.check, IMAGE_NO_RESET_BLOCK.check];

export const firmwareAuto: Rule = { name: 'firmware-auto', fixes };

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  if (!REPLACEABLE.includes(fault.check) || context.kind !== 'manifest' || !fault.at) return [];
  const { range } = fault.at;
  const entry = firmwareEntries(context.parsed.tree).find((e) => e.path.range.start === range.start);
  if (!entry || entry.path.value === 'auto') return [];
  const { path } = context.files.findFirmware();
  if (path === undefined) return [];
  const newText = context.text[range.start] === '"' ? '"auto"' : 'auto';
  return [{ title: `Use firmware: auto (${path})`, changes: [{ file: context.path, range, newText }] }];
}
