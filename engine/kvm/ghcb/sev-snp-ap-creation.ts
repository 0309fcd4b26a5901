import { type Gpa, gpa, hex, isPageAligned, PAGE_SIZE_2M } from '../../address.js';
import { defineFault, type Fault, makeFault } from '../../fault.js';
import { bitField } from '../../spec/ghcb-msr.js';
import type { Op } from '../../timeline/event.js';
import { inKernel } from '../result.js';
import { type ExitHandling, RESUME } from '../run/kvm-exit.js';
import type { KvmVcpu } from '../state.js';
import { reason } from './ghcb-faults.js';
import { archOf, badInputFault, type Vmgexit, vcpuUnimpl } from './vmgexit.js';

const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c sev_snp_ap_creation()';
const EVENT = 'AP_CREATION';
const CODE = reason('INVALID_INPUT');

/** SVM_VMGEXIT_AP_*. */
const CREATE_ON_INIT = 0n;
const CREATE = 1n;
const DESTROY = 2n;
const REQUESTS = ['create on INIT', 'create', 'destroy'] as const;

export const AP_APIC_ID = defineFault<{ apicId: string; vcpus: number }>({
  check: 'kvm-ap-creation-apic-id',
  layer: 'kvm',
  command: EVENT,
  code: CODE,
  title: 'No vCPU with this APIC ID',
  message: (o) =>
    `SW_EXITINFO1 bits 63:32 name APIC ID ${o.apicId}; the VM has ${o.vcpus} vCPUs, and none with that ID.`,
  why: 'AP creation gives a vCPU that exists already, and waits, a new VMSA; it makes no new vCPU. The ID is that of CPUID functions 0xB and 0x8000001E.',
  hint: 'Take the APIC IDs from the ACPI tables or from the topology of the VM, and put the ID into bits 63:32.',
  reference: REFERENCE,
  confirmed: true,
});

export const AP_FEATURES = defineFault<{ features: string; vm: string; difference: string }>({
  check: 'kvm-ap-creation-features',
  layer: 'kvm',
  command: EVENT,
  code: CODE,
  title: 'SEV features of the new VMSA do not fit',
  message: (o) => `RAX gives SEV_FEATURES ${o.features}; the VM has ${o.vm}, and bits ${o.difference} must not differ.`,
  why: 'How interrupts reach a vCPU is decided for the whole VM. Linux up to 6.11 compares the two injection modes, later kernels all features.',
  hint: 'Copy SEV_FEATURES from the VMSA of the first vCPU: SEV_STATUS (MSR C001_0131) shifted right by two.',
  reference: REFERENCE,
  confirmed: true,
});

export const AP_VMSA_ADDRESS = defineFault<{ gpa: string; problem: string }>({
  check: 'kvm-ap-creation-address',
  layer: 'kvm',
  command: EVENT,
  code: CODE,
  title: 'VMSA address not usable',
  message: (o) => `The VMSA address in SW_EXITINFO2, ${o.gpa}, ${o.problem}.`,
  why: 'The VMSA is one page of private memory, and the host finds it by its guest physical address.',
  hint: 'Pass the guest physical address of a page that RMPADJUST has made a VMSA.',
  reference: REFERENCE,
  confirmed: true,
});

export const AP_VMSA_2M = defineFault<{ gpa: string }>({
  check: 'kvm-ap-creation-2m',
  layer: 'kvm',
  command: EVENT,
  code: CODE,
  title: 'VMSA at a 2 MiB boundary',
  message: (o) => `The VMSA address ${o.gpa} is a multiple of 2 MiB.`,
  why: 'Processors with the SNP erratum take an access through a 2 MiB mapping for an RMP violation if the page at its beginning is a VMSA in use, even if the access goes elsewhere. KVM therefore refuses such a VMSA.',
  hint: 'Take another page: Linux allocates two, and uses the one that is not aligned.',
  reference: REFERENCE,
  confirmed: true,
});

export const AP_REQUEST = defineFault<{ request: string; vmpl: number }>({
  check: 'kvm-ap-creation-request',
  layer: 'kvm',
  command: EVENT,
  code: CODE,
  title: 'AP creation request not known',
  message: (o) =>
    `SW_EXITINFO1 bits 31:0 are ${o.request}; KVM knows 0 (create on INIT), 1 (create) and 2 (destroy), all for VMPL 0.`,
  why: 'Bits 19:16 would name the VMPL of the VMSA. KVM has no support for VMPLs and takes the whole lower half as the request.',
  hint: (o) => (o.vmpl > 0 ? 'Create vCPUs at VMPL 0 only.' : 'Use 0, 1 or 2.'),
  reference: REFERENCE,
  confirmed: true,
});

