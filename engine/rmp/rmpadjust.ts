import { hex } from '../address.js';
import { defineFault, makeFault } from '../fault.js';
import { VC_NOT_VALIDATED } from './access-faults.js';
import { vmplMaskText, vmplMaskWords } from './describe.js';
import type { RmpEntry } from './entry.js';
import {
  checkTarget,
  type InputVerdict,
  type InstructionInput,
  inputFails,
  instructionFault,
  pageFails,
  privilegeRefusal,
  type RmpInstructionOutcome,
  type RmpTarget,
  raisesVc,
  sizeRefusal,
} from './guest-instruction.js';
import { OPERAND_RESERVED } from './guest-instruction-faults.js';
import { INSTRUCTION_CODE, instruction } from './instruction.js';
import { type Rmp, writeEntry } from './table.js';
import { asVmpl, type Vmpl } from './vmpl.js';

const APM = 'AMD64 APM vol. 3, RMPADJUST; vol. 2, 15.36.7';

export interface RmpadjustOperands {
  /** RDX[7:0]. */
  readonly targetVmpl: Vmpl;
  /** RDX[15:8]: the new permission mask. */
  readonly mask: number;
  /** RDX[16]: the page holds a VMSA; ignored above VMPL0. */
  readonly vmsa: boolean;
  /** ECX: 2 MiB instead of 4 KiB. */
  readonly size2M: boolean;
}

export const RMPADJUST_TARGET = defineFault<{ targetVmpl: number }>({
  check: 'hw-rmpadjust-target-vmpl',
  layer: 'hardware',
  command: 'RMPADJUST',
  code: instruction('FAIL_INPUT'),
  title: 'No such VMPL',
  message: (o) => `The target in RDX[7:0] is VMPL${o.targetVmpl}; there are VMPL0 to VMPL3.`,
  why: 'An RMP entry has one permission mask for each of the four levels.',
  hint: 'Put a VMPL from 1 to 3 into RDX[7:0] and the mask into RDX[15:8].',
  reference: APM,
  confirmed: true,
});

export const RMPADJUST_VMSA_2M = defineFault({
  check: 'hw-rmpadjust-vmsa-2m',
  layer: 'hardware',
  command: 'RMPADJUST',
  code: instruction('FAIL_INPUT'),
  title: 'A VMSA page is 4 KiB',
  message: () => 'RDX[16] asks for a VMSA page, but ECX says 2 MiB.',
  why: 'VMRUN takes a VMSA from a 4 KiB page only.',
  hint: 'Use ECX = 0 for the page of the VMSA, and one that is not 2 MiB aligned: KVM refuses those.',
  reference: APM,
  confirmed: false,
});

export const RMPADJUST_LEVEL = defineFault<{ vmpl: number; targetVmpl: number }>({
  check: 'hw-rmpadjust-level',
  layer: 'hardware',
  command: 'RMPADJUST',
  code: instruction('FAIL_PERMISSION'),
  title: 'The target VMPL is not below the own one',
  message: (o) => `Software at VMPL${o.vmpl} asked to change the permissions of VMPL${o.targetVmpl}.`,
  why: 'A level grants permissions only to less privileged ones, those with a higher number. VMPL0 cannot restrict itself.',
  hint: (o) =>
    `Use a target above ${o.vmpl}. A guest that uses this to find out whether it runs at VMPL0 reads it as “no”.`,
  reference: `${APM}; Linux arch/x86/coco/sev/shared.c svsm_setup_ca()`,
  confirmed: true,
});

export const RMPADJUST_NOT_VALIDATED = defineFault<{ gpa: string; spa: string; state: string }>({
  check: 'hw-rmpadjust-not-validated',
  layer: 'hardware',
  command: 'RMPADJUST',
  code: VC_NOT_VALIDATED,
  title: 'The guest has not validated the page',
  message: (o) => `The page at GPA ${o.gpa} (SPA ${o.spa}) is in state ${o.state}: its Validated bit is 0.`,
  why: 'Permissions on a page that the host could still exchange would be worth nothing.',
  hint: 'PVALIDATE the page first. If the guest did so before, the host has exchanged the page: terminate.',
  reference: `${APM}, 15.36.6`,
  confirmed: true,
});

