import { Cpu } from '../../../engine/cpu/cpu.js';
import type { CpuEnvironment } from '../../../engine/cpu/environment.js';
import type { CpuStop } from '../../../engine/cpu/exception.js';

const LOAD_AT = 0x10_0000;
const STACK = 0x3f_fff0;
const [RAX, RSP, RSI, RDI] = [0, 4, 6, 7];
const HALT: CpuStop = { kind: 'stop', reason: 'halt', fault: undefined };

/** 64-bit mode, CPL 0, memory mapped one to one from linear address 0. */
export function flatMachine(guestBytes: number): Cpu {
  const environment: CpuEnvironment = {
    mode: { codeSize: 64, stackSize: 64, vectors: true, floats: true },
    context: 0,
    translate: (linear) => ({ page: cpu.guestStart / 4096 + Number(linear >> 12n), writable: true }),
    execute: (instruction) => {
      if (instruction.encoding?.mnemonic !== 'HLT') return false;
      throw HALT;
    },
    deliver: () => false,
  };
  const cpu: Cpu = new Cpu({ guestBytes }, environment);
  return cpu;
}

export interface Timed {
  readonly instructions: number;
  readonly milliseconds: number;
  readonly result: string;
}

const GUEST_BYTES = 0x100_0000;

/** Best of three runs on one vCPU, after one of a quarter of the rounds; breakpoints are set where nothing comes by. */
export function runKernel(image: Uint8Array, kernel: number, rounds: number): Timed {
  const cpu = flatMachine(GUEST_BYTES);
  cpu.setBreakpoints([BigInt(LOAD_AT + 6), BigInt(LOAD_AT + image.length)]);
  const once = (n: number): Timed => {
    cpu.written(cpu.guestStart, GUEST_BYTES);
    cpu.bytes.fill(0, cpu.guestStart, cpu.guestStart + GUEST_BYTES);
    cpu.bytes.set(image, cpu.guestStart + LOAD_AT);
    cpu.registers.set(RSP, BigInt(STACK));
    cpu.registers.set(RDI, BigInt(kernel));
    cpu.registers.set(RSI, BigInt(n));
    cpu.registers.flags = 2;
    cpu.registers.rip = BigInt(LOAD_AT);
    const before = cpu.instructions;
    const start = performance.now();
    const end = cpu.run(1e12);
    const milliseconds = performance.now() - start;
    if (end.reason !== 'halt') {
      const text = JSON.stringify(end, (_, v) => (typeof v === 'bigint' ? `0x${v.toString(16)}` : v));
      throw new Error(`kernel ended with ${text} at 0x${cpu.registers.rip.toString(16)}`);
    }
    const result = cpu.registers.get(RAX).toString(16).padStart(16, '0');
    return { instructions: cpu.instructions - before, milliseconds, result };
  };
  once(Math.ceil(rounds / 4));
  const runs = [once(rounds), once(rounds), once(rounds)];
  const best = runs.reduce((a, b) => (a.milliseconds < b.milliseconds ? a : b));
  if (runs.some((r) => r.result !== best.result || r.instructions !== best.instructions))
    throw new Error('runs differ');
  return best;
}
