import { gfn, hex, PAGE_SIZE } from '../address.js';
import { defineFault, type Fault } from '../fault.js';
import type { Machine } from '../machine.js';
import { errno } from '../spec/errno.js';
import { PAGE_TYPE, type PageType, pageTypeName } from '../spec/page-type.js';
import type { Op } from '../timeline/event.js';
import { kvmGmemPopulate } from './gmem-populate.js';
import { copyIn, copyOut, DONE, type IoctlResult, refuse } from './result.js';
import { isSnpGuest, type KvmVm, slotOf } from './state.js';
import type { SevCmd } from './uapi/sev-cmd.js';
import {
  decodeSnpLaunchUpdate,
  encodeSnpLaunchUpdate,
  SNP_LAUNCH_UPDATE_SIZE,
  type SnpLaunchUpdate,
} from './uapi/sev-structs.js';

const COMMAND = 'KVM_SEV_SNP_LAUNCH_UPDATE';
const STRUCT = 'struct kvm_sev_snp_launch_update';
const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c snp_launch_update()';

export const UPDATE_NO_CONTEXT = defineFault({
  check: 'kvm-launch-update-no-context',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Launch not started',
  message: () => 'The VM is not an SNP guest, or has no guest context.',
  why: 'Pages are measured into the launch digest, which begins with KVM_SEV_SNP_LAUNCH_START.',
  hint: 'Issue KVM_SEV_SNP_LAUNCH_START first.',
  reference: REFERENCE,
  confirmed: true,
});

export const UPDATE_LENGTH = defineFault<{ len: string }>({
  check: 'kvm-launch-update-length',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Length is not a multiple of 4 KiB',
  message: (o) => `len is ${o.len}, which is not a multiple of 4096.`,
  why: 'The firmware measures whole pages.',
  hint: 'Pad the data to a multiple of 4 KiB.',
  reference: REFERENCE,
  confirmed: true,
});

export const UPDATE_FLAGS = defineFault<{ flags: string }>({
  check: 'kvm-launch-update-flags',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Flags must be 0',
  message: (o) => `kvm_sev_snp_launch_update.flags is ${o.flags}; it must be 0.`,
  why: 'No flag is defined.',
  hint: 'Pass 0.',
  reference: REFERENCE,
  confirmed: true,
});

export const UPDATE_TYPE = defineFault<{ type: string }>({
  check: 'kvm-launch-update-type',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Page type not allowed',
  message: (o) => `Page type ${o.type} cannot be launched with this command.`,
  why: 'Userspace launches NORMAL (1), ZERO (3), UNMEASURED (4), SECRETS (5) and CPUID (6) pages. VMSA pages (2) are made by KVM itself in KVM_SEV_SNP_LAUNCH_FINISH, from the registers of the vCPUs.',
  hint: 'Use one of the five types; set vCPU registers instead of launching a VMSA page.',
  reference: REFERENCE,
  confirmed: true,
});

export const UPDATE_NO_SLOT = defineFault<{ gfn: string }>({
  check: 'kvm-launch-update-no-slot',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'No memory at this address',
  message: (o) => `Frame ${o.gfn} is in no memory slot of the VM.`,
  why: 'A page can be launched only where the VM has memory.',
  hint: 'Use an address inside guest memory or the firmware region, or create a slot for it.',
  reference: REFERENCE,
  confirmed: true,
});

export const UPDATE_NOT_GMEM = defineFault<{ gfn: string; slot: number }>({
  check: 'kvm-launch-update-not-gmem',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Memory slot without guest_memfd',
  message: (o) => `Frame ${o.gfn} is in slot ${o.slot}, which has no guest_memfd.`,
  why: 'Private guest memory lives in guest_memfd. A read-only flash slot (pflash) cannot have one, so firmware in pflash cannot be launched.',
  hint: 'Create the slot with KVM_MEM_GUEST_MEMFD; with QEMU, load the firmware with -bios.',
  reference: REFERENCE,
  confirmed: true,
});

export const UPDATE_FAILED = defineFault<{ gpa: string; type: string; inner: string }>({
  check: 'kvm-launch-update-failed',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EIO'),
  title: 'Page could not be launched',
  message: (o) => `The ${o.type} page at ${o.gpa} could not be launched. The reason (${o.inner}) is reported as -EIO.`,
  why: 'KVM returns -EIO whatever went wrong with the first page of a request, so the errno says nothing about the cause. fw_error is that of the firmware if it was asked. A failure of a later page is not reported at all: the request ends early, and repeating it for the rest fails at once.',
  hint: 'See the reason below.',
  reference: REFERENCE,
  confirmed: true,
});

/** KVM_SEV_SNP_LAUNCH_UPDATE: advances the struct by the pages that were launched. */
export function* snpLaunchUpdate(machine: Machine, vm: KvmVm, cmd: SevCmd): Op<IoctlResult> {
  if (!isSnpGuest(vm) || vm.snpContext === undefined) return refuse(UPDATE_NO_CONTEXT, {});
  const copied = copyIn(machine, COMMAND, STRUCT, cmd.data, SNP_LAUNCH_UPDATE_SIZE);
  if (!copied.ok) return copied.result;
  const params = decodeSnpLaunchUpdate(copied.bytes);
  if (params.len % BigInt(PAGE_SIZE) !== 0n) return refuse(UPDATE_LENGTH, { len: hex(params.len) });
  if (params.flags !== 0) return refuse(UPDATE_FLAGS, { flags: hex(params.flags) });
  if (!isUserPageType(params.type)) {
    return refuse(UPDATE_TYPE, { type: pageTypeName(params.type) ?? String(params.type) });
  }
  const { type } = params;
  const first = gfn(Number(params.gfnStart));
  const slot = slotOf(vm, first);
  if (!slot) return refuse(UPDATE_NO_SLOT, { gfn: hex(params.gfnStart) });
  const gmem = slot.gmemFd === undefined ? undefined : vm.gmems.get(slot.gmemFd);
  if (!gmem) return refuse(UPDATE_NOT_GMEM, { gfn: hex(first), slot: slot.id });

  const source = type === PAGE_TYPE.ZERO ? 0 : Number(params.uaddr);
  const pages = Number(params.len / BigInt(PAGE_SIZE));
  const populated = yield* kvmGmemPopulate(machine, vm, slot, gmem, first, source, pages, { type, sevFd: cmd.sevFd });
  if (populated.count < 0) {
    const operands = {
      gpa: hex(first * PAGE_SIZE),
      type: pageTypeName(type) ?? String(type),
      inner: inner(populated.fault),
    };
    return refuse(UPDATE_FAILED, operands, { cause: populated.fault, fwError: populated.fwError });
  }
  const out = encodeSnpLaunchUpdate(advance(params, populated.count));
  return copyOut(machine, COMMAND, STRUCT, cmd.data, out) ?? DONE;
}

function isUserPageType(type: number): type is PageType {
  return type !== PAGE_TYPE.VMSA && pageTypeName(type) !== undefined;
}

function advance(params: SnpLaunchUpdate, count: number): SnpLaunchUpdate {
  const bytes = BigInt(count) * BigInt(PAGE_SIZE);
  return {
    ...params,
    gfnStart: params.gfnStart + BigInt(count),
    len: params.len - bytes,
    uaddr: params.type === PAGE_TYPE.ZERO ? params.uaddr : params.uaddr + bytes,
  };
}

function inner(fault: Fault | undefined): string {
  return fault?.code.kind === 'errno' ? `-${fault.code.name}` : 'unknown';
}
