import { basename, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { asRecord, type RawArguments } from '../arguments.js';
import type { ClientDialect } from './handler.js';

export function sourceOf(path: string, { uris }: ClientDialect): DebugProtocol.Source {
  return { name: basename(path), path: uris ? pathToFileURL(path).href : path };
}

/** Path of a `source` argument; undefined if it names no file. */
export function pathOf(args: RawArguments): string | undefined {
  const path = asRecord(args['source'])['path'];
  if (typeof path !== 'string' || path === '') return undefined;
  try {
    return path.startsWith('file:') ? fileURLToPath(path) : resolve(path);
  } catch {
    return undefined;
  }
}
