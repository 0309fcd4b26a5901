import type { FileRead, FileSource, FirmwareSearch } from '../engine/launch/file-source.js';

export interface RecordingFiles extends FileSource {
  /** Every path that was read or tried, as the source resolved it. */
  readonly dependencies: ReadonlySet<string>;
}

/**
 * Remembers which files a document depends on, so that a change of one of them checks the document again, and
 * reads each of them once in an analysis.
 */
export function recordFiles(source: FileSource): RecordingFiles {
  const dependencies = new Set<string>();
  const reads = new Map<string, FileRead>();
  let firmware: FirmwareSearch | undefined;
  return {
    dependencies,
    read(path, from) {
      const key = `${from}\0${path}`;
      const known = reads.get(key);
      if (known) return known;
      const result = source.read(path, from);
      dependencies.add(result.ok ? result.file.path : result.path);
      reads.set(key, result);
      return result;
    },
    findFirmware() {
      if (!firmware) {
        firmware = source.findFirmware();
        if (firmware.path !== undefined) dependencies.add(firmware.path);
      }
      return firmware;
    },
  };
}
