import { gpa, type Hva, hva } from '../../engine/address.js';
import { EXIT, type Vmcb } from '../../engine/cpu/svm/vmcb.js';
import type { Fault } from '../../engine/fault.js';
import { kvmEnableExitHypercall } from '../../engine/kvm/ioctl/kvm-enable-cap.js';
import type { GuestProcessor } from '../../engine/kvm/run/guest-processor.js';
import { vcpuRunState } from '../../engine/kvm/run/vcpu-run-state.js';
import type { KvmVcpu, KvmVm, VcpuRunState } from '../../engine/kvm/state.js';
import type { Machine } from '../../engine/machine.js';
import { mapAnonymous } from '../../engine/memory/user-memory.js';
import type { EngineEvent, Op } from '../../engine/timeline/event.js';
import { createVmm, type Vmm } from '../../engine/vmm/context.js';
import { bootedHost, createMemfd, launchFinish, run, setAttributes, setRegion, startedVm } from './kvm-host.js';
import { type TestPlan, testPlan } from './plans.js';

/** One #VMEXIT of a script. */
export interface ScriptedExit {
  readonly code: bigint;
  readonly info1?: bigint;
  readonly info2?: bigint;
  readonly ghcb?: bigint;
  readonly fault?: Fault;
  readonly emulatorFault?: Fault;
  /** Instructions that the guest retires before the exit. Default: 0 for a nested page fault, 1 otherwise. */
  readonly retires?: number;
  /** Events before the exit, as the processor gives them. */
  readonly events?: readonly EngineEvent[];
  /** Done when the exit happens: what the guest has written. */
  readonly effect?: () => void;
}

export interface Script extends GuestProcessor {
  /** vCPUs in the order in which they were entered. */
  readonly entered: number[];
  readonly deadlines: number[];
}

/**
 * Plays exits in place of a guest: one list for each vCPU. A guest with an exhausted list runs to its deadline
 * (`idle`), or is an error of the test.
 */
export function scriptedProcessor(lists: readonly (readonly ScriptedExit[])[], idle = false): Script {
  const left = lists.map((list) => [...list]);
  const entered: number[] = [];
  const deadlines: number[] = [];
  let instructions = 0;
  return {
    entered,
    deadlines,
    retired: () => instructions,
    *vmrun(machine: Machine, vcpu: number, vmcb: Vmcb, deadline: number): Op<void> {
      entered.push(vcpu);
      deadlines.push(deadline);
      const next = left[vcpu]?.shift() ?? (idle ? interrupt(deadline - instructions) : undefined);
      if (!next) throw new Error(`the script of vCPU ${vcpu} is at its end`);
      instructions += next.retires ?? (next.code === EXIT.NPF ? 0 : 1);
      for (const event of next.events ?? []) yield event;
      next.effect?.();
      vmcb.exitFault = next.fault;
      vmcb.emulatorFault = next.emulatorFault;
      if (next.emulatorFault) return;
      vmcb.exitCode = next.code;
      vmcb.exitInfo1 = next.info1 ?? 0n;
      vmcb.exitInfo2 = next.info2 ?? 0n;
      if (next.ghcb !== undefined) vmcb.ghcb = next.ghcb;
      const { exitCode, exitInfo1, exitInfo2, ghcb } = vmcb;
      const depth = machine.stack.frames.length;
      const rip = 0x1000n + BigInt(instructions);
      yield { kind: 'exit', depth, vcpu, rip, instructions, exitCode, exitInfo1, exitInfo2, ghcb };
    },
  };
}

function interrupt(retires: number): ScriptedExit {
  return { code: EXIT.INTR, retires };
}

/** EXITINFO1 of a nested page fault. */
export const NPF_BITS = {
  present: 1n,
  write: 2n,
  reserved: 8n,
  rmp: 1n << 31n,
  encrypted: 1n << 34n,
  sizeMismatch: 1n << 35n,
} as const;

export function npf(address: number, bits: bigint, more: Partial<ScriptedExit> = {}): ScriptedExit {
  return { code: EXIT.NPF, info1: bits, info2: BigInt(address), ...more };
}

export const RAM_GPA = 0x10_0000;
export const RAM_SIZE = 0x10_0000;

export interface RunningVm {
  readonly machine: Machine;
  readonly vm: KvmVm;
  /** The VMM's mapping of slot 1: 1 MiB of RAM at 1 MiB, private by attribute. */
  readonly ram: Hva;
}

/** A VM after KVM_SEV_SNP_LAUNCH_FINISH. Slot 0 has nothing mapped behind it, slot 1 is real RAM. */
export function runningVm(options: TestPlan = {}): RunningVm {
  const machine = bootedHost(options);
  const vm = startedVm(machine, options.vcpus ?? 1);
  const ram = mapAnonymous(machine.user, machine, 'ram', RAM_SIZE);
  const fd = createMemfd(machine, vm, RAM_SIZE).ret;
  const region = { slot: 1, guestPhysAddr: RAM_GPA, memorySize: RAM_SIZE, userspaceAddr: ram, guestMemfd: fd };
  const results = [
    setRegion(machine, vm, region),
    setAttributes(machine, vm, RAM_GPA, RAM_SIZE),
    launchFinish(machine, vm),
    run(kvmEnableExitHypercall(machine, vm, 1 << 12)),
  ];
  for (const { fault } of results) if (fault) throw new Error(fault.message);
  return { machine, vm, ram };
}

export function vcpuOf(vm: KvmVm, index = 0): KvmVcpu {
  const vcpu = vm.vcpus[index];
  if (!vcpu) throw new Error(`no vCPU ${index}`);
  return vcpu;
}

export function archState({ machine, vm }: RunningVm, index = 0): VcpuRunState {
  return vcpuRunState(machine, vm, vcpuOf(vm, index));
}

/** A VMM around the VM, as the launch leaves it. */
export function vmmOf({ machine, vm, ram }: RunningVm): Vmm {
  const vmm = createVmm(testPlan(), machine);
  vmm.vm = vm;
  vmm.regions.push({ name: 'low', gpa: gpa(0), size: RAM_GPA, hva: hva(0x1000_0000) });
  vmm.regions.push({ name: 'pc.ram', gpa: gpa(RAM_GPA), size: RAM_SIZE, hva: ram });
  return vmm;
}
