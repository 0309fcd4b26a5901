import type { Fault, FaultDefinition, Operands } from '../../fault.js';
import { makeFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { ERRNO } from '../../spec/errno.js';
import { GHCB_RESPONSE } from '../../spec/ghcb-layout.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { type ExitHandling, RESUME } from '../run/kvm-exit.js';
import type { GhcbExit, GhcbMap, KvmVcpu, KvmVm, VcpuRunState } from '../state.js';
import { setExitInfo } from './ghcb-page.js';

/** One VMGEXIT with a GHCB page: what its handlers work on, until the next VMRUN. */
export interface Vmgexit {
  readonly machine: Machine;
  readonly vm: KvmVm;
  readonly vcpu: KvmVcpu;
  readonly arch: VcpuRunState;
  /** KVM's copy of what the guest asked for. */
  readonly exit: GhcbExit;
  readonly map: GhcbMap;
}

/** The part of the vCPU that exists from the first KVM_RUN on. */
export function archOf(vcpu: KvmVcpu): VcpuRunState {
  if (!vcpu.arch) throw new Error(`vCPU ${vcpu.index} has not been run`);
  return vcpu.arch;
}

/** A line in the kernel log, or of a trace event. */
export function* kernelLog(machine: Machine, text: string): Op<void> {
  if (!machine.stack.quiet) yield logEvent(machine.stack, 'kvm', text);
}

/** vcpu_unimpl(): the kernel log names the vCPU. */
export function vcpuUnimpl(machine: Machine, vcpu: KvmVcpu, text: string): Op<void> {
  return kernelLog(machine, `vcpu${vcpu.index}: ${text}`);
}

/** svm_vmgexit_success(): SW_EXITINFO1 0, and a result. */
export function vmgexitSuccess({ machine, vm, map }: Vmgexit, result = 0n): ExitHandling {
  setExitInfo(machine, vm, map, GHCB_RESPONSE.NO_ACTION, result);
  return RESUME;
}

/** svm_vmgexit_bad_input(): SW_EXITINFO1 2, the reason of the fault in SW_EXITINFO2; the guest goes on. */
export function badInput<O extends Operands>(v: Vmgexit, definition: FaultDefinition<O>, operands: O): ExitHandling {
  return badInputFault(v, makeFault(definition, operands));
}

export function badInputFault(v: Vmgexit, fault: Fault): ExitHandling {
  if (fault.code.kind !== 'ghcb') throw new Error(`${fault.check} has no GHCB reason`);
  setExitInfo(v.machine, v.vm, v.map, GHCB_RESPONSE.MALFORMED_INPUT, BigInt(fault.code.value));
  return refusedRequest(fault);
}

const EXCEPTION = (3n << 8n) | (1n << 31n);

/** svm_vmgexit_inject_exception(): SW_EXITINFO1 1; the guest is asked to raise the exception itself. */
export function issueException(v: Vmgexit, vector: number, fault: Fault): ExitHandling {
  setExitInfo(v.machine, v.vm, v.map, GHCB_RESPONSE.ISSUE_EXCEPTION, EXCEPTION | BigInt(vector));
  return refusedRequest(fault);
}

/** kvm_queue_exception(): the processor delivers the exception at the next VMRUN, behind the VMGEXIT. */
export function injectException(v: Vmgexit, vector: number, errorCode: number | undefined, fault: Fault): ExitHandling {
  const code = errorCode === undefined ? 0n : (1n << 11n) | (BigInt(errorCode) << 32n);
  v.arch.vmcb.eventInj = EXCEPTION | BigInt(vector) | code;
  return refusedRequest(fault);
}

/** The guest goes on, and learns of the refusal by its answer. */
export function refusedRequest(fault: Fault): ExitHandling {
  return { ret: 1, fwError: 0, fault };
}

/** KVM_RUN fails: -errno of the definition, or -EINVAL if its code is another one. */
export function failRun<O extends Operands>(definition: FaultDefinition<O>, operands: O, cause?: Fault): ExitHandling {
  const fault = makeFault(definition, operands, cause ? { cause } : {});
  const ret = fault.code.kind === 'errno' ? fault.code.value : -ERRNO.EINVAL;
  return { ret, fwError: 0, fault };
}
