import { nearest } from '../../engine/launch/grammar/suggest.js';
import { decodeExitCode } from '../../engine/spec/exit-code.js';
import type { EngineEvent } from '../../engine/timeline/event.js';
import { EXCEPTION_NAMES, exitName, vectorName } from '../guest/events.js';

const LAST_EXIT_CODE = 0x403;

/** `exit:NPF` for every exit of the processor, and `exit:*` for all of them. */
export const EXIT_NAMES: readonly string[] = [
  'exit:*',
  ...Array.from({ length: LAST_EXIT_CODE + 1 }, (_, code) => decodeExitCode(BigInt(code))?.name)
    .filter((name) => name !== undefined)
    .map((name) => `exit:${name}`),
];

/** Instructions of the guest that work on the RMP: a function breakpoint stops right after one. */
export const RMP_INSTRUCTION_NAMES: readonly string[] = ['PVALIDATE', 'RMPADJUST', 'RMPQUERY'];

/** What a function breakpoint can stop at in a guest beside functions of the host. */
export const GUEST_NAMES: readonly string[] = [...EXIT_NAMES, '#*', ...EXCEPTION_NAMES, ...RMP_INSTRUCTION_NAMES];

/** Does the name mean an exit or an exception rather than a function? */
export function isGuestName(name: string): boolean {
  return /^\s*(exit:|#)/i.test(name);
}

/** Why a name of an exit or exception is none; undefined if it is one. */
export function unknownGuestName(name: string): string | undefined {
  const wanted = name.trim().toLowerCase();
  if (GUEST_NAMES.some((known) => known.toLowerCase() === wanted)) return undefined;
  const meant = nearest(wanted, GUEST_NAMES);
  const advice = meant ? `Did you mean ${meant}?` : 'Examples are exit:VMGEXIT, exit:NPF, exit:*, #VC and #PF.';
  return `"${name.trim()}" is no exit and no exception. ${advice}`;
}

/** The names, in lower case, under which a function breakpoint stops at this event. */
export function guestNamesOf(event: EngineEvent): readonly string[] {
  if (event.kind === 'exit') return ['exit:*', `exit:${exitName(event.exitCode).toLowerCase()}`];
  if (event.kind === 'exception') return ['#*', vectorName(event.vector).toLowerCase()];
  if (event.kind === 'instruction') return [event.name.toLowerCase()];
  return [];
}
