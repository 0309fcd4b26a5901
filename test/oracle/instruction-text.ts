import { type Instruction, type Operand, OperandPlace } from '../../engine/cpu/decoder/instruction.js';
import { withImplicit } from './implicit-operands.js';
import { memorySizeName } from './memory-size-name.js';
import { mnemonicText } from './mnemonic-text.js';
import { generalRegister, SEGMENTS, segmentName } from './register-name.js';

/**
 * One decoded instruction in the syntax of iced-x86's FastFormatter with sizes and segments always shown: every
 * operand of which the engine knows is in the text.
 */

/** A number of `bits` bits, without sign. */
const unsigned = (value: bigint, bits: number): string => `0x${BigInt.asUintN(bits, value).toString(16)}`;

const displacement = (i: Instruction): bigint => (BigInt(i.displacementHigh) << 32n) | BigInt(i.displacement >>> 0);

function address(i: Instruction, ip: bigint): string {
  if (i.ripRelative) return unsigned(displacement(i) + ip + BigInt(i.length), i.addressSize);
  if (i.base < 0 && i.index < 0) return unsigned(displacement(i), i.addressSize);
  const bytes = i.addressSize / 8;
  let text = i.base >= 0 ? generalRegister(i.base, bytes) : '';
  if (i.index >= 0) {
    text += `${text === '' ? '' : '+'}${generalRegister(i.index, bytes)}`;
    if (i.scale > 0 || i.base < 0) text += `*${1 << i.scale}`;
  }
  const signed = BigInt.asIntN(i.addressSize, displacement(i));
  if (signed === 0n) return text;
  return `${text}${signed < 0n ? '-' : '+'}0x${(signed < 0n ? -signed : signed).toString(16)}`;
}

function memory(i: Instruction, operand: Operand, ip: bigint): string {
  return `${memorySizeName(i, operand)}${segmentName(i)}:[${address(i, ip)}]`;
}

/** Where a relative branch goes: operand size cuts the target. */
function branchTarget(i: Instruction, ip: bigint): string {
  const bits = i.operandSize === 2 ? 16 : i.codeSize === 64 ? 64 : 32;
  return unsigned(ip + BigInt(i.length) + BigInt(i.immediate), bits);
}

function immediate(i: Instruction, operand: Operand, n: number, ip: bigint): string {
  const kind = i.encoding?.operands[n];
  if (kind === 'Jb' || kind === 'Jz') return branchTarget(i, ip);
  if (kind === 'Ap') return `${unsigned(BigInt(i.immediate2), 16)}:${unsigned(BigInt(i.immediate), i.operandSize * 8)}`;
  if (kind === '1') return '0x1';
  if (i.encoding?.mnemonic === 'ENTER' && n === 1) return unsigned(BigInt(i.immediate2), 8);
  if (kind === 'Ib' || kind === 'Ic') return unsigned(BigInt(i.immediate), 8);
  const value = (BigInt(i.immediateHigh) << 32n) | BigInt(i.immediate >>> 0);
  return unsigned(value, kind === 'Iw' ? 16 : operand.size * 8);
}

function operandText(i: Instruction, n: 0 | 1 | 2, ip: bigint): string {
  const operand = i.operands[n];
  switch (operand.place) {
    case OperandPlace.none:
      return '';
    case OperandPlace.register:
      return generalRegister(operand.register, operand.size, operand.highByte);
    case OperandPlace.memory:
      return memory(i, operand, ip);
    case OperandPlace.immediate:
      return immediate(i, operand, n, ip);
    case OperandPlace.vector:
      return `xmm${operand.register}`;
    case OperandPlace.mmx:
      return `mm${operand.register}`;
    case OperandPlace.segment:
      return SEGMENTS[operand.register] ?? '';
    case OperandPlace.control:
      return `cr${operand.register}`;
    case OperandPlace.debug:
      return `dr${operand.register}`;
  }
}

function prefixText(i: Instruction): string {
  const lock = i.lock && !/^MOV_(FROM|TO)_CR$/.test(i.encoding?.semantics ?? '') ? 'lock ' : '';
  if (i.repeat === 0 || i.encoding?.repeat === 'none') return lock;
  if (i.repeat === 0xf2) return `${lock}repne `;
  return `${lock}${i.encoding?.repeat === 'repe' ? 'repe' : 'rep'} `;
}

/** The text of an instruction at `ip`. */
export function instructionText(i: Instruction, ip: bigint): string {
  const operands: string[] = [];
  for (let n = 0; n < 3; n++) {
    const text = operandText(i, n as 0 | 1 | 2, ip);
    if (text !== '') operands.push(text);
  }
  const all = withImplicit(i, operands).join(',');
  return `${prefixText(i)}${mnemonicText(i)}${all === '' ? '' : ` ${all}`}`;
}
