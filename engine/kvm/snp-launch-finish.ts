import { hex, PAGE_SIZE, type Pfn, type Spa, spa, spaOf } from '../address.js';
import { snpLaunchFinish as firmwareLaunchFinish } from '../asp/commands/snp-launch-finish.js';
import { ID_AUTH_SIZE, ID_BLOCK_SIZE } from '../asp/id-block.js';
import { defineFault } from '../fault.js';
import type { Machine } from '../machine.js';
import { allocPage, freePage, writePage } from '../memory/system-memory.js';
import { readUser } from '../memory/user-memory.js';
import { errno } from '../spec/errno.js';
import type { Op } from '../timeline/event.js';
import { copyIn, type IoctlResult, refuse } from './result.js';
import { sevIssueCmd } from './sev-issue-cmd.js';
import { snpLaunchUpdateVmsa } from './snp-launch-update-vmsa.js';
import { NO_MEMORY } from './snp-safe-alloc-page.js';
import { isSnpGuest, type KvmVm } from './state.js';
import type { SevCmd } from './uapi/sev-cmd.js';
import { decodeSnpLaunchFinish, SNP_LAUNCH_FINISH_SIZE, type SnpLaunchFinish } from './uapi/sev-structs.js';

const COMMAND = 'KVM_SEV_SNP_LAUNCH_FINISH';
const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c snp_launch_finish()';

export const FINISH_NOT_SNP = defineFault({
  check: 'kvm-launch-finish-not-snp',
  layer: 'kvm',
  command: COMMAND,
  code: errno('ENOTTY'),
  title: 'VM is not an SNP guest',
  message: () => 'The VM is not initialised as an SNP guest.',
  why: 'A VM becomes an SNP guest when KVM_SEV_INIT2 runs on a VM of type KVM_X86_SNP_VM.',
  hint: 'Create the VM with type 4 and issue KVM_SEV_INIT2.',
  reference: REFERENCE,
  confirmed: true,
});

export const FINISH_NO_CONTEXT = defineFault({
  check: 'kvm-launch-finish-no-context',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Launch not started',
  message: () => 'The VM has no guest context.',
  why: 'Only a launch that KVM_SEV_SNP_LAUNCH_START began can be finished.',
  hint: 'Issue KVM_SEV_SNP_LAUNCH_START first.',
  reference: REFERENCE,
  confirmed: true,
});

export const FINISH_FLAGS = defineFault<{ flags: string }>({
  check: 'kvm-launch-finish-flags',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Flags must be 0',
  message: (o) => `kvm_sev_snp_launch_finish.flags is ${o.flags}; it must be 0.`,
  why: 'No flag is defined.',
  hint: 'Pass 0.',
  reference: REFERENCE,
  confirmed: true,
});

const BLOB_REFERENCE = 'Linux drivers/crypto/ccp/sev-dev.c psp_copy_user_blob()';

export const ID_BLOB_MISSING = defineFault<{ blob: string }>({
  check: 'kvm-id-blob-missing',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'ID block or ID auth missing',
  message: (o) => `id_block_en is 1, but the address of the ${o.blob} is 0.`,
  why: 'An ID block is only accepted together with its authentication information. KVM looks at them after it has measured the VMSAs, so a launch that fails here cannot be saved.',
  hint: 'Give both the 96-byte ID block and the 4096-byte ID authentication page.',
  reference: BLOB_REFERENCE,
  confirmed: true,
});

export const ID_BLOB_FAULT = defineFault<{ blob: string; address: string; size: number }>({
  check: 'kvm-id-blob-fault',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EFAULT'),
  title: 'ID block or ID auth not readable',
  message: (o) => `KVM cannot read ${o.size} bytes of the ${o.blob} at user address ${o.address}.`,
  why: 'KVM always copies 96 bytes of ID block and 4096 bytes of ID authentication page.',
  hint: 'Map both in full size.',
  reference: BLOB_REFERENCE,
  confirmed: true,
});

