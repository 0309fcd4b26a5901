import type { Fault, SourceLocation, TextRange } from '../../fault.js';
import { createLineIndex } from '../text.js';
import { findQemuCommand } from './command-line.js';
import { importLibvirt, looksLikeDomain } from './import-libvirt.js';
import { importQemu } from './import-qemu.js';
import { createImport } from './machine.js';
import { manifestLines } from './to-manifest.js';
import type { XmlParser } from './xml.js';

export type LaunchInput = 'qemu' | 'libvirt';

/** What a text is that is no manifest; undefined: take it as a manifest. */
export function recogniseInput(text: string): LaunchInput | undefined {
  if (looksLikeDomain(text)) return 'libvirt';
  if (/^["']?snp["']?\s*:|^\s*\{\s*["']?snp["']?\s*:/m.test(text)) return undefined;
  return findQemuCommand(text) ? 'qemu' : undefined;
}

export interface ImportedLaunch {
  /** A launch manifest that means the same. */
  readonly manifest: string;
  /** What QEMU or libvirt would refuse, and what the manifest cannot say; at places of the imported text. */
  readonly faults: readonly Fault[];
  /** The fault with its places moved from the manifest to the imported text. */
  readonly toSource: (fault: Fault) => Fault;
}

/** Turns a QEMU command line or a libvirt domain into a manifest. Never throws. */
export function importLaunch(kind: LaunchInput, text: string, path: string, parseXml: XmlParser): ImportedLaunch {
  const context = createImport(path);
  if (kind === 'libvirt') importLibvirt(context, text, parseXml);
  else importQemu(context, text);
  const lines = manifestLines(context);
  const manifest = `${lines.map((line) => line.text).join('\n')}\n`;
  const index = createLineIndex(manifest);
  const move = (range: TextRange): TextRange => {
    let line = index.positionAt(range.start).line;
    while (line > 0 && !lines[line]?.origin) line--;
    return lines[line]?.origin ?? { start: 0, end: 0 };
  };
  const moveAt = (at: SourceLocation): SourceLocation => ({ ...at, range: move(at.range) });
  return {
    manifest,
    faults: context.faults,
    toSource: (fault) => (fault.at?.file === path ? { ...fault, at: moveAt(fault.at) } : fault),
  };
}
