import { hex } from '../../address.js';
import { defineFault, type FaultCode, makeFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { PSC_OPERATION } from '../../spec/ghcb-layout.js';
import { bitField } from '../../spec/ghcb-msr.js';
import type { Op } from '../../timeline/event.js';
import { inKernelAtOnce } from '../result.js';
import { type ExitHandling, RESUME, TO_USERSPACE } from '../run/kvm-exit.js';
import type { KvmVcpu, KvmVm } from '../state.js';
import { hasHypercallExit, KVM_HC_MAP_GPA_RANGE, mapGpaRange } from './map-gpa-range.js';
import { archOf, refusedRequest } from './vmgexit.js';

const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c snp_begin_psc_msr(), snp_complete_psc_msr()';

/** GHCB_MSR_PSC_RESP_ERROR: bits 63:32 of the answer are not 0. */
const MSR_ERROR: FaultCode = { kind: 'ghcb', name: 'page state change refused', value: 0x8000_0000 };
const RESPONSE = 0x015n;
const RESPONSE_ERROR = (1n << 63n) | RESPONSE;

export const PSC_MSR_OPERATION = defineFault<{ operation: number; gpa: string }>({
  check: 'kvm-psc-msr-operation',
  layer: 'kvm',
  command: 'GHCB MSR',
  code: MSR_ERROR,
  title: 'Page state change with an unknown operation',
  message: (o) => `The operation for the page at ${o.gpa} (bits 55:52 of the request) is ${o.operation}.`,
  why: 'By the MSR a page can be made private (1) or shared (2). Splitting and joining of large pages exist in the list of the GHCB page only.',
  hint: 'Write (operation << 52) | GPA | 0x014 with operation 1 or 2.',
  reference: REFERENCE,
  confirmed: true,
});

export const PSC_MSR_NO_EXIT = defineFault<{ gpa: string }>({
  check: 'kvm-psc-msr-no-exit',
  layer: 'kvm',
  command: 'GHCB MSR',
  code: MSR_ERROR,
  title: 'VMM does not take page state changes',
  message: (o) =>
    `The page at ${o.gpa} stays as it is: the VMM has not enabled KVM_CAP_EXIT_HYPERCALL for MAP_GPA_RANGE.`,
  why: 'KVM cannot convert memory itself: private pages come from guest_memfd and shared ones from the mapping of the VMM. It passes the request on as hypercall 12, and only to a VMM that asked for that.',
  hint: 'VMM: KVM_ENABLE_CAP(KVM_CAP_EXIT_HYPERCALL) with 0x1000 before the guest runs.',
  reference: REFERENCE,
  confirmed: true,
});

export const PSC_MSR_USERSPACE = defineFault<{ gpa: string; ret: string }>({
  check: 'kvm-psc-msr-userspace',
  layer: 'kvm',
  command: 'GHCB MSR',
  code: MSR_ERROR,
  title: 'VMM refused a page state change',
  message: (o) => `The VMM answered ${o.ret} to the page state change of ${o.gpa}.`,
  why: 'The VMM converts memory that lies in its RAM regions. An address where no RAM is, or a failure to allocate or free memory, comes back as an error.',
  hint: 'Check that the address is RAM of the guest and has no C-bit in it.',
  reference: REFERENCE,
  confirmed: true,
});

/** snp_begin_psc_msr(): one 4 KiB page, by hypercall exit to the VMM. */
export function snpBeginPscMsr(machine: Machine, vm: KvmVm, vcpu: KvmVcpu, request: bigint): Op<ExitHandling> {
  const arch = archOf(vcpu);
  const gpa = bitField(request, 51, 12) << 12n;
  const operation = Number(bitField(request, 55, 52));
  return inKernelAtOnce(
    machine,
    'snp_begin_psc_msr',
    { gpa: hex(gpa), operation: OPERATIONS[operation] ?? operation },
    () => {
      if (operation !== PSC_OPERATION.PRIVATE && operation !== PSC_OPERATION.SHARED) {
        arch.vmcb.ghcb = RESPONSE_ERROR;
        return refusedRequest(makeFault(PSC_MSR_OPERATION, { operation, gpa: hex(gpa) }));
      }
      if (!hasHypercallExit(vm, KVM_HC_MAP_GPA_RANGE)) {
        arch.vmcb.ghcb = RESPONSE_ERROR;
        return refusedRequest(makeFault(PSC_MSR_NO_EXIT, { gpa: hex(gpa) }));
      }
      const exit = mapGpaRange(gpa, 1n, operation === PSC_OPERATION.PRIVATE, false);
      arch.exit = exit;
      arch.complete = () =>
        inKernelAtOnce(machine, 'snp_complete_psc_msr', { gpa: hex(gpa), ret: hex(exit.ret) }, () => {
          arch.vmcb.ghcb = exit.ret === 0n ? RESPONSE : RESPONSE_ERROR;
          if (exit.ret === 0n) return RESUME;
          return refusedRequest(makeFault(PSC_MSR_USERSPACE, { gpa: hex(gpa), ret: hex(exit.ret) }));
        });
      return TO_USERSPACE;
    },
  );
}

const OPERATIONS: Readonly<Record<number, string>> = { 1: 'private', 2: 'shared' };
