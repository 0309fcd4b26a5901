import { exception, VECTOR } from '../exception.js';
import type { ImportedHelper } from '../semantics/helpers.js';
import { SEGMENT_SIZE, SEGMENT_TABLE } from '../state/layout.js';
import type { BlockFinder } from './block-finder.js';
import type { Execution, GuestAccess } from './guest-access.js';

const SS = SEGMENT_TABLE + SEGMENT_SIZE * 2;

/** What generated code calls; the parts are asked for at the call, as some are made after the code. */
export function importsOf(
  execution: Execution,
  access: GuestAccess,
  blocks: () => BlockFinder,
  written: (offset: number, count: number) => void,
  rare: (record: number) => number,
): Record<ImportedHelper, unknown> {
  return {
    readSlow: (linear: bigint, bytes: number, record: number) => access.readSlow(linear, bytes, record),
    writeSlow: (linear: bigint, bytes: number, record: number) => access.writeSlow(linear, bytes, record),
    flushScratch: (linear: bigint, count: number) => access.flushScratch(linear, count),
    written,
    raise: (vector: number, record: number) => {
      execution.record = record;
      throw exception(vector, vector === VECTOR.GP ? { errorCode: 0 } : {});
    },
    segmentFault: (segment: number, record: number) => {
      execution.record = record;
      throw exception(segment === SS ? VECTOR.SS : VECTOR.GP, { errorCode: 0 });
    },
    lookup: (rip: bigint) => blocks().find(rip),
    chain: (record: number, linkOffset: number) => blocks().chain(record, linkOffset),
    rare,
  };
}
