import { type Gpa, gfnOf, hex, PAGE_SIZE, PAGE_SIZE_2M, type Pfn, spaOf } from '../address.js';
import type { Fault, FaultDefinition, Operands } from '../fault.js';
import { makeFault } from '../fault.js';
import { NPF, npfAccessBits } from '../spec/npf-error.js';
import { PAGE_NOT_VALIDATED } from './access-check.js';
import { ownerText } from './describe.js';
import { HYPERVISOR_ENTRY, type RmpEntry } from './entry.js';
import * as checks from './guest-instruction-faults.js';
import { pageState } from './page-state.js';
import { effectiveEntry, headOf, isCovered, type Rmp, type RmpChange, readEntry } from './table.js';
import type { Vmpl } from './vmpl.js';

/**
 * What PVALIDATE, RMPADJUST and RMPQUERY have in common. Each runs in two stages: `…Input` before the operand is
 * translated, `…Page` after guest paging and the nested walk have let it pass. Order of the checks: AMD64 APM vol. 2,
 * 15.36.5 to 15.36.11, and the formal model microsoft/verismo source/verismo/src/arch/rmp/access_s.rs.
 */
export type GuestRmpInstruction = 'PVALIDATE' | 'RMPADJUST' | 'RMPQUERY';

export interface InstructionInput {
  /** SEV_FEATURES[0] of the running vCPU. */
  readonly snpActive: boolean;
  readonly cpl: number;
  readonly vmpl: Vmpl;
  /** RAX. Bits 11:0 are ignored. */
  readonly gva: bigint;
  /** ECX, unsigned. */
  readonly ecx: number;
  /** EDX, unsigned; of RMPADJUST and RMPQUERY all of RDX counts. */
  readonly edx: number;
}

/** What stage 1 says: go on with the operands, raise #UD or #GP(0), or end with this code in EAX. */
export type InputVerdict<O> =
  | { readonly kind: 'ok'; readonly operands: O }
  | { readonly kind: 'ud'; readonly fault: Fault }
  | { readonly kind: 'gp'; readonly fault: Fault }
  | { readonly kind: 'done'; readonly code: number; readonly fault: Fault };

/** The page that the operand leads to. */
export interface RmpTarget {
  /** System page of the operand. */
  readonly pfn: Pfn;
  /** Guest page of the operand, C-bit stripped. */
  readonly gpa: Gpa;
  readonly nptPageSize2M: boolean;
  readonly asid: number;
  /** VMPL of the running vCPU. */
  readonly vmpl: Vmpl;
  /** C-bit of the guest mapping. */
  readonly encrypted: boolean;
}

/** `done`: EAX and CF, and the entries that changed. `npf`: EXITINFO1. `vc`: the error code of #VC. */
export type RmpInstructionOutcome =
  | {
      readonly kind: 'done';
      readonly code: number;
      readonly carry: boolean;
      readonly changes: readonly RmpChange[];
      /** Why the code is not SUCCESS; with SUCCESS something that the guest's author should know. */
      readonly fault?: Fault;
    }
  | { readonly kind: 'npf'; readonly errorCode: number; readonly fault: Fault }
  | { readonly kind: 'vc'; readonly errorCode: number; readonly fault: Fault };

/** A fault of a check that several instructions share, under the name of the one that ran. */
export function instructionFault<O extends Operands>(
  instruction: GuestRmpInstruction,
  definition: FaultDefinition<O>,
  operands: O,
): Fault {
  return { ...makeFault(definition, operands), command: instruction };
}

/** Ends stage 1 with the code of the check's declaration. */
export function inputFails(fault: Fault): InputVerdict<never> {
  return { kind: 'done', code: codeOf(fault), fault };
}

/** Ends stage 2 with the code of the check's declaration; nothing changed. */
export function pageFails(fault: Fault): RmpInstructionOutcome {
  return { kind: 'done', code: codeOf(fault), carry: false, changes: [], fault };
}

/** #VC with PAGE_NOT_VALIDATED. */
export function raisesVc(fault: Fault): RmpInstructionOutcome {
  return { kind: 'vc', errorCode: PAGE_NOT_VALIDATED, fault };
}

function codeOf(fault: Fault): number {
  if (fault.code.kind !== 'instruction') throw new Error(`${fault.check} has no instruction code`);
  return fault.code.value;
}

/** #UD and #GP(0) that all of them have in common; undefined: go on. */
export function privilegeRefusal(
  instruction: GuestRmpInstruction,
  { snpActive, cpl }: InstructionInput,
  supported = true,
): InputVerdict<never> | undefined {
  if (!snpActive || !supported) {
    return { kind: 'ud', fault: instructionFault(instruction, checks.UNAVAILABLE, { snpActive, supported }) };
  }
  if (cpl !== 0) return { kind: 'gp', fault: instructionFault(instruction, checks.PRIVILEGE, { cpl }) };
  return undefined;
}