export const RMPADJUST_MASK = defineFault<{
  gpa: string;
  vmpl: number;
  targetVmpl: number;
  mask: string;
  own: string;
  excess: string;
}>({
  check: 'hw-rmpadjust-mask',
  layer: 'hardware',
  command: 'RMPADJUST',
  code: instruction('FAIL_PERMISSION'),
  title: 'A permission that the own VMPL lacks',
  message: (o) =>
    `VMPL${o.vmpl} has ${o.own} on the page at GPA ${o.gpa} and asked to give VMPL${o.targetVmpl} ${o.mask}: it does ` +
    `not have ${o.excess} itself.`,
  why: 'No level can pass on more than it has.',
  hint: (o) => `Ask for a subset of ${o.own}, or have a more privileged level grant it.`,
  reference: APM,
  confirmed: true,
});

export const RMPADJUST_WRITE_ONLY = defineFault<{ gpa: string; targetVmpl: number; mask: string }>({
  check: 'hw-rmpadjust-write-only',
  layer: 'hardware',
  command: 'RMPADJUST',
  code: instruction('SUCCESS'),
  severity: 'warning',
  title: 'Write without read permits no data access',
  message: (o) =>
    `VMPL${o.targetVmpl} now has ${o.mask} on the page at GPA ${o.gpa}: write, but not read. RMPADJUST accepts it, but ` +
    'each data access of that level will end in #VMEXIT(NPF).',
  why: 'A write may have to read the rest of the cache line, so the processor treats write without read as an illegal mask.',
  hint: 'Grant read (bit 0) together with write (bit 1), or neither.',
  reference: 'AMD64 APM vol. 2, 15.36.7, table 15-36',
  confirmed: true,
});

/** Stage 1 of RMPADJUST: exceptions, FAIL_INPUT and the comparison of the levels. */
export function rmpadjustInput(input: InstructionInput): InputVerdict<RmpadjustOperands> {
  const refused = privilegeRefusal('RMPADJUST', input) ?? sizeRefusal('RMPADJUST', input);
  if (refused) return refused;
  const { vmpl, ecx, edx } = input;
  const targetVmpl = asVmpl(edx % 0x100);
  if (targetVmpl === undefined) return inputFails(makeFault(RMPADJUST_TARGET, { targetVmpl: edx % 0x100 }));
  if (edx >= 0x2_0000) {
    return inputFails(instructionFault('RMPADJUST', OPERAND_RESERVED, { edx: hex(edx), allowed: '16:0' }));
  }
  const vmsa = edx >= 0x1_0000;
  if (vmsa && ecx === 1 && vmpl === 0) return inputFails(makeFault(RMPADJUST_VMSA_2M, {}));
  if (targetVmpl <= vmpl) return inputFails(makeFault(RMPADJUST_LEVEL, { vmpl, targetVmpl }));
  return { kind: 'ok', operands: { targetVmpl, mask: (edx >>> 8) & 0xff, vmsa, size2M: ecx === 1 } };
}

/** Stage 2 of RMPADJUST: the checks of the page, and the change of its entry. */
export function rmpadjustPage(rmp: Rmp, target: RmpTarget, operands: RmpadjustOperands): RmpInstructionOutcome {
  const { targetVmpl, mask, size2M } = operands;
  const verdict = checkTarget('RMPADJUST', rmp, target, size2M);
  if (!verdict.ok) return verdict.outcome;
  const { frame, entry, gpa, spa, state } = verdict.page;
  if (!entry.validated) return raisesVc(makeFault(RMPADJUST_NOT_VALIDATED, { gpa, spa, state }));
  const own = entry.vmpl[target.vmpl];
  if ((mask & ~own) !== 0) {
    return pageFails(
      makeFault(RMPADJUST_MASK, {
        gpa,
        vmpl: target.vmpl,
        targetVmpl,
        mask: vmplMaskText(mask),
        own: vmplMaskText(own),
        excess: vmplMaskWords(mask & ~own),
      }),
    );
  }
  const vmsa = target.vmpl === 0 ? operands.vmsa : entry.vmsa;
  const changes =
    entry.vmpl[targetVmpl] === mask && entry.vmsa === vmsa
      ? []
      : [writeEntry(rmp, frame, { ...entry, vmsa, vmpl: withMask(entry.vmpl, targetVmpl, mask) })];
  const done = { kind: 'done', code: INSTRUCTION_CODE.SUCCESS, carry: false, changes } as const;
  if ((mask & 3) !== 2) return done;
  return { ...done, fault: makeFault(RMPADJUST_WRITE_ONLY, { gpa, targetVmpl, mask: vmplMaskText(mask) }) };
}

function withMask(masks: RmpEntry['vmpl'], level: Vmpl, mask: number): RmpEntry['vmpl'] {
  const [a, b, c, d] = masks;
  return [level === 0 ? mask : a, level === 1 ? mask : b, level === 2 ? mask : c, level === 3 ? mask : d];
}
