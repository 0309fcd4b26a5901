import assert from 'node:assert/strict';
import type { Cpu } from '../../../engine/cpu/cpu.js';
import { flatMachine } from './flat-machine.js';

const RAX = 0;
const RCX = 1;

/** mov ecx, count; L: add eax, ecx; dec ecx; jnz L; hlt */
const loop = (count: number): number[] => [
  0xb9,
  count & 255,
  count >> 8,
  0,
  0,
  0x01,
  0xc8,
  0xff,
  0xc9,
  0x75,
  0xfa,
  0xf4,
];

const state = (cpu: Cpu): string =>
  [
    cpu.instructions,
    cpu.registers.rip,
    cpu.registers.flags,
    ...Array.from({ length: 16 }, (_, n) => cpu.registers.get(n)),
  ].join(' ');

describe('guest CPU core', () => {
  it('counts instructions exactly', () => {
    const cpu = flatMachine(loop(1000));
    assert.equal(cpu.run(1e9).reason, 'halt');
    // mov, 1000 times three, and HLT itself.
    assert.equal(cpu.instructions, 1 + 3000 + 1);
    assert.equal(cpu.registers.get(RAX), 500500n);
  });

  it('stops at any limit, with the same state however the run is cut', () => {
    const whole = flatMachine(loop(50));
    whole.run(1e9);
    for (const length of [1, 2, 3, 5, 7, 64]) {
      const cut = flatMachine(loop(50));
      let expected = 0;
      for (;;) {
        const { reason } = cut.run(length);
        if (reason === 'halt') break;
        expected += length;
        assert.equal(cut.instructions, expected);
      }
      assert.equal(state(cut), state(whole));
    }
  });

  it('leaves state and count at the instruction that faults', () => {
    // mov eax, 5; add eax, 1; mov [0x7fff0000], eax; add eax, 1
    const cpu = flatMachine([0xb8, 5, 0, 0, 0, 0x83, 0xc0, 1, 0x89, 0x04, 0x25, 0, 0, 0xff, 0x7f, 0x83, 0xc0, 1]);
    const end = cpu.run(100);
    assert.ok(end.reason === 'exception' && end.exception.vector === 14 && end.exception.errorCode === 2);
    assert.equal(end.exception.address, 0x7fff0000n);
    assert.equal(cpu.registers.rip, 0x1008n);
    assert.equal(cpu.instructions, 2);
    assert.equal(cpu.registers.get(RAX), 6n);
  });

  it('sees code that it has just written, in the same block', () => {
    // mov byte [rip+1], 7 → changes the immediate of the next instruction; mov eax, 1; hlt
    const cpu = flatMachine([0xc6, 0x05, 1, 0, 0, 0, 7, 0xb8, 1, 0, 0, 0, 0xf4]);
    assert.equal(cpu.run(100).reason, 'halt');
    assert.equal(cpu.registers.get(RAX), 7n);
    assert.equal(cpu.instructions, 3);
  });

  it('sees it too where a slice ends in the middle of the block', () => {
    for (const slice of [1, 2]) {
      const cpu = flatMachine([0xc6, 0x05, 1, 0, 0, 0, 7, 0xb8, 1, 0, 0, 0, 0xff, 0xc0, 0xf4]);
      while (cpu.run(slice).reason === 'limit');
      assert.equal(cpu.registers.get(RAX), 8n);
      assert.equal(cpu.instructions, 4);
    }
  });

  it('steps as often as one likes without a look at the arena', () => {
    const cpu = flatMachine([0xff, 0xc0, 0xeb, 0xfc]);
    for (let n = 0; n < 2000; n++) cpu.run(1);
    assert.equal(cpu.registers.get(RAX), 1000n);
    assert.equal(cpu.code.generation, 0);
  });

  it('sees code written after it ran', () => {
    // L: mov eax, 1; add ecx, eax; mov byte [rip-13+...] 4 …: loop twice, the second time with another immediate
    // 1000: b8 01 00 00 00  mov eax,1
    // 1005: 01 c1           add ecx,eax
    // 1007: c6 05 f3 ff ff ff 04  mov byte [0x1001],4
    // 100e: 83 f9 05        cmp ecx,5
    // 1011: 75 ed           jnz 1000
    // 1013: f4              hlt
    const cpu = flatMachine([
      0xb8, 1, 0, 0, 0, 0x01, 0xc1, 0xc6, 0x05, 0xf3, 0xff, 0xff, 0xff, 4, 0x83, 0xf9, 5, 0x75, 0xed, 0xf4,
    ]);
    assert.equal(cpu.run(100).reason, 'halt');
    assert.equal(cpu.registers.get(RCX), 5n);
    assert.equal(cpu.instructions, 11);
  });

  it('executes an instruction across two pages', () => {
    const cpu = flatMachine([0xb8, 1, 2, 3, 4, 0xf4], 0x1ffd);
    assert.equal(cpu.run(100).reason, 'halt');
    assert.equal(cpu.registers.get(RAX), 0x04030201n);
  });

  it('writes across two pages, or not at all', () => {
    // mov [rcx], rax; hlt
    const code = [0x48, 0x89, 0x01, 0xf4];
    const cpu = flatMachine(code);
    cpu.registers.set(RAX, 0x1122334455667788n);
    cpu.registers.set(RCX, 0x2ffdn);
    cpu.run(10);
    assert.equal(cpu.view.getBigUint64(cpu.guestStart + 0x2ffd, true), 0x1122334455667788n);
    const faulting = flatMachine(code);
    faulting.registers.set(RAX, -1n);
    faulting.registers.set(RCX, 0x7ffdn);
    const end = faulting.run(10);
    assert.ok(end.reason === 'exception' && end.exception.address === 0x8000n);
    assert.equal(faulting.view.getUint32(faulting.guestStart + 0x7ffc, true), 0);
  });

  it('goes on when the arena of decoded blocks is full', () => {
    // 600 blocks of jmp +0 do not fit into 32 KiB; twice through.
    const jumps = Array.from({ length: 600 }, () => [0xeb, 0]).flat();
    const back = -(jumps.length + 2 + 5);
    const code = [...jumps, 0xff, 0xc1, 0x0f, 0x8a, 0, 0, 0, 0, 0xf4];
    code.splice(code.length - 5, 4, ...new Uint8Array(new Int32Array([back - 1]).buffer));
    const cpu = flatMachine(code);
    assert.equal(cpu.run(1e5).reason, 'halt');
    assert.ok(cpu.code.generation > 0);
  });

  it('stops before a breakpoint each time it is reached, and goes on from there', () => {
    const cpu = flatMachine(loop(4));
    cpu.run(3);
    cpu.setBreakpoints([0x1007n]);
    const seen: [string, number][] = [];
    for (;;) {
      const { reason } = cpu.run(1000);
      if (reason === 'halt') break;
      assert.equal(cpu.registers.rip, 0x1007n);
      seen.push([reason, cpu.instructions]);
    }
    assert.deepEqual(seen, [
      ['breakpoint', 5],
      ['breakpoint', 8],
      ['breakpoint', 11],
    ]);
    assert.equal(cpu.instructions, 14);
    // One instruction at a time passes it as well.
    const stepped = flatMachine(loop(4));
    stepped.setBreakpoints([0x1007n]);
    let steps = 0;
    for (; stepped.registers.rip !== 0x100cn && steps < 100; steps++) stepped.run(1);
    assert.equal(stepped.instructions, 14);
  });

  it('names an instruction that it does not have', () => {
    // vaddps ymm0, ymm0, ymm0
    const cpu = flatMachine([0xc5, 0xfc, 0x58, 0xc0]);
    const end = cpu.run(10);
    assert.ok(end.reason === 'fault' && end.fault.check === 'hw-instruction-missing');
    assert.match(end.fault.message, /The guest executed .*c5fc58c0/);
    assert.equal(cpu.registers.rip, 0x1000n);
  });

  it('raises #UD for what no processor has, #DE for a division by zero', () => {
    const undefined_ = flatMachine([0x0f, 0x0b]).run(10);
    assert.ok(
      undefined_.reason === 'fault' || (undefined_.reason === 'exception' && undefined_.exception.vector === 6),
    );
    const division = flatMachine([0x31, 0xc9, 0xf7, 0xf1]).run(10);
    assert.ok(division.reason === 'exception' && division.exception.vector === 0);
  });
});
