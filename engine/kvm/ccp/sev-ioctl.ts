import { hex, PAGE_SIZE, spaOf } from '../../address.js';
import { snpCommit } from '../../asp/commands/snp-commit.js';
import { snpConfig } from '../../asp/commands/snp-config.js';
import { PLATFORM_STATUS_SIZE, snpPlatformStatus } from '../../asp/commands/snp-platform-status.js';
import { snpVlekLoad } from '../../asp/commands/snp-vlek-load.js';
import { copyBytes, view } from '../../bytes.js';
import type { Machine } from '../../machine.js';
import { allocPage, freePage, readPage, writePage } from '../../memory/system-memory.js';
import type { Op } from '../../timeline/event.js';
import { copyIn, copyOut, type IoctlResult, inKernel, peek, refuse } from '../result.js';
import { rmpMarkPageFirmware, snpLeakPages, snpReclaimAndShare } from '../rmp-helpers.js';
import { sevDoCmd } from '../sev-issue-cmd.js';
import { NO_MEMORY } from '../snp-safe-alloc-page.js';
import {
  decodeSevIssueCmd,
  decodeSnpConfig,
  decodeSnpVlekLoad,
  SEV_IOCTL,
  SEV_ISSUE_CMD_ERROR,
  SEV_ISSUE_CMD_SIZE,
  type SevIssueCmd,
  SNP_CONFIG_SIZE,
  SNP_VLEK_LOAD_SIZE,
  SNP_WRAPPED_VLEK_SIZE,
  sevIoctlName,
} from '../uapi/sev-issue-cmd.js';
import {
  SEV_DEV_COMMAND,
  SEV_DEV_FIRMWARE,
  SEV_DEV_NOT_INIT,
  SEV_DEV_READ_ONLY,
  SEV_DEV_STATUS_PAGE,
  SEV_DEV_VLEK,
} from './sev-ioctl-faults.js';

const SEV_MAX = SEV_IOCTL.SNP_VLEK_LOAD;

/**
 * ioctl(SEV_ISSUE_CMD) on /dev/sev: SNP_PLATFORM_STATUS, SNP_COMMIT, SNP_SET_CONFIG, SNP_VLEK_LOAD. `fd`: an entry of
 * `machine.kvm.sevFds`. The frame has the name of the command. Linux drivers/crypto/ccp/sev-dev.c sev_ioctl(); the last
 * command came with patch 20/20 of the series v15.
 */
export function sevIoctl(machine: Machine, fd: number, argp: number): Op<IoctlResult> {
  const args = peek(machine, argp, SEV_ISSUE_CMD_SIZE, (bytes) => ({ cmd: decodeSevIssueCmd(bytes).cmd }));
  const name = typeof args.cmd === 'number' ? (sevIoctlName(args.cmd) ?? 'SEV_ISSUE_CMD') : 'SEV_ISSUE_CMD';
  return inKernel(machine, `/dev/sev ${name}`, args, function* () {
    const copied = copyIn(machine, 'SEV_ISSUE_CMD', 'struct sev_issue_cmd', argp, SEV_ISSUE_CMD_SIZE);
    if (!copied.ok) return copied.result;
    const input = decodeSevIssueCmd(copied.bytes);
    const command = commandOf(machine, input, !machine.kvm.sevReadOnlyFds.has(fd));
    // An unknown command leaves the struct as it is.
    if (!command) return refuse(SEV_DEV_COMMAND, { cmd: input.cmd, max: SEV_MAX });
    const result = yield* command;
    const out = copyBytes(copied.bytes);
    view(out).setUint32(SEV_ISSUE_CMD_ERROR, result.fwError, true);
    return copyOut(machine, 'SEV_ISSUE_CMD', 'struct sev_issue_cmd', argp, out) ?? result;
  });
}

function commandOf(machine: Machine, input: SevIssueCmd, writable: boolean): Op<IoctlResult> | undefined {
  switch (input.cmd) {
    case SEV_IOCTL.SNP_PLATFORM_STATUS:
      return platformStatus(machine, input);
    case SEV_IOCTL.SNP_COMMIT:
      return commit(machine);
    case SEV_IOCTL.SNP_SET_CONFIG:
      return setConfig(machine, input, writable);
    case SEV_IOCTL.SNP_VLEK_LOAD:
      return vlekLoad(machine, input, writable);
    default:
      return undefined;
  }
}

