import { hex } from '../../address.js';
import { copyBytes, view } from '../../bytes.js';
import { defineFault, makeFault, type Operands } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { readUser } from '../../memory/user-memory.js';
import { errno } from '../../spec/errno.js';
import { pageTypeName } from '../../spec/page-type.js';
import type { Op } from '../../timeline/event.js';
import { copyIn, copyOut, DONE, type IoctlResult, inKernel, peek, refuse, refused } from '../result.js';
import { sevGuestInit2 } from '../sev-init2.js';
import { snpLaunchFinish } from '../snp-launch-finish.js';
import { snpLaunchStart } from '../snp-launch-start.js';
import { snpLaunchUpdate } from '../snp-launch-update.js';
import { isSevGuest, isSnpGuest, type KvmVm } from '../state.js';
import { decodeSevCmd, SEV_CMD, SEV_CMD_ERROR, SEV_CMD_SIZE, type SevCmd, sevCmdName } from '../uapi/sev-cmd.js';
import {
  decodeSnpLaunchStart,
  decodeSnpLaunchUpdate,
  SNP_LAUNCH_START_SIZE,
  SNP_LAUNCH_UPDATE_SIZE,
} from '../uapi/sev-structs.js';

const COMMAND = 'KVM_MEMORY_ENCRYPT_OP';
const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c sev_mem_enc_ioctl()';

export const SEV_DISABLED = defineFault<{ id: string }>({
  check: 'kvm-sev-disabled',
  layer: 'kvm',
  command: COMMAND,
  code: errno('ENOTTY'),
  title: 'SEV not enabled on the host',
  message: (o) => `${o.id} is refused: kvm_amd runs without SEV.`,
  why: 'Without SEV on the host the ioctl does not exist.',
  hint: 'Load kvm_amd with sev=1 on a host that has SEV.',
  reference: REFERENCE,
  confirmed: true,
});

export const MIRROR_COMMAND = defineFault<{ id: string; mirrorOf: number }>({
  check: 'kvm-mirror-command',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Command not allowed on a mirror VM',
  message: (o) => `${o.id} is not allowed: this VM mirrors the encryption context of VM ${o.mirrorOf}.`,
  why: 'A mirror VM shares the key of another VM; launch commands belong to the owner.',
  hint: 'Issue the command on the VM that owns the context.',
  reference: 'Linux arch/x86/kvm/svm/sev.c is_cmd_allowed_from_mirror()',
  confirmed: true,
});

export const LEGACY_COMMAND = defineFault<{ id: string }>({
  check: 'kvm-legacy-command',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EPERM'),
  title: 'Legacy SEV command on an SNP VM',
  message: (o) => `${o.id} is a command for SEV and SEV-ES; this VM is an SNP guest.`,
  why: 'Commands below 100 drive the legacy SEV firmware interface, which knows nothing of the RMP. KVM blocks them as soon as KVM_SEV_INIT2 has made the VM an SNP guest. KVM_SEV_INIT2 itself is below 100, so a second one ends here, too.',
  hint: 'Use KVM_SEV_SNP_LAUNCH_START, _UPDATE and _FINISH.',
  reference: `${REFERENCE} ("block legacy commands")`,
  confirmed: true,
});

export const UNKNOWN_COMMAND = defineFault<{ id: number }>({
  check: 'kvm-unknown-command',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Unknown SEV command',
  message: (o) => `This kernel has no SEV command ${o.id}.`,
  why: 'VMM and kernel must agree on the numbers: those of SNP changed until the patches were merged.',
  hint: 'Use a VMM that was built for this kernel’s interface.',
  reference: REFERENCE,
  confirmed: true,
});

export const LEGACY_INIT = defineFault<{ id: string }>({
  check: 'kvm-legacy-init',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Legacy initialisation of a typed VM',
  message: (o) => `${o.id} works only on VMs of type KVM_X86_DEFAULT_VM.`,
  why: 'VM types 2 to 4 say already what the guest is; KVM_SEV_INIT2 completes them.',
  hint: 'Use KVM_SEV_INIT2.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_guest_init()',
  confirmed: true,
});

export const NOT_SEV_GUEST = defineFault<{ id: string }>({
  check: 'kvm-not-sev-guest',
  layer: 'kvm',
  command: COMMAND,
  code: errno('ENOTTY'),
  title: 'VM is not initialised for SEV',
  message: (o) => `${o.id} needs a VM on which KVM_SEV_INIT2 has run.`,
  why: 'Before initialisation the VM has no ASID and no key.',
  hint: 'Issue KVM_SEV_INIT2 first.',
  reference: 'Linux arch/x86/kvm/svm/sev.c, sev_guest() in each command',
  confirmed: true,
});

