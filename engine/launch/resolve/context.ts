import type { Crypto } from '../../crypto.js';
import {
  type Fault,
  type FaultDefinition,
  makeFault,
  type Operands,
  type SourceLocation,
  type TextRange,
} from '../../fault.js';
import type { LoadedFile } from '../../memory/page-bytes.js';
import type { FileRead, FileSource } from '../file-source.js';
import * as faults from './faults.js';

export interface ResolveContext {
  /** The manifest's path. */
  readonly file: string;
  readonly files: FileSource;
  readonly crypto: Crypto;
  readonly faults: Fault[];
  /** Something without which there is no launch is missing. */
  blocked: boolean;
}

export function locate(context: ResolveContext, range: TextRange): SourceLocation {
  return { file: context.file, range };
}

export function refuse<O extends Operands>(
  context: ResolveContext,
  definition: FaultDefinition<O>,
  operands: O,
  range: TextRange,
): undefined {
  context.faults.push(makeFault(definition, operands, { at: locate(context, range) }));
  return undefined;
}

/** Reads a file that the launch cannot do without; a fault at the path's range if that fails. */
export function readFile(context: ResolveContext, path: string, range: TextRange): LoadedFile | undefined {
  const read = context.files.read(path, context.file);
  if (read.ok) return read.file;
  context.blocked = true;
  context.faults.push(fileFault(path, read, locate(context, range)));
  return undefined;
}

export function fileFault(path: string, read: Extract<FileRead, { ok: false }>, at: SourceLocation): Fault {
  const operands = { path, tried: read.path, detail: read.detail };
  switch (read.reason) {
    case 'missing':
      return makeFault(faults.MANIFEST_FILE_MISSING, { path, tried: read.path }, { at });
    case 'not-a-file':
      return makeFault(faults.MANIFEST_FILE_NOT_A_FILE, { path, tried: read.path }, { at });
    case 'untrusted':
      return makeFault(faults.MANIFEST_FILE_UNTRUSTED, { path, tried: read.path }, { at });
    case 'unreadable':
      return makeFault(faults.MANIFEST_FILE_UNREADABLE, operands, { at });
    case 'too-large':
      return makeFault(faults.MANIFEST_FILE_TOO_LARGE, operands, { at });
  }
}
