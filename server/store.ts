import type { Crypto } from '../engine/crypto.js';
import type { FileSource } from '../engine/launch/file-source.js';
import { type Analysis, analyse } from './analysis.js';
import { type AnalysisMemory, createAnalysisMemory } from './analysis-memory.js';

export interface OpenDocument {
  readonly uri: string;
  readonly path: string;
  readonly version: number;
  readonly text: string;
}

/** The analyses of the open documents: computed when asked for, kept until the text or a file it needs changes. */
export interface AnalysisStore {
  /** Undefined for a document that is not open. */
  get(uri: string): Analysis | undefined;
  /** The latest analysis that was made, without making one. */
  peek(uri: string): Analysis | undefined;
  /** Forgets what depended on these paths; answers the documents that must be checked again. */
  invalidate(paths: readonly string[]): readonly string[];
  /** Forgets everything, for a new set of rights. */
  clear(): void;
  forget(uri: string): void;
}

interface Entry {
  readonly version: number;
  readonly analysis: Analysis;
}

export function createAnalysisStore(
  find: (uri: string) => OpenDocument | undefined,
  files: () => FileSource,
  crypto: Crypto,
): AnalysisStore {
  const entries = new Map<string, Entry>();
  const memories = new Map<string, AnalysisMemory>();
  return {
    get(uri) {
      const document = find(uri);
      if (!document) return undefined;
      const known = entries.get(uri);
      if (known?.version === document.version) return known.analysis;
      const memory = memories.get(uri) ?? createAnalysisMemory(crypto);
      memories.set(uri, memory);
      const analysis = analyse({ text: document.text, path: document.path, files: files(), crypto, memory });
      entries.set(uri, { version: document.version, analysis });
      return analysis;
    },
    peek: (uri) => entries.get(uri)?.analysis,
    invalidate(paths) {
      const stale = [...entries].filter(([, entry]) => paths.some((path) => entry.analysis.dependencies.has(path)));
      for (const [uri] of stale) entries.delete(uri);
      return stale.map(([uri]) => uri);
    },
    clear() {
      entries.clear();
    },
    forget(uri) {
      memories.delete(uri);
      entries.delete(uri);
    },
  };
}
