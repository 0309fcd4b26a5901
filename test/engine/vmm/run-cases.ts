import { pfn } from '../../../engine/address.js';
import { EXIT } from '../../../engine/cpu/svm/vmcb.js';
import { type Fault, makeFault } from '../../../engine/fault.js';
import { kvmGmemPunchHole } from '../../../engine/kvm/mmu/kvm-gmem-punch-hole.js';
import { npfInterception } from '../../../engine/kvm/mmu/npf-interception.js';
import type { IoctlResult } from '../../../engine/kvm/result.js';
import type { KvmExit } from '../../../engine/kvm/run/kvm-exit.js';
import { NO_MEMORY } from '../../../engine/kvm/snp-safe-alloc-page.js';
import { HYPERVISOR_ENTRY } from '../../../engine/rmp/entry.js';
import { writeEntry } from '../../../engine/rmp/table.js';
import { runGuest } from '../../../engine/vmm/run-vm.js';
import { run, setAttributes } from '../../support/kvm-host.js';
import {
  archState,
  NPF_BITS,
  npf,
  RAM_GPA,
  type RunningVm,
  runningVm,
  type ScriptedExit,
  scriptedProcessor,
  vcpuOf,
  vmmOf,
} from '../../support/running-vm.js';

/** What goes wrong while a guest runs. */
export interface RunCase {
  readonly name: string;
  readonly check: string;
  /** Ids of the causes, outermost first. */
  readonly causes: readonly string[];
  readonly fault: () => Fault | undefined;
}

const { present, reserved, rmp, encrypted } = NPF_BITS;
const CAUSE = makeFault(NO_MEMORY, { use: 'a test' });
const HOLE = 0x8000_0000;

/** How a guest with these exits ends. */
export function endOf(exits: readonly ScriptedExit[], setup = runningVm()): Fault | undefined {
  const exit = run(runGuest(vmmOf(setup), scriptedProcessor([exits])));
  return 'fault' in exit ? exit.fault : undefined;
}

/** How a guest ends whose VMM meets this exit of KVM. */
function endBy(exit: KvmExit): Fault | undefined {
  const setup = runningVm();
  const arch = archState(setup);
  // biome-ignore lint/correctness/useYield: a callback without events.
  arch.complete = function* () {
    arch.exit = exit;
    return { ret: 0, fwError: 0 };
  };
  return endOf([{ code: EXIT.HLT }], setup);
}

function nestedFault(address: number, bits: bigint, change: (setup: RunningVm) => void = () => undefined): IoctlResult {
  const setup = runningVm();
  change(setup);
  Object.assign(archState(setup).vmcb, { exitCode: EXIT.NPF, exitInfo1: bits, exitInfo2: BigInt(address) });
  return run(npfInterception(setup.machine, setup.vm, vcpuOf(setup.vm)));
}

function memoryFault(): Fault | undefined {
  const setup = runningVm();
  Object.assign(archState(setup).vmcb, { exitCode: EXIT.NPF, exitInfo1: encrypted, exitInfo2: BigInt(HOLE) });
  run(npfInterception(setup.machine, setup.vm, vcpuOf(setup.vm)));
  const { exit } = archState(setup);
  return exit?.reason === 'KVM_EXIT_MEMORY_FAULT' ? exit.fault : undefined;
}

/** The next page of the host is one that RMPUPDATE does not take: HV-Fixed. */
function fixNextPage({ machine }: RunningVm): void {
  writeEntry(machine.rmp, machine.memory.nextFree, { ...HYPERVISOR_ENTRY, immutable: true });
  machine.memory.free.length = 0;
}

export const RUN_CASES: readonly RunCase[] = [
  { name: 'a private access to a hole', check: 'kvm-memory-fault', causes: [], fault: memoryFault },
  {
    name: 'a private access to MMIO',
    check: 'kvm-npf-reserved-private',
    causes: [],
    fault: () => nestedFault(HOLE, reserved | present | encrypted).fault,
  },
  {
    name: 'shared memory that the VMM has unmapped',
    check: 'kvm-npf-user-page',
    causes: [],
    fault: () => nestedFault(0, 0n, ({ machine, vm }) => setAttributes(machine, vm, 0, 0x1000, 0n)).fault,
  },
  {
    name: 'a private page without an RMP entry',
    check: 'kvm-gmem-prepare-lookup',
    causes: ['kvm-rmp-lookup'],
    fault: () =>
      nestedFault(RAM_GPA, encrypted, ({ machine }) => machine.memory.free.push(pfn(machine.rmp.coveredPages))).fault,
  },
  {
    name: 'a private page that RMPUPDATE does not take',
    check: 'kvm-gmem-prepare-rmpupdate',
    causes: ['kvm-rmpupdate-failed', 'hw-rmpupdate-immutable'],
    fault: () => nestedFault(RAM_GPA, encrypted, fixNextPage).fault,
  },
  {
    name: 'a hole of no length',
    check: 'kvm-gmem-punch-range',
    causes: [],
    fault() {
      const { machine, vm } = runningVm();
      const [gmem] = vm.gmems.values();
      return gmem && run(kvmGmemPunchHole(machine, vm, gmem, 0, 0)).fault;
    },
  },
  {
    name: 'a guest that is stuck',
    check: 'vmm-guest-stuck',
    causes: ['kvm-run-no-progress', 'kvm-no-memory'],
    fault() {
      const denied = npf(RAM_GPA, present | rmp | encrypted, { fault: CAUSE });
      return endOf([npf(RAM_GPA, encrypted), denied, denied, denied]);
    },
  },
  {
    name: 'a termination request',
    check: 'vmm-guest-terminated',
    causes: [],
    fault: () => endBy({ reason: 'KVM_EXIT_SYSTEM_EVENT', type: 6, data: [0x1_1100n] }),
  },
  {
    name: 'a triple fault',
    check: 'vmm-guest-shutdown',
    causes: ['kvm-no-memory'],
    fault: () => endOf([{ code: EXIT.SHUTDOWN, fault: CAUSE }]),
  },
  { name: 'HLT on every vCPU', check: 'vmm-guest-halted', causes: [], fault: () => endOf([{ code: EXIT.HLT }]) },
  {
    name: 'a VMRUN that fails',
    check: 'vmm-kvm-entry-failed',
    causes: ['kvm-no-memory'],
    fault: () => endOf([{ code: EXIT.INVALID, fault: CAUSE }]),
  },
  {
    name: 'an exit that KVM does not know',
    check: 'vmm-kvm-internal-error',
    causes: [],
    fault: () => endOf([{ code: 0x72n }]),
  },
  {
    name: 'a failed KVM_RUN',
    check: 'vmm-kvm-run-failed',
    causes: ['kvm-npf-user-page'],
    fault: () => endOf([npf(0, 0n), npf(0, 0n)]),
  },
  {
    name: 'a device that is not there yet',
    check: 'vmm-device-missing',
    causes: [],
    fault: () =>
      endBy({ reason: 'KVM_EXIT_IO', direction: 'in', size: 1, port: 0xd0, count: 1, data: new Uint8Array(1) }),
  },
  {
    name: 'device memory used as private',
    check: 'vmm-convert-memory',
    causes: ['kvm-memory-fault'],
    fault: () => endOf([npf(0xfee0_0000, encrypted)]),
  },
];
