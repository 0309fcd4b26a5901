import { hex, type Pfn, spaOf } from '../address.js';
import { wbinvdOnAllCores } from '../asp/state.js';
import { defineFault, type Fault, formatCode } from '../fault.js';
import type { Machine } from '../machine.js';
import { freePage } from '../memory/system-memory.js';
import { errno } from '../spec/errno.js';
import { inFrame, type Op } from '../timeline/event.js';
import { kvmGmemFreeFolios } from './mmu/kvm-gmem-free-folios.js';
import { refuse } from './result.js';
import { rmpMakeShared, snpLeakPages, snpLookupRmpentry } from './rmp-helpers.js';
import { sevAsidFree } from './sev-asid.js';
import { snpGuestReqCleanup } from './snp-guest-req.js';
import { snpDecommissionContext } from './snp-launch-start.js';
import type { KvmVm } from './state.js';

export const ASID_LEAKED = defineFault<{ asid: number; context: string }>({
  check: 'kvm-asid-leaked',
  layer: 'kvm',
  command: 'sev_vm_destroy',
  code: errno('EIO'),
  title: 'ASID leaked',
  message: (o) => `The guest context at ${o.context} could not be decommissioned; ASID ${o.asid} is lost until reboot.`,
  why: 'As long as the firmware has the guest bound to the ASID nobody else can use it.',
  hint: 'See the reason below.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_vm_destroy()',
  confirmed: true,
});

export interface Teardown {
  /** Pages that could not be taken back. */
  readonly leaked: readonly Pfn[];
  readonly faults: readonly Fault[];
}

function describe(teardown: Teardown): { result: string; fault?: Fault } {
  const [fault] = teardown.faults;
  const leaked = teardown.leaked.length;
  if (leaked > 0) return { result: `${leaked} pages leaked`, fault };
  return { result: fault ? formatCode(fault.code) : '0', fault };
}

/**
 * The VM ends: VMSA pages, guest_memfd pages and the guest context go back to the hypervisor, the ASID to the
 * reclaim bitmap. Linux kvm_destroy_vm(), with sev_free_vcpu(), kvm_gmem_release() and sev_vm_destroy().
 */
export function sevVmDestroy(machine: Machine, vm: KvmVm): Op<Teardown> {
  return inFrame(
    machine.stack,
    'kvm',
    'kvm_destroy_vm',
    { args: { vm: vm.fd, asid: vm.asid } },
    function* () {
      const before = machine.kvm.leaked.length;
      const faults: Fault[] = [];
      for (const vcpu of vm.vcpus) {
        if (vcpu.vmsaPfn !== undefined) yield* giveBack(machine, vcpu.vmsaPfn, faults);
      }
      for (const gmem of vm.gmems.values()) {
        const frames = [...gmem.folios.values()].map((folio) => folio.pfn);
        gmem.folios.clear();
        faults.push(...(yield* kvmGmemFreeFolios(machine, frames)));
      }
      wbinvdOnAllCores(machine.asp);
      yield* snpGuestReqCleanup(machine, vm);
      const context = vm.snpContext;
      const fault = yield* snpDecommissionContext(machine, vm);
      if (fault && context !== undefined) {
        const leaked = refuse(ASID_LEAKED, { asid: vm.asid, context: hex(spaOf(context)) }, { cause: fault });
        if (leaked.fault) faults.push(leaked.fault);
      } else if (vm.asid !== 0) sevAsidFree(machine, vm.asid);
      machine.kvm.vms.delete(vm.fd);
      return { leaked: machine.kvm.leaked.slice(before), faults };
    },
    describe,
  );
}

/** sev_free_vcpu(): RMPUPDATE to shared, then free; a page that fails is leaked. */
function* giveBack(machine: Machine, pfn: Pfn, faults: Fault[]): Op<void> {
  if (machine.kvm.leaked.includes(pfn)) return;
  const lookup = snpLookupRmpentry(machine, pfn);
  if (lookup.ok && lookup.assigned) {
    const shared = yield* rmpMakeShared(machine, pfn);
    if (shared.fault) {
      faults.push(shared.fault);
      yield* snpLeakPages(machine, pfn);
      return;
    }
  }
  freePage(machine.memory, pfn);
}

/** Ends all VMs of the host. */
export function* destroyVm(machine: Machine): Op<Teardown> {
  const leaked: Pfn[] = [];
  const faults: Fault[] = [];
  for (const vm of [...machine.kvm.vms.values()]) {
    const teardown = yield* sevVmDestroy(machine, vm);
    leaked.push(...teardown.leaked);
    faults.push(...teardown.faults);
  }
  return { leaked, faults };
}
