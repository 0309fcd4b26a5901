import { type Instruction, Segment } from '../decoder/instruction.js';
import { type CpuStop, exception, VECTOR } from '../exception.js';
import { RFLAGS, STATUS_FLAGS } from '../semantics/flags.js';
import { readControl, readDebug, readMsr, setControl, setDebug, writeMsr } from './control.js';
import { adjustAfterMultiply, adjustBeforeDivide, adjustPacked, adjustUnpacked } from './decimal.js';
import { callFar, interruptReturn, jumpFar, returnFar, Stack, setReturnFlags } from './far-transfers.js';
import { deliverEvent } from './interrupts.js';
import { MMX_CONVERSIONS } from './mmx/convert.js';
import { MMX_INSTRUCTIONS } from './mmx/instructions.js';
import { readMemory, readOperand, segmentOffset, setRegister, writeMemory, writeOperand } from './operands.js';
import { isCanonical } from './paging.js';
import { input, inputString, output, outputString } from './ports.js';
import { ATTRIBUTE, loadDataSegment, readSystemDescriptor, selectorFault } from './segments.js';
import { adjustPrivilege, loadAccessRights, loadSegmentLimit, verifyRead, verifyWrite } from './selector-checks.js';
import { SSE_APPROXIMATE } from './sse/approximate.js';
import { SSE_STRINGS } from './sse/compare-strings.js';
import { SSE_FLOAT } from './sse/instructions.js';
import { SSE_SELECTED } from './sse/selected.js';
import { systemCall, systemEnter, systemExit, systemReturn } from './system-calls.js';
import { CR4, has, isProtected, MSR } from './system-state.js';
import type { Vcpu } from './vcpu.js';
import { loadMxcsr, readXcr, restoreImage, saveImage, storeMxcsr, writeXcr } from './vector-state.js';
import { X87_INSTRUCTIONS } from './x87/instructions.js';

/**
 * Instructions in TypeScript by their `semantics`; those not here, and those that return false, raise a Fault that
 * names them.
 */
type SystemInstruction = (v: Vcpu, i: Instruction) => unknown;

const [RAX, RCX, RDX, RBX, RSP, RBP] = [0, 1, 2, 3, 4, 5];
const GP0 = () => exception(VECTOR.GP, { errorCode: 0 });

const halt: CpuStop = { kind: 'stop', reason: 'halt', fault: undefined };

/** CLI, STI, IN, OUT and their like need CPL ≤ IOPL in protected mode. */
function needsIopl(v: Vcpu): void {
  if (isProtected(v.state) && v.state.cpl > ((v.registers.flags >> 12) & 3)) throw GP0();
}

function software(v: Vcpu, vector: number): void {
  deliverEvent(v, { vector, errorCode: undefined, software: true });
  v.cpu.suppressTrap();
}

/** User mode may not read what only a kernel sets, where CR4.UMIP says so. */
function checkUmip(v: Vcpu): void {
  if (has(v.state.cr4, CR4.UMIP) && v.state.cpl !== 0) throw GP0();
}

/** Descriptor table registers have 2 + 4 bytes in memory, 2 + 8 in 64-bit mode. */
const tableBytes = (v: Vcpu): number => (v.codeSize === 64 ? 8 : 4);
const storeTable = (table: 'gdtr' | 'idtr') => (v: Vcpu, i: Instruction) => {
  checkUmip(v);
  writeMemory(v, i, 2, BigInt(v.state[table].limit));
  writeMemory(v, i, tableBytes(v), v.state[table].base, 2n);
};
const loadTable = (table: 'gdtr' | 'idtr') => (v: Vcpu, i: Instruction) => {
  const limit = Number(readMemory(v, i, 2));
  const base = readMemory(v, i, tableBytes(v), 2n);
  // Without a 32-bit operand only 24 bits of the base count.
  const narrow = i.operandSize === 2;
  v.state[table].limit = limit;
  v.state[table].base = narrow ? base & 0xff_ffffn : base;
};

