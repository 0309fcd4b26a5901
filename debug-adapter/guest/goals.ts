import type { EngineEvent } from '../../engine/timeline/event.js';
import type { StopPredicate } from '../../engine/timeline/step.js';
import type { InstructionFlow } from './disassembler.js';
import { runTo, type Steering, stepSingly } from './steering.js';

/** Where a vCPU stands, and what its next instruction is. */
export interface Standing {
  readonly rip: bigint;
  readonly rsp: bigint;
  /** Bytes of the instruction; 0 if it cannot be read. */
  readonly length: number;
  readonly flow: InstructionFlow;
  /** Instructions retired on the machine. */
  readonly instructions: number;
}

export interface GuestStep {
  readonly vcpu: number;
  readonly steering: Steering;
  /** Reads the vCPU as it is now; `rip` asks for another instruction than the next one. */
  readonly look: (rip?: bigint) => Standing;
}

/** The host's timer ends a quantum: nothing of it belongs to the instruction that is stepped. */
const INTR = 0x60n;

/** One instruction; an exit leads into the handlers of the host, except one that only the host's timer made. */
export function guestStepIn({ vcpu, steering, look }: GuestStep): StopPredicate {
  stepSingly(steering, vcpu);
  const since = look().instructions;
  let isExiting = false;
  return (event) => {
    if (isArrival(event, vcpu)) {
      isExiting = false;
      return look().instructions > since;
    }
    if (event.kind === 'exit') isExiting = event.vcpu === vcpu && event.exitCode !== INTR;
    return event.kind === 'enter' && isExiting;
  };
}

/** The vCPU stands before an instruction: it has given control, or is entered after an exit. */
function isArrival(event: EngineEvent, vcpu: number): boolean {
  if (event.kind === 'control') return event.vcpu === vcpu;
  return event.kind === 'enter' && event.frame.layer === 'guest' && event.frame.args['vcpu'] === vcpu;
}

/** After an exit: until the vCPU is entered again, before its next instruction. */
export function untilEntered(vcpu: number): StopPredicate {
  return (event) => event.kind === 'enter' && isArrival(event, vcpu);
}

/** One instruction of this function; what it calls, what the host does and exception handlers are passed over. */
export function guestStepOver(step: GuestStep): StopPredicate {
  const walk = walker(step);
  return (event) => walk(event) === 'next';
}

/** Until the present function, or exception handler, has returned. */
export function guestStepOut(step: GuestStep): StopPredicate {
  const { rsp } = step.look();
  const isReturn = (): boolean => {
    const here = step.look();
    return here.flow === 'return' && here.rsp >= rsp;
  };
  let isReturning = isReturn();
  const walk = walker(step);
  return (event) => {
    if (walk(event) !== 'next') return false;
    if (isReturning) return true;
    isReturning = isReturn();
    return false;
  };
}

/**
 * Walks through one function: says `next` where the vCPU stands before the next instruction at this depth of the
 * stack, and goes on from there if it is asked again.
 */
function walker({ vcpu, steering, look }: GuestStep): (event: EngineEvent) => 'next' | undefined {
  let start = look();
  /** Set while something deeper runs: where it returns to, and the address that means "try again". */
  let deeper: { readonly after: bigint; readonly again?: bigint } | undefined;

  const begin = (): void => {
    start = look();
    deeper = undefined;
    const isPassed = (start.flow === 'call' || start.flow === 'repeat') && start.length > 0;
    if (isPassed) pass({ after: start.rip + BigInt(start.length) });
    else stepSingly(steering, vcpu);
  };
  const pass = (over: { readonly after: bigint; readonly again?: bigint }): void => {
    deeper = over;
    runTo(steering, over.again === undefined ? [over.after] : [over.after, over.again]);
  };
  begin();

  return (event) => {
    if (event.kind === 'exception' && event.vcpu === vcpu && !deeper) {
      // The handler returns to the instruction, which is executed again, or to the one after it.
      const { length } = look(event.rip);
      pass({ after: event.rip + BigInt(length), again: event.rip });
      return undefined;
    }
    if (!isArrival(event, vcpu)) return undefined;
    const { rip, rsp, instructions } = look();
    // Control for what was before, or a new entry after an exit in the middle of the instruction.
    if (instructions <= start.instructions) return undefined;
    if (!deeper) {
      begin();
      return 'next';
    }
    if (rsp < start.rsp) return undefined;
    if (rip === deeper.again) {
      // The fetch at the target of a branch may be what failed: the branch itself is done.
      const isDone = rip !== start.rip;
      begin();
      return isDone ? 'next' : undefined;
    }
    if (rip !== deeper.after) return undefined;
    begin();
    return 'next';
  };
}
