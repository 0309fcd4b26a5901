import type { FirmwareResult } from '../asp/command.js';
import { defineFault, type FaultDefinition, makeFault, type Operands } from '../fault.js';
import type { Machine } from '../machine.js';
import { errno } from '../spec/errno.js';
import { FIRMWARE_STATUS } from '../spec/firmware-status.js';
import type { Op } from '../timeline/event.js';
import { DONE, type IoctlResult, refuse, refused } from './result.js';

export const SEV_FD = defineFault<{ fd: number }>({
  check: 'kvm-sev-fd',
  layer: 'kvm',
  command: 'KVM_MEMORY_ENCRYPT_OP',
  code: errno('EBADF'),
  title: 'sev_fd is not /dev/sev',
  message: (o) => `Descriptor ${o.fd} is not an open /dev/sev.`,
  why: 'Firmware commands on behalf of a VM need the right to use /dev/sev; KVM checks it with the descriptor in kvm_sev_cmd.sev_fd.',
  hint: 'Open /dev/sev and pass its descriptor.',
  reference: 'Linux drivers/crypto/ccp/sev-dev.c sev_issue_cmd_external_user()',
  confirmed: true,
});

/**
 * A firmware command through a /dev/sev descriptor. Every status but SUCCESS becomes -EIO: `failure` says which
 * command it was, the firmware's own fault is its cause. Linux arch/x86/kvm/svm/sev.c __sev_issue_cmd(),
 * drivers/crypto/ccp/sev-dev.c sev_do_cmd().
 */
export function sevIssueCmd<O extends Operands>(
  machine: Machine,
  fd: number,
  command: Op<FirmwareResult>,
  failure: FaultDefinition<O>,
  operands: O,
): Op<IoctlResult> {
  return machine.kvm.sevFds.has(fd) ? sevDoCmd(command, failure, operands) : badDescriptor(fd);
}

// biome-ignore lint/correctness/useYield: nothing is sent.
function* badDescriptor(fd: number): Op<IoctlResult> {
  return refuse(SEV_FD, { fd });
}

/** A firmware command of the kernel itself. */
export function* sevDoCmd<O extends Operands>(
  command: Op<FirmwareResult>,
  failure: FaultDefinition<O>,
  operands: O,
): Op<IoctlResult> {
  const { status, fault } = yield* command;
  if (status === FIRMWARE_STATUS.SUCCESS) return DONE;
  return refused(makeFault(failure, operands, fault ? { cause: fault } : {}), status);
}