const LDT_TYPE = 2;
const TSS_TYPES = [1, 9];
const loadSystemSegment = (n: 6 | 7) => (v: Vcpu, i: Instruction) => {
  if (!isProtected(v.state)) throw exception(VECTOR.UD);
  const selector = Number(readOperand(v, i, 0));
  if ((selector & 0xfffc) === 0) {
    if (n === 7) throw GP0();
    v.registers.setSegment(n, { selector, attributes: 0, limit: 0, base: 0n });
    return;
  }
  const d = readSystemDescriptor(v, selector);
  const type = d.attributes & 0x1f;
  const fits = n === 6 ? type === LDT_TYPE : TSS_TYPES.includes(type);
  if ((selector & 4) !== 0 || !fits) throw selectorFault(VECTOR.GP, selector);
  if (!has(d.attributes, ATTRIBUTE.present)) throw selectorFault(VECTOR.NP, selector);
  const busy = n === 7 ? 2 : 0;
  if (busy) v.writeLinear(d.at + 5n, 1, BigInt((d.attributes & 0xff) | busy), true);
  v.registers.setSegment(n, { selector, attributes: d.attributes | busy, limit: d.limit, base: d.base });
};
const storeSelector = (n: number) => (v: Vcpu, i: Instruction) => {
  if (!isProtected(v.state)) throw exception(VECTOR.UD);
  checkUmip(v);
  writeOperand(v, i, 0, BigInt(v.registers.segment(n).selector));
};

const loadPointer = (segment: Segment) => (v: Vcpu, i: Instruction) => {
  const offset = readMemory(v, i, i.operandSize);
  loadDataSegment(v, segment, Number(readMemory(v, i, 2, BigInt(i.operandSize))));
  writeOperand(v, i, 0, offset);
};

const shadowNext = (v: Vcpu): void => {
  v.state.shadowAt = v.cpu.instructions + 1;
};

/** The instruction after a load of SS, usually one of RSP, is not separated from it. */
const shadow = (v: Vcpu, segment: number): void => {
  if (segment !== Segment.SS) return;
  shadowNext(v);
  v.cpu.suppressTrap();
};

const setIf = (value: boolean) => (v: Vcpu) => {
  const { cpl, cr4 } = v.state;
  if (has(cr4, CR4.PVI) && cpl === 3 && ((v.registers.flags >> 12) & 3) < 3)
    throw v.missing('protected-mode virtual interrupts (CR4.PVI)');
  needsIopl(v);
  const { registers } = v;
  if (value && !has(registers.flags, RFLAGS.IF)) shadowNext(v);
  registers.flags = value ? registers.flags | RFLAGS.IF : registers.flags & ~RFLAGS.IF;
};
const setAc = (value: boolean) => (v: Vcpu) => {
  if (v.state.cpl !== 0) throw exception(VECTOR.UD);
  const { registers } = v;
  registers.flags = value ? registers.flags | RFLAGS.AC : registers.flags & ~RFLAGS.AC;
  v.modeChanged();
};

const readBase = (segment: Segment) => (v: Vcpu, i: Instruction) => {
  if (!has(v.state.cr4, CR4.FSGSBASE)) throw exception(VECTOR.UD);
  writeOperand(v, i, 0, v.registers.segment(segment).base);
};
const writeBase = (segment: Segment) => (v: Vcpu, i: Instruction) => {
  if (!has(v.state.cr4, CR4.FSGSBASE)) throw exception(VECTOR.UD);
  const base = readOperand(v, i, 0);
  if (!isCanonical(base)) throw GP0();
  v.registers.setSegment(segment, { ...v.registers.segment(segment), base });
};

/** TSD keeps it from user mode. */
function readTimeStamp(v: Vcpu): void {
  if (has(v.state.cr4, CR4.TSD) && v.state.cpl !== 0) throw GP0();
  const count = v.timeStamp;
  v.registers.set(RAX, count & 0xffff_ffffn);
  v.registers.set(RDX, count >> 32n);
}
const timeStampAux = (v: Vcpu): bigint => (v.state.msrs.get(MSR.TSC_AUX) ?? 0n) & 0xffff_ffffn;

/** RDRAND and RDSEED: CF says whether there was a number. Without a source they are missing instructions. */
function random(v: Vcpu, i: Instruction): boolean {
  if (!v.random) return false;
  const number = v.random(i.operandSize);
  writeOperand(v, i, 0, number ?? 0n);
  v.registers.flags = (v.registers.flags & ~STATUS_FLAGS) | (number === undefined ? 0 : RFLAGS.CF);
  return true;
}

