import { hex } from '../address.js';
import { defineFault } from '../fault.js';
import type { Machine } from '../machine.js';
import { errno } from '../spec/errno.js';
import { hostCpuid } from '../spec/host-cpuid.js';
import type { Op } from '../timeline/event.js';
import { sevPlatformInit } from './host-boot.js';
import { copyIn, DONE, type IoctlResult, refuse } from './result.js';
import { sevAsidFree, sevAsidNew } from './sev-asid.js';
import { snpGuestReqInit } from './snp-guest-req.js';
import type { KvmVm } from './state.js';
import type { SevCmd } from './uapi/sev-cmd.js';
import { decodeSevInit, SEV_INIT_SIZE } from './uapi/sev-structs.js';
import { VM_TYPE, vmTypeName } from './uapi/vm-type.js';

const COMMAND = 'KVM_SEV_INIT2';
const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c sev_guest_init2(), __sev_guest_init()';

const SNP_ACTIVE = 1n;
const DEBUG_SWAP = 1n << 5n;
export const SECURE_TSC = 1n << 9n;
/** CPUID 8000_001F EAX. */
const CPUID_SECURE_TSC = 1 << 8;
/** Highest GHCB protocol version that KVM offers. Linux GHCB_VERSION_MAX. */
const GHCB_VERSION_MAX = 2;

export const INIT2_DONE = defineFault<{ type: string }>({
  check: 'kvm-init2-not-needed',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'VM does not need initialisation',
  message: (o) => `This VM of type ${o.type} needs no KVM_SEV_INIT2, or had it already.`,
  why: 'KVM_SEV_INIT2 completes a VM of one of the SEV types, exactly once.',
  hint: 'Create the VM with type KVM_X86_SNP_VM (4), and initialise it once.',
  reference: REFERENCE,
  confirmed: true,
});

export const INIT2_VCPUS = defineFault<{ vcpus: number }>({
  check: 'kvm-init2-vcpus',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'vCPUs created before initialisation',
  message: (o) => `The VM has ${o.vcpus} vCPU${o.vcpus === 1 ? '' : 's'} already.`,
  why: 'A vCPU of an encrypted guest is built differently from the start, so the VM must be initialised before its first vCPU.',
  hint: 'Issue KVM_SEV_INIT2 before KVM_CREATE_VCPU.',
  reference: REFERENCE,
  confirmed: true,
});

export const INIT2_FLAGS = defineFault<{ flags: string }>({
  check: 'kvm-init2-flags',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Flags must be 0',
  message: (o) => `kvm_sev_init.flags is ${o.flags}; it must be 0.`,
  why: 'No flag is defined.',
  hint: 'Pass 0.',
  reference: REFERENCE,
  confirmed: true,
});

export const INIT2_FEATURES = defineFault<{ features: string; supported: string; processor: string }>({
  check: 'kvm-init2-vmsa-features',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'VMSA features not supported',
  message: (o) =>
    `kvm_sev_init.vmsa_features is ${o.features}; on this host (${o.processor}) KVM accepts only bits of ${o.supported}.`,
  why: 'vmsa_features become SEV_FEATURES of every vCPU and are measured. KVM accepts DebugSwap (bit 5) and, from Linux 6.18 on, SecureTSC (bit 9), each only where the processor has it; it sets SNPActive (bit 0) itself and never takes it from userspace.',
  hint: 'Use vmsa-features 0x1, or 0x21 on a processor with DebugSwap (Genoa and later).',
  reference: REFERENCE,
  confirmed: true,
});

export const INIT2_GHCB_VERSION = defineFault<{ version: number; max: number }>({
  check: 'kvm-init2-ghcb-version',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'GHCB protocol version not supported',
  message: (o) => `kvm_sev_init.ghcb_version is ${o.version}; this VM can have at most ${o.max}.`,
  why: 'SEV-ES and SNP guests talk to the hypervisor through the GHCB, in version 1 or 2; a plain SEV guest has no GHCB. 0 asks for the newest.',
  hint: 'Pass 0 or 2.',
  reference: REFERENCE,
  confirmed: true,
});

