import { Cpu } from '../../engine/cpu/cpu.js';
import type { CpuEnvironment } from '../../engine/cpu/environment.js';
import { exception, VECTOR } from '../../engine/cpu/exception.js';
import type { RunResult } from '../../engine/cpu/run-result.js';
import {
  CODE_AT,
  DATA_AT,
  DATA_SIZE,
  type NativeCase,
  type NativeResult,
  NO_TRAP,
  WINDOW_OFFSET,
  WINDOW_SIZE,
} from './native.js';

const PAGE_FAULT = { write: 2, user: 4, fetch: 16 };

/** Our CPU in 64-bit user mode with the same three pages as the native program, and nothing else. */
export class UserMachine {
  readonly cpu: Cpu;
  private readonly pages = new Map<bigint, number>();
  private readonly code: number;
  private readonly data: number;

  constructor() {
    const environment: CpuEnvironment = {
      mode: { codeSize: 64, stackSize: 64, vectors: true, floats: true },
      context: 1,
      translate: (linear, access) => {
        const upper = linear >> 47n;
        if (upper !== 0n && upper !== 0x1ffffn) throw exception(VECTOR.GP, { errorCode: 0 });
        const page = this.pages.get(linear >> 12n);
        if (page !== undefined) return { page, writable: true };
        const kind = access === 'write' ? PAGE_FAULT.write : access === 'execute' ? PAGE_FAULT.fetch : 0;
        throw exception(VECTOR.PF, { errorCode: PAGE_FAULT.user | kind, address: linear });
      },
      execute: () => false,
      deliver: () => false,
    };
    this.cpu = new Cpu({ guestBytes: 0x1_0000 }, environment);
    const first = this.cpu.guestStart / 4096;
    this.pages.set(BigInt(CODE_AT / 4096), first);
    this.pages.set(BigInt(DATA_AT / 4096), first + 1);
    this.pages.set(BigInt(DATA_AT / 4096 + 1), first + 2);
    this.code = first * 4096;
    this.data = this.code + 4096;
  }

  /** Runs a case; the jump behind it leads to a page that is not there. */
  run(c: NativeCase): { result: NativeResult; end: RunResult } {
    const { cpu, code, data } = this;
    const { registers } = cpu;
    cpu.written(code, 4096);
    cpu.bytes.fill(0, code, code + 4096);
    cpu.bytes.set(c.code, code);
    cpu.bytes.set([0xff, 0x24, 0x25, 0x98, 0, 0x43, 0x6b], code + c.code.length);
    cpu.bytes.fill(0, data, data + DATA_SIZE);
    cpu.bytes.set(c.window, data + WINDOW_OFFSET);
    c.gpr.forEach((value, n) => {
      registers.set(n, value);
    });
    registers.flags = c.flags;
    for (let n = 0; n < 16; n++) registers.xmm(n).set(c.xmm.subarray(16 * n, 16 * n + 16));
    registers.rip = BigInt(CODE_AT);
    const end = cpu.run(1000);
    const stub = BigInt(CODE_AT + c.code.length);
    const thrown = end.reason === 'exception' ? end.exception : undefined;
    const done = registers.rip === stub;
    let checksum = 0;
    for (let at = data; at < data + DATA_SIZE; at += 4) {
      checksum = (Math.imul(checksum, 31) + cpu.view.getInt32(at, true)) >>> 0;
    }
    const xmm = new Uint8Array(256);
    for (let n = 0; n < 16; n++) xmm.set(registers.xmm(n), 16 * n);
    const result = {
      trap: done ? NO_TRAP : BigInt(thrown?.vector ?? 0xff),
      rip: registers.rip,
      cr2: done ? 0n : (thrown?.address ?? 0n),
      error: done ? 0n : BigInt(thrown?.errorCode ?? 0),
      gpr: Array.from({ length: 16 }, (_, n) => registers.get(n)),
      flags: registers.flags,
      xmm,
      window: cpu.bytes.slice(data + WINDOW_OFFSET, data + WINDOW_OFFSET + WINDOW_SIZE),
      checksum,
    };
    return { result, end };
  }
}
