import assert from 'node:assert/strict';
import type { Vcpu } from '../../../../engine/cpu/system/vcpu.js';
import { X87Registers } from '../../../../engine/cpu/system/x87/registers.js';
import { descriptor, GDT, outcome, peek, poke, type SmallMachineOptions, smallMachine } from './small-machine.js';

const [RAX, RCX, RDX, RSP] = [0, 1, 2, 4];
const ZF = 0x40;
const run = (code: readonly number[], options: SmallMachineOptions = {}, set: (v: Vcpu) => void = () => {}) => {
  const vcpu = smallMachine([...code, 0xf4], options);
  set(vcpu);
  return { vcpu, end: outcome(vcpu) };
};

describe('decimal adjustment', () => {
  const bcd = (n: number): number => (Math.floor(n / 10) << 4) | (n % 10);
  /** add or sub al, cl; adjust */
  const calculate = (operation: number, adjust: number, vcpu: Vcpu, a: number, b: number): number => {
    vcpu.cpu.bytes.set([operation, 0xc8, adjust, 0xf4], vcpu.cpu.guestStart + 0x1000);
    vcpu.cpu.written(vcpu.cpu.guestStart + 0x1000, 4);
    vcpu.registers.set(RAX, BigInt(a));
    vcpu.registers.set(RCX, BigInt(b));
    vcpu.registers.rip = 0x1000n;
    assert.equal(vcpu.cpu.run(10).reason, 'halt');
    return vcpu.registers.get32(RAX);
  };

  it('DAA and DAS give sum and difference of all two-digit numbers, with carry', () => {
    const vcpu = smallMachine([], { bits: 32 });
    for (let a = 0; a < 100; a++) {
      for (let b = 0; b < 100; b++) {
        assert.equal(calculate(0x00, 0x27, vcpu, bcd(a), bcd(b)), bcd((a + b) % 100), `${a} + ${b}`);
        assert.equal(vcpu.registers.flags & 1, a + b > 99 ? 1 : 0);
        assert.equal(calculate(0x28, 0x2f, vcpu, bcd(a), bcd(b)), bcd((a - b + 100) % 100), `${a} - ${b}`);
        assert.equal(vcpu.registers.flags & 1, a < b ? 1 : 0);
      }
    }
  });

  it('AAA and AAS give one digit in AL and carry into AH', () => {
    const vcpu = smallMachine([], { bits: 32 });
    for (let a = 0; a < 10; a++) {
      for (let b = 0; b < 10; b++) {
        const sum = a + b;
        assert.equal(calculate(0x00, 0x37, vcpu, 0x500 | a, b), ((5 + Math.floor(sum / 10)) << 8) | (sum % 10));
        assert.equal(calculate(0x28, 0x3f, vcpu, 0x500 | a, b), ((a < b ? 4 : 5) << 8) | ((a - b + 10) % 10));
      }
    }
  });

  it('AAM and AAD by the base of the immediate; AAM by 0 is #DE', () => {
    const legacy = { bits: 32 } as const;
    const ax = (value: bigint) => (v: Vcpu) => v.registers.set(RAX, value);
    assert.equal(run([0xd4, 10], legacy, ax(97n)).vcpu.registers.get(RAX), 0x907n);
    assert.equal(run([0xd5, 10], legacy, ax(0x907n)).vcpu.registers.get(RAX), 97n);
    assert.equal(run([0xd4, 0], legacy, ax(97n)).end, '#0');
  });
});

describe('selector checks', () => {
  const USER_DATA = 0x23;
  const KERNEL_CODE = 8;
  const check = (code: readonly number[], selector: number, options: SmallMachineOptions = {}) => {
    const { vcpu } = run(code, options, (v) => {
      v.registers.set(RCX, BigInt(selector));
      // 0x30: a page-granular expand-up segment, not present; LAR and LSL do not mind.
      poke(v, GDT + 0x30, 8, descriptor(0x73, 0xc0));
    });
    return { zero: (vcpu.registers.flags & ZF) !== 0, value: vcpu.registers.get(RAX) };
  };
  const [LAR, LSL] = [
    [0x0f, 0x02, 0xc1],
    [0x0f, 0x03, 0xc1],
  ];
  const [VERR, VERW] = [
    [0x0f, 0x00, 0xe1],
    [0x0f, 0x00, 0xe9],
  ];

  it('LAR and LSL give attributes and limit', () => {
    assert.deepEqual(check(LAR ?? [], KERNEL_CODE), { zero: true, value: 0xaf_9b00n });
    assert.deepEqual(check(LSL ?? [], KERNEL_CODE), { zero: true, value: 0xffff_ffffn });
    assert.deepEqual(check(LSL ?? [], 0x30), { zero: true, value: 0xfff_ffffn });
    assert.equal(check(LAR ?? [], 0).zero, false);
    assert.equal(check(LAR ?? [], 0x100).zero, false);
    // RPL 3 does not reach a kernel segment.
    assert.equal(check(LSL ?? [], KERNEL_CODE | 3).zero, false);
  });

  it('VERR and VERW', () => {
    assert.equal(check(VERR ?? [], KERNEL_CODE).zero, true);
    assert.equal(check(VERW ?? [], KERNEL_CODE).zero, false);
    assert.equal(check(VERW ?? [], USER_DATA).zero, true);
    assert.equal(check(VERR ?? [], 0x100).zero, false);
  });
});

