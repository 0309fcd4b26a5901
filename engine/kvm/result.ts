import type { Hva } from '../address.js';
import { hex } from '../address.js';
import { defineFault, type Fault, type FaultDefinition, formatCode, makeFault, type Operands } from '../fault.js';
import type { Machine } from '../machine.js';
import { readUser, writeUser } from '../memory/user-memory.js';
import { errno } from '../spec/errno.js';
import { inFrame, type Op } from '../timeline/event.js';

/** What a system call or a kernel function returns, with the fault that says why. */
export interface IoctlResult {
  /** 0 or positive; -errno. */
  readonly ret: number;
  /** Status of the firmware command that failed, as it reaches `kvm_sev_cmd.error`; otherwise 0. */
  readonly fwError: number;
  readonly fault?: Fault;
}

export const DONE: IoctlResult = { ret: 0, fwError: 0 };

/** The result of a fault: its errno. */
export function refused(fault: Fault, fwError = 0): IoctlResult {
  if (fault.code.kind !== 'errno') throw new Error(`${fault.check} has no errno`);
  return { ret: fault.code.value, fwError, fault };
}

/** The result of a failed check. */
export function refuse<O extends Operands>(
  definition: FaultDefinition<O>,
  operands: O,
  below: { readonly cause?: Fault; readonly fwError?: number } = {},
): IoctlResult {
  return refused(makeFault(definition, operands, below.cause ? { cause: below.cause } : {}), below.fwError ?? 0);
}

function describe(result: IoctlResult): { result: string; fault?: Fault } {
  if (result.ret >= 0 && !result.fault) return { result: String(result.ret) };
  const code = result.fault && result.ret < 0 ? formatCode(result.fault.code) : String(result.ret);
  return { result: result.fwError === 0 ? code : `${code} fw_error=${hex(result.fwError)}`, fault: result.fault };
}

/** Runs an ioctl or kernel function as a frame of layer `kvm`. */
export function inKernel(machine: Machine, name: string, args: Operands, body: () => Op<IoctlResult>): Op<IoctlResult> {
  return inFrame(machine.stack, 'kvm', name, { args }, body, describe);
}

/** A frame without events inside. */
export function inKernelAtOnce(
  machine: Machine,
  name: string,
  args: Operands,
  body: () => IoctlResult,
): Op<IoctlResult> {
  return inKernel(machine, name, args, () => atOnce(body));
}

// biome-ignore lint/correctness/useYield: nothing happens inside that a person could stop at.
function* atOnce(body: () => IoctlResult): Op<IoctlResult> {
  return body();
}

export { describe as describeIoctl };

export const USER_COPY = defineFault<{ struct: string; address: string; size: number; direction: string }>({
  check: 'kvm-user-copy',
  layer: 'kvm',
  command: 'ioctl',
  code: errno('EFAULT'),
  title: 'Argument struct not accessible',
  message: (o) => `KVM cannot copy ${o.size} bytes of ${o.struct} ${o.direction} user address ${o.address}.`,
  why: 'An ioctl argument is a pointer into the memory of the VMM. The kernel copies the struct before it looks at it, and copies results back; if that memory is not mapped, or not writable, the call fails before or after its work.',
  hint: 'Pass the address of a mapped, writable struct of full size.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_mem_enc_ioctl(), virt/kvm/kvm_main.c kvm_vm_ioctl()',
  confirmed: true,
});

/** copy_from_user of a struct: the bytes, or -EFAULT. */
export function copyIn(machine: Machine, command: string, struct: string, address: number, size: number): CopyIn {
  const bytes = readUser(machine.user, address, size);
  if (bytes) return { ok: true, bytes };
  const fault = makeFault(USER_COPY, { struct, address: hex(address), size, direction: 'from' });
  return { ok: false, result: refused({ ...fault, command }) };
}

export type CopyIn =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly result: IoctlResult };

/** copy_to_user of a struct: undefined if it worked, otherwise -EFAULT. */
export function copyOut(
  machine: Machine,
  command: string,
  struct: string,
  address: number,
  bytes: Uint8Array,
): IoctlResult | undefined {
  if (writeUser(machine.user, address as Hva, bytes)) return undefined;
  const fault = makeFault(USER_COPY, { struct, address: hex(address), size: bytes.length, direction: 'to' });
  return refused({ ...fault, command });
}

/** The arguments of a struct for the frame, or its address where it cannot be read. */
export function peek(
  machine: Machine,
  address: number,
  size: number,
  operands: (bytes: Uint8Array) => Operands,
): Operands {
  const bytes = readUser(machine.user, address, size);
  return bytes ? operands(bytes) : { argp: hex(address) };
}