/** Commands that a mirror VM may use. Linux is_cmd_allowed_from_mirror(). */
const MIRROR_COMMANDS: readonly number[] = [
  SEV_CMD.KVM_SEV_LAUNCH_UPDATE_VMSA,
  SEV_CMD.KVM_SEV_GUEST_STATUS,
  SEV_CMD.KVM_SEV_DBG_DECRYPT,
  SEV_CMD.KVM_SEV_DBG_ENCRYPT,
];

/** KVM_MEMORY_ENCRYPT_OP. The frame has the name of the command. */
export function memoryEncryptOp(machine: Machine, vm: KvmVm, argp: number): Op<IoctlResult> {
  const cmd = peekCommand(machine, argp);
  const name = cmd ? (sevCmdName(cmd.id) ?? `${COMMAND} ${cmd.id}`) : COMMAND;
  const args = cmd ? commandOperands(machine, cmd) : { argp: hex(argp) };
  return inKernel(machine, name, args, () => sevMemEncIoctl(machine, vm, argp));
}

function* sevMemEncIoctl(machine: Machine, vm: KvmVm, argp: number): Op<IoctlResult> {
  // SEV is what the emulated host always has; SNP may be missing.
  if (machine.processor.maxAsid === 0) return refuse(SEV_DISABLED, { id: COMMAND });
  if (argp === 0) return DONE;
  const copied = copyIn(machine, COMMAND, 'struct kvm_sev_cmd', argp, SEV_CMD_SIZE);
  if (!copied.ok) return copied.result;
  const cmd = decodeSevCmd(copied.bytes);
  const id = sevCmdName(cmd.id) ?? String(cmd.id);
  if (vm.mirrorOf !== undefined && !MIRROR_COMMANDS.includes(cmd.id)) {
    return refuse(MIRROR_COMMAND, { id, mirrorOf: vm.mirrorOf });
  }
  if (isSnpGuest(vm) && cmd.id < SEV_CMD.KVM_SEV_SNP_LAUNCH_START) return refuse(LEGACY_COMMAND, { id });
  const handler = handlerOf(machine, vm, cmd);
  if (!handler) return refuse(UNKNOWN_COMMAND, { id: cmd.id });
  const result = yield* handler;
  const out = copyBytes(copied.bytes);
  view(out).setUint32(SEV_CMD_ERROR, result.fwError, true);
  return copyOut(machine, COMMAND, 'struct kvm_sev_cmd', argp, out) ?? result;
}

function handlerOf(machine: Machine, vm: KvmVm, cmd: SevCmd): Op<IoctlResult> | undefined {
  switch (cmd.id) {
    case SEV_CMD.KVM_SEV_INIT2:
      return sevGuestInit2(machine, vm, cmd);
    case SEV_CMD.KVM_SEV_SNP_LAUNCH_START:
      return snpLaunchStart(machine, vm, cmd);
    case SEV_CMD.KVM_SEV_SNP_LAUNCH_UPDATE:
      return snpLaunchUpdate(machine, vm, cmd);
    case SEV_CMD.KVM_SEV_SNP_LAUNCH_FINISH:
      return snpLaunchFinish(machine, vm, cmd);
    default:
      return sevCmdName(cmd.id) === undefined ? undefined : legacyCommand(vm, cmd);
  }
}

/** Legacy SEV is not emulated; these refusals are what a VM of another kind gets from it. */
// biome-ignore lint/correctness/useYield: a handler without events.
function* legacyCommand(vm: KvmVm, cmd: SevCmd): Op<IoctlResult> {
  const id = sevCmdName(cmd.id) ?? String(cmd.id);
  if (cmd.id <= SEV_CMD.KVM_SEV_ES_INIT) return refuse(LEGACY_INIT, { id });
  if (!isSevGuest(vm)) return refuse(NOT_SEV_GUEST, { id });
  return refused(makeFault(UNKNOWN_COMMAND, { id: cmd.id }));
}

function peekCommand(machine: Machine, argp: number): SevCmd | undefined {
  const bytes = readUser(machine.user, argp, SEV_CMD_SIZE);
  return bytes ? decodeSevCmd(bytes) : undefined;
}

function commandOperands(machine: Machine, cmd: SevCmd): Operands {
  switch (cmd.id) {
    case SEV_CMD.KVM_SEV_SNP_LAUNCH_START:
      return peek(machine, cmd.data, SNP_LAUNCH_START_SIZE, (bytes) => ({
        policy: hex(decodeSnpLaunchStart(bytes).policy),
      }));
    case SEV_CMD.KVM_SEV_SNP_LAUNCH_UPDATE:
      return peek(machine, cmd.data, SNP_LAUNCH_UPDATE_SIZE, (bytes) => {
        const { gfnStart, uaddr, len, type } = decodeSnpLaunchUpdate(bytes);
        return { gfn_start: hex(gfnStart), uaddr: hex(uaddr), len: hex(len), type: pageTypeName(type) ?? type };
      });
    default:
      return {};
  }
}
