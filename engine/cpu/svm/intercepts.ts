import type { Instruction } from '../decoder/instruction.js';
import { exception, type GuestException, VECTOR } from '../exception.js';
import { debugNumber, readDebug } from '../system/control.js';
import { systemInstruction } from '../system/instructions.js';
import { readOperand, segmentOffset } from '../system/operands.js';
import { checkPermission, portNumber } from '../system/ports.js';
import { CR4, has, isProtected } from '../system/system-state.js';
import type { Vcpu } from '../system/vcpu.js';
import { exitAfter, type Intercept, type InterceptContext } from './intercept-context.js';
import { readMsrIntercept, writeMsrIntercept } from './msr-intercepts.js';
import { pvalidate, rmpadjust, rmpquery } from './rmp-instructions.js';
import { EXIT } from './vmcb.js';

/**
 * What the host intercepts in an SNP guest of KVM, and how it shows: automatic exits save the state and go to the
 * host, all others raise #VC with the exit code as error code. Exceptions of the instruction itself come first, as in
 * table 15-7. Linux arch/x86/kvm/svm/svm.c init_vmcb(), sev.c sev_es_init_vmcb(), with `vgif` and `vls` off; AMD APM
 * volume 2, 15.9 and 15.35.4 to 15.35.8.
 */

/** Error codes of #VC: SVM exit codes. */
export const VC = {
  READ_DR7: 0x27,
  WRITE_DR7: 0x37,
  EXCEPTION: 0x40,
  RDPMC: 0x6f,
  CPUID: 0x72,
  RSM: 0x73,
  INVD: 0x76,
  INVLPGA: 0x7a,
  IOIO: 0x7b,
  VMRUN: 0x80,
  VMMCALL: 0x81,
  VMLOAD: 0x82,
  VMSAVE: 0x83,
  STGI: 0x84,
  CLGI: 0x85,
  SKINIT: 0x86,
  WBINVD: 0x89,
  MONITOR: 0x8a,
  MWAIT: 0x8b,
  RDPRU: 0x8e,
} as const;

/** SEV_FEATURES: debug registers are the guest's own. */
const DEBUG_VIRTUALIZATION = 1n << 5n;

/**
 * pause_filter_count and pause_filter_thresh of KVM: the host lets another vCPU run after so many PAUSE instructions,
 * each of them at most so many instructions after the one before (cycles, on a processor).
 */
const PAUSE_FILTER = { count: 3000, threshold: 128 } as const;

const [RAX, RCX, RDX] = [0, 1, 2];
const PAGE_OFFSET = 0xfffn;
const vc = (code: number) => exception(VECTOR.VC, { errorCode: code });
const GP0 = () => exception(VECTOR.GP, { errorCode: 0 });

/** In front of what the instruction does: #GP of a privilege that is missing. */
function needsRing0({ vcpu }: InterceptContext): void {
  if (vcpu.state.cpl !== 0) throw GP0();
}

const reflected =
  (code: number, check: (context: InterceptContext, instruction: Instruction) => void = () => {}): Intercept =>
  (context, instruction) => {
    check(context, instruction);
    throw vc(code);
  };

/** Instructions of SVM. EFER.SVME is set in every guest that VMRUN enters. */
function needsSvm(context: InterceptContext): void {
  if (!isProtected(context.vcpu.state)) throw exception(VECTOR.UD);
  needsRing0(context);
}

function needsSvmPage(context: InterceptContext): void {
  needsSvm(context);
  if ((context.vcpu.registers.get(RAX) & PAGE_OFFSET) !== 0n) throw GP0();
}

function needsCounter({ vcpu: { state } }: InterceptContext): void {
  if (isProtected(state) && state.cpl !== 0 && !has(state.cr4, CR4.PCE)) throw GP0();
}

/** In user mode there is no MONITOR (HWCR.MonMwaitUserEn is clear). */
function checkMonitor({ vcpu }: InterceptContext, { segment, addressSize }: Instruction): void {
  if (vcpu.state.cpl !== 0) throw exception(VECTOR.UD);
  if (vcpu.registers.get32(RCX) !== 0) throw GP0();
  const offset = BigInt.asUintN(addressSize, vcpu.registers.get(RAX));
  vcpu.readLinear(segmentOffset(vcpu, segment, offset, 1, false), 1);
}

function checkMwait({ vcpu }: InterceptContext): void {
  if (vcpu.state.cpl !== 0) throw exception(VECTOR.UD);
  if ((vcpu.registers.get32(RCX) & ~1) !== 0) throw GP0();
}

/** The permission bitmap is checked before the intercept, the operand in memory is not. */
const ioio = (port: (v: Vcpu, i: Instruction) => number, size: (i: Instruction) => number): Intercept =>
  reflected(VC.IOIO, ({ vcpu }, instruction) => checkPermission(vcpu, port(vcpu, instruction), size(instruction)));
const inDx = (v: Vcpu): number => v.registers.get32(RDX) & 0xffff;
const stringSize = (i: Instruction): number => Math.min(i.operandSize, 4);

/** Writes of CR0, CR4 and CR8 happen, and then the host is told: trap intercepts. */
function writeControl(context: InterceptContext, instruction: Instruction, register: number): true {
  needsRing0(context);
  const { vcpu } = context;
  const semantics = instruction.encoding?.semantics ?? '';
  const perform = systemInstruction(semantics);
  if (!perform) throw vcpu.missing(semantics);
  perform(vcpu, instruction);
  const { cr0, cr4, cr8 } = vcpu.state;
  const value = register === 0 ? cr0 : register === 4 ? cr4 : cr8;
  return exitAfter(context, EXIT.CR0_WRITE_TRAP + BigInt(register), BigInt(value >>> 0));
}

