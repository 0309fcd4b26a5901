import { hex } from '../address.js';
import { defineFault, type Fault, makeFault } from '../fault.js';
import type { Machine } from '../machine.js';
import type { EngineEvent, GuestEvent } from '../timeline/event.js';
import { EXCEPTION_NAMES } from './exception-names.js';

type ExceptionEvent = Extract<GuestEvent, { kind: 'exception' }>;
type InstructionEvent = Extract<GuestEvent, { kind: 'instruction' }>;

export const GUEST_EXCEPTION = defineFault<{ name: string; rip: string; error: string; address: string }>({
  check: 'guest-exception',
  layer: 'guest',
  command: 'exception',
  code: { kind: 'exception', name: 'exception', value: 0 },
  title: 'Exception in the guest',
  message: (o) =>
    `The instruction at ${o.rip} raised ${o.name}${o.error === '' ? '' : ` with error code ${o.error}`}${o.address === '' ? '' : ` for address ${o.address}`}.`,
  why: 'An exception is no mistake by itself: page faults and the like are everyday business of an operating system. Where the guest has no handler for it, or no stack to deliver it on, it leads to a double fault and then to a triple fault, which ends the guest.',
  hint: 'Look at the instruction and its operands, and at the guest’s handler for this exception.',
  reference: 'AMD64 APM vol. 2, chapter 8',
  confirmed: true,
});

export const REPEATED_EXCEPTION = defineFault<{
  name: string;
  rip: string;
  error: string;
  count: number;
  distance: number;
}>({
  check: 'guest-exception-repeated',
  layer: 'guest',
  command: 'exception',
  code: { kind: 'exception', name: 'exception', value: 0 },
  title: 'The same exception again and again',
  message: (o) =>
    `Right before, the instruction at ${o.rip} raised ${o.name}${o.error === '' ? '' : ` with error code ${o.error}`} ${o.count} times in a row, about every ${o.distance} instructions: its handler ran into the same exception and never returned.`,
  why: 'A handler must not do what raises the exception that it handles. A #VC handler in particular must not use CPUID, IN, OUT or an MSR that the host intercepts, and must not touch memory that is not validated: each of them is #VC again, and the stack fills up.',
  hint: 'Have the handler answer from the CPUID page and through the GHCB, without instructions that raise the exception.',
  reference: 'AMD64 APM vol. 2, 15.35.5; Linux arch/x86/coco/sev/core.c exc_vmm_communication()',
  confirmed: true,
});

export const VALIDATED_TWICE = defineFault<{ rip: string; operands: string }>({
  check: 'guest-pvalidate-unchanged',
  layer: 'guest',
  command: 'PVALIDATE',
  code: { kind: 'instruction', name: 'CF=1', value: 0 },
  title: 'PVALIDATE changed nothing',
  message: (o) =>
    `PVALIDATE at ${o.rip} (${o.operands}) succeeded with CF set: the page was in the requested state before.`,
  why: 'A guest must know which of its pages are validated. If it validates a page a second time the host may have exchanged the page behind the address in between, and the guest would accept it: CF tells, and a careful guest ends.',
  hint: 'Validate each page once after each change of its state, and treat CF as an error.',
  reference: 'AMD64 APM vol. 3, PVALIDATE; vol. 2, 15.36.6',
  confirmed: true,
});

export const GUEST_INSTRUCTION_FAILED = defineFault<{ name: string; rip: string; code: number; operands: string }>({
  check: 'guest-rmp-instruction-failed',
  layer: 'guest',
  command: 'PVALIDATE',
  code: { kind: 'instruction', name: 'EAX', value: 0 },
  title: 'RMP instruction of the guest failed',
  message: (o) => `${o.name} at ${o.rip} (${o.operands}) returned ${o.code} in EAX.`,
  why: 'PVALIDATE, RMPADJUST and RMPQUERY tell in EAX why they did not do what was asked; the page is as it was.',
  hint: 'See the instruction’s own reason below.',
  reference: 'AMD64 APM vol. 3, PVALIDATE, RMPADJUST, RMPQUERY',
  confirmed: true,
});

const PAGE_FAULT = 14;
const VC = 29;
const VMGEXIT = 0x403n;
/** A handler that ends in its own exception gets there within so many instructions, and does it again and again. */
const NESTED_DISTANCE = 100;
const NESTED_COUNT = 4;

/** The same exception at the same instruction, once or in a row. */
interface ExceptionRun {
  readonly vector: number;
  readonly rip: bigint;
  readonly errorCode: number | undefined;
  readonly first: number;
  last: number;
  count: number;
  /** Why, with what led to it. */
  readonly fault: Fault;
}

