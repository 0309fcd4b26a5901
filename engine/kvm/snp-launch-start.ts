import { hex, type Pfn, spaOf } from '../address.js';
import { snpActivate } from '../asp/commands/snp-activate.js';
import { snpDecommission } from '../asp/commands/snp-decommission.js';
import { snpGctxCreate } from '../asp/commands/snp-gctx-create.js';
import { snpLaunchStart as firmwareLaunchStart } from '../asp/commands/snp-launch-start.js';
import { defineFault, type Fault } from '../fault.js';
import type { Machine } from '../machine.js';
import { errno } from '../spec/errno.js';
import { PLATFORM_FEATURES } from '../spec/platform-features.js';
import { inFrame, type Op } from '../timeline/event.js';
import { kvmPolicyFaults } from './policy-checks.js';
import { copyIn, DONE, describeIoctl, type IoctlResult, refuse, refused } from './result.js';
import { SECURE_TSC } from './sev-init2.js';
import { sevDoCmd, sevIssueCmd } from './sev-issue-cmd.js';
import { snpAllocFirmwarePage, snpFreeFirmwarePage } from './snp-firmware-page.js';
import { isSnpGuest, type KvmVm } from './state.js';
import type { SevCmd } from './uapi/sev-cmd.js';
import { decodeSnpLaunchStart, SNP_LAUNCH_START_SIZE, type SnpLaunchStart } from './uapi/sev-structs.js';

const COMMAND = 'KVM_SEV_SNP_LAUNCH_START';
const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c snp_launch_start()';

export const START_NOT_SNP = defineFault({
  check: 'kvm-launch-start-not-snp',
  layer: 'kvm',
  command: COMMAND,
  code: errno('ENOTTY'),
  title: 'VM is not an SNP guest',
  message: () => 'The VM is not initialised as an SNP guest.',
  why: 'A VM becomes an SNP guest when KVM_SEV_INIT2 runs on a VM of type KVM_X86_SNP_VM. The same -25 appears where VMM and kernel disagree about the interface.',
  hint: 'Create the VM with type 4, issue KVM_SEV_INIT2, and use a VMM that matches the kernel.',
  reference: REFERENCE,
  confirmed: true,
});

export const START_CONTEXT_EXISTS = defineFault<{ context: string }>({
  check: 'kvm-launch-start-context-exists',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Guest context exists already',
  message: (o) => `The VM has a guest context already, at ${o.context}.`,
  why: 'A VM is launched once. KVM as posted in v15 creates the context before it checks the parameters and leaves it in place when they are refused, so a second attempt with correct parameters ends here.',
  hint: 'Destroy the VM and start again; from Linux 6.11 on a refused LAUNCH_START can be repeated.',
  reference: REFERENCE,
  confirmed: true,
});

export const START_CONTEXT = defineFault({
  check: 'kvm-launch-start-context',
  layer: 'kvm',
  command: COMMAND,
  code: errno('ENOTTY'),
  title: 'Guest context could not be created',
  message: () => 'KVM could not create the guest context; whatever the reason, it returns -ENOTTY.',
  why: 'Creating the context takes a page, RMPUPDATE to hand it to the firmware and SNP_GCTX_CREATE. If SNP_INIT failed at boot, this is the first step that notices.',
  hint: 'See the reason below; look for "SEV-SNP" and "ccp" in the kernel log.',
  reference: 'Linux arch/x86/kvm/svm/sev.c snp_context_create()',
  confirmed: true,
});

export const GCTX_CREATE_FAILED = defineFault({
  check: 'kvm-gctx-create',
  layer: 'kvm',
  command: 'snp_context_create',
  code: errno('EIO'),
  title: 'SNP_GCTX_CREATE failed',
  message: () => 'The firmware refused to create a guest context.',
  why: 'The guest context is the firmware’s record of the guest: policy, key, launch digest.',
  hint: 'See the firmware’s own reason below.',
  reference: 'Linux arch/x86/kvm/svm/sev.c snp_context_create()',
  confirmed: true,
});

export const START_FLAGS = defineFault<{ flags: string }>({
  check: 'kvm-launch-start-flags',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Flags must be 0',
  message: (o) => `kvm_sev_snp_launch_start.flags is ${o.flags}; it must be 0.`,
  why: 'No flag is defined.',
  hint: 'Pass 0.',
  reference: REFERENCE,
  confirmed: true,
});

export const START_FIRMWARE = defineFault<{ policy: bigint }>({
  check: 'kvm-launch-start-firmware',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EIO'),
  title: 'SNP_LAUNCH_START failed',
  message: (o) => `The firmware refused to start the launch with policy ${hex(o.policy)}.`,
  why: 'KVM has accepted the policy; the firmware checks whether this platform can keep what it promises.',
  hint: 'See the firmware’s own reason below.',
  reference: REFERENCE,
  confirmed: true,
});

export const START_ACTIVATE = defineFault<{ asid: number }>({
  check: 'kvm-launch-start-activate',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EIO'),
  title: 'SNP_ACTIVATE failed',
  message: (o) => `The firmware refused to bind ASID ${o.asid} to the guest.`,
  why: 'Activation installs the guest’s key in the memory controller under its ASID.',
  hint: 'See the firmware’s own reason below.',
  reference: 'Linux arch/x86/kvm/svm/sev.c snp_bind_asid()',
  confirmed: true,
});

