import assert from 'node:assert/strict';
import { Cpu } from '../../../engine/cpu/cpu.js';
import type { Access, CpuEnvironment } from '../../../engine/cpu/environment.js';
import { type CpuStop, exception, type GuestException, VECTOR } from '../../../engine/cpu/exception.js';

const RAX = 0;
const RCX = 1;
const EXIT: CpuStop = { kind: 'stop', reason: 'exit', fault: undefined };
const EXIT_AFTER: CpuStop = { kind: 'stop', reason: 'exit-after', fault: undefined };
const HANDLER = 0x2000n;

interface Hooks {
  execute(mnemonic: string, cpu: Cpu): boolean;
  deliver(pending: GuestException, cpu: Cpu): boolean;
  translate(page: number, access: Access): void;
}

/** Eight pages mapped one to one; what happens at CPUID, VMMCALL and exceptions is up to the test. */
function machine(code: readonly number[], hooks: Partial<Hooks>): Cpu {
  const environment: CpuEnvironment = {
    mode: { codeSize: 64, stackSize: 64, vectors: true, floats: true },
    context: 0,
    translate: (linear, access) => {
      const page = Number(linear >> 12n);
      if (page >= 8) throw exception(VECTOR.PF, { errorCode: 0, address: linear });
      hooks.translate?.(page, access);
      return { page: cpu.guestStart / 4096 + page, writable: true };
    },
    execute: (instruction) => {
      if (instruction.encoding?.mnemonic === 'HLT') throw { kind: 'stop', reason: 'halt', fault: undefined };
      return hooks.execute?.(instruction.encoding?.mnemonic ?? '', cpu) ?? false;
    },
    deliver: (pending) => hooks.deliver?.(pending, cpu) ?? false,
  };
  const cpu: Cpu = new Cpu({ guestBytes: 0x8000, arenaBytes: 0x8000 }, environment);
  cpu.bytes.set(code, cpu.guestStart + 0x1000);
  cpu.bytes.set([0xff, 0xc1, 0xf4], cpu.guestStart + Number(HANDLER));
  cpu.registers.rip = 0x1000n;
  cpu.registers.set(4, 0x5000n);
  return cpu;
}

const INC = [0xff, 0xc0];
const CPUID = [0x0f, 0xa2];
/** div ecx: #DE, as it is zero */
const DIVIDE = [0xf7, 0xf1];
const where = (cpu: Cpu) => [Number(cpu.registers.rip), cpu.instructions, Number(cpu.registers.get(RAX))];

describe('leaving the guest CPU', () => {
  it('leave() in an instruction ends the run after it, before the next is fetched', () => {
    let fetches = 0;
    const cpu = machine([...INC, ...CPUID, ...INC, 0xf4], {
      execute: (_, c) => {
        c.leave();
        fetches = 0;
        return true;
      },
      translate: (_, access) => {
        if (access === 'execute') fetches++;
      },
    });
    assert.equal(cpu.run(100).reason, 'left');
    assert.deepEqual(where(cpu), [0x1004, 2, 1]);
    assert.equal(fetches, 0);
    assert.equal(cpu.run(100).reason, 'halt');
    assert.deepEqual(where(cpu), [0x1007, 4, 2]);
  });

  it('leave() in a delivery ends the run before the first instruction of the handler', () => {
    for (const slice of [1, 2, 100]) {
      const cpu = machine([...INC, ...DIVIDE], {
        deliver: (_, c) => {
          c.registers.rip = HANDLER;
          c.leave();
          return true;
        },
      });
      let result = cpu.run(slice);
      while (result.reason === 'limit') result = cpu.run(slice);
      assert.equal(result.reason, 'left');
      // The delivery takes the time of an instruction.
      assert.deepEqual(where(cpu), [Number(HANDLER), 2, 1]);
      assert.equal(cpu.registers.get(RCX), 0n);
    }
  });

  it('an exit ends the run before its instruction, exit-after behind it', () => {
    for (const [stop, expected] of [
      [EXIT, [0x1002, 1, 1]],
      [EXIT_AFTER, [0x1004, 2, 1]],
    ] as const) {
      let stops = true;
      const cpu = machine([...INC, ...CPUID, ...INC, 0xf4], {
        execute: () => {
          if (stops) throw stop;
          return true;
        },
      });
      assert.equal(cpu.run(100).reason, 'exit');
      assert.deepEqual(where(cpu), expected);
      stops = false;
      assert.equal(cpu.run(100).reason, 'halt');
      assert.deepEqual(where(cpu), [0x1007, 4, 2]);
    }
  });

  it('an exit from a data access or a fetch leaves the state before the instruction', () => {
    // inc eax; mov [0x3000], eax; jmp 0x2000
    const code = [...INC, 0x89, 0x04, 0x25, 0, 0x30, 0, 0, 0xe9, 0xf2, 0x0f, 0, 0];
    const open = new Set([1]);
    const cpu = machine(code, {
      translate: (page) => {
        if (!open.has(page)) throw EXIT;
      },
    });
    assert.equal(cpu.run(100).reason, 'exit');
    assert.deepEqual(where(cpu), [0x1002, 1, 1]);
    open.add(3);
    assert.equal(cpu.run(100).reason, 'exit');
    assert.deepEqual(where(cpu), [0x2000, 3, 1]);
    open.add(2);
    assert.equal(cpu.run(100).reason, 'halt');
    assert.deepEqual(where(cpu), [0x2003, 5, 1]);
  });

  it('an exit in the delivery of a trap keeps the trap for the next run', () => {
    let refused = true;
    const delivered: number[] = [];
    const cpu = machine([...INC, ...INC, 0xf4], {
      deliver: ({ vector }, c) => {
        if (refused) throw EXIT;
        delivered.push(vector);
        c.registers.flags &= ~0x100;
        return true;
      },
    });
    cpu.registers.flags = 0x102;
    assert.equal(cpu.run(100).reason, 'exit');
    assert.deepEqual(where(cpu), [0x1002, 1, 1]);
    refused = false;
    assert.equal(cpu.run(100).reason, 'halt');
    assert.deepEqual(delivered, [VECTOR.DB]);
    assert.deepEqual(where(cpu), [0x1005, 3, 2]);
  });

  it('a page that is forgotten is translated and decoded again', () => {
    const seen: string[] = [];
    // L: inc eax; mov ecx, [0x3000]; jmp L
    const cpu = machine([...INC, 0x8b, 0x0c, 0x25, 0, 0x30, 0, 0, 0xeb, 0xf5], {
      translate: (page, access) => void seen.push(`${access} ${page}`),
    });
    cpu.run(30);
    seen.length = 0;
    cpu.run(30);
    assert.ok(!seen.includes('read 3'));
    const page = cpu.guestStart / 4096;
    cpu.forgetPage(page + 3);
    cpu.run(30);
    assert.ok(seen.includes('read 3'));
    // add eax, eax instead of inc eax, behind the back of the code cache
    cpu.forgetPage(page + 1);
    cpu.bytes.set([0x31, 0xc0], cpu.guestStart + 0x1000);
    cpu.run(30);
    assert.equal(cpu.registers.get(RAX), 0n);
  });
});

