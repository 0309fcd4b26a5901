import { hex } from '../../address.js';
import { copyBytes } from '../../bytes.js';
import { type Fault, makeFault } from '../../fault.js';
import { VMSA_GPA } from '../../spec/page-type.js';
import { SNP_ACTIVE, VMSA_FIELD_BY_NAME, VMSA_SEGMENTS } from '../../spec/vmsa-layout.js';
import { vmsaField } from '../vmsa/build.js';
import type { IgvmVpContext } from './file.js';
import * as faults from './vmm-faults.js';

/** Registers that QEMU takes from a VMSA and gives to KVM, beside segments. QEMU target/i386/sev.c check_vmsa_supported(). */
const SYNCHRONIZED: readonly string[] = [
  ...['efer', 'cr0', 'cr3', 'cr4', 'xcr0', 'dr6', 'dr7', 'g-pat', 'rip', 'rflags', 'mxcsr', 'x87-fcw', 'sev-features'],
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
];

const SEGMENT_SIZE = 16;

/** The first reason why QEMU does not take this VMSA (4096 bytes). */
export function vmsaFault(path: string, context: IgvmVpContext, vmsa: Uint8Array, vcpus: number): Fault | undefined {
  const at = { path, offset: hex(context.offset) };
  const expected = BigInt(VMSA_GPA);
  if (context.gpa !== expected)
    return makeFault(faults.IGVM_VMSA_GPA, { ...at, gpa: hex(context.gpa), expected: hex(expected) });
  const features = vmsaField(vmsa, 'sev-features') ?? 0n;
  if ((features & SNP_ACTIVE) === 0n) return makeFault(faults.IGVM_VMSA_NOT_SNP, { ...at, features: hex(features) });
  const lost = unsynchronized(vmsa);
  if (lost !== undefined) return makeFault(faults.IGVM_VMSA_FIELDS, { ...at, at: hex(lost) });
  if (context.vpIndex >= vcpus) return makeFault(faults.IGVM_VMSA_VCPU, { ...at, vcpu: context.vpIndex, vcpus });
  return undefined;
}

/** Offset of the first byte that is not zero and that no register of KVM holds. */
function unsynchronized(vmsa: Uint8Array): number | undefined {
  const rest = copyBytes(vmsa);
  for (const start of Object.values(VMSA_SEGMENTS)) rest.fill(0, start, start + SEGMENT_SIZE);
  for (const name of SYNCHRONIZED) {
    const field = VMSA_FIELD_BY_NAME.get(name);
    if (field) rest.fill(0, field.offset, field.offset + field.size);
  }
  const first = rest.findIndex((byte) => byte !== 0);
  return first < 0 ? undefined : first;
}
