import { hex } from '../address.js';
import { formatOperand, type Operands } from '../fault.js';
import { exceptionName } from '../spec/exception-name.js';
import { decodeExitCode } from '../spec/exit-code.js';
import { decodeGhcbMsr } from '../spec/ghcb-msr.js';
import { decodeNpfError } from '../spec/npf-error.js';
import type { EngineEvent, GuestEvent } from './event.js';
import { faultJson, type JsonObject, operandsJson } from './format.js';

/** Guest events as readable lines and as plain objects; see format.ts. */

type Of<K extends GuestEvent['kind']> = GuestEvent & { readonly kind: K };

export function isGuestEvent(event: EngineEvent): event is GuestEvent {
  return GUEST_KINDS.includes(event.kind);
}
const GUEST_KINDS: readonly string[] = ['exit', 'exception', 'instruction', 'console', 'control'];

export function guestEventText(event: GuestEvent): string {
  if (event.kind === 'console') return `${event.source}: ${event.text}`;
  const fault = event.kind === 'control' || !event.fault ? '' : ` [${event.fault.check}]`;
  return `vCPU ${event.vcpu} rip=${hex(event.rip)} ${what(event)}${fault}`;
}

function what(event: Exclude<GuestEvent, Of<'console'>>): string {
  switch (event.kind) {
    case 'exit':
      return `#VMEXIT ${exitText(event)}`;
    case 'exception':
      return exceptionText(event);
    case 'instruction': {
      const operands = operandsText(event.operands);
      return `${event.name} ${operands} → eax=${event.code}${event.name === 'PVALIDATE' ? ` cf=${event.carry ? 1 : 0}` : ''}`;
    }
    case 'control':
      return event.reason;
  }
}

function operandsText(operands: Operands): string {
  return Object.entries(operands)
    .map(([name, value]) => `${name}=${formatOperand(value)}`)
    .join(' ');
}

const NPF_EXIT = 0x400n;
const VMGEXIT = 0x403n;
const MSR_TRAPS = /_WRITE_TRAP$/;

/** `NPF gpa=0x5000 private write, no nested page table entry`. */
function exitText(event: Of<'exit'>): string {
  const name = decodeExitCode(event.exitCode)?.name ?? hex(event.exitCode);
  if (event.exitCode === VMGEXIT) return `${name} ${ghcbText(event.ghcb)}`;
  if (event.exitCode === NPF_EXIT) return `${name} gpa=${hex(event.exitInfo2)} ${npfText(event.exitInfo1)}`;
  return MSR_TRAPS.test(name) ? `${name} value=${hex(event.exitInfo1)}` : name;
}

/** `MSR protocol: SEV information request` or `GHCB page 0x5000`. */
function ghcbText(msr: bigint): string {
  const { code, name, fields } = decodeGhcbMsr(msr);
  if (code === 0) return `GHCB page ${hex(msr)}`;
  const shown = fields
    .filter(({ value }) => value !== 0n)
    .map((field) => `${field.name}=${hex(field.value)}${field.meaning ? ` (${field.meaning})` : ''}`);
  return [`MSR ${hex(msr)} ${name}`, ...shown].join(' ');
}

/** The set bits by name. */
export function npfText(info1: bigint): string {
  const names = decodeNpfError(info1)
    .fields.filter(({ value }) => value)
    .map(({ name }) => name);
  return `error=${hex(info1)} (${names.join(' ')})`;
}

const VC = 29;
const PF = 14;

function exceptionText(event: Of<'exception'>): string {
  const name = exceptionName(event.vector);
  const code = event.errorCode === undefined ? '' : ` error=${hex(event.errorCode)}`;
  const address = event.address === undefined ? '' : ` cr2=${hex(event.address)}`;
  const reason = event.vector === VC && event.errorCode !== undefined ? vcText(event.errorCode) : '';
  return `${name}${code}${reason}${event.vector === PF || event.vector === VC ? address : ''}`;
}

/** ` (CPUID)` */
function vcText(errorCode: number): string {
  const name = decodeExitCode(BigInt(errorCode))?.name;
  return name ? ` (${name})` : '';
}

export function guestEventJson(event: GuestEvent): JsonObject {
  if (event.kind === 'console') {
    return { event: 'console', depth: event.depth, source: event.source, text: event.text };
  }
  const place = { depth: event.depth, vcpu: event.vcpu, rip: hex(event.rip), instructions: event.instructions };
  const fault: JsonObject = event.kind !== 'control' && event.fault ? { fault: faultJson(event.fault) } : {};
  switch (event.kind) {
    case 'exit':
      return {
        event: 'exit',
        ...place,
        name: decodeExitCode(event.exitCode)?.name ?? null,
        exitCode: hex(event.exitCode),
        exitInfo1: hex(event.exitInfo1),
        exitInfo2: hex(event.exitInfo2),
        ghcb: hex(event.ghcb),
        ...fault,
      };
    case 'exception':
      return {
        event: 'exception',
        ...place,
        name: exceptionName(event.vector),
        vector: event.vector,
        errorCode: event.errorCode === undefined ? null : hex(event.errorCode),
        address: event.address === undefined ? null : hex(event.address),
        ...fault,
      };
    case 'instruction':
      return {
        event: 'instruction',
        ...place,
        name: event.name,
        operands: operandsJson(event.operands),
        eax: event.code,
        carry: event.carry,
        ...fault,
      };
    case 'control':
      return { event: 'control', ...place, reason: event.reason };
  }
}
