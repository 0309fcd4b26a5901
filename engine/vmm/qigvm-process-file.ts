import { hex } from '../address.js';
import { defineFault, faultAt, makeFault } from '../fault.js';
import type { PlanIgvmRegion } from '../launch/plan.js';
import { mapAnonymous } from '../memory/user-memory.js';
import { inVmm, report, type Vmm, type VmmStep } from './context.js';
import { kvmSetPhysMem, ramBlockAdd, setPrivate } from './kvm-set-phys-mem.js';

export const IGVM_MEMORY = defineFault<{ path: string; gpa: string; length: string }>({
  check: 'vmm-igvm-memory',
  layer: 'vmm',
  command: 'qigvm_prepare_memory',
  code: { kind: 'input' },
  title: 'Memory of the IGVM file does not fit the machine',
  message: (o) =>
    `${o.path} wants ${o.length} bytes of memory at ${o.gpa}, of which the virtual machine has only a part. QEMU: "Processing of IGVM file failed: Could not prepare memory at address ${o.gpa}: region size exceeded".`,
  why: 'Where a machine has no memory QEMU makes a region for what the file loads; but a range that begins in memory and goes beyond its end fits neither.',
  hint: 'Make vm.memory larger, or build the file for a machine with as much memory.',
  reference: 'QEMU backends/igvm.c qigvm_prepare_memory()',
  confirmed: true,
});

/**
 * QEMU qigvm_process_file(): memory for every page of the file, in its order. The pages themselves are queued and
 * launched with all others; VMSAs are the registers that follow.
 */
export function* qigvmProcessFile(vmm: Vmm): VmmStep {
  const { igvm } = vmm.plan;
  if (!igvm) return undefined;
  return yield* inVmm(vmm, 'qigvm_process_file', { igvm: igvm.path }, function* () {
    for (const region of igvm.regions) {
      const fault = (yield* qigvmPrepareMemory(vmm, region, igvm.path)) ?? (yield* requireMemory(vmm, region));
      if (fault) return faultAt(fault, igvm.at);
    }
    return undefined;
  });
}

function* qigvmPrepareMemory(vmm: Vmm, { gpa, length, directive }: PlanIgvmRegion, path: string): VmmStep {
  const overlapping = vmm.regions.find((r) => gpa < r.gpa + r.size && gpa + length > r.gpa);
  if (overlapping) {
    if (gpa >= overlapping.gpa && gpa + length <= overlapping.gpa + overlapping.size) return undefined;
    const text = `Could not prepare memory at address ${hex(gpa)}: region size exceeded`;
    yield report(vmm, `Processing of IGVM file failed: ${text}`);
    return makeFault(IGVM_MEMORY, { path, gpa: hex(gpa), length: hex(length) });
  }
  const name = `igvm.${directive.toString(16).toUpperCase()}`;
  const memfd = yield* ramBlockAdd(vmm, length);
  if (memfd.fault) return memfd.fault;
  const start = mapAnonymous(vmm.machine.user, vmm.machine, name, length);
  return yield* kvmSetPhysMem(vmm, { name, gpa, size: length, hva: start }, memfd.ret, 0);
}

/** CGS_PAGE_TYPE_REQUIRED_MEMORY: the range becomes private. */
function* requireMemory(vmm: Vmm, { gpa, length, required }: PlanIgvmRegion): VmmStep {
  if (!required) return undefined;
  const { fault } = yield* setPrivate(vmm, gpa, length);
  if (fault) yield report(vmm, 'SEV-SNP: failed to configure required memory');
  return fault;
}