export const INIT2_ACTIVE = defineFault({
  check: 'kvm-init2-active',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'SEV is active already',
  message: () => 'The VM has an encryption context already.',
  why: 'A context that was copied or moved from another VM cannot be initialised again.',
  hint: 'Use a new VM.',
  reference: REFERENCE,
  confirmed: true,
});

/** KVM_SEV_INIT2: ASID, VMSA features, GHCB version. */
export function* sevGuestInit2(machine: Machine, vm: KvmVm, cmd: SevCmd): Op<IoctlResult> {
  const type = vmTypeName(vm.type);
  if (!vm.needInit || vm.type < VM_TYPE.KVM_X86_SEV_VM) return refuse(INIT2_DONE, { type });
  const copied = copyIn(machine, COMMAND, 'struct kvm_sev_init', cmd.data, SEV_INIT_SIZE);
  if (!copied.ok) return copied.result;
  const init = decodeSevInit(copied.bytes);
  const encryptedState = vm.type !== VM_TYPE.KVM_X86_SEV_VM;
  if (vm.vcpus.length > 0) return refuse(INIT2_VCPUS, { vcpus: vm.vcpus.length });
  if (init.flags !== 0) return refuse(INIT2_FLAGS, { flags: hex(init.flags) });
  const snp = vm.type === VM_TYPE.KVM_X86_SNP_VM;
  const supported = (encryptedState ? sevSupportedVmsaFeatures(machine) : 0n) & (snp ? ~0n : ~SECURE_TSC);
  if ((init.vmsaFeatures & ~supported) !== 0n) {
    return refuse(INIT2_FEATURES, {
      features: hex(init.vmsaFeatures),
      supported: hex(supported),
      processor: machine.processor.name,
    });
  }
  const maxVersion = encryptedState ? GHCB_VERSION_MAX : 0;
  if (init.ghcbVersion > maxVersion) {
    return refuse(INIT2_GHCB_VERSION, { version: init.ghcbVersion, max: maxVersion });
  }
  if (vm.sevActive) return refuse(INIT2_ACTIVE, {});

  vm.sevActive = true;
  vm.vmsaFeatures = init.vmsaFeatures | (snp ? SNP_ACTIVE : 0n);
  vm.ghcbVersion = encryptedState && init.ghcbVersion === 0 ? GHCB_VERSION_MAX : init.ghcbVersion;
  const asid = yield* sevAsidNew(machine, encryptedState);
  if (asid.fault) return giveUp(vm, asid);
  vm.asid = asid.ret;
  yield* sevPlatformInit(machine);
  if (snp && machine.kvmProfile.guestRequestBuffers) {
    const buffers = yield* snpGuestReqInit(machine, vm);
    if (buffers.fault) {
      sevAsidFree(machine, vm.asid);
      vm.asid = 0;
      return giveUp(vm, buffers);
    }
  }
  vm.needInit = false;
  vm.apicvInhibited = true;
  return DONE;
}

/** The VM is as before, so that INIT2 can be repeated. */
function giveUp(vm: KvmVm, result: IoctlResult): IoctlResult {
  vm.sevActive = false;
  vm.vmsaFeatures = 0n;
  return result;
}

/** KVM_X86_SEV_VMSA_FEATURES: DebugSwap and, with newer kernels, SecureTSC where the processor has them. */
export function sevSupportedVmsaFeatures({ processor, kvmProfile, kvm }: Machine): bigint {
  const hasSecureTsc = (hostCpuid(processor, 0x8000_001f).eax & CPUID_SECURE_TSC) !== 0;
  const secureTsc = kvmProfile.secureTsc && kvm.snpEnabled && hasSecureTsc;
  return (processor.debugSwap ? DEBUG_SWAP : 0n) | (secureTsc ? SECURE_TSC : 0n);
}
