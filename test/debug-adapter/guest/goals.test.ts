import assert from 'node:assert/strict';
import type { InstructionFlow } from '../../../debug-adapter/guest/disassembler.js';
import {
  type GuestStep,
  guestStepIn,
  guestStepOut,
  guestStepOver,
  untilEntered,
} from '../../../debug-adapter/guest/goals.js';
import { createSteering, steer } from '../../../debug-adapter/guest/steering.js';
import type { EngineEvent, FrameLayer } from '../../../engine/timeline/event.js';

/** A program of instructions of 4 bytes: what each does to stepping. */
type Program = Readonly<Record<number, InstructionFlow>>;

/** A vCPU that a test moves by hand. */
class Subject {
  rip = 0x1000n;
  rsp = 0x8000n;
  private instructions = 100;
  readonly steering = createSteering();
  readonly control = {
    slice: 0,
    breakpoints: new Set<bigint>() as ReadonlySet<bigint>,
    limit: Number.POSITIVE_INFINITY,
  };

  constructor(private readonly program: Program) {}

  get step(): GuestStep {
    return {
      vcpu: 0,
      steering: this.steering,
      look: (rip = this.rip) => ({
        rip,
        rsp: this.rsp,
        length: 4,
        flow: this.program[Number(rip)] ?? 'next',
        instructions: this.instructions,
      }),
    };
  }

  /** Where the guest would give control back now. */
  get wanted(): { readonly slice: number; readonly breakpoints: readonly number[] } {
    steer(this.steering, this.control, 0, 0);
    return { slice: this.control.slice, breakpoints: [...this.control.breakpoints].map(Number) };
  }

  at(rip: number, rsp = Number(this.rsp), vcpu = 0): EngineEvent {
    this.rip = BigInt(rip);
    this.rsp = BigInt(rsp);
    this.instructions++;
    return { kind: 'control', reason: 'slice', depth: 3, vcpu, rip: this.rip, instructions: this.instructions };
  }

  /** The vCPU is entered again: after an instruction that has ended in an exit, or in the middle of one. */
  entered(rip: number, isDone: boolean): EngineEvent {
    this.rip = BigInt(rip);
    if (isDone) this.instructions++;
    return enter('guest');
  }

  /** Control for what happened before the step. */
  stale(): EngineEvent {
    return { kind: 'control', reason: 'slice', depth: 3, vcpu: 0, rip: this.rip, instructions: this.instructions };
  }

  exit(exitCode: bigint, vcpu = 0): EngineEvent {
    const info = { exitInfo1: 0n, exitInfo2: 0n, ghcb: 0n };
    return { kind: 'exit', depth: 3, vcpu, rip: this.rip, instructions: this.instructions, exitCode, ...info };
  }

  exception(rip = Number(this.rip)): EngineEvent {
    const what = { vector: 29, errorCode: 0x72, address: undefined };
    return { kind: 'exception', depth: 3, vcpu: 0, rip: BigInt(rip), instructions: this.instructions, ...what };
  }
}

function enter(layer: FrameLayer, vcpu = 0): EngineEvent {
  return { kind: 'enter', depth: 3, frame: { id: 9, layer, name: 'f', args: { vcpu } } };
}

