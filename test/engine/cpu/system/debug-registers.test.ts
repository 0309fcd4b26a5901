import assert from 'node:assert/strict';
import type { Vcpu } from '../../../../engine/cpu/system/vcpu.js';
import { HANDLERS, outcome, peek, poke, type SmallMachineOptions, smallMachine } from './small-machine.js';

const [RAX, RCX, RSP, RSI, RDI] = [0, 1, 4, 6, 7];
const RF = 0x1_0000n;
const DATA = 0xc000n;
const NOP = 0x90;
const HLT = 0xf4;
/** R/W and LEN of breakpoint n, enabled. */
const arm = (n: number, kind: 'execute' | 'write' | 'port' | 'access', bytes: 1 | 2 | 4 | 8): bigint => {
  const rw = { execute: 0, write: 1, port: 2, access: 3 }[kind];
  const length = { 1: 0, 2: 1, 8: 2, 4: 3 }[bytes];
  return BigInt((1 << (2 * n)) | (rw << (16 + 4 * n)) | (length << (18 + 4 * n)));
};

function machine(code: readonly number[], address: bigint, control: bigint, options: SmallMachineOptions = {}): Vcpu {
  const vcpu = smallMachine([...code, HLT], options);
  vcpu.state.debug[0] = address;
  vcpu.state.debug[7] = 0x400n | control;
  vcpu.registers.set(RCX, DATA);
  vcpu.debugChanged();
  return vcpu;
}

/** Where the handler of #DB says that it came from. */
const frame = (v: Vcpu) => ({
  rip: Number(v.readLinear(v.registers.get(RSP), 8)),
  flags: v.readLinear(v.registers.get(RSP) + 16n, 8),
  dr6: Number(v.state.debug[6] ?? 0n) & 0xe00f,
});

/** mov [rcx], eax; mov eax, [rcx+4]; mov [rcx+8], rax; nop */
const ACCESSES = [0x89, 0x01, 0x8b, 0x41, 4, 0x48, 0x89, 0x41, 8, NOP];

describe('breakpoints for data in the debug registers', () => {
  const cases: readonly (readonly [string, bigint, bigint, number | undefined])[] = [
    ['a write of the watched bytes', DATA, arm(0, 'write', 4), 0x1002],
    ['one byte of a wider write', DATA + 3n, arm(0, 'write', 1), 0x1002],
    ['not the bytes behind', DATA + 16n, arm(0, 'write', 1), undefined],
    ['a read, of a breakpoint for accesses', DATA + 4n, arm(0, 'access', 2), 0x1005],
    ['not a read, of one for writes', DATA + 4n, arm(0, 'write', 4), undefined],
    ['eight bytes, aligned by their length', DATA + 9n, arm(0, 'write', 8), 0x1009],
    ['not when it is not enabled', DATA, arm(0, 'write', 4) & ~0xffn, undefined],
  ];
  for (const [name, address, control, expected] of cases) {
    it(name, () => {
      const vcpu = machine(ACCESSES, address, control);
      assert.equal(outcome(vcpu), expected === undefined ? 'halt' : '#1');
      if (expected === undefined) return;
      const { rip, flags, dr6 } = frame(vcpu);
      assert.deepEqual([rip, dr6, flags & RF], [expected, 1, 0n]);
    });
  }

  it('the trap comes after the access, at the same count as an instruction takes', () => {
    const vcpu = machine(ACCESSES, DATA, arm(0, 'write', 4));
    vcpu.registers.set(RAX, 0x1234n);
    assert.equal(outcome(vcpu), '#1');
    assert.equal(peek(vcpu, Number(DATA), 4), 0x1234n);
    // The access and HLT of the handler: a trap takes no time of its own.
    assert.equal(vcpu.cpu.instructions, 2);
  });

  it('pushes of instructions in TypeScript count, implicit accesses do not', () => {
    // pusha is not there in 64-bit mode: fxsave [rcx]
    const fxsave = machine([0x0f, 0xae, 0x01], DATA + 0x20n, arm(0, 'write', 1));
    assert.equal(outcome(fxsave), '#1');
    const gate = machine([0xcd, 3], 0x5030n, arm(0, 'access', 8));
    assert.equal(outcome(gate), '#3');
  });

  it('a fault of the instruction wins: nothing has been accessed', () => {
    // push [rcx] with a stack that is not mapped: read matches, the push faults
    const vcpu = machine([0xff, 0x31], DATA, arm(0, 'access', 4));
    for (let n = 0; n < 32; n++) poke(vcpu, 0x5000 + 16 * n + 4, 1, 1n);
    poke(vcpu, 0x7024, 8, 0x3f00n);
    vcpu.registers.set(RSP, 0x20_0000n + 8n);
    assert.equal(outcome(vcpu), '#14');
    assert.equal(frame(vcpu).dr6, 0);
  });

  it('repeated string instructions trap at the element that matches', () => {
    for (const slice of [1, 2, 100]) {
      const vcpu = machine([0xf3, 0xaa], DATA + 5n, arm(0, 'write', 1));
      vcpu.registers.set(RDI, DATA);
      vcpu.registers.set(RCX, 10n);
      let end = vcpu.cpu.run(slice);
      while (end.reason === 'limit') end = vcpu.cpu.run(slice);
      assert.equal(Number(vcpu.registers.rip), HANDLERS + 16 + 1);
      assert.deepEqual([frame(vcpu).rip, vcpu.registers.get(RCX), vcpu.registers.get(RDI)], [0x1000, 4n, DATA + 6n]);
    }
  });

  it('single step and match come as one #DB', () => {
    const vcpu = machine(ACCESSES, DATA, arm(0, 'write', 4));
    vcpu.registers.flags |= 0x100;
    assert.equal(outcome(vcpu), '#1');
    assert.deepEqual([frame(vcpu).rip, frame(vcpu).dr6], [0x1002, 0x4001]);
  });

  it('ports, where CR4.DE allows them', () => {
    const ports = { read: () => 7, write: () => {} };
    const code = [0xe4, 0x11, NOP, NOP];
    const armed = (cr4: number) => machine(code, 0x10n, arm(0, 'port', 2), { ports, cr4 });
    const vcpu = armed(8);
    assert.equal(outcome(vcpu), '#1');
    assert.deepEqual([frame(vcpu).rip, vcpu.registers.get(RAX)], [0x1002, 7n]);
    assert.equal(outcome(armed(0)), 'halt');
  });
});

