import type { Vmcb } from '../../cpu/svm/vmcb.js';
import { retired, vmrun } from '../../cpu/svm/vmrun.js';
import type { Machine } from '../../machine.js';
import type { Op } from '../../timeline/event.js';

/** What runs the vCPUs. Tests put a script of exits in its place. */
export interface GuestProcessor {
  vmrun(machine: Machine, vcpu: number, vmcb: Vmcb, deadline: number): Op<void>;
  /** Instructions that all guests have retired: the machine's clock. */
  retired(machine: Machine): number;
}

export const EMULATED_PROCESSOR: GuestProcessor = { vmrun, retired };
