import { resolve } from 'node:path';
import type { SourceLocation } from '../engine/fault.js';
import type { FileSource } from '../engine/launch/file-source.js';
import type { LaunchPlan } from '../engine/launch/plan.js';
import { createLineIndex, type LineIndex } from '../engine/launch/text.js';

/** A range in a file; lines and characters start at 0. */
export interface Place {
  readonly path: string;
  readonly line: number;
  readonly character: number;
  readonly endLine: number;
  readonly endCharacter: number;
}

/** Turns offsets of faults and entries into lines. */
export interface Places {
  of(location: SourceLocation): Place;
}

/** `text` is the manifest's; other files (policies) are read when a fault lies in one. */
export function createPlaces(manifest: string, text: string, files: FileSource): Places {
  const indexes = new Map<string, LineIndex>([[manifest, createLineIndex(text)]]);
  const indexOf = (file: string): LineIndex => {
    let index = indexes.get(file);
    if (!index) {
      const read = files.read(file, manifest);
      index = createLineIndex(read.ok ? new TextDecoder().decode(read.file.bytes) : '');
      indexes.set(file, index);
    }
    return index;
  };
  return {
    of({ file, range }) {
      const index = indexOf(file);
      const start = index.positionAt(range.start);
      const end = index.positionAt(Math.max(range.start, range.end));
      // A range that ends at the start of a line does not touch that line.
      const endLine = end.character === 0 && end.line > start.line ? end.line - 1 : end.line;
      return { path: file, line: start.line, character: start.character, endLine, endCharacter: end.character };
    },
  };
}

/** Where the launch can stop, in launch order; lines start at 0. */
export interface StopPlace {
  readonly entry: number;
  readonly line: number;
  readonly endLine: number;
}

export function stopPlaces(plan: LaunchPlan, places: Places): readonly StopPlace[] {
  return plan.entries.map((entry, index) => {
    const { line, endLine } = places.of(entry.at);
    return { entry: index, line, endLine };
  });
}

/** The same file? Windows ignores case, and VS Code writes drive letters in either. */
export function samePath(a: string, b: string): boolean {
  const [x, y] = [resolve(a), resolve(b)];
  return process.platform === 'win32' ? x.toLowerCase() === y.toLowerCase() : x === y;
}
