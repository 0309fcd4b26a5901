import type { FileSource } from '../../engine/launch/file-source.js';

/** Examples name no files, so that the pages are the same on every computer. */
export const NO_FILES: FileSource = {
  read: (path) => ({ ok: false, reason: 'missing', path, detail: 'no such file' }),
  findFirmware: () => ({ tried: [] }),
};
