import { type Instruction, OperandPlace } from '../decoder/instruction.js';
import { exception, VECTOR } from '../exception.js';
import { RFLAGS } from '../semantics/flags.js';
import { probeWrite, readOperand, writeOperand } from './operands.js';
import { ATTRIBUTE, type Descriptor, dplOf, findDescriptor, isCode, isConforming } from './segments.js';
import { has, isLongMode, isProtected } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** LAR, LSL, VERR and VERW: what a selector would give, told by ZF and without a fault. APM volume 3. */

/** System descriptors that LAR and LSL look into, in legacy and in long mode. */
const KNOWN = {
  rights: { legacy: [1, 2, 3, 4, 5, 9, 0xb, 0xc], long: [2, 9, 0xb, 0xc] },
  limit: { legacy: [1, 2, 3, 9, 0xb], long: [2, 9, 0xb] },
} as const;

function setZero(v: Vcpu, value: boolean): void {
  const { registers } = v;
  registers.flags = value ? registers.flags | RFLAGS.ZF : registers.flags & ~RFLAGS.ZF;
}

/** The descriptor if the privilege reaches it. */
function visible(v: Vcpu, selector: number): Descriptor | undefined {
  if ((selector & 0xfffc) === 0) return undefined;
  const d = findDescriptor(v, selector);
  if (!d || isConforming(d.attributes)) return d;
  const dpl = dplOf(d.attributes);
  return v.state.cpl <= dpl && (selector & 3) <= dpl ? d : undefined;
}

const selectorCheck =
  (operand: 0 | 1, accept: (v: Vcpu, i: Instruction, d: Descriptor) => boolean) => (v: Vcpu, i: Instruction) => {
    if (!isProtected(v.state)) throw exception(VECTOR.UD);
    const d = visible(v, Number(readOperand(v, i, operand) & 0xffffn));
    setZero(v, d !== undefined && accept(v, i, d));
  };

const knows = (v: Vcpu, what: keyof typeof KNOWN, { attributes }: Descriptor): boolean =>
  has(attributes, ATTRIBUTE.system) ||
  (KNOWN[what][isLongMode(v.state) ? 'long' : 'legacy'] as readonly number[]).includes(attributes & 0xf);

export const loadAccessRights = selectorCheck(1, (v, i, d) => {
  if (!knows(v, 'rights', d)) return false;
  writeOperand(v, i, 0, (d.raw >> 32n) & (i.operandSize === 2 ? 0xff00n : 0xff_ff00n));
  return true;
});

export const loadSegmentLimit = selectorCheck(1, (v, i, d) => {
  if (!knows(v, 'limit', d)) return false;
  writeOperand(v, i, 0, BigInt(d.limit));
  return true;
});

/** Bit 1 is "readable" of code and "writable" of data. */
export const verifyRead = selectorCheck(
  0,
  (_, __, { attributes }) => has(attributes, ATTRIBUTE.system) && (!isCode(attributes) || has(attributes, 2)),
);
export const verifyWrite = selectorCheck(
  0,
  (_, __, { attributes }) => has(attributes, ATTRIBUTE.system) && !isCode(attributes) && has(attributes, 2),
);

/** Raises the RPL of a selector to that of another: APM volume 3, ARPL. */
export function adjustPrivilege(v: Vcpu, i: Instruction): void {
  if (!isProtected(v.state)) throw exception(VECTOR.UD);
  const selector = readOperand(v, i, 0);
  const wanted = readOperand(v, i, 1) & 3n;
  const raised = (selector & 3n) < wanted;
  if (raised) writeOperand(v, i, 0, (selector & ~3n) | wanted);
  else probeDestination(v, i);
  setZero(v, raised);
}

/** The destination must be writable whether it changes or not. */
function probeDestination(v: Vcpu, i: Instruction): void {
  if (i.operands[0].place === OperandPlace.memory) probeWrite(v, i, i.operands[0].size);
}
