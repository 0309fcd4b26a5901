import { gfn, gpa, hex } from '../../address.js';
import type { Fault, Operands } from '../../fault.js';
import {
  flagsOf,
  type InputVerdict,
  type InstructionInput,
  RMP_FLAGS_MASK,
  type RmpInstructionOutcome,
  type RmpTarget,
} from '../../rmp/guest-instruction.js';
import { pvalidateInput, pvalidatePage } from '../../rmp/pvalidate.js';
import { rmpadjustInput, rmpadjustPage } from '../../rmp/rmpadjust.js';
import { rmpqueryInput, rmpqueryPage } from '../../rmp/rmpquery.js';
import { markSeen } from '../../rmp/table.js';
import { NPF } from '../../spec/npf-error.js';
import { exception, VECTOR } from '../exception.js';
import { flushTranslations } from './core.js';
import { EXIT_BEFORE } from './guest-memory.js';
import type { InterceptContext } from './intercept-context.js';
import { nptLookup } from './nested-page-table.js';

/** PVALIDATE, RMPADJUST and RMPQUERY as the guest executes them: operands, translation, effect, flags. */

const [RAX, RCX, RDX] = [0, 1, 2];
const PAGE_MASK = ~0xfffn;

type Name = 'PVALIDATE' | 'RMPADJUST' | 'RMPQUERY';

export function pvalidate(context: InterceptContext): void {
  const { machine } = context;
  execute(context, 'PVALIDATE', pvalidateInput(inputOf(context)), (target, operands) =>
    pvalidatePage(machine.rmp, target, operands),
  );
}

export function rmpadjust(context: InterceptContext): void {
  const { machine } = context;
  execute(context, 'RMPADJUST', rmpadjustInput(wideInputOf(context)), (target, operands) =>
    rmpadjustPage(machine.rmp, target, operands),
  );
}

export function rmpquery(context: InterceptContext): void {
  const { machine, vcpu } = context;
  const input = { ...wideInputOf(context), supported: machine.processor.rmpquery };
  execute(context, 'RMPQUERY', rmpqueryInput(input), (target, operands) => {
    const outcome = rmpqueryPage(machine.rmp, target, operands);
    if (outcome.registers) {
      vcpu.registers.set(RCX, BigInt(outcome.registers.rcx));
      vcpu.registers.set(RDX, BigInt(outcome.registers.rdx));
    }
    return outcome;
  });
}

/** All of RDX counts. */
function wideInputOf(context: InterceptContext): InstructionInput {
  return { ...inputOf(context), edx: Number(context.vcpu.registers.get(RDX)) };
}

function inputOf({ vcpu, guest }: InterceptContext): InstructionInput {
  const { registers, state } = vcpu;
  return {
    snpActive: (guest.sevFeatures & 1n) !== 0n,
    cpl: state.cpl,
    vmpl: guest.vmpl,
    gva: vcpu.codeSize === 64 ? registers.get(RAX) : BigInt(registers.get32(RAX)),
    ecx: registers.get32(RCX),
    edx: registers.get32(RDX),
  };
}

function execute<O>(
  context: InterceptContext,
  name: Name,
  input: InputVerdict<O>,
  perform: (target: RmpTarget, operands: O) => RmpInstructionOutcome,
): void {
  const { gva, ecx, edx } = inputOf(context);
  const operands: Operands = { rax: hex(gva), ecx: hex(ecx), edx: hex(edx) };
  switch (input.kind) {
    case 'ud':
      throw exception(VECTOR.UD, { fault: input.fault });
    case 'gp':
      throw exception(VECTOR.GP, { errorCode: 0, fault: input.fault });
    case 'done':
      finish(context, name, operands, input.code, false, input.fault);
      return;
    case 'ok':
      break;
  }
  const linear = gva & PAGE_MASK;
  const target = targetOf(context, linear);
  const outcome = perform(target, input.operands);
  switch (outcome.kind) {
    case 'npf':
      context.core.exit = {
        code: 0x400n,
        info1: BigInt(outcome.errorCode),
        info2: BigInt(target.gpa),
        fault: outcome.fault,
      };
      throw EXIT_BEFORE;
    case 'vc':
      throw exception(VECTOR.VC, { errorCode: outcome.errorCode, address: gva, fault: outcome.fault });
    case 'done':
      break;
  }
  const { core, machine } = context;
  const depth = machine.stack.frames.length;
  for (const change of outcome.changes) core.events.push({ kind: 'rmp', depth, cause: name, change });
  // A page that loses a right must not stay in the TLB; one that gains it was not in there.
  if (outcome.changes.length > 0) {
    if (outcome.changes.some(({ before, after }) => losesRights(before, after))) flushTranslations(core);
    markSeen(machine.rmp);
  }
  finish(context, name, operands, outcome.code, outcome.carry, outcome.fault);
}

function losesRights(
  before: { readonly validated: boolean; readonly vmsa: boolean; readonly vmpl: readonly number[] },
  after: { readonly validated: boolean; readonly vmsa: boolean; readonly vmpl: readonly number[] },
): boolean {
  if (before.validated && !after.validated) return true;
  return before.vmpl.some((mask, n) => (mask & ~(after.vmpl[n] ?? 0)) !== 0);
}

/** Guest paging, then the nested walk: their faults come before those of the RMP. */
function targetOf({ machine, core, guest, vcpu }: InterceptContext, linear: bigint): RmpTarget {
  const { address, hasCBit } = vcpu.guestPage(linear, 'read', false);
  const bit = 2 ** machine.processor.cBit;
  const marked = address >= bit;
  const page = gpa(marked ? address - bit : address);
  const mapped = nptLookup(guest.vmcb.nestedPageTable, gfn(page / 4096));
  const encrypted = marked || !hasCBit;
  if (mapped?.entry.reserved) throw exception(VECTOR.VC, { errorCode: 0x400 });
  if (!mapped) {
    const info1 = NPF.U + NPF.FINAL + (encrypted ? NPF.ENC : 0);
    core.exit = { code: 0x400n, info1: BigInt(info1), info2: BigInt(page) };
    throw EXIT_BEFORE;
  }
  return {
    pfn: mapped.pfn,
    gpa: page,
    nptPageSize2M: mapped.entry.size2M,
    asid: guest.asid,
    vmpl: guest.vmpl,
    encrypted,
  };
}

function finish(
  { core, guest, vcpu, machine }: InterceptContext,
  name: Name,
  operands: Operands,
  code: number,
  carry: boolean,
  fault: Fault | undefined,
): void {
  const { registers } = vcpu;
  registers.set(RAX, BigInt(code));
  registers.flags = (registers.flags & ~RMP_FLAGS_MASK) | flagsOf(code, carry);
  core.events.push({
    kind: 'instruction',
    depth: machine.stack.frames.length,
    vcpu: guest.vcpu,
    rip: vcpu.cpu.instructionRip,
    instructions: vcpu.cpu.instructions,
    name,
    operands,
    code,
    carry,
    ...(fault ? { fault } : {}),
  });
  vcpu.cpu.leave();
}
