import { Cpu } from '../../../engine/cpu/cpu.js';
import type { CpuEnvironment } from '../../../engine/cpu/environment.js';
import { exception, VECTOR } from '../../../engine/cpu/exception.js';

export const PAGES = 8;

/** 64-bit mode, eight pages mapped one to one from address 0; HLT stops. */
export function flatMachine(code: readonly number[], at = 0x1000): Cpu {
  const environment: CpuEnvironment = {
    mode: { codeSize: 64, stackSize: 64, vectors: true, floats: true },
    context: 0,
    translate: (linear, access) => {
      if (linear >= BigInt(PAGES * 4096)) {
        throw exception(VECTOR.PF, { errorCode: access === 'write' ? 2 : 0, address: linear });
      }
      return { page: cpu.guestStart / 4096 + Number(linear >> 12n), writable: true };
    },
    execute: (instruction) => {
      if (instruction.encoding?.mnemonic !== 'HLT') return false;
      throw { kind: 'stop', reason: 'halt', fault: undefined };
    },
    deliver: () => false,
  };
  const cpu: Cpu = new Cpu({ guestBytes: PAGES * 4096, arenaBytes: 0x8000 }, environment);
  cpu.bytes.set(code, cpu.guestStart + at);
  cpu.registers.rip = BigInt(at);
  cpu.registers.set(4, 0x5000n);
  return cpu;
}
