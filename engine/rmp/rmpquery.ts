import { hex } from '../address.js';
import { defineFault, makeFault } from '../fault.js';
import { VC_NOT_VALIDATED } from './access-faults.js';
import {
  checkTarget,
  type InputVerdict,
  type InstructionInput,
  inputFails,
  instructionFault,
  privilegeRefusal,
  type RmpInstructionOutcome,
  type RmpTarget,
  raisesVc,
} from './guest-instruction.js';
import { OPERAND_RESERVED } from './guest-instruction-faults.js';
import { INSTRUCTION_CODE, instruction } from './instruction.js';
import type { Rmp } from './table.js';
import { asVmpl, type Vmpl } from './vmpl.js';

const APM = 'AMD64 APM vol. 3, RMPQUERY';

export interface RmpqueryOperands {
  /** RDX[7:0]: whose permissions. */
  readonly targetVmpl: Vmpl;
}

export interface RmpqueryInput extends InstructionInput {
  /** CPUID 8000_001F EAX bit 6. */
  readonly supported?: boolean;
}

/** The registers that RMPQUERY writes with SUCCESS. */
export interface RmpqueryRegisters {
  /** Page size of the RMP entry: 0 or 1. */
  readonly rcx: number;
  /** [7:0] the target VMPL, [15:8] its mask, [16] the VMSA bit. */
  readonly rdx: number;
}

export type RmpqueryOutcome = RmpInstructionOutcome & { readonly registers?: RmpqueryRegisters };

export const RMPQUERY_TARGET = defineFault<{ targetVmpl: number }>({
  check: 'hw-rmpquery-target-vmpl',
  layer: 'hardware',
  command: 'RMPQUERY',
  code: instruction('FAIL_INPUT'),
  title: 'No such VMPL',
  message: (o) => `The target in RDX[7:0] is VMPL${o.targetVmpl}; there are VMPL0 to VMPL3.`,
  why: 'An RMP entry has one permission mask for each of the four levels.',
  hint: 'Put a VMPL from 0 to 3 into RDX[7:0].',
  reference: APM,
  confirmed: false,
});

export const RMPQUERY_LEVEL = defineFault<{ vmpl: number; targetVmpl: number }>({
  check: 'hw-rmpquery-level',
  layer: 'hardware',
  command: 'RMPQUERY',
  code: instruction('FAIL_PERMISSION'),
  title: 'The target VMPL is above the own one',
  message: (o) => `Software at VMPL${o.vmpl} asked for the permissions of VMPL${o.targetVmpl}.`,
  why: 'What a more privileged level may do is not for the less privileged one to know.',
  hint: (o) => `Ask for VMPL${o.vmpl} or a level with a higher number.`,
  reference: APM,
  confirmed: false,
});

export const RMPQUERY_NOT_VALIDATED = defineFault<{ gpa: string; spa: string; state: string }>({
  check: 'hw-rmpquery-not-validated',
  layer: 'hardware',
  command: 'RMPQUERY',
  code: VC_NOT_VALIDATED,
  title: 'The guest has not validated the page',
  message: (o) => `The page at GPA ${o.gpa} (SPA ${o.spa}) is in state ${o.state}: its Validated bit is 0.`,
  why: 'The permissions of a page mean something only after the guest has accepted the page.',
  hint: 'PVALIDATE the page first. If the guest did so before, the host has exchanged the page: terminate.',
  reference: APM,
  confirmed: false,
});

/** Stage 1 of RMPQUERY. */
export function rmpqueryInput(input: RmpqueryInput): InputVerdict<RmpqueryOperands> {
  const refused = privilegeRefusal('RMPQUERY', input, input.supported ?? true);
  if (refused) return refused;
  const { vmpl, edx } = input;
  const targetVmpl = asVmpl(edx % 0x100);
  if (targetVmpl === undefined) return inputFails(makeFault(RMPQUERY_TARGET, { targetVmpl: edx % 0x100 }));
  if (edx >= 0x2_0000) {
    return inputFails(instructionFault('RMPQUERY', OPERAND_RESERVED, { edx: hex(edx), allowed: '16:0' }));
  }
  if (targetVmpl < vmpl) return inputFails(makeFault(RMPQUERY_LEVEL, { vmpl, targetVmpl }));
  return { kind: 'ok', operands: { targetVmpl } };
}

/** Stage 2 of RMPQUERY: the checks of the page; changes nothing. */
export function rmpqueryPage(rmp: Rmp, target: RmpTarget, { targetVmpl }: RmpqueryOperands): RmpqueryOutcome {
  const verdict = checkTarget('RMPQUERY', rmp, target, undefined);
  if (!verdict.ok) return verdict.outcome;
  const { entry, gpa, spa, state } = verdict.page;
  if (!entry.validated) return raisesVc(makeFault(RMPQUERY_NOT_VALIDATED, { gpa, spa, state }));
  const rdx = targetVmpl + entry.vmpl[targetVmpl] * 0x100 + (entry.vmsa ? 0x1_0000 : 0);
  const registers = { rcx: entry.pageSize2M ? 1 : 0, rdx };
  return { kind: 'done', code: INSTRUCTION_CODE.SUCCESS, carry: false, changes: [], registers };
}