/** FAIL_INPUT for a page size in ECX that does not exist, or that the address does not fit; undefined: go on. */
export function sizeRefusal(
  instruction: GuestRmpInstruction,
  { gva, ecx }: InstructionInput,
): InputVerdict<never> | undefined {
  if (ecx !== 0 && ecx !== 1) return inputFails(instructionFault(instruction, checks.OPERAND_SIZE, { ecx: hex(ecx) }));
  const page = gva & ~0xfffn;
  if (ecx === 1 && page % BigInt(PAGE_SIZE_2M) !== 0n) {
    return inputFails(instructionFault(instruction, checks.OPERAND_ALIGNMENT, { gva: hex(gva) }));
  }
  return undefined;
}

/** The entry that governs the target, and the page that holds it: the head of a 2 MiB page. */
export interface GovernedPage {
  readonly frame: Pfn;
  readonly entry: RmpEntry;
  /** The target in words. */
  readonly gpa: string;
  readonly spa: string;
  readonly state: string;
}

export type TargetVerdict =
  | { readonly ok: true; readonly page: GovernedPage }
  | { readonly ok: false; readonly outcome: RmpInstructionOutcome };

/**
 * The address checks of stage 2, in order: the C-bit, then what leads to #VMEXIT(NPF), then the page sizes. Without
 * an operand size (RMPQUERY) only nested page table and RMP are compared.
 */
export function checkTarget(
  instruction: GuestRmpInstruction,
  rmp: Rmp,
  target: RmpTarget,
  operandSize2M: boolean | undefined,
): TargetVerdict {
  const { pfn: frame, asid } = target;
  const covered = isCovered(rmp, frame);
  const entry = covered ? effectiveEntry(rmp, frame) : HYPERVISOR_ENTRY;
  const facts = {
    gpa: hex(target.gpa),
    spa: hex(spaOf(frame)),
    asid,
    state: pageState(entry, rmp.initialised),
    owner: ownerText(entry, asid),
  };
  const sizes = { nptSize: sizeText(target.nptPageSize2M), rmpSize: sizeText(entry.pageSize2M) };
  const refuse = <O extends Operands>(definition: FaultDefinition<O>, operands: O, bits = 0): TargetVerdict => {
    if (definition.code.kind === 'instruction') {
      return { ok: false, outcome: pageFails(instructionFault(instruction, definition, operands)) };
    }
    const errorCode = NPF_OF_INSTRUCTION + bits;
    const fault = instructionFault(instruction, definition, { ...operands, exitInfo1: hex(errorCode) });
    return { ok: false, outcome: { kind: 'npf', errorCode, fault } };
  };
  if (!target.encrypted) return refuse(checks.TARGET_SHARED, { gpa: facts.gpa });
  if (!covered) return refuse(checks.TARGET_UNCOVERED, { ...facts, covered: hex(rmp.coveredPages * PAGE_SIZE) });
  if (!entry.assigned) return refuse(checks.TARGET_NOT_ASSIGNED, facts);
  if (entry.immutable) return refuse(checks.TARGET_IMMUTABLE, facts);
  if (entry.asid !== asid) return refuse(checks.TARGET_ASID, facts);
  if (gfnOf(entry.gpa) !== gfnOf(target.gpa)) {
    return refuse(checks.TARGET_REVERSE_MAP, { ...facts, entryGpa: hex(entry.gpa) });
  }
  if (operandSize2M === false && entry.pageSize2M) return refuse(checks.SIZE_NEEDS_PSMASH, facts, NPF.SIZEM);
  if (operandSize2M === true && !entry.pageSize2M) return refuse(checks.SIZE_MISMATCH, facts);
  if (target.nptPageSize2M !== entry.pageSize2M) return refuse(checks.TARGET_NPT_SIZE, { ...facts, ...sizes });
  const { gpa, spa, state } = facts;
  const governing = entry.pageSize2M ? headOf(frame) : frame;
  return { ok: true, page: { frame: governing, entry: readEntry(rmp, governing), gpa, spa, state } };
}

/** EXITINFO1 of a failed address check. That W is clear is not confirmed. */
const NPF_OF_INSTRUCTION = NPF.P + NPF.RMP + npfAccessBits({ kind: 'read', walk: false, encrypted: true });

export const sizeText = (is2M: boolean): string => (is2M ? '2M' : '4K');

/** Bits of RFLAGS that these instructions write: CF, PF, AF, ZF, SF, OF. */
export const RMP_FLAGS_MASK = 0x8d5;

/**
 * The flags of RMP_FLAGS_MASK after the instruction. CF is PVALIDATE's; that the others follow EAX, with AF and OF
 * clear, is not confirmed.
 */
export function flagsOf(code: number, carry: boolean): number {
  let parity = 1;
  for (let bits = code & 0xff; bits !== 0; bits >>>= 1) parity ^= bits & 1;
  return (carry ? 0x1 : 0) | (parity ? 0x4 : 0) | (code === 0 ? 0x40 : 0) | (code >>> 31 ? 0x80 : 0);
}
