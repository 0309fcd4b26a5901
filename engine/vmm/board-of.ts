import { retired } from '../cpu/svm/vmrun.js';
import { kvmReadGuest, kvmWriteGuest } from '../kvm/mmu/kvm-read-guest.js';
import type { KvmVm } from '../kvm/state.js';
import { utf8 } from '../launch/kernel-hashes.js';
import type { LaunchPlan } from '../launch/plan.js';
import { lowMemory } from '../launch/q35-memory.js';
import type { Machine } from '../machine.js';
import { type Board, createBoard } from './devices/board.js';
import type { BoardEnv } from './devices/board-env.js';
import { COM1_IRQ } from './devices/port-ranges.js';
import { serialInterrupt, serialReceive } from './devices/serial.js';

/** The board of the machine, made when it is first needed. */
export function boardOf(machine: Machine, plan: LaunchPlan): Board {
  if (machine.board) return machine.board;
  const { vcpus, memory } = plan.vm;
  const below = lowMemory(memory);
  const kernel = plan.firmware?.kernel;
  machine.board = createBoard({
    vcpus,
    memory: { below: Math.min(memory, below), above: Math.max(memory - below, 0) },
    ...(kernel ? { kernel } : {}),
  });
  return machine.board;
}

/** What the devices have around them: clock, interrupt controllers of KVM, guest memory as the VMM has it mapped. */
export function boardEnv(machine: Machine, vm: KvmVm): BoardEnv {
  return {
    now: () => retired(machine) + machine.hostTime,
    setIrq: () => undefined,
    readMemory: (gpa, length) => kvmReadGuest(machine, vm, gpa, length),
    writeMemory: (gpa, data) => kvmWriteGuest(machine, vm, gpa, data),
  };
}

/** Somebody types on the serial console. */
export function serialInput(machine: Machine, text: string): void {
  const { board } = machine;
  if (!board) return;
  serialReceive(board.serial, utf8(text));
  const vm = machine.kvm.vms.values().next().value;
  if (vm) boardEnv(machine, vm).setIrq(COM1_IRQ, serialInterrupt(board.serial));
}