/** BOUND: #BR if a signed index lies outside of two bounds in memory. */
function checkBounds(v: Vcpu, i: Instruction): void {
  const signed = (value: bigint): bigint => BigInt.asIntN(i.operandSize * 8, value);
  const index = signed(readOperand(v, i, 0));
  const lower = signed(readMemory(v, i, i.operandSize));
  const upper = signed(readMemory(v, i, i.operandSize, BigInt(i.operandSize)));
  if (index < lower || index > upper) throw exception(VECTOR.BR);
}

const INSTRUCTIONS: Readonly<Record<string, SystemInstruction>> = {
  UD0: () => {
    throw exception(VECTOR.UD);
  },
  UD1: () => {
    throw exception(VECTOR.UD);
  },
  UD2: () => {
    throw exception(VECTOR.UD);
  },
  HLT: () => {
    throw halt;
  },
  PAUSE: () => {},
  IN: input,
  OUT: output,
  INS: inputString,
  OUTS: outputString,
  WBINVD: () => {},
  INVD: () => {},
  CLFLUSH: () => {},
  CLFLUSHOPT: () => {},
  CLWB: () => {},
  INT3: (v) => software(v, VECTOR.BP),
  INT1: (v) => {
    // The gate's DPL does not count, and DR6 says nothing.
    deliverEvent(v, { vector: VECTOR.DB, errorCode: undefined, software: false });
    v.cpu.suppressTrap();
  },
  INT: (v, i) => software(v, i.immediate & 0xff),
  INTO: (v) => {
    if (has(v.registers.flags, RFLAGS.OF)) software(v, VECTOR.OF);
  },
  JMP_FAR: jumpFar,
  CALL_FAR: callFar,
  RETF: returnFar,
  IRET: interruptReturn,
  SYSCALL: systemCall,
  SYSRET: systemReturn,
  SYSENTER: systemEnter,
  SYSEXIT: systemExit,
  CLI: setIf(false),
  STI: setIf(true),
  CLAC: setAc(false),
  STAC: setAc(true),
  POPF: (v, i) => {
    const stack = new Stack(v);
    const value = Number(stack.pop(i.operandSize) & 0xffff_ffffn);
    stack.done();
    // POPF never sets RF.
    setReturnFlags(v, value & ~RFLAGS.RF, i.operandSize);
    v.modeChanged();
  },
  MOV_TO_SEG: (v, i) => {
    const { register } = i.operands[0];
    loadDataSegment(v, register, Number(readOperand(v, i, 1)));
    shadow(v, register);
  },
  POP_SEG: (v, i) => {
    const { register } = i.operands[0];
    const stack = new Stack(v);
    const selector = Number(stack.pop(i.operandSize) & 0xffffn);
    loadDataSegment(v, register, selector);
    stack.done();
    shadow(v, register);
  },
  LES: loadPointer(Segment.ES),
  LDS: loadPointer(Segment.DS),
  LSS: loadPointer(Segment.SS),
  LFS: loadPointer(Segment.FS),
  LGS: loadPointer(Segment.GS),
  SGDT: storeTable('gdtr'),
  SIDT: storeTable('idtr'),
  LGDT: loadTable('gdtr'),
  LIDT: loadTable('idtr'),
  LLDT: loadSystemSegment(6),
  LTR: loadSystemSegment(7),
  SLDT: storeSelector(6),
  STR: storeSelector(7),
  SMSW: (v, i) => {
    checkUmip(v);
    writeOperand(v, i, 0, BigInt(v.state.cr0 >>> 0));
  },
  LMSW: (v, i) => {
    // PE can be set but not cleared.
    const low = Number(readOperand(v, i, 0)) & 0xf;
    setControl(v, 0, BigInt(((v.state.cr0 & ~0xe) | low) >>> 0));
  },
  CLTS: (v) => {
    v.state.cr0 &= ~8;
    v.modeChanged();
  },
  MOV_TO_CR: (v, i) => setControl(v, i.operands[0].register, readOperand(v, i, 1)),
  MOV_FROM_CR: (v, i) => writeOperand(v, i, 0, readControl(v, i.operands[1].register)),
  MOV_TO_DR: (v, i) => setDebug(v, i.operands[0].register, readOperand(v, i, 1)),
  MOV_FROM_DR: (v, i) => writeOperand(v, i, 0, readDebug(v, i.operands[1].register)),
  INVLPG: (v) => v.cpu.flushTlb(),
  RDMSR: (v) => {
    const value = readMsr(v, v.registers.get32(RCX));
    v.registers.set(RAX, value & 0xffff_ffffn);
    v.registers.set(RDX, value >> 32n);
  },
  WRMSR: (v) => {
    const { registers } = v;
    const value = (BigInt(registers.get32(RDX)) << 32n) | BigInt(registers.get32(RAX));
    writeMsr(v, registers.get32(RCX), value);
  },
  SWAPGS: (v) => {
    const { registers, state } = v;
    const gs = registers.segment(Segment.GS);
    registers.setSegment(Segment.GS, { ...gs, base: state.msrs.get(MSR.KERNEL_GS_BASE) ?? 0n });
    state.msrs.set(MSR.KERNEL_GS_BASE, gs.base);
  },
  RDFSBASE: readBase(Segment.FS),
  RDGSBASE: readBase(Segment.GS),
  WRFSBASE: writeBase(Segment.FS),
  WRGSBASE: writeBase(Segment.GS),
  CPUID: (v) => {
    const { registers } = v;
    const values = v.cpuid(registers.get32(RAX), registers.get32(RCX));
    for (const [n, register] of [RAX, RBX, RCX, RDX].entries()) registers.set32(register, values[n] ?? 0);
  },
  RDTSC: readTimeStamp,
  RDTSCP: (v) => {
    readTimeStamp(v);
    v.registers.set(RCX, timeStampAux(v));
  },
  RDPID: (v, i) => writeOperand(v, i, 0, timeStampAux(v)),
  ENTER: (v, i) => {
    const level = i.immediate2 & 31;
    const { registers } = v;
    const stack = new Stack(v);
    const before = registers.get(RSP);
    stack.push(registers.get(RBP), i.operandSize);
    const mask = (1n << BigInt(v.stackSize)) - 1n;
    const frame = (before - BigInt(i.operandSize)) & mask;
    for (let n = 1; n < level; n++) {
      const at = (registers.get(RBP) - BigInt(n * i.operandSize)) & mask;
      stack.push(v.readLinear(segmentOffset(v, Segment.SS, at, i.operandSize, false), i.operandSize), i.operandSize);
    }
    if (level > 0) stack.push(frame, i.operandSize);
    stack.skip(-(i.immediate & 0xffff));
    stack.done();
    setRegister(v, RBP, i.operandSize, frame);
  },
  PUSHA: (v, i) => {
    const stack = new Stack(v);
    const values = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => v.registers.get(n));
    for (const value of values) stack.push(value, i.operandSize);
    stack.done();
  },
  POPA: (v, i) => {
    const stack = new Stack(v);
    const values = [7, 6, 5, 4, 3, 2, 1, 0].map((n) => ({ n, value: stack.pop(i.operandSize) }));
    stack.done();
    for (const { n, value } of values) if (n !== RSP) setRegister(v, n, i.operandSize, value);
  },
  LDMXCSR: loadMxcsr,
  STMXCSR: storeMxcsr,
  FXSAVE: saveImage,
  FXRSTOR: restoreImage,
  XGETBV: readXcr,
  XSETBV: writeXcr,
  LAR: loadAccessRights,
  LSL: loadSegmentLimit,
  VERR: verifyRead,
  VERW: verifyWrite,
  ARPL: adjustPrivilege,
  BOUND: checkBounds,
  DAA: adjustPacked(1),
  DAS: adjustPacked(-1),
  AAA: adjustUnpacked(1),
  AAS: adjustUnpacked(-1),
  AAM: adjustAfterMultiply,
  AAD: adjustBeforeDivide,
  RDRAND: random,
  RDSEED: random,
  ...X87_INSTRUCTIONS,
  ...MMX_INSTRUCTIONS,
  ...MMX_CONVERSIONS,
  ...SSE_FLOAT,
  ...SSE_APPROXIMATE,
  ...SSE_SELECTED,
  ...SSE_STRINGS,
};

export function systemInstruction(semantics: string): SystemInstruction | undefined {
  return INSTRUCTIONS[semantics];
}
