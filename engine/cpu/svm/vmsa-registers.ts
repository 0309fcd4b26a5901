import { pfnOf } from '../../address.js';
import type { KvmVm } from '../../kvm/state.js';
import type { Machine } from '../../machine.js';
import { plainPage } from '../../memory/system-memory.js';
import { VMSA_FIELD_BY_NAME } from '../../spec/vmsa-layout.js';

/** The registers in a VMSA by the names of engine/spec/vmsa-layout.ts, as unsigned numbers. */
export function vmsaRegisters(vmsa: Uint8Array): ReadonlyMap<string, bigint> {
  const registers = new Map<string, bigint>();
  for (const [name, { offset, size }] of VMSA_FIELD_BY_NAME) {
    let value = 0n;
    for (let n = size - 1; n >= 0; n--) value = (value << 8n) | BigInt(vmsa[offset + n] ?? 0);
    registers.set(name, value);
  }
  return registers;
}

/** The VMSA with which a vCPU runs, as the processor reads it; undefined before LAUNCH_FINISH, or where it has none. */
export function vmsaOfVcpu(machine: Machine, vm: KvmVm, index: number): Uint8Array | undefined {
  const vcpu = vm.vcpus.find((v) => v.index === index);
  if (!vcpu?.guestStateProtected) return undefined;
  const pfn = vcpu.arch ? vcpu.arch.vmcb.vmsa && pfnOf(vcpu.arch.vmcb.vmsa) : vcpu.vmsaPfn;
  return pfn === undefined ? undefined : plainPage(machine.memory, pfn).content.bytes;
}