describe('SYSENTER and SYSEXIT', () => {
  const msrs = (v: Vcpu): void => {
    v.state.msrs.set(0x174, 8n);
    v.state.msrs.set(0x175, 0x3000n);
    v.state.msrs.set(0x176, 0x2000n);
    v.cpu.bytes[v.cpu.guestStart + 0x2000] = 0xf4;
  };
  it('enter CPL 0 and leave to CPL 3, in legacy mode', () => {
    const { vcpu, end } = run([0x0f, 0x34], { bits: 32, cpl: 3 }, msrs);
    assert.deepEqual([end, vcpu.state.cpl, vcpu.registers.get(RSP)], ['halt', 0, 0x3000n]);
    assert.deepEqual(
      [1, 2].map((n) => vcpu.registers.segment(n).selector),
      [8, 0x10],
    );
    const out = smallMachine([0x0f, 0x35], { bits: 32 });
    msrs(out);
    out.registers.set(RCX, 0x3800n);
    out.registers.set(RDX, 0x2000n);
    out.cpu.run(1);
    assert.deepEqual([out.state.cpl, out.registers.rip, out.registers.get(RSP)], [3, 0x2000n, 0x3800n]);
    assert.deepEqual(
      [1, 2].map((n) => out.registers.segment(n).selector),
      [0x1b, 0x23],
    );
  });
  it('are #UD in long mode and #GP without a selector', () => {
    assert.equal(run([0x0f, 0x34]).end, '#6');
    assert.equal(run([0x0f, 0x34], { bits: 32 }).end, '#13');
  });
});