export const FINISH_FIRMWARE = defineFault<{ idBlock: boolean }>({
  check: 'kvm-launch-finish-firmware',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EIO'),
  title: 'SNP_LAUNCH_FINISH failed',
  message: (o) => `The firmware refused to finish the launch${o.idBlock ? ' with this ID block' : ''}.`,
  why: 'With an ID block the firmware compares the launch digest and the policy with what the guest owner signed. The VMSAs are measured by now: a failed launch cannot be repaired.',
  hint: 'See the firmware’s own reason below.',
  reference: REFERENCE,
  confirmed: true,
});

/** KVM_SEV_SNP_LAUNCH_FINISH: VMSAs, ID block, SNP_LAUNCH_FINISH. */
export function* snpLaunchFinish(machine: Machine, vm: KvmVm, cmd: SevCmd): Op<IoctlResult> {
  if (!isSnpGuest(vm)) return refuse(FINISH_NOT_SNP, {});
  const context = vm.snpContext;
  if (context === undefined) return refuse(FINISH_NO_CONTEXT, {});
  const copied = copyIn(machine, COMMAND, 'struct kvm_sev_snp_launch_finish', cmd.data, SNP_LAUNCH_FINISH_SIZE);
  if (!copied.ok) return copied.result;
  const params = decodeSnpLaunchFinish(copied.bytes);
  if (params.flags !== 0) return refuse(FINISH_FLAGS, { flags: hex(params.flags) });
  const vmsas = yield* snpLaunchUpdateVmsa(machine, vm, cmd.sevFd);
  if (vmsas.fault) return vmsas;

  const blobs: Pfn[] = [];
  const prepared = copyBlobs(machine, params, blobs);
  let result: IoctlResult;
  if ('refusal' in prepared) result = prepared.refusal;
  else {
    const command = firmwareLaunchFinish(machine, {
      gctx: spaOf(context),
      ...prepared,
      idBlockEnabled: params.idBlockEn,
      authKeyEnabled: params.idBlockEn && params.authKeyEn,
      vcekDisabled: params.vcekDisabled,
      hostData: params.hostData,
    });
    const operands = { idBlock: params.idBlockEn };
    result = yield* sevIssueCmd(machine, vm.sevFd, command, FINISH_FIRMWARE, operands);
  }
  for (const page of blobs) freePage(machine.memory, page);
  if (!result.fault) vm.launchFinished = true;
  return result;
}

type Blobs = { readonly idBlock: Spa; readonly idAuth: Spa } | { readonly refusal: IoctlResult };

/** psp_copy_user_blob() of both, if the ID block is enabled. */
function copyBlobs(machine: Machine, params: SnpLaunchFinish, pages: Pfn[]): Blobs {
  if (!params.idBlockEn) return { idBlock: spa(0), idAuth: spa(0) };
  const wanted = [
    ['ID block', params.idBlockUaddr, ID_BLOCK_SIZE],
    ['ID authentication page', params.idAuthUaddr, ID_AUTH_SIZE],
  ] as const;
  const addresses: Spa[] = [];
  for (const [blob, address, size] of wanted) {
    if (address === 0) return { refusal: refuse(ID_BLOB_MISSING, { blob }) };
    const page = allocPage(machine.memory, blob);
    if (page === undefined) return { refusal: refuse(NO_MEMORY, { use: blob }) };
    pages.push(page);
    const bytes = readUser(machine.user, address, size);
    if (!bytes) return { refusal: refuse(ID_BLOB_FAULT, { blob, address: hex(address), size }) };
    const content = new Uint8Array(PAGE_SIZE);
    content.set(bytes);
    writePage(machine.memory, page, { bytes: content, frozen: false });
    addresses.push(spaOf(page));
  }
  const [idBlock = spa(0), idAuth = spa(0)] = addresses;
  return { idBlock, idAuth };
}
