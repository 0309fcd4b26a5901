import type { Instruction } from '../../engine/cpu/decoder/instruction.js';
import type { IcedDecoder } from './iced.js';
import { resized } from './register-name.js';

/** Where the same instruction has another text. Both texts are rewritten, and must then be equal. */
export interface Difference {
  readonly reason: string;
  readonly applies: (i: Instruction, iced: IcedDecoder) => boolean;
  readonly iced?: (text: string, i: Instruction) => string;
  readonly ours?: (text: string, i: Instruction) => string;
}

const PREFIX = /^(?:(?:lock|xacquire|xrelease|bnd|notrack|hnt|ht|rep|repe|repne|[c-g]s|es|ss) )+/;
const REPEAT = /^(rep|repe|repne)$/;

/** Only LOCK, and the repeat prefix of an instruction that repeats. */
function dropPrefixes(text: string, i: Instruction): string {
  return text.replace(PREFIX, (words) =>
    words
      .split(' ')
      .filter((word) => word === '' || word === 'lock' || (REPEAT.test(word) && i.encoding?.repeat !== 'none'))
      .join(' '),
  );
}

/** Changes the operands that the table has with one of these kinds. */
function mapOperands(text: string, i: Instruction, kinds: RegExp, change: (operand: string) => string): string {
  const space = text.indexOf(' ');
  const operands = text.slice(space + 1).split(',');
  return `${text.slice(0, space)} ${operands
    .map((operand, n) => (kinds.test(i.encoding?.operands[n] ?? '') ? change(operand) : operand))
    .join(',')}`;
}

/** `nop` with the address of its operand. */
const nopText = (text: string): string => `nop ${/\w+:\[.*\]/.exec(text)?.[0] ?? ''}`;
const SELECTOR_IS_16_BITS = /^(ARPL|LAR|LSL|LLDT|LTR|VERR|VERW|LMSW|MOV_TO_SEG)$/;

export const DIFFERENCES: readonly Difference[] = [
  {
    reason: 'iced shows prefixes that have no effect, and hints to branches',
    applies: () => true,
    iced: dropPrefixes,
  },
  {
    reason:
      '64-bit mode ignores ES, CS, SS and DS prefixes (APM volume 3, section 1.2.4); iced shows them as the segment',
    applies: (_, iced) => iced.ignoresSegment,
    iced: (text) => text.replace(/\b(es|cs|ss|ds):\[/g, '['),
    ours: (text) => text.replace(/\b(es|cs|ss|ds):\[/g, '['),
  },
  {
    reason: '0F 0D and 0F 18 to 0F 1F are all NOP or PREFETCH in the table; iced names the hints, and shows ModRM.reg',
    applies: ({ encoding }) => encoding?.map === 1 && /^(NOP|PREFETCH)$/.test(encoding.mnemonic),
    iced: nopText,
    ours: nopText,
  },
  {
    reason: 'shift counts and bit numbers are cut to 5 or 6 bits in the decoder; iced shows the byte',
    applies: ({ encoding }) => encoding?.operands.includes('Ic') ?? false,
    iced: (text, i) => {
      const mask = i.operands[0].size === 8 ? 63 : 31;
      return mapOperands(text, i, /^Ic$/, (operand) => `0x${(Number(operand) & mask).toString(16)}`);
    },
  },
  {
    reason: 'a selector in a register has 16 bits whatever the operand size; iced names the wider register',
    applies: ({ encoding }) => SELECTOR_IS_16_BITS.test(encoding?.semantics ?? ''),
    iced: (text, i) => mapOperands(text, i, /^[EG]w$/, (operand) => resized(operand, 2)),
  },
  {
    reason: 'a 32-bit operand of a vector instruction stays one with REX.W; iced names the 64-bit register',
    applies: (i) => i.operandSize === 8 && (i.encoding?.operands.some((kind) => /^(Gd|Ed)/.test(kind)) ?? false),
    iced: (text, i) => mapOperands(text, i, /^(Gd|Ed)/, (operand) => resized(operand, 4)),
  },
  {
    reason: 'MOVSXD with a 16-bit operand size reads 32 bits, tried on Zen 5; iced has 16',
    applies: ({ encoding, operandSize }) => encoding?.mnemonic === 'MOVSXD' && operandSize === 2,
    iced: (text, i) => mapOperands(text, i, /^Ed$/, (operand) => resized(operand.replace(/^word ptr/, 'dword ptr'), 4)),
  },
  {
    reason: 'F3 REX.B 90 exchanges registers, tried on Zen 5; iced calls it PAUSE',
    applies: ({ encoding, opcode }, iced) => encoding?.mnemonic === 'XCHG' && opcode === 0x90 && iced.form === 'Pause',
    iced: () => '',
    ours: () => '',
  },
  {
    reason: 'D9 /3 pops an empty register without a stack fault, unlike FSTP; iced calls both FSTP',
    applies: ({ encoding }) => encoding?.semantics === 'FSTPNCE',
    ours: (text) => text.replace('fstpnce', 'fstp'),
  },
  {
    reason: 'iced marks a 32-bit counter of LOOP in some modes; the name of the form is compared in all',
    applies: ({ encoding }) => encoding?.mnemonic.startsWith('LOOP') ?? false,
    iced: (text) => text.replace(/^(loop|loope|loopne)[wd] /, '$1 '),
  },
  {
    reason: 'the two immediates of EXTRQ and INSERTQ are one of 16 bits in the table',
    applies: ({ encoding }) => /^(EXTRQ|INSERTQ)$/.test(encoding?.mnemonic ?? ''),
    ours: (text, i) =>
      mapOperands(text, i, /^Iw$/, (o) => `0x${(Number(o) & 0xff).toString(16)},0x${(Number(o) >> 8).toString(16)}`),
  },
  {
    reason: 'the register of MOVDIR64B is as wide as an address, and nothing executes it; the table has operand size',
    applies: ({ encoding }) => encoding?.mnemonic === 'MOVDIR64B',
    iced: (text, i) => mapOperands(text, i, /^Gv$/, () => '').replace('zmmword ptr ', ''),
    ours: (text, i) => mapOperands(text, i, /^Gv$/, () => ''),
  },
];

/** Instructions of AMD that are younger than the decoder. */
export const UNKNOWN_TO_ICED: ReadonlySet<string> = new Set(['RMPREAD']);
