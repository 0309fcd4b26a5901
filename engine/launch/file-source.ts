import type { LoadedFile } from '../memory/page-bytes.js';

/** How the engine asks its host for files: it does no input or output of its own. Synchronous; hosts cache. */
export interface FileSource {
  /** `path` is written in the document `from`; relative paths are relative to that document's folder. */
  read(path: string, from: string): FileRead;
  /** The distribution's SNP-capable OVMF, for `firmware: auto`. */
  findFirmware(): FirmwareSearch;
}

export type FileRead =
  | { readonly ok: true; readonly file: LoadedFile }
  | {
      readonly ok: false;
      readonly reason: 'missing' | 'not-a-file' | 'unreadable' | 'untrusted' | 'too-large';
      /** The path that was tried, and what the system said. */
      readonly path: string;
      readonly detail: string;
    };

export interface FirmwareSearch {
  /** Absolute path of the image that was taken. */
  readonly path?: string;
  /** Every place that was looked at, in order, with the outcome in words. */
  readonly tried: readonly { readonly path: string; readonly outcome: string }[];
  /** What to install, when nothing was found. */
  readonly advice?: string;
}