describe('breakpoints of the guest CPU', () => {
  /** L: inc eax; inc eax; inc eax; jmp L */
  const LOOP = [...INC, ...INC, ...INC, 0xeb, 0xf8];

  it('the same set again keeps decoded code; a new one drops only the blocks that it is in', () => {
    const cpu = machine([0xeb, 0x0e, ...new Array(14).fill(0x90), ...INC, ...INC, 0xeb, 0xec], {});
    cpu.run(50);
    const { blocks } = cpu.code.statistics;
    cpu.setBreakpoints([0x1012n]);
    assert.equal(cpu.run(50).reason, 'breakpoint');
    assert.equal(cpu.registers.rip, 0x1012n);
    const after = cpu.code.statistics.blocks;
    assert.ok(after - blocks <= 3, 'one block cut in two');
    cpu.setBreakpoints([0x1012n]);
    assert.equal(cpu.run(50).reason, 'breakpoint');
    cpu.setBreakpoints([]);
    assert.equal(cpu.run(400).reason, 'limit');
    assert.ok(cpu.code.statistics.blocks - after <= 4);
  });

  it('stops each time, however the run is cut, and at a breakpoint set later', () => {
    for (const slice of [1, 2, 3, 4, 5, 100]) {
      const cpu = machine(LOOP, {});
      cpu.run(9);
      cpu.setBreakpoints([0x1004n]);
      const stops: number[] = [];
      while (stops.length < 3) if (cpu.run(slice).reason === 'breakpoint') stops.push(cpu.instructions);
      assert.deepEqual(stops, [10, 14, 18], `slices of ${slice}`);
    }
  });

  it('one instruction runs at a breakpoint, also where the run before was left', () => {
    const cpu = machine([...CPUID, ...INC, ...INC], {
      execute: (_, c) => {
        c.leave();
        return true;
      },
    });
    cpu.setBreakpoints([0x1000n, 0x1002n, 0x1004n]);
    assert.equal(cpu.run(1).reason, 'left');
    assert.equal(cpu.run(1).reason, 'breakpoint', 'nobody has seen it');
    assert.equal(cpu.registers.rip, 0x1002n);
    assert.equal(cpu.run(1).reason, 'breakpoint');
    assert.deepEqual(where(cpu), [0x1004, 2, 1]);
    const seen = machine([...CPUID, ...INC, ...INC], {
      execute: (_, c) => {
        c.leave();
        return true;
      },
    });
    seen.setBreakpoints([0x1002n]);
    seen.run(1);
    assert.equal(seen.run(1, true).reason, 'limit');
    assert.deepEqual(where(seen), [0x1004, 2, 1]);
  });
});
