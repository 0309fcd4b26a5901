import { hex } from '../../address.js';
import { defineFault, makeFault } from '../../fault.js';
import { PLATFORM_FEATURES } from '../../spec/platform-features.js';
import type { ProcessorProfile } from '../../spec/versions.js';
import { exception, VECTOR } from '../exception.js';
import { writeMsr } from '../system/control.js';
import { EFER, MSR } from '../system/system-state.js';
import { exitAfter, type Intercept, type InterceptContext } from './intercept-context.js';
import { EXIT } from './vmcb.js';

/** MSRs of an SNP guest: those of its own, those that the host passes through, and all others, which raise #VC. */

const VC_MSR = 0x7c;

/** MSRs of SEV and of features that go with the state in the VMSA: AMD APM volume 2, 15.34.10, 15.36.8, 15.36.18. */
export const SVM_MSR = {
  SPEC_CTRL: 0x48,
  PRED_CMD: 0x49,
  DEBUGCTL: 0x1d9,
  LAST_BRANCH_FROM: 0x1db,
  LAST_BRANCH_TO: 0x1dc,
  LAST_INT_FROM: 0x1dd,
  LAST_INT_TO: 0x1de,
  GHCB: 0xc001_0130,
  SEV_STATUS: 0xc001_0131,
  GUEST_TSC_FREQ: 0xc001_0134,
  VIRTUAL_TOM: 0xc001_0135,
  SECURE_AVIC_CONTROL: 0xc001_0138,
} as const;

/** SPEC_CTRL: IBRS, STIBP, SSBD, PSFD. */
const SPEC_CTRL_BITS = 0x87n;
const IBPB = 1n;
const KHZ_PER_MHZ = 1000n;

/**
 * MSRs that the host does not intercept: direct_access_msrs of Linux arch/x86/kvm/svm/svm.c, and what sev.c
 * sev_es_init_vmcb() adds. SPEC_CTRL and PRED_CMD belong to a guest whose CPUID has them, and no other touches them.
 */
const PASSED_THROUGH: ReadonlySet<number> = new Set([
  SVM_MSR.SPEC_CTRL,
  MSR.STAR,
  MSR.LSTAR,
  MSR.CSTAR,
  MSR.SFMASK,
  MSR.FS_BASE,
  MSR.GS_BASE,
  MSR.KERNEL_GS_BASE,
  MSR.SYSENTER_CS,
  MSR.SYSENTER_ESP,
  MSR.SYSENTER_EIP,
  MSR.EFER,
  MSR.PAT,
  SVM_MSR.DEBUGCTL,
  SVM_MSR.LAST_BRANCH_FROM,
  SVM_MSR.LAST_BRANCH_TO,
  SVM_MSR.LAST_INT_FROM,
  SVM_MSR.LAST_INT_TO,
]);

/** With TscAuxVirtualization (CPUID 8000_001F EAX[9]) it is in the VMSA. Linux sev_es_vcpu_after_set_cpuid(). */
const isPassedThrough = (number: number, processor: ProcessorProfile): boolean =>
  PASSED_THROUGH.has(number) || (number === MSR.TSC_AUX && processor.tscAuxVirtualization);

const INACTIVE: readonly number[] = [SVM_MSR.VIRTUAL_TOM, SVM_MSR.SECURE_AVIC_CONTROL];
const SECURE_TSC = 1n << 9n;

const [RAX, RCX, RDX] = [0, 1, 2];
const GP0 = () => exception(VECTOR.GP, { errorCode: 0 });

export const MSR_INACTIVE = defineFault<{ msr: string }>({
  check: 'hw-msr-not-emulated',
  layer: 'hardware',
  command: 'RDMSR, WRMSR',
  code: { kind: 'exception', name: '#GP', value: VECTOR.GP },
  title: 'MSR of an SNP feature that is not active',
  message: (o) => `The guest accessed MSR ${o.msr}, which exists only with a feature that this guest does not have.`,
  why: 'The MSRs of vTOM, Secure TSC and Secure AVIC raise #GP unless SEV_FEATURES of the vCPU has the feature.',
  hint: 'Look at SEV_STATUS (MSR C001_0131) before using the MSR.',
  reference: 'AMD64 APM volume 2, 15.36.8, 15.36.18, 15.36.21',
  confirmed: true,
});