describe('breakpoints for instructions in the debug registers', () => {
  const INC = [0xff, 0xc0];

  it('fault before the instruction, also in the middle of a block that has run', () => {
    const vcpu = machine([...INC, ...INC, ...INC], 0x1002n, 0n);
    assert.equal(outcome(vcpu), 'halt');
    vcpu.registers.rip = 0x1000n;
    vcpu.registers.set(RAX, 0n);
    vcpu.state.debug[7] = 0x400n | arm(0, 'execute', 1);
    vcpu.debugChanged();
    assert.equal(outcome(vcpu), '#1');
    assert.deepEqual([frame(vcpu), vcpu.registers.get(RAX)], [{ rip: 0x1002, flags: 2n, dr6: 1 }, 1n]);
  });

  it('RF in the image of RFLAGS lets the instruction run once', () => {
    for (const slice of [1, 2, 3, 100]) {
      // L: inc eax; cmp eax, 3; jb L
      const vcpu = machine([...INC, 0x83, 0xf8, 3, 0x72, 0xf9], 0x1000n, arm(0, 'execute', 1));
      // The handler counts in EBX, sets RF and returns: inc ebx; bts dword [rsp+16], 16; iretq
      const handler = [0xff, 0xc3, 0x0f, 0xba, 0x6c, 0x24, 16, 16, 0x48, 0xcf];
      for (const [n, byte] of handler.entries()) poke(vcpu, HANDLERS + 16 + n, 1, BigInt(byte));
      let end = vcpu.cpu.run(slice);
      while (end.reason === 'limit') end = vcpu.cpu.run(slice);
      assert.equal(end.reason, 'halt');
      assert.deepEqual([vcpu.registers.get(RAX), vcpu.registers.get(3)], [3n, 3n]);
      assert.equal(vcpu.registers.flags & Number(RF), 0);
      // Three times: inc, cmp, jb; inc, bts, iretq and the delivery. And HLT.
      assert.equal(vcpu.cpu.instructions, 3 * 7 + 1);
    }
  });

  it('comes before the debugger is done with its own there', () => {
    const vcpu = machine([...INC, ...INC], 0x1002n, arm(0, 'execute', 1));
    vcpu.cpu.setBreakpoints([0x1000n]);
    assert.equal(vcpu.cpu.run(10).reason, 'halt');
    assert.equal(frame(vcpu).rip, 0x1002);
  });

  it('in 32-bit mode the segment’s base counts', () => {
    const vcpu = machine([...INC, ...INC], 0x1002n, arm(0, 'execute', 1), { bits: 32 });
    vcpu.registers.setSegment(1, { ...vcpu.registers.segment(1), base: 0x800n });
    vcpu.registers.rip = 0x800n;
    vcpu.modeChanged();
    assert.equal(outcome(vcpu), '#1');
    assert.equal(vcpu.readLinear(vcpu.registers.get(RSP), 4), 0x802n);
  });

  it('a repeated instruction that goes on does not meet its breakpoint again', () => {
    for (const slice of [1, 100]) {
      const vcpu = machine([0xf3, 0xa4, NOP], 0x1000n, arm(0, 'execute', 1));
      for (const [n, value] of [
        [RCX, 0x1800n],
        [RSI, 0xc000n],
        [RDI, 0xe000n],
      ] as const)
        vcpu.registers.set(n, value);
      vcpu.registers.flags |= Number(RF);
      let end = vcpu.cpu.run(slice);
      while (end.reason === 'limit') end = vcpu.cpu.run(slice);
      assert.equal(vcpu.registers.rip, 0x1004n);
    }
  });
});

