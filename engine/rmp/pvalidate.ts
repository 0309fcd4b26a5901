import { hex } from '../address.js';
import { defineFault, makeFault } from '../fault.js';
import {
  checkTarget,
  type InputVerdict,
  type InstructionInput,
  inputFails,
  instructionFault,
  privilegeRefusal,
  type RmpInstructionOutcome,
  type RmpTarget,
  sizeRefusal,
  sizeText,
} from './guest-instruction.js';
import { GP, OPERAND_RESERVED } from './guest-instruction-faults.js';
import { INSTRUCTION_CODE, instruction } from './instruction.js';
import { type Rmp, writeEntry } from './table.js';

const APM = 'AMD64 APM vol. 3, PVALIDATE; vol. 2, 15.36.6';
const LINUX = 'Linux arch/x86/include/asm/sev.h pvalidate(), arch/x86/coco/sev/shared.c pvalidate_pages()';

export interface PvalidateOperands {
  /** EDX: 1 validates, 0 rescinds. */
  readonly validate: boolean;
  /** ECX: 2 MiB instead of 4 KiB. */
  readonly size2M: boolean;
}

export const PVALIDATE_VMPL = defineFault<{ vmpl: number }>({
  check: 'hw-pvalidate-vmpl',
  layer: 'hardware',
  command: 'PVALIDATE',
  code: GP,
  title: 'PVALIDATE works at VMPL0 only',
  message: (o) => `PVALIDATE was executed at VMPL${o.vmpl}.`,
  why: 'The most privileged level decides which memory belongs to the guest; no level below it may.',
  hint: 'Under an SVSM ask for it with the SVSM_CORE_PVALIDATE call instead of executing the instruction.',
  reference: APM,
  confirmed: false,
});

type Page = { readonly gpa: string; readonly spa: string; readonly size: string };

export const PVALIDATE_TWICE = defineFault<Page>({
  check: 'hw-pvalidate-twice',
  layer: 'hardware',
  command: 'PVALIDATE',
  code: instruction('SUCCESS'),
  severity: 'warning',
  title: 'The page is validated already',
  message: (o) =>
    `PVALIDATE returned SUCCESS with CF = 1: the ${o.size} page at GPA ${o.gpa} (SPA ${o.spa}) was already validated, ` +
    'and nothing changed.',
  why: 'The guest must validate each page exactly once between two rescissions. A guest that validates again whenever it is asked to, or whenever it gets #VC, can be attacked: the host assigns a second system page to the same guest address, the guest validates it as well, and from then on the host can switch between two valid pages, an old and a new one, without any check failing. CF = 1 says that the guest’s own record of what it validated is wrong, or that the host skipped the page state change that it reported as done. The content may be stale.',
  hint: 'Keep a record of the validated pages and never validate one twice; take CF = 1 after a page state change as an attack and terminate, as Linux does (PVALIDATE_FAIL_NOUPDATE). LAUNCH_UPDATE has validated the pages of the initial image: leave those out.',
  reference: `${APM}; ${LINUX}`,
  confirmed: true,
});

export const PVALIDATE_RESCIND_TWICE = defineFault<Page>({
  check: 'hw-pvalidate-rescind-twice',
  layer: 'hardware',
  command: 'PVALIDATE',
  code: instruction('SUCCESS'),
  severity: 'warning',
  title: 'The page was not validated',
  message: (o) =>
    `PVALIDATE rescinded the validation of the ${o.size} page at GPA ${o.gpa} (SPA ${o.spa}), which was not ` +
    'validated: SUCCESS with CF = 1, and nothing changed.',
  why: 'A page that the guest validated loses that only by the guest’s own PVALIDATE or because the host changed its RMP entry. If the guest holds the page for validated, the host has exchanged it.',
  hint: 'Rescind only pages that the guest has validated, and once. If it had validated this one, take CF = 1 as an attack and terminate.',
  reference: `${APM}; ${LINUX}`,
  confirmed: true,
});

/** Stage 1 of PVALIDATE: exceptions and FAIL_INPUT, before the operand is translated. */
export function pvalidateInput(input: InstructionInput): InputVerdict<PvalidateOperands> {
  const refused = privilegeRefusal('PVALIDATE', input);
  if (refused) return refused;
  if (input.vmpl !== 0) return { kind: 'gp', fault: makeFault(PVALIDATE_VMPL, { vmpl: input.vmpl }) };
  const sizeRefused = sizeRefusal('PVALIDATE', input);
  if (sizeRefused) return sizeRefused;
  const { ecx, edx } = input;
  if (edx !== 0 && edx !== 1) {
    return inputFails(instructionFault('PVALIDATE', OPERAND_RESERVED, { edx: hex(edx), allowed: '0' }));
  }
  return { kind: 'ok', operands: { validate: edx === 1, size2M: ecx === 1 } };
}

/** Stage 2 of PVALIDATE: the checks of the page, and the change of its entry. */
export function pvalidatePage(rmp: Rmp, target: RmpTarget, operands: PvalidateOperands): RmpInstructionOutcome {
  const { validate, size2M } = operands;
  const verdict = checkTarget('PVALIDATE', rmp, target, size2M);
  if (!verdict.ok) return verdict.outcome;
  const { frame, entry, gpa, spa } = verdict.page;
  const code = INSTRUCTION_CODE.SUCCESS;
  if (entry.validated === validate) {
    const definition = validate ? PVALIDATE_TWICE : PVALIDATE_RESCIND_TWICE;
    const fault = makeFault(definition, { gpa, spa, size: sizeText(size2M) });
    return { kind: 'done', code, carry: true, changes: [], fault };
  }
  const change = writeEntry(rmp, frame, { ...entry, validated: validate });
  return { kind: 'done', code, carry: false, changes: [change] };
}