/** #GP and #VC that reads and writes have in common. */
function check({ vcpu, machine, guest }: InterceptContext): number {
  if (vcpu.state.cpl !== 0) throw GP0();
  const number = vcpu.registers.get32(RCX);
  const hasFrequency = number === SVM_MSR.GUEST_TSC_FREQ && (guest.sevFeatures & SECURE_TSC) !== 0n;
  if (hasFrequency) return number;
  if (INACTIVE.includes(number) || number === SVM_MSR.GUEST_TSC_FREQ) {
    throw exception(VECTOR.GP, { errorCode: 0, fault: makeFault(MSR_INACTIVE, { msr: hex(number) }) });
  }
  const own = number === SVM_MSR.GHCB || number === SVM_MSR.SEV_STATUS;
  if (own || isPassedThrough(number, machine.processor)) return number;
  // A command register: only writes are passed through.
  if (number === SVM_MSR.PRED_CMD) return number;
  throw exception(VECTOR.VC, { errorCode: VC_MSR });
}

/** MSRs that exist only in a guest with encrypted state. */
function ownMsr({ machine, core, guest, vcpu }: InterceptContext, number: number): bigint | undefined {
  switch (number) {
    case SVM_MSR.GHCB:
      return core.ghcb;
    case SVM_MSR.SEV_STATUS:
      // Bits 0 and 1: SEV and SEV-ES; SEV_FEATURES bit n is bit n + 2.
      return BigInt.asUintN(64, (guest.sevFeatures << 2n) | 3n);
    case SVM_MSR.GUEST_TSC_FREQ:
      return ((BigInt(PLATFORM_FEATURES[machine.processor.name].tscKhz) * vcpu.state.tscScale) >> 32n) / KHZ_PER_MHZ;
    default:
      return undefined;
  }
}

export const readMsrIntercept: Intercept = (context) => {
  const number = check(context);
  const { vcpu } = context;
  if (number === SVM_MSR.PRED_CMD) throw exception(VECTOR.VC, { errorCode: VC_MSR });
  const value = ownMsr(context, number);
  if (value === undefined) return false;
  vcpu.registers.set(RAX, value & 0xffff_ffffn);
  vcpu.registers.set(RDX, value >> 32n);
  return true;
};

export const writeMsrIntercept: Intercept = (context) => {
  const number = check(context);
  const { core, vcpu } = context;
  const { registers } = vcpu;
  const value = (BigInt(registers.get32(RDX)) << 32n) | BigInt(registers.get32(RAX));
  switch (number) {
    case SVM_MSR.SEV_STATUS:
    case SVM_MSR.GUEST_TSC_FREQ:
      throw GP0();
    case SVM_MSR.GHCB:
      core.ghcb = value;
      return true;
    case SVM_MSR.SPEC_CTRL:
      if ((value & ~SPEC_CTRL_BITS) !== 0n) throw GP0();
      return false;
    case SVM_MSR.PRED_CMD:
      if ((value & ~IBPB) !== 0n) throw GP0();
      return true;
    case SVM_MSR.DEBUGCTL:
      if (value !== 0n) throw vcpu.missing('recording of branches, or single stepping of them (DEBUGCTL)');
      return false;
    case MSR.EFER: {
      // A write of SVME by a guest with encrypted state is ignored.
      const svme = BigInt(vcpu.state.efer & EFER.SVME);
      writeMsr(vcpu, MSR.EFER, (value & ~BigInt(EFER.SVME)) | svme);
      return exitAfter(context, EXIT.EFER_WRITE_TRAP, BigInt(vcpu.state.efer >>> 0));
    }
    default:
      return false;
  }
};