/** sev->snp_initialized, then the address; undefined: go on. */
function notReady(machine: Machine, name: string, data: number | undefined): IoctlResult | undefined {
  const { asp, kvm } = machine;
  if (asp.platform !== 'INIT') {
    return refuse(SEV_DEV_NOT_INIT, { name, reason: 'SNP is not initialised' }, { cause: kvm.hostFault });
  }
  return data === 0 ? refuse(SEV_DEV_NOT_INIT, { name, reason: 'the address of its struct is 0' }) : undefined;
}

/** sev_ioctl_do_snp_platform_status(). */
function* platformStatus(machine: Machine, { data }: SevIssueCmd): Op<IoctlResult> {
  const name = 'SNP_PLATFORM_STATUS';
  const early = notReady(machine, name, data);
  if (early) return early;
  const { memory } = machine;
  const page = allocPage(memory, 'platform status');
  if (page === undefined) return refuse(NO_MEMORY, { use: 'platform status' });
  const marked = yield* rmpMarkPageFirmware(machine, page);
  if (marked.fault) {
    yield* snpLeakPages(machine, page);
    return refuse(SEV_DEV_STATUS_PAGE, { pfn: hex(page) }, { cause: marked.fault });
  }
  const result = yield* sevDoCmd(snpPlatformStatus(machine, { status: spaOf(page) }), SEV_DEV_FIRMWARE, { name });
  const lost = yield* snpReclaimAndShare(machine, page);
  if (lost) return refuse(SEV_DEV_STATUS_PAGE, { pfn: hex(page) }, { cause: lost });
  const status = copyBytes(readPage(memory, page), 0, PLATFORM_STATUS_SIZE);
  freePage(memory, page);
  if (result.fault) return result;
  return copyOut(machine, name, 'struct sev_user_data_snp_status', data, status) ?? result;
}

/** sev_ioctl_do_snp_commit(): no struct, and no right to write asked for. */
function* commit(machine: Machine): Op<IoctlResult> {
  const name = 'SNP_COMMIT';
  return notReady(machine, name, undefined) ?? (yield* sevDoCmd(snpCommit(machine), SEV_DEV_FIRMWARE, { name }));
}

/** sev_ioctl_do_snp_set_config(). */
function* setConfig(machine: Machine, { data }: SevIssueCmd, writable: boolean): Op<IoctlResult> {
  const name = 'SNP_SET_CONFIG';
  const early = notReady(machine, name, data);
  if (early) return early;
  if (!writable) return refuse(SEV_DEV_READ_ONLY, { name });
  const copied = copyIn(machine, name, 'struct sev_user_data_snp_config', data, SNP_CONFIG_SIZE);
  if (!copied.ok) return copied.result;
  return yield* sevDoCmd(snpConfig(machine, decodeSnpConfig(copied.bytes)), SEV_DEV_FIRMWARE, { name });
}

/** sev_ioctl_do_snp_vlek_load(). */
function* vlekLoad(machine: Machine, { data }: SevIssueCmd, writable: boolean): Op<IoctlResult> {
  const name = 'SNP_VLEK_LOAD';
  const early = notReady(machine, name, data);
  if (early) return early;
  if (!writable) return refuse(SEV_DEV_READ_ONLY, { name });
  const copied = copyIn(machine, name, 'struct sev_user_data_snp_vlek_load', data, SNP_VLEK_LOAD_SIZE);
  if (!copied.ok) return copied.result;
  const { len, wrappedVersion, address } = decodeSnpVlekLoad(copied.bytes);
  if (len !== SNP_VLEK_LOAD_SIZE || wrappedVersion !== 0) {
    return refuse(SEV_DEV_VLEK, { length: len, version: wrappedVersion });
  }
  const blob = copyIn(machine, name, 'wrapped VLEK hashstick', address, SNP_WRAPPED_VLEK_SIZE);
  if (!blob.ok) return blob.result;
  const page = allocPage(machine.memory, 'VLEK hashstick');
  if (page === undefined) return refuse(NO_MEMORY, { use: 'VLEK hashstick' });
  const bytes = new Uint8Array(PAGE_SIZE);
  bytes.set(blob.bytes);
  writePage(machine.memory, page, { bytes, frozen: false });
  const command = snpVlekLoad(machine, { length: len, wrappedVersion, wrapped: spaOf(page) });
  const result = yield* sevDoCmd(command, SEV_DEV_FIRMWARE, { name });
  freePage(machine.memory, page);
  return result;
}

/** open("/dev/sev"): a descriptor. */
export function openDevSev(machine: Machine, writable = true): number {
  const { kvm } = machine;
  const fd = kvm.nextFd++;
  kvm.sevFds.add(fd);
  if (!writable) kvm.sevReadOnlyFds.add(fd);
  return fd;
}