export const DECOMMISSION_FAILED = defineFault({
  check: 'kvm-decommission',
  layer: 'kvm',
  command: 'snp_decommission_context',
  code: errno('EIO'),
  title: 'SNP_DECOMMISSION failed',
  message: () => 'The firmware refused to end the guest context.',
  why: 'Without it the ASID stays bound to the guest, so KVM leaks the ASID and the context page.',
  hint: 'See the firmware’s own reason below.',
  reference: 'Linux arch/x86/kvm/svm/sev.c snp_decommission_context()',
  confirmed: true,
});

/** KVM_SEV_SNP_LAUNCH_START. */
export function* snpLaunchStart(machine: Machine, vm: KvmVm, cmd: SevCmd): Op<IoctlResult> {
  const { kvmProfile } = machine;
  if (!isSnpGuest(vm)) return refuse(START_NOT_SNP, {});
  const copied = copyIn(machine, COMMAND, 'struct kvm_sev_snp_launch_start', cmd.data, SNP_LAUNCH_START_SIZE);
  if (!copied.ok) return copied.result;
  const start = decodeSnpLaunchStart(copied.bytes);
  if (vm.snpContext !== undefined) return refuse(START_CONTEXT_EXISTS, { context: hex(spaOf(vm.snpContext)) });

  if (kvmProfile.contextBeforeChecks) {
    const created = yield* createContext(machine, vm, cmd);
    if (created.fault) return created;
  }
  const wrong = checkParameters(machine, start);
  if (wrong) return wrong;
  if (!kvmProfile.contextBeforeChecks) {
    const created = yield* createContext(machine, vm, cmd);
    if (created.fault) return created;
  }
  const context = vm.snpContext;
  if (context === undefined) throw new Error('snp_context_create returned no context');

  const gctx = spaOf(context);
  const { policy, gosvw } = start;
  // arch.default_tsc_khz, unless userspace has set another one with KVM_SET_TSC_KHZ.
  const secureTsc = (vm.vmsaFeatures & SECURE_TSC) !== 0n;
  const desiredTscKhz = secureTsc ? PLATFORM_FEATURES[machine.processor.name].tscKhz : 0;
  const parameters = { gctx, policy, gosvw, maEnabled: false, imiEnabled: false, desiredTscKhz };
  const command = firmwareLaunchStart(machine, parameters);
  const started = yield* sevIssueCmd(machine, cmd.sevFd, command, START_FIRMWARE, { policy });
  if (started.fault) return yield* giveUp(machine, vm, started);
  vm.sevFd = cmd.sevFd;
  const activate = snpActivate(machine, { gctx, asid: vm.asid });
  const bound = yield* sevIssueCmd(machine, vm.sevFd, activate, START_ACTIVATE, { asid: vm.asid });
  if (bound.fault) return yield* giveUp(machine, vm, bound);
  vm.policy = policy;
  return DONE;
}

function checkParameters(machine: Machine, start: SnpLaunchStart): IoctlResult | undefined {
  if (start.flags !== 0) return refuse(START_FLAGS, { flags: hex(start.flags) });
  const [policyFault] = kvmPolicyFaults(start.policy, machine.kvmProfile, machine.firmware);
  return policyFault ? refused(policyFault) : undefined;
}

function* createContext(machine: Machine, vm: KvmVm, cmd: SevCmd): Op<IoctlResult> {
  const created = yield* snpContextCreate(machine, cmd);
  if (created.fault) return refuse(START_CONTEXT, {}, { cause: created.fault, fwError: created.fwError });
  vm.snpContext = created.ret as Pfn;
  return DONE;
}

/** snp_context_create(): `ret` is the page frame of the context. */
function snpContextCreate(machine: Machine, cmd: SevCmd): Op<IoctlResult> {
  return inFrame(
    machine.stack,
    'kvm',
    'snp_context_create',
    {},
    function* () {
      const allocated = yield* snpAllocFirmwarePage(machine, 'guest context');
      if (allocated.fault) return allocated;
      const page = allocated.ret as Pfn;
      const command = snpGctxCreate(machine, { page: spaOf(page) });
      const created = yield* sevIssueCmd(machine, cmd.sevFd, command, GCTX_CREATE_FAILED, {});
      if (!created.fault) return { ret: page, fwError: 0 };
      yield* snpFreeFirmwarePage(machine, page);
      return becauseOfBoot(machine, created);
    },
    (result) => (result.fault ? describeIoctl(result) : { result: `pfn ${hex(result.ret)}` }),
  );
}

/** Puts the failure of SNP_INIT at boot below the first failure that it causes. */
function becauseOfBoot(machine: Machine, result: IoctlResult): IoctlResult {
  const { hostFault } = machine.kvm;
  const firmware = result.fault?.cause;
  if (!result.fault || !firmware || !hostFault || machine.asp.platform === 'INIT') return result;
  return { ...result, fault: { ...result.fault, cause: { ...firmware, cause: hostFault } } };
}

/** A firmware command failed after the context was made: the context goes, the command's failure stays. */
function* giveUp(machine: Machine, vm: KvmVm, result: IoctlResult): Op<IoctlResult> {
  yield* snpDecommissionContext(machine, vm);
  return result;
}

/** snp_decommission_context(): ends the context and frees its page. The fault if that did not work. */
export function* snpDecommissionContext(machine: Machine, vm: KvmVm): Op<Fault | undefined> {
  const context = vm.snpContext;
  if (context === undefined) return undefined;
  const command = snpDecommission(machine, { gctx: spaOf(context) });
  const { fault } = yield* sevDoCmd(command, DECOMMISSION_FAILED, {});
  if (fault) return fault;
  yield* snpFreeFirmwarePage(machine, context);
  vm.snpContext = undefined;
  return undefined;
}