const TRAPPED_CONTROLS: readonly number[] = [0, 4, 8];
const moveToControl: Intercept = (context, instruction) => {
  const { register } = instruction.operands[0];
  return TRAPPED_CONTROLS.includes(register) ? writeControl(context, instruction, register) : false;
};

/** DR5 is DR7 unless CR4.DE forbids it. All other exceptions of the access come before the intercept. */
const debugRegister =
  (code: number, operand: 0 | 1): Intercept =>
  (context, instruction) => {
    needsRing0(context);
    const { vcpu, guest } = context;
    const { register } = instruction.operands[operand];
    if ((guest.sevFeatures & DEBUG_VIRTUALIZATION) !== 0n || debugNumber(vcpu, register) !== 7) return false;
    readDebug(vcpu, register);
    if (code === VC.WRITE_DR7 && readOperand(vcpu, instruction, 1) >> 32n !== 0n) throw GP0();
    throw vc(code);
  };

const pause: Intercept = (context) => {
  const { core, vcpu } = context;
  const now = vcpu.cpu.instructions;
  core.pauses = now - core.lastPause > PAUSE_FILTER.threshold ? 1 : core.pauses + 1;
  core.lastPause = now;
  if (core.pauses < PAUSE_FILTER.count) return true;
  core.pauses = 0;
  return exitAfter(context, EXIT.PAUSE);
};

const handled =
  (execute: (context: InterceptContext) => void): Intercept =>
  (context) => {
    execute(context);
    return true;
  };

const undefinedInGuest: Intercept = () => {
  throw exception(VECTOR.UD);
};

const INTERCEPTS: ReadonlyMap<string, Intercept> = new Map(
  Object.entries({
    IN: ioio(
      (v, i) => portNumber(v, i, 1),
      (i) => i.operands[0].size,
    ),
    OUT: ioio(
      (v, i) => portNumber(v, i, 0),
      (i) => i.operands[1].size,
    ),
    INS: ioio(inDx, stringSize),
    OUTS: ioio(inDx, stringSize),
    CPUID: reflected(VC.CPUID),
    RDPMC: reflected(VC.RDPMC, needsCounter),
    VMMCALL: reflected(VC.VMMCALL),
    RSM: reflected(VC.RSM),
    INVD: reflected(VC.INVD, needsRing0),
    WBINVD: reflected(VC.WBINVD, needsRing0),
    MONITOR: reflected(VC.MONITOR, checkMonitor),
    MWAIT: reflected(VC.MWAIT, checkMwait),
    RDPRU: reflected(VC.RDPRU, ({ vcpu: { state } }) => {
      if (has(state.cr4, CR4.TSD) && state.cpl !== 0) throw exception(VECTOR.UD);
    }),
    VMRUN: reflected(VC.VMRUN, needsSvmPage),
    VMLOAD: reflected(VC.VMLOAD, needsSvmPage),
    VMSAVE: reflected(VC.VMSAVE, needsSvmPage),
    STGI: reflected(VC.STGI, needsSvm),
    CLGI: reflected(VC.CLGI, needsSvm),
    SKINIT: reflected(VC.SKINIT, needsSvm),
    INVLPGA: reflected(VC.INVLPGA, needsSvm),
    RDMSR: readMsrIntercept,
    WRMSR: writeMsrIntercept,
    MOV_TO_CR: moveToControl,
    LMSW: (context, instruction) => writeControl(context, instruction, 0),
    CLTS: (context, instruction) => writeControl(context, instruction, 0),
    MOV_FROM_DR: debugRegister(VC.READ_DR7, 1),
    MOV_TO_DR: debugRegister(VC.WRITE_DR7, 0),
    HLT: (context) => {
      needsRing0(context);
      return exitAfter(context, EXIT.HLT);
    },
    PAUSE: pause,
    VMGEXIT: (context) => exitAfter(context, EXIT.VMGEXIT),
    PVALIDATE: handled(pvalidate),
    RMPADJUST: handled(rmpadjust),
    RMPQUERY: handled(rmpquery),
    // Instructions of the host.
    RMPUPDATE: undefinedInGuest,
    RMPREAD: undefinedInGuest,
    PSMASH: undefinedInGuest,
  } satisfies Record<string, Intercept>),
);

/** True if the instruction has been dealt with; it may throw a GuestException or end the run. */
export function intercept(context: InterceptContext, instruction: Instruction): boolean {
  const handler = INTERCEPTS.get(instruction.encoding?.semantics ?? '');
  return handler ? handler(context, instruction) : false;
}

/** Semantics of the encodings table that `intercept` may deal with. */
export const isIntercepted = (semantics: string): boolean => INTERCEPTS.has(semantics);

/**
 * KVM intercepts #DB, unless the debug registers are the guest's own, and #AC: the guest gets #VC. DR6 is set as for
 * the exception itself.
 */
export function interceptException({ guest }: InterceptContext, thrown: GuestException): GuestException {
  const { vector, trap } = thrown;
  const own = (guest.sevFeatures & DEBUG_VIRTUALIZATION) !== 0n;
  if (vector !== VECTOR.AC && (vector !== VECTOR.DB || own)) return thrown;
  return exception(VECTOR.VC, { errorCode: VC.EXCEPTION + vector, trap });
}