describe('steps of a guest', () => {
  it('in: one instruction of this vCPU', () => {
    const subject = new Subject({});
    const goal = guestStepIn(subject.step);
    assert.equal(subject.wanted.slice, 1);
    assert.equal(goal(subject.stale()), false, 'nothing has been executed yet');
    assert.equal(goal(subject.at(0x2000, 0x9000, 1)), false, 'another vCPU');
    assert.equal(goal(subject.at(0x1004)), true);
  });

  it('in: through an exit into the handler, but not for the timer', () => {
    const subject = new Subject({});
    const goal = guestStepIn(subject.step);
    assert.equal(goal(subject.exit(0x60n)), false);
    assert.equal(goal(enter('kvm')), false, 'INTR is none of this instruction');
    assert.equal(goal(enter('guest')), false);
    assert.equal(goal(subject.exit(0x403n)), false);
    assert.equal(goal(enter('kvm')), true);
  });

  it('in: on to the next instruction where an exit has no handler of its own', () => {
    const subject = new Subject({});
    const goal = guestStepIn(subject.step);
    goal(subject.exit(0x403n));
    assert.equal(goal(enter('guest')), false);
    assert.equal(goal(enter('kvm')), false, 'the exit is over');
    assert.equal(goal(subject.at(0x1004)), true);
  });

  it('over: an instruction that exits, to the entry after it, but not to one in its middle', () => {
    const subject = new Subject({ 4096: 'call' });
    const goal = guestStepOver(subject.step);
    goal(subject.exit(0x400n));
    assert.equal(goal(subject.entered(0x1000, false)), false, 'a page has been mapped');
    goal(subject.exit(0x403n));
    assert.equal(goal(subject.entered(0x1004, true)), true);
  });

  it('over: a call runs freely to the instruction after it, at the same depth of the stack', () => {
    const subject = new Subject({ 4096: 'call' });
    const goal = guestStepOver(subject.step);
    assert.deepEqual(subject.wanted.breakpoints, [0x1004]);
    assert.ok(subject.wanted.slice > 1);
    assert.equal(goal(subject.at(0x3000, 0x7ff8)), false);
    assert.equal(goal(subject.exit(0x403n)), false);
    assert.equal(goal(enter('kvm')), false);
    assert.equal(goal(subject.at(0x1004, 0x7f00)), false, 'a deeper call of the same function');
    assert.equal(goal(subject.at(0x1004, 0x8000)), true);
  });

  it('over: a repeated instruction is one', () => {
    const subject = new Subject({ 4096: 'repeat' });
    const goal = guestStepOver(subject.step);
    assert.deepEqual(subject.wanted.breakpoints, [0x1004]);
    assert.equal(goal(subject.at(0x1000)), false);
    assert.equal(goal(subject.at(0x1004)), true);
  });

  it('over: a handler of an exception that skips the instruction', () => {
    const subject = new Subject({});
    const goal = guestStepOver(subject.step);
    assert.equal(subject.wanted.slice, 1);
    assert.equal(goal(subject.exception()), false);
    assert.deepEqual(subject.wanted.breakpoints, [0x1004, 0x1000]);
    assert.equal(goal(subject.at(0x5000, 0x7fd0)), false, 'the handler');
    assert.equal(goal(subject.at(0x1004, 0x8000)), true);
  });

  it('over: a handler of an exception after which the instruction is executed again', () => {
    const subject = new Subject({});
    const goal = guestStepOver(subject.step);
    goal(subject.exception());
    assert.equal(goal(subject.at(0x1000, 0x8000)), false);
    assert.deepEqual(subject.wanted, { slice: 1, breakpoints: [] });
    assert.equal(goal(subject.at(0x1004, 0x8000)), true);
  });

  it('over: a branch whose target cannot be fetched at once', () => {
    const subject = new Subject({});
    const goal = guestStepOver(subject.step);
    goal(subject.exception(0x9000));
    assert.equal(goal(subject.at(0x9000, 0x8000)), true);
  });

  it('out: until the return of this function', () => {
    const subject = new Subject({ 4104: 'call', 4112: 'return', 12288: 'return' });
    const goal = guestStepOut(subject.step);
    assert.equal(goal(subject.at(0x1004)), false);
    assert.equal(goal(subject.at(0x1008)), false);
    assert.deepEqual(subject.wanted.breakpoints, [0x100c], 'the call is passed over');
    assert.equal(goal(subject.at(0x100c)), false);
    assert.equal(goal(subject.at(0x1010, 0x8010)), false, 'the return is to be executed yet');
    assert.equal(goal(subject.at(0x4000, 0x8018)), true);
  });

  it('out: at once where the return is next', () => {
    const subject = new Subject({ 4096: 'return' });
    const goal = guestStepOut(subject.step);
    assert.equal(goal(subject.at(0x4000, 0x8008)), true);
  });

  it('after an exit: to the next entry of this vCPU', () => {
    const goal = untilEntered(1);
    assert.equal(goal(enter('kvm', 1)), false);
    assert.equal(goal(enter('guest', 0)), false);
    assert.equal(goal(enter('guest', 1)), true);
  });
});
