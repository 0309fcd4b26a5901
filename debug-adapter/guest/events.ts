import { hex } from '../../engine/address.js';
import { instructionCodeName } from '../../engine/rmp/instruction.js';
import { decodeExitCode } from '../../engine/spec/exit-code.js';
import type { GuestEvent } from '../../engine/timeline/event.js';

export type ExitEvent = Extract<GuestEvent, { kind: 'exit' }>;
export type InstructionEvent = Extract<GuestEvent, { kind: 'instruction' }>;
export type ExceptionEvent = Extract<GuestEvent, { kind: 'exception' }>;

const VECTORS: Readonly<Record<number, readonly [name: string, meaning: string]>> = {
  0: ['#DE', 'divide error'],
  1: ['#DB', 'debug'],
  2: ['NMI', 'non-maskable interrupt'],
  3: ['#BP', 'breakpoint'],
  4: ['#OF', 'overflow'],
  5: ['#BR', 'bound range'],
  6: ['#UD', 'invalid opcode'],
  7: ['#NM', 'device not available'],
  8: ['#DF', 'double fault'],
  10: ['#TS', 'invalid TSS'],
  11: ['#NP', 'segment not present'],
  12: ['#SS', 'stack fault'],
  13: ['#GP', 'general protection'],
  14: ['#PF', 'page fault'],
  16: ['#MF', 'x87 floating point'],
  17: ['#AC', 'alignment check'],
  18: ['#MC', 'machine check'],
  19: ['#XF', 'SIMD floating point'],
  21: ['#CP', 'control protection'],
  28: ['#HV', 'hypervisor injection'],
  29: ['#VC', 'VMM communication'],
  30: ['#SX', 'security exception'],
};
const VC = 29;

/** Names of all exceptions, as they can be given to a breakpoint. */
export const EXCEPTION_NAMES: readonly string[] = Object.values(VECTORS)
  .map(([name]) => name)
  .filter((name) => name.startsWith('#'));

export function vectorName(vector: number): string {
  return VECTORS[vector]?.[0] ?? `vector ${vector}`;
}

export function exitName(code: bigint): string {
  return decodeExitCode(code)?.name ?? hex(code);
}

/** `#VC, error code 0x72 (CPUID), at 0x401000` */
export function exceptionText({ vector, errorCode, address, rip }: ExceptionEvent): string {
  const parts = [`${vectorName(vector)} (${VECTORS[vector]?.[1] ?? 'interrupt'})`];
  if (errorCode !== undefined) {
    const meaning = vector === VC ? decodeExitCode(BigInt(errorCode))?.name : undefined;
    parts.push(`error code ${hex(errorCode)}${meaning ? ` (${meaning})` : ''}`);
  }
  if (address !== undefined) parts.push(`CR2 ${hex(address)}`);
  return `${parts.join(', ')}, at ${hex(rip)}`;
}

/** `NPF: nested page fault …` */
export function exitText({ exitCode, exitInfo1, exitInfo2 }: ExitEvent): string {
  const code = decodeExitCode(exitCode);
  const name = code ? code.name : `exit code ${hex(exitCode)}`;
  const info = exitInfo1 === 0n && exitInfo2 === 0n ? '' : `, info ${hex(exitInfo1)} ${hex(exitInfo2)}`;
  return `#VMEXIT ${name}${info}`;
}

/** `PVALIDATE → FAIL_SIZEMISMATCH`; `SUCCESS, CF` for a page that was in the requested state before. */
export function instructionText({ name, code, carry }: InstructionEvent): string {
  return `${name} → ${instructionCodeName(code) ?? code}${name === 'PVALIDATE' && code === 0 && carry ? ', CF' : ''}`;
}
