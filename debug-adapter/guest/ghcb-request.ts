import { hex } from '../../engine/address.js';
import type { Machine } from '../../engine/machine.js';
import { decodeExitCode } from '../../engine/spec/exit-code.js';
import { decodeIoio, NAE } from '../../engine/spec/ghcb-layout.js';
import { decodeGhcbMsr } from '../../engine/spec/ghcb-msr.js';
import type { ExitEvent } from './events.js';
import { physicalSpace, readNumber } from './guest-memory.js';

export const VMGEXIT = 0x403n;
const SW_EXITCODE = 0x390n;
const SW_EXITINFO1 = 0x398n;

/** What the guest asks the host for with this VMGEXIT, in a few words: `get SEV information`, `OUT to port 0x3f8`. */
export function requestText(machine: Machine, { ghcb }: Pick<ExitEvent, 'ghcb'>): string {
  const msr = decodeGhcbMsr(ghcb);
  if (msr.code !== 0) return msr.name;
  // The host reads the page as shared, whatever the guest believes.
  const page = physicalSpace(machine, false);
  const code = readNumber(page, ghcb + SW_EXITCODE, 8);
  if (code === undefined) return `GHCB at ${hex(ghcb)}, which the host cannot read`;
  if (code !== NAE.IOIO) return decodeExitCode(code)?.name ?? `event ${hex(code)}`;
  const { isIn, port } = decodeIoio(readNumber(page, ghcb + SW_EXITINFO1, 8) ?? 0n);
  return isIn ? `IN from port ${hex(port)}` : `OUT to port ${hex(port)}`;
}
