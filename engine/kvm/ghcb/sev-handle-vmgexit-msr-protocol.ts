import { hex } from '../../address.js';
import { defineFault, makeFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { bitField, decodeGhcbMsr } from '../../spec/ghcb-msr.js';
import type { Op } from '../../timeline/event.js';
import { type ExitHandling, RESUME } from '../run/kvm-exit.js';
import { isSnpGuest, type KvmVcpu, type KvmVm } from '../state.js';
import { NO_ANSWER } from './ghcb-faults.js';
import { kvmCpuid } from './kvm-cpuid.js';
import { apResetHoldResponse, kvmEmulateApResetHold } from './kvm-emulate-ap-reset-hold.js';
import { GHCB_HV_FT_SUPPORTED, sevInfo } from './sev-info.js';
import { snpBeginPscMsr } from './snp-begin-psc-msr.js';
import { terminate } from './termination.js';
import { archOf, kernelLog, refusedRequest } from './vmgexit.js';

const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c sev_handle_vmgexit_msr_protocol()';

export const MSR_REQUEST_UNKNOWN = defineFault<{ value: string; code: string; name: string }>({
  check: 'kvm-ghcb-msr-unknown',
  layer: 'kvm',
  command: 'GHCB MSR',
  code: NO_ANSWER,
  title: 'Request of the GHCB MSR protocol not known',
  message: (o) => `The GHCB MSR is ${o.value}: KVM does not take ${o.code} (${o.name}) as a request.`,
  why: 'Bits 11:0 of the GHCB MSR say what it holds: 0 the address of a GHCB, otherwise a request. KVM leaves the MSR as it is for a code that it does not implement, and the guest finds its own request where the answer should be. Responses, such as the value after reset, are no requests either.',
  hint: 'Write the address of a GHCB page (its bits 11:0 are 0), or a request of the protocol; compare the code of what comes back.',
  reference: REFERENCE,
  confirmed: true,
});

export const MSR_REQUEST_SNP_ONLY = defineFault<{ value: string; name: string }>({
  check: 'kvm-ghcb-msr-snp-only',
  layer: 'kvm',
  command: 'GHCB MSR',
  code: { kind: 'exception', name: '#VMEXIT(VMGEXIT)', value: 0x403 },
  title: 'Request of the GHCB MSR protocol for SNP guests only',
  message: (o) => `The GHCB MSR is ${o.value}, the request "${o.name}", but this VM is no SNP guest.`,
  why: 'Registered GHCBs and page states exist with SNP only. KVM ends an SEV-ES guest that asks for them.',
  hint: 'Look at SEV_STATUS (MSR C001_0131), bit 2, before using SNP requests.',
  reference: REFERENCE,
  confirmed: true,
});

const GPA_VALUE = ((1n << 52n) - 1n) << 12n;

/** sev_handle_vmgexit_msr_protocol(): bits 11:0 of the GHCB MSR are not 0. The answer goes into the MSR. */
export function* sevHandleVmgexitMsrProtocol(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): Op<ExitHandling> {
  const arch = archOf(vcpu);
  const { vmcb } = arch;
  const request = vmcb.ghcb;
  yield* kernelLog(
    machine,
    `kvm_vmgexit_msr_protocol_enter: vcpu ${vcpu.index}, ghcb_gpa ${digits(request)} (${describeMsr(request)})`,
  );
  const result = yield* handle(machine, vm, vcpu, request);
  // Requests that end the guest return before the trace event.
  if (arch.exit?.reason === 'KVM_EXIT_SYSTEM_EVENT' && result.ret === 0) return result;
  const answer = `vcpu ${vcpu.index}, ghcb_gpa ${digits(vmcb.ghcb)}, result ${result.ret}`;
  yield* kernelLog(
    machine,
    `kvm_vmgexit_msr_protocol_exit: ${answer}${result.ret > 0 ? ` (${describeMsr(vmcb.ghcb)})` : ''}`,
  );
  return result;
}

function* handle(machine: Machine, vm: KvmVm, vcpu: KvmVcpu, request: bigint): Op<ExitHandling> {
  const arch = archOf(vcpu);
  const { vmcb } = arch;
  const data = request & ~0xfffn;
  const code = request & 0xfffn;
  switch (code) {
    case 0x002n:
      vmcb.ghcb = sevInfo(machine, vm);
      return RESUME;
    case 0x004n: {
      const registers = kvmCpuid(machine, vcpu, Number(bitField(request, 63, 32)), 0);
      const names = ['eax', 'ebx', 'ecx', 'edx'] as const;
      const value = registers[names[Number(bitField(request, 31, 30))] ?? 'edx'];
      vmcb.ghcb = (BigInt(value) << 32n) | (request & 0xffff_f000n) | 0x005n;
      return RESUME;
    }
    case 0x006n: {
      arch.apResetHold = 'msr';
      const held = kvmEmulateApResetHold(arch);
      vmcb.ghcb = apResetHoldResponse(request, 0n);
      return held;
    }
    case 0x010n:
      if (!isSnpGuest(vm)) return notSnp(vcpu, request);
      vmcb.ghcb = GPA_VALUE | 0x011n;
      return RESUME;
    case 0x012n:
      if (!isSnpGuest(vm)) return notSnp(vcpu, request);
      arch.ghcbRegisteredGpa = data;
      vmcb.ghcb = data | 0x013n;
      return RESUME;
    case 0x014n:
      return isSnpGuest(vm) ? yield* snpBeginPscMsr(machine, vm, vcpu, request) : notSnp(vcpu, request);
    case 0x080n:
      vmcb.ghcb = (GHCB_HV_FT_SUPPORTED << 12n) | 0x081n;
      return RESUME;
    case 0x100n: {
      const set = bitField(request, 15, 12);
      const reason = bitField(request, 23, 16);
      yield* kernelLog(machine, `SEV-ES guest requested termination: ${hex(set)}:${hex(reason)}`);
      return terminate(arch, { termination: { set: Number(set), code: Number(reason) } });
    }
    default: {
      const { name } = decodeGhcbMsr(request);
      return refusedRequest(makeFault(MSR_REQUEST_UNKNOWN, { value: hex(request), code: hex(code), name }));
    }
  }
}

function notSnp(vcpu: KvmVcpu, request: bigint): ExitHandling {
  const { name } = decodeGhcbMsr(request);
  return terminate(archOf(vcpu), { fault: makeFault(MSR_REQUEST_SNP_ONLY, { value: hex(request), name }) });
}

const digits = (value: bigint): string => value.toString(16).padStart(16, '0');

/** `register GHCB GPA: GFN 0x1000`. */
export function describeMsr(value: bigint): string {
  const { name, direction, fields } = decodeGhcbMsr(value);
  const words = fields.map((field) => `${field.name} ${field.meaning ?? hex(field.value)}`);
  const title = direction === 'response' ? `${name}, answer` : name;
  return words.length > 0 ? `${title}: ${words.join(', ')}` : title;
}
