import type { RunResult } from '../../engine/cpu/run-result.js';
import { Vcpu } from '../../engine/cpu/system/vcpu.js';
import { loadUnitImage, unitImage } from '../../engine/cpu/system/vector-state.js';
import {
  CODE_AT,
  DATA_AT,
  DATA_SIZE,
  type NativeCase,
  type NativeResult,
  NO_TRAP,
  UNIT_SIZE,
  WINDOW_OFFSET,
  WINDOW_SIZE,
} from './native.js';

/** Guest-physical addresses: three pages of code and data, then page tables. */
const TABLES = 0x4000;
const PRESENT_USER_WRITE = 7;
const [CS, SS] = [1, 2];

/** Our vCPU in 64-bit user mode with the same three pages as the native program, and nothing else. */
export class UserMachine {
  private readonly vcpu: Vcpu;
  private readonly code: number;
  private readonly data: number;

  constructor() {
    const vcpu: Vcpu = new Vcpu(
      { guestBytes: 0x1_0000, physicalBits: 48, cpuid: () => [0, 0, 0, 0] },
      { page: ({ address }) => ({ page: (vcpu.cpu.guestStart + address) / 4096, writable: true }) },
    );
    this.vcpu = vcpu;
    this.code = vcpu.cpu.guestStart;
    this.data = this.code + 4096;
    const entry = (table: number, index: number, address: number): void =>
      vcpu.cpu.view.setUint32(
        vcpu.cpu.guestStart + TABLES + table * 4096 + 8 * index,
        address | PRESENT_USER_WRITE,
        true,
      );
    entry(0, 0, TABLES + 0x1000);
    entry(1, 0, TABLES + 0x2000);
    entry(2, CODE_AT / 0x20_0000, TABLES + 0x3000);
    entry(2, DATA_AT / 0x20_0000, TABLES + 0x4000);
    entry(3, 0, 0);
    entry(4, 0, 0x1000);
    entry(4, 1, 0x2000);
    const { state, registers } = vcpu;
    // Without an interrupt table every exception ends the run.
    state.idtr.limit = 0;
    Object.assign(state, { cr0: 0x8005_0033, cr4: 0x620, cr3: BigInt(TABLES), efer: 0xd01, cpl: 3 });
    const data = { selector: 0x2b, attributes: 0xcf3, limit: 0xffff_ffff, base: 0n };
    // As Linux has it for its 64-bit programs.
    for (const n of [0, SS, 3, 4, 5]) registers.setSegment(n, { ...data, selector: n === SS ? 0x2b : 0 });
    registers.setSegment(CS, { ...data, selector: 0x33, attributes: 0xafb });
    vcpu.modeChanged();
  }

  /** Runs a case; the jump behind it leads to a page that is not there. */
  run(c: NativeCase): { result: NativeResult; end: RunResult } {
    const { vcpu, code, data } = this;
    const { cpu, registers } = vcpu;
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
    loadUnitImage(vcpu, c.unit, true);
    registers.rip = BigInt(CODE_AT);
    const end = cpu.run(1000);
    const stub = BigInt(CODE_AT + c.code.length);
    const thrown = end.reason === 'exception' ? end.exception : undefined;
    const done = registers.rip === stub;
    let checksum = 0;
    for (let at = data; at < data + DATA_SIZE; at += 4) {
      checksum = (Math.imul(checksum, 31) + cpu.view.getInt32(at, true)) >>> 0;
    }
    const unit = new Uint8Array(UNIT_SIZE);
    unit.set(unitImage(vcpu, true));
    const result = {
      trap: done ? NO_TRAP : BigInt(thrown?.vector ?? 0xff),
      rip: registers.rip,
      cr2: done ? 0n : (thrown?.address ?? 0n),
      error: done ? 0n : BigInt(thrown?.errorCode ?? 0),
      gpr: Array.from({ length: 16 }, (_, n) => registers.get(n)),
      flags: registers.flags,
      unit,
      window: cpu.bytes.slice(data + WINDOW_OFFSET, data + WINDOW_OFFSET + WINDOW_SIZE),
      checksum,
    };
    return { result, end };
  }
}
