import type { Fault } from '../fault.js';
import type { GuestException } from './exception.js';

/** Why a run came back. */
export type RunResult =
  | { readonly reason: 'limit' | 'breakpoint' | 'halt' }
  | { readonly reason: 'exception'; readonly exception: GuestException }
  | { readonly reason: 'fault'; readonly fault: Fault };
