import { Vcpu, type VcpuOptions } from '../../../../engine/cpu/system/vcpu.js';

/**
 * A vCPU put straight into 64-bit or 32-bit protected mode. Code at 0x1000, stack below 0x8000; one handler for all
 * vectors at 0x6000 + 16 × vector holds HLT, so that RIP tells which exception was delivered. 64-bit mode maps the
 * first 2 MiB one to one, for user mode too.
 */
export const CODE_AT = 0x1000;
export const HANDLERS = 0x6000;
export const GDT = 0x4000;
export const IDT = 0x5000;
export const TSS = 0x7000;
const STACK_TOP = 0x8000;
const BYTES = 0x2_0000;
const [CS, SS, TR] = [1, 2, 7];

export interface SmallMachineOptions extends Partial<VcpuOptions> {
  readonly bits?: 64 | 32;
  readonly cpl?: 0 | 3;
  readonly cr0?: number;
  readonly cr4?: number;
}

export function smallMachine(code: readonly number[], options: SmallMachineOptions = {}): Vcpu {
  const { bits = 64, cpl = 0, cr0 = 0, cr4 = 0 } = options;
  const long = bits === 64;
  const vcpu: Vcpu = new Vcpu(
    { guestBytes: BYTES, physicalBits: 48, cpuid: () => [0, 0, 0, 0], ...options },
    { page: ({ address }) => ({ page: (vcpu.cpu.guestStart + address) / 4096, writable: true }) },
  );
  const { state, registers } = vcpu;
  poke(vcpu, 0x1_0000, 8, 0x1_1007n);
  poke(vcpu, 0x1_1000, 8, 0x1_2007n);
  poke(vcpu, 0x1_2000, 8, 0x87n);
  // Null, kernel code, data, user code, data.
  const wide = long ? 0xaf : 0xcf;
  for (const [n, access] of [0, 0x9b, 0x93, 0xfb, 0xf3].entries()) {
    poke(vcpu, GDT + 8 * n, 8, access === 0 ? 0n : descriptor(access, (access & 8) !== 0 ? wide : 0xcf));
  }
  for (let n = 0; n < 32; n++) {
    const handler = BigInt(HANDLERS + 16 * n);
    poke(vcpu, IDT + (long ? 16 : 8) * n, 8, handler | (8n << 16n) | (0xee00n << 32n));
    vcpu.cpu.bytes[vcpu.cpu.guestStart + HANDLERS + 16 * n] = 0xf4;
  }
  // Stack of CPL 0, for both formats of the task state segment.
  poke(vcpu, TSS + 4, 4, 0x3f00n);
  poke(vcpu, TSS + 8, 2, long ? 0n : 0x10n);
  // No I/O permission bitmap.
  poke(vcpu, TSS + 0x66, 2, 0xffffn);
  vcpu.cpu.bytes.set(code, vcpu.cpu.guestStart + CODE_AT);
  Object.assign(state.gdtr, { base: BigInt(GDT), limit: 0x3f });
  Object.assign(state.idtr, { base: BigInt(IDT), limit: 0x1ff });
  state.cr0 = 0x11 | cr0 | (long ? 0x8000_0000 : 0);
  state.cr4 = 0x220 | cr4;
  state.cr3 = 0x1_0000n;
  state.efer = long ? 0xd01 : 0x801;
  state.cpl = cpl;
  const dpl = cpl << 5;
  const data = { selector: (cpl === 3 ? 0x20 : 0x10) | cpl, attributes: 0xc93 | dpl, limit: 0xffff_ffff, base: 0n };
  for (const n of [0, SS, 3, 4, 5]) registers.setSegment(n, data);
  const codeAttributes = (long ? 0xa9b : 0xc9b) | dpl;
  registers.setSegment(CS, { ...data, selector: (cpl === 3 ? 0x18 : 8) | cpl, attributes: codeAttributes });
  registers.setSegment(TR, { selector: 0x28, attributes: 0x8b, limit: 0x67, base: BigInt(TSS) });
  registers.rip = BigInt(CODE_AT);
  registers.set(4, BigInt(STACK_TOP));
  vcpu.modeChanged();
  return vcpu;
}

export const descriptor = (access: number, flags: number): bigint =>
  0xffffn | (BigInt(access) << 40n) | (BigInt(flags) << 48n);

export function poke(vcpu: Vcpu, address: number, bytes: 1 | 2 | 4 | 8, value: bigint): void {
  for (let n = 0; n < bytes; n++) {
    vcpu.cpu.bytes[vcpu.cpu.guestStart + address + n] = Number((value >> BigInt(8 * n)) & 0xffn);
  }
}

export function peek(vcpu: Vcpu, address: number, bytes: 1 | 2 | 4 | 8): bigint {
  let value = 0n;
  for (let n = bytes - 1; n >= 0; n--) {
    value = (value << 8n) | BigInt(vcpu.cpu.bytes[vcpu.cpu.guestStart + address + n] ?? 0);
  }
  return value;
}

/** How a run ended, in a word: `halt`, `#13` for a handler, or the text of the Fault. */
export function outcome(vcpu: Vcpu, limit = 100): string {
  const end = vcpu.cpu.run(limit);
  const vector = (Number(vcpu.registers.rip) - 1 - HANDLERS) / 16;
  if (end.reason === 'fault') return end.fault.message;
  if (end.reason === 'halt' && vector >= 0 && vector < 32) return `#${vector}`;
  return end.reason;
}
