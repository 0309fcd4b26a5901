import { pfn, type Spa, spaOf } from '../../../../engine/address.js';
import type { FirmwareResult } from '../../../../engine/asp/command.js';
import type { Machine } from '../../../../engine/machine.js';
import type { FirmwareStatusName } from '../../../../engine/spec/firmware-status.js';
import type { Op } from '../../../../engine/timeline/event.js';
import { BARE_PAGES } from '../../../support/bare-machine.js';

/** One refusal of a firmware command. */
export interface Case {
  readonly name: string;
  /** Brings the machine to the point of the command and returns the command. */
  readonly command: () => { readonly machine: Machine; readonly op: Op<FirmwareResult> };
  readonly status: FirmwareStatusName;
  readonly check: string;
}

export interface CaseTable {
  readonly command: string;
  readonly cases: readonly Case[];
}

export const at = (frame: number): Spa => spaOf(pfn(frame));
/** The first address above memory. */
export const END = at(BARE_PAGES);