describe('access to debug registers', () => {
  it('DR7.GD: #DB with DR6.BD before the access, and GD is clear in the handler', () => {
    for (const code of [
      [0x0f, 0x23, 0xc0],
      [0x0f, 0x21, 0xc0],
    ]) {
      const vcpu = machine(code, 0n, 0x2000n);
      assert.equal(outcome(vcpu), '#1');
      assert.deepEqual([frame(vcpu).rip, frame(vcpu).dr6], [0x1000, 0x2000]);
      assert.equal(vcpu.state.debug[7], 0x400n);
    }
  });

  it('MOV arms and disarms; upper halves of DR6 and DR7 are #GP', () => {
    // mov dr0, rcx; mov eax, 0xd0001; mov dr7, rax; mov [rcx], eax
    const code = [0x0f, 0x23, 0xc1, 0xb8, 1, 0, 0x0d, 0, 0x0f, 0x23, 0xf8, 0x89, 0x01, NOP];
    assert.equal(outcome(machine(code, 0n, 0n)), '#1');
    const disarm = [...code.slice(0, 11), 0x31, 0xc0, 0x0f, 0x23, 0xf8, 0x89, 0x01, NOP];
    assert.equal(outcome(machine(disarm, 0n, 0n)), 'halt');
    const high = machine([0x0f, 0x23, 0xf8], 0n, 0n);
    high.registers.set(RAX, 1n << 32n);
    assert.equal(outcome(high), '#13');
  });
});

describe('RFLAGS.RF', () => {
  it('is set in the frame of a fault, clear in that of a trap', () => {
    const rf = (code: readonly number[], vector: number) => {
      const vcpu = machine(code, 0n, 0n);
      assert.equal(outcome(vcpu), `#${vector}`);
      return frame(vcpu).flags & RF;
    };
    assert.equal(rf([0x0f, 0x0b], 6), RF);
    assert.equal(rf([0xcc], 3), 0n);
  });
});

describe('alignment checks in user mode (CR0.AM, RFLAGS.AC)', () => {
  const AC = 0x4_0000;
  /** As the AMD EPYC does it on which these were tried natively: #AC before #PF, after #GP. */
  const cases: readonly (readonly [string, readonly number[], bigint, string])[] = [
    ['mov eax, [rcx]', [0x8b, 0x01], 0xc001n, '#17'],
    ['mov eax, [rcx], aligned', [0x8b, 0x01], 0xc004n, 'limit'],
    ['mov al, [rcx]', [0x8a, 0x01], 0xc003n, 'limit'],
    ['mov rax, [rcx] at 4', [0x48, 0x8b, 0x01], 0xc004n, '#17'],
    ['mov ax, [rcx] at 1', [0x66, 0x8b, 0x01], 0xc001n, '#17'],
    ['mov [rcx], eax', [0x89, 0x01], 0xc002n, '#17'],
    ['not mapped', [0x8b, 0x01], 0x20_0001n, '#17'],
    ['not canonical', [0x8b, 0x01], 0x8000_0000_0001n, '#13'],
    ['movups at 8', [0x0f, 0x10, 0x01], 0xc008n, '#17'],
    ['across two pages, the second not mapped', [0x8b, 0x01], 0x1f_fffen, '#17'],
    ['bt [rcx], eax', [0x0f, 0xa3, 0x01], 0xc001n, '#17'],
    ['rep movsd', [0xf3, 0xa5], 0xc001n, '#17'],
    ['sgdt [rcx], which is in TypeScript', [0x0f, 0x01, 0x01], 0xc001n, '#17'],
  ];
  for (const [name, code, address, expected] of cases) {
    it(`${name}: ${expected}`, () => {
      const user = (flags: number, cr0: number) => {
        const vcpu = smallMachine([...code, 0xeb, 0xfe], { cpl: 3, cr0 });
        for (const n of [RCX, RSI, RDI]) vcpu.registers.set(n, address);
        if (code[0] === 0xf3) vcpu.registers.set(RCX, 2n);
        vcpu.registers.flags |= flags;
        vcpu.modeChanged();
        return outcome(vcpu, 10);
      };
      assert.equal(user(AC, 0x4_0000), expected);
      // Without one of the two there is no check.
      assert.notEqual(user(0, 0x4_0000), '#17');
      assert.notEqual(user(AC, 0), '#17');
    });
  }

  it('the supervisor is not checked', () => {
    const vcpu = smallMachine([0x8b, 0x01, HLT], { cr0: 0x4_0000 });
    vcpu.registers.set(RCX, 0xc001n);
    vcpu.registers.flags |= AC;
    vcpu.modeChanged();
    assert.equal(outcome(vcpu), 'halt');
  });
});
