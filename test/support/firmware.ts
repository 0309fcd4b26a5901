import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** OVMF images: the distribution's, and those beside the repository. */

export interface FirmwareImage {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const INSTALLED = '/usr/share/ovmf/OVMF.fd';
/** From the root of the repository, where tests and scripts run. */
const SHARED = '../shared/firmware';

/** Empty, with a line on standard error, if there is none; an error if CI is set. */
export function firmwareImages(): readonly FirmwareImage[] {
  const shared = existsSync(SHARED) ? readdirSync(SHARED).filter((name) => name.endsWith('.fd')) : [];
  const paths = [INSTALLED, ...shared.sort().map((name) => path.join(SHARED, name))].filter((file) => existsSync(file));
  if (paths.length === 0) {
    const what = `no OVMF image: install Debian's package ovmf, or put one into ${SHARED}`;
    if (process.env['CI']) throw new Error(what);
    process.stderr.write(`skipped: ${what}\n`);
  }
  return paths.map((file) => ({ name: path.basename(file), bytes: new Uint8Array(readFileSync(file)) }));
}
