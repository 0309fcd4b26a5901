import { hex } from '../../address.js';
import type { Machine } from '../../machine.js';
import type { Op } from '../../timeline/event.js';
import { kvmWriteGuest } from '../mmu/kvm-read-guest.js';
import type { KvmVcpu, KvmVm } from '../state.js';
import { describeAnswer } from './describe.js';
import { exitFields, sevEsSyncToGhcb } from './ghcb-page.js';
import { archOf, kernelLog } from './vmgexit.js';

/**
 * sev_es_unmap_ghcb(): before each VMRUN. Ends an AP reset hold, writes back a scratch area that lies outside of the
 * GHCB, and RAX, RBX, RCX and RDX. Nothing to do if the last exit had no GHCB page.
 */
export function* sevEsUnmapGhcb(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): Op<void> {
  const arch = archOf(vcpu);
  arch.apResetHold = 'none';
  const map = arch.ghcbMap;
  if (!map) return;
  const { scratch } = map;
  if (scratch?.copy && scratch.sync) kvmWriteGuest(machine, vm, scratch.gpa, scratch.copy);
  if (!machine.stack.quiet) {
    const [code, info1, info2] = exitFields(machine, vm, map.gpa);
    const words = describeAnswer(code, info1, info2);
    yield* kernelLog(machine, `${trace('exit', vcpu.index, code, info1, info2)} (${words})`);
  }
  sevEsSyncToGhcb(machine, vm, map);
  arch.ghcbMap = undefined;
}

/** As the trace events kvm_vmgexit_enter and kvm_vmgexit_exit print. Linux arch/x86/kvm/trace.h. */
export function trace(which: 'enter' | 'exit', vcpu: number, code: bigint, info1: bigint, info2: bigint): string {
  const digits = (value: bigint): string => hex(value).slice(2);
  const fields = `exit_reason ${digits(code)}, exit_info1 ${digits(info1)}, exit_info2 ${digits(info2)}`;
  return `kvm_vmgexit_${which}: vcpu ${vcpu}, ${fields}`;
}
