import assert from 'node:assert/strict';
import { HANDLERS, outcome, poke, smallMachine } from './small-machine.js';

const TF = 0x100;
const RSP = 4;
/** pushfq; or dword [rsp], 0x100; popfq */
const SET_TF = [0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d];
const AFTER = 0x1000n + BigInt(SET_TF.length);

describe('single step (RFLAGS.TF)', () => {
  const trapAfter = (code: readonly number[]) => {
    const vcpu = smallMachine([...SET_TF, ...code, 0xf4]);
    const end = outcome(vcpu);
    const top = vcpu.registers.get(RSP);
    const rip = vcpu.readLinear(top, 8);
    return { end, rip, flags: Number(vcpu.readLinear(top + 16n, 8)), vcpu };
  };

  it('traps after the instruction that follows POPF, with TF pushed and cleared and DR6.BS set', () => {
    const { end, rip, flags, vcpu } = trapAfter([0x90, 0x90, 0x90]);
    assert.equal(end, '#1');
    assert.equal(rip, AFTER + 1n);
    assert.equal(flags & TF, TF);
    assert.equal(vcpu.registers.flags & TF, 0);
    assert.equal(vcpu.state.debug[6], 0x4ff0n | 0xffff_0000n);
  });

  it('traps after branches, memory accesses, instructions in TypeScript and HLT', () => {
    assert.equal(trapAfter([0xeb, 2, 0x90, 0x90, 0x90]).rip, AFTER + 4n);
    assert.equal(trapAfter([0x50, 0x90]).rip, AFTER + 1n);
    assert.equal(trapAfter([0x0f, 0xa2, 0x90]).rip, AFTER + 2n);
    assert.equal(trapAfter([0xf4]).rip, AFTER + 1n);
  });

  it('does not trap after INT n and after a load of SS', () => {
    // int 3 leads to its handler, which halts with TF clear.
    assert.equal(trapAfter([0xcd, 3]).end, '#3');
    // mov eax, ss was trapped first: step over that with ss in a register beforehand
    const vcpu = smallMachine([0x8c, 0xd0, ...SET_TF, 0x8e, 0xd0, 0x90, 0x90, 0xf4]);
    assert.equal(outcome(vcpu), '#1');
    assert.equal(vcpu.readLinear(vcpu.registers.get(RSP), 8), AFTER + 2n + 3n);
  });

  it('a fault comes before the trap, and has TF in its frame', () => {
    const { end, rip, flags } = trapAfter([0x0f, 0x0b]);
    assert.deepEqual([end, rip, flags & TF], ['#6', AFTER, TF]);
  });

  it('the trap comes before the fault of the next instruction’s fetch', () => {
    // jmp to an address that is not mapped: #DB, not #PF
    const { end, rip } = trapAfter([0xe9, 0, 0, 0x40, 0]);
    assert.deepEqual([end, rip], ['#1', AFTER + 5n + 0x40_0000n]);
  });

  it('a handler that returns with TF steps instruction by instruction, however the run is cut', () => {
    const run = (slice: number) => {
      const vcpu = smallMachine([...SET_TF, 0x90, 0xff, 0xc0, 0xff, 0xc0, 0x0f, 0x0b]);
      // inc ecx; iretq
      poke(vcpu, HANDLERS + 16, 4, 0xcf48c1ffn);
      poke(vcpu, HANDLERS + 20, 1, 0n);
      while (vcpu.cpu.run(slice).reason === 'limit');
      return [vcpu.registers.get(0), vcpu.registers.get(1), vcpu.registers.rip, vcpu.cpu.instructions];
    };
    const whole = run(1000);
    assert.deepEqual(whole.slice(0, 2), [2n, 3n]);
    for (const slice of [1, 2, 3, 7]) assert.deepEqual(run(slice), whole);
  });

  it('traps after each element of a repeated instruction', () => {
    // mov ecx, 3; lea esi, [0x3000]; lea edi, [0x3100]; rep movsb, with TF set by hand before it
    const vcpu = smallMachine([0xf3, 0xa4, 0x90, 0xf4]);
    for (const [n, value] of [
      [1, 3n],
      [6, 0x3000n],
      [7, 0x3100n],
    ] as const)
      vcpu.registers.set(n, value);
    vcpu.registers.flags |= TF;
    assert.equal(outcome(vcpu), '#1');
    const frame = vcpu.registers.get(RSP);
    assert.deepEqual([vcpu.readLinear(frame, 8), vcpu.registers.get(1)], [0x1000n, 2n]);
  });
});