describe('state of the vector and x87 units', () => {
  const FXSAVE = [0x0f, 0xae, 0x04, 0x25, 0, 0x30, 0, 0];
  const FXRSTOR = [0x0f, 0xae, 0x0c, 0x25, 0, 0x30, 0, 0];

  it('FXSAVE writes the documented image, and FXRSTOR brings it back', () => {
    // fninit; fxsave
    const { vcpu, end } = run([0xdb, 0xe3, ...FXSAVE], {}, (v) => {
      for (let n = 0; n < 16; n++) v.registers.xmm(n).fill(0x10 + n);
      v.cpu.view.setUint32(0x500, 0x1f9f, true);
      poke(v, 0x3000 + 464, 4, 0xdead_beefn);
    });
    assert.equal(end, 'halt');
    assert.equal(peek(vcpu, 0x3000, 2), 0x37fn);
    assert.equal(peek(vcpu, 0x3000 + 24, 4), 0x1f9fn);
    assert.equal(peek(vcpu, 0x3000 + 160 + 16 * 15, 8), 0x1f1f_1f1f_1f1f_1f1fn);
    assert.equal(peek(vcpu, 0x3000 + 464, 4), 0xdead_beefn, 'the last 48 bytes are software’s');
    const image = vcpu.cpu.bytes.slice(vcpu.cpu.guestStart + 0x3000, vcpu.cpu.guestStart + 0x3200);
    const back = smallMachine([...FXRSTOR, 0xf4]);
    back.cpu.bytes.set(image, back.cpu.guestStart + 0x3000);
    // ST0, R7 with TOP = 7, as an earlier FXSAVE might have it.
    poke(back, 0x3000 + 2, 2, 0x3800n);
    poke(back, 0x3000 + 4, 1, 0x80n);
    poke(back, 0x3000 + 32, 8, 0x8000_0000_0000_0000n);
    assert.equal(outcome(back), 'halt');
    assert.deepEqual([...back.registers.xmm(3)], new Array(16).fill(0x13));
    const x87 = new X87Registers(back.cpu.view);
    assert.deepEqual([x87.control, x87.tag, x87.top], [0x37f, 0x80, 7]);
    assert.equal(x87.raw(0).significand, 0x8000_0000_0000_0000n);
  });

  it('FXSAVE is #GP when not aligned and #NM with CR0.TS; reserved MXCSR bits are #GP', () => {
    assert.equal(run([0x0f, 0xae, 0x04, 0x25, 8, 0x30, 0, 0]).end, '#13');
    assert.equal(run(FXSAVE, { cr0: 8 }).end, '#7');
    assert.equal(run(FXRSTOR, {}, (v) => poke(v, 0x3000 + 24, 4, 0x1_0000n)).end, '#13');
    assert.equal(run(FXRSTOR, {}, (v) => poke(v, 0x3000 + 24, 4, 0x2_0000n)).end, 'halt');
  });

  it('XGETBV and XSETBV need CR4.OSXSAVE and know x87 and SSE', () => {
    const osxsave = { cr4: 0x4_0000 };
    const XGETBV = [0x31, 0xc9, 0x0f, 0x01, 0xd0];
    const xsetbv = (value: number) => [0x31, 0xc9, 0x31, 0xd2, 0xb8, value & 255, value >> 8, 0, 0, 0x0f, 0x01, 0xd1];
    assert.equal(run(XGETBV).end, '#6');
    assert.equal(run(XGETBV, osxsave).vcpu.registers.get(RAX), 1n);
    assert.equal(run([...xsetbv(3), 0x31, 0xc0, ...XGETBV], osxsave).vcpu.registers.get(RAX), 3n);
    assert.equal(run(xsetbv(2), osxsave).end, '#13');
    assert.match(run(xsetbv(7), osxsave).end, /state beyond that of SSE/);
  });
});

describe('RDRAND, RDSEED, RDTSCP, RDPID', () => {
  it('take numbers from the source in the options, and are missing without one', () => {
    const random = (bytes: number) => (bytes === 8 ? 0x1122_3344_5566_7788n : undefined);
    const wide = run([0x48, 0x0f, 0xc7, 0xf0], { random });
    assert.equal(wide.vcpu.registers.get(RAX), 0x1122_3344_5566_7788n);
    assert.equal(wide.vcpu.registers.flags & 0x8d5, 1);
    const none = run([0x0f, 0xc7, 0xf8], { random });
    assert.deepEqual([none.vcpu.registers.get(RAX), none.vcpu.registers.flags & 0x8d5], [0n, 0]);
    assert.match(run([0x0f, 0xc7, 0xf0]).end, /RDRAND/);
  });

  it('the time-stamp counter follows the count of instructions', () => {
    // rdtsc; mov ebx, eax; nop; rdtsc; sub eax, ebx
    const code = [0x0f, 0x31, 0x89, 0xc3, 0x90, 0x0f, 0x31, 0x29, 0xd8];
    assert.equal(run(code).vcpu.registers.get(RAX), 3n * 32n);
    assert.equal(run(code, { tscPerInstruction: 5 }).vcpu.registers.get(RAX), 15n);
    // wrmsr to the counter: mov ecx, 0x10; xor edx, edx; mov eax, 0x1000; wrmsr; rdtsc
    const set = [0xb9, 0x10, 0, 0, 0, 0x31, 0xd2, 0xb8, 0, 0x10, 0, 0, 0x0f, 0x30, 0x0f, 0x31];
    assert.equal(run(set).vcpu.registers.get(RAX), 0x1000n + 32n);
  });

  it('RDTSCP and RDPID give TSC_AUX', () => {
    const aux = (v: Vcpu) => v.state.msrs.set(0xc000_0103, 42n);
    const { vcpu } = run([0x0f, 0x01, 0xf9], {}, aux);
    assert.equal(vcpu.registers.get(RCX), 42n);
    assert.equal(run([0xf3, 0x0f, 0xc7, 0xf8], {}, aux).vcpu.registers.get(RAX), 42n);
  });

  it('MONITOR and MWAIT end in the Fault of a missing instruction', () => {
    assert.match(run([0x0f, 0x01, 0xc8]).end, /MONITOR/);
    assert.match(run([0x0f, 0x01, 0xc9]).end, /MWAIT/);
  });
});
