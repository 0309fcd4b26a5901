import type { Fault } from '../fault.js';
import type { CpuStop, GuestException } from './exception.js';

/**
 * Why a run came back: `left` after `Cpu.leave`, `exit` after a CpuStop of reason `exit` or `exit-after`; `exception`
 * is one that could not be delivered.
 */
export type RunResult =
  | { readonly reason: 'limit' | 'breakpoint' | 'halt' | 'left' | 'exit' }
  | { readonly reason: 'exception'; readonly exception: GuestException }
  | { readonly reason: 'fault'; readonly fault: Fault };

export function resultOf(stop: CpuStop): RunResult {
  if (stop.fault) return { reason: 'fault', fault: stop.fault };
  switch (stop.reason) {
    case 'exit':
    case 'exit-after':
      return { reason: 'exit' };
    case 'fault':
      throw new Error('a stop of reason fault carries the fault');
    default:
      return { reason: stop.reason };
  }
}