/** sev_snp_ap_creation(): gives another vCPU a VMSA, or takes it away. The calling vCPU goes on in any case. */
export function* sevSnpApCreation(v: Vmgexit): Op<ExitHandling> {
  const info1 = v.exit.exitInfo1;
  const request = bitField(info1, 31, 0);
  const apicId = Number(bitField(info1, 63, 32));
  const args = { request: REQUESTS[Number(request)] ?? hex(request), apic_id: apicId, vmsa: hex(v.exit.exitInfo2) };
  return yield* inKernel(v.machine, 'sev_snp_ap_creation', args, function* () {
    const target = v.vm.vcpus.find((vcpu) => vcpu.index === apicId);
    if (!target) return yield* refuse(v, makeFault(AP_APIC_ID, { apicId: hex(apicId), vcpus: v.vm.vcpus.length }));
    return yield* v.machine.kvmProfile.apCreationParksOnError
      ? createOrPark(v, target, request)
      : create(v, target, request);
  });
}

/** As posted: the target loses its VMSA before anything is checked, and is woken to notice. */
function* createOrPark(v: Vmgexit, target: KvmVcpu, request: bigint): Op<ExitHandling> {
  const arch = archOf(target);
  arch.snpVmsaGpa = undefined;
  arch.snpApWaitingForReset = true;
  // Set before the features are looked at and cleared after, so that wrong ones park the target even then.
  let kick = true;
  let fault = featureFault(v, request);
  if (!fault) {
    if (request === CREATE_ON_INIT) kick = false;
    fault = requestFault(v, request);
    if (!fault && request !== DESTROY) arch.snpVmsaGpa = vmsaGpa(v);
  }
  if (kick) arch.updateProtectedGuestState = true;
  return fault ? yield* refuse(v, fault) : RESUME;
}

/** As merged: the target changes only if everything is right. */
function* create(v: Vmgexit, target: KvmVcpu, request: bigint): Op<ExitHandling> {
  const fault = featureFault(v, request) ?? requestFault(v, request);
  if (fault) return yield* refuse(v, fault);
  const arch = archOf(target);
  arch.snpVmsaGpa = request === DESTROY ? undefined : vmsaGpa(v);
  arch.snpApWaitingForReset = true;
  if (request !== CREATE_ON_INIT) arch.updateProtectedGuestState = true;
  return RESUME;
}

function vmsaGpa(v: Vmgexit): Gpa {
  return gpa(Number(v.exit.exitInfo2));
}

function featureFault(v: Vmgexit, request: bigint): Fault | undefined {
  if (request >= DESTROY) return undefined;
  const { vmsaFeatures } = v.vm;
  const difference = (v.exit.rax ^ vmsaFeatures) & v.machine.kvmProfile.apCreationFeatureMask;
  if (difference === 0n) return undefined;
  const operands = { features: hex(v.exit.rax), vm: hex(vmsaFeatures), difference: hex(difference) };
  return makeFault(AP_FEATURES, operands);
}

function requestFault(v: Vmgexit, request: bigint): Fault | undefined {
  if (request === DESTROY) return undefined;
  if (request !== CREATE && request !== CREATE_ON_INIT) {
    return makeFault(AP_REQUEST, { request: hex(request), vmpl: Number(bitField(request, 19, 16)) });
  }
  const address = v.exit.exitInfo2;
  if (!isPageAligned(address)) return addressFault(address, 'is not aligned to 4 KiB');
  const bits = reservedGpaBits(v) & address;
  if (bits !== 0n) return addressFault(address, `has bits ${hex(bits)} set, which are no address bits of this vCPU`);
  return address % BigInt(PAGE_SIZE_2M) === 0n ? makeFault(AP_VMSA_2M, { gpa: hex(address) }) : undefined;
}

function addressFault(address: bigint, problem: string): Fault {
  return makeFault(AP_VMSA_ADDRESS, { gpa: hex(address), problem });
}

/** vcpu->arch.reserved_gpa_bits: above the physical address bits of CPUID, 36 without that leaf; not the C-bit. */
function reservedGpaBits({ vcpu }: Vmgexit): bigint {
  const leaf = (fn: number) => vcpu.cpuid?.find((entry) => entry.function === fn);
  const width = BigInt((leaf(0x8000_0008)?.eax ?? 36) & 0xff);
  const encryption = leaf(0x8000_001f);
  const reserved = ((1n << 64n) - 1n) & ~((1n << width) - 1n);
  return encryption ? reserved & ~(1n << BigInt(encryption.ebx & 0x3f)) : reserved;
}

function* refuse(v: Vmgexit, fault: Fault): Op<ExitHandling> {
  yield* vcpuUnimpl(v.machine, v.vcpu, `vmgexit: ${LOG[fault.check] ?? fault.check} from guest`);
  return badInputFault(v, fault);
}

const LOG: Readonly<Record<string, string>> = {
  [AP_APIC_ID.check]: 'invalid AP APIC ID',
  [AP_FEATURES.check]: 'invalid AP injection mode',
  [AP_VMSA_ADDRESS.check]: 'invalid AP VMSA address',
  [AP_VMSA_2M.check]: 'AP VMSA address is unsafe as it is 2M aligned',
  [AP_REQUEST.check]: 'invalid AP creation request',
};