/** What is remembered of the last exception of each vCPU while a guest runs. */
export type ExceptionRuns = Map<number, ExceptionRun>;

/** Remembers what went wrong for a guest, so that its end can be explained. Called with every event of a running guest. */
export function noteIncident(machine: Machine, runs: ExceptionRuns, event: EngineEvent): void {
  if (event.kind === 'exception') noteException(machine, runs, event);
  else if (event.kind === 'instruction') {
    const fault = instructionIncident(event);
    if (fault) note(machine, { vcpu: event.vcpu, rip: event.rip, instructions: event.instructions, fault });
  } else if (event.kind === 'exit' && event.exitCode === VMGEXIT) runs.delete(event.vcpu);
}

/** `rip` may be unknown. */
export function note(
  machine: Machine,
  incident: { readonly vcpu: number; readonly rip?: bigint; readonly instructions: number; readonly fault: Fault },
): void {
  machine.incidents.set(incident.vcpu, incident);
}

function noteException(machine: Machine, runs: ExceptionRuns, event: ExceptionEvent): void {
  const { vcpu, vector, rip, errorCode, instructions } = event;
  const before = runs.get(vcpu);
  if (before?.vector === vector && before.rip === rip && before.errorCode === errorCode) {
    // One whose delivery was cut off by a nested page fault comes again.
    if (instructions > before.last) before.count++;
    before.last = instructions;
  } else {
    const fault = exceptionFault(event, before && leadingTo(before, event));
    runs.set(vcpu, { vector, rip, errorCode, first: instructions, last: instructions, count: 1, fault });
  }
  // #VC for exits that a guest is meant to handle is no incident; only one with a reason is.
  const fault = runs.get(vcpu)?.fault;
  if (fault && (vector !== VC || event.fault)) note(machine, { vcpu, rip, instructions, fault });
}

/** The exception before, if this one comes of it: of its delivery, or of a handler that does not get anywhere. */
function leadingTo(before: ExceptionRun, event: ExceptionEvent): Fault | undefined {
  const { vector, rip, errorCode, count, first, last, fault } = before;
  const distance = count < 2 ? Number.POSITIVE_INFINITY : Math.round((last - first) / (count - 1));
  const isNested = count >= NESTED_COUNT && distance <= NESTED_DISTANCE && event.instructions - last <= NESTED_DISTANCE;
  if (isNested) {
    const name = nameOf(vector);
    const error = errorCode === undefined ? '' : hex(errorCode);
    const extra = { code: codeOf(before), ...(fault.cause ? { cause: fault.cause } : {}) };
    return makeFault(REPEATED_EXCEPTION, { name, rip: hex(rip), error, count, distance }, extra);
  }
  // #DF and what comes of it has no handler between.
  return rip === event.rip && event.instructions - last <= 1 ? fault : undefined;
}

function nameOf(vector: number): string {
  return EXCEPTION_NAMES[vector] ?? `exception ${vector}`;
}

function codeOf({ vector, errorCode }: Pick<ExceptionEvent, 'vector' | 'errorCode'>) {
  return { kind: 'exception', name: nameOf(vector), value: errorCode ?? vector } as const;
}

function exceptionFault(event: ExceptionEvent, before: Fault | undefined): Fault {
  const { vector, errorCode, address } = event;
  const operands = {
    name: nameOf(vector),
    rip: hex(event.rip),
    error: errorCode === undefined ? '' : hex(errorCode),
    address: address === undefined || (vector !== PAGE_FAULT && !event.fault) ? '' : hex(address),
  };
  const cause = event.fault ?? before;
  return makeFault(GUEST_EXCEPTION, operands, { code: codeOf(event), ...(cause ? { cause } : {}) });
}

function instructionIncident(event: InstructionEvent): Fault | undefined {
  const operands = Object.entries(event.operands)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
  const rip = hex(event.rip);
  if (event.code !== 0) {
    const code = { kind: 'instruction', name: 'EAX', value: event.code } as const;
    const extra = event.fault ? { code, cause: event.fault } : { code };
    return makeFault(GUEST_INSTRUCTION_FAILED, { name: event.name, rip, code: event.code, operands }, extra);
  }
  if (!event.carry || event.name !== 'PVALIDATE') return undefined;
  return makeFault(VALIDATED_TWICE, { rip, operands }, event.fault ? { cause: event.fault } : {});
}
