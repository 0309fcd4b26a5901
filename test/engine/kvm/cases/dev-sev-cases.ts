import { sevFirmwareShutdown } from '../../../../engine/kvm/ccp/sev-firmware-shutdown.js';
import { openDevSev, sevIoctl } from '../../../../engine/kvm/ccp/sev-ioctl.js';
import type { IoctlResult } from '../../../../engine/kvm/result.js';
import {
  encodeSevIssueCmd,
  encodeSnpConfig,
  encodeSnpVlekLoad,
  SEV_IOCTL,
} from '../../../../engine/kvm/uapi/sev-issue-cmd.js';
import type { Machine } from '../../../../engine/machine.js';
import { mapUser } from '../../../../engine/memory/user-memory.js';
import { RMP_ENTRY_SIZE } from '../../../../engine/rmp/table.js';
import { run, startedVm, UNMAPPED } from '../../../support/kvm-host.js';
import type { KvmCase } from './kvm-case.js';
import { exhaust } from './vm-cases.js';

/** ioctl(SEV_ISSUE_CMD) with the command's struct in user memory. */
export function devSev(machine: Machine, cmd: number, data: Uint8Array | number = 0, writable = true): IoctlResult {
  const fd = openDevSev(machine, writable);
  const address = typeof data === 'number' ? data : mapUser(machine.user, 'command', data);
  return run(
    sevIoctl(machine, fd, mapUser(machine.user, 'sev_issue_cmd', encodeSevIssueCmd({ cmd, data: address, error: 0 }))),
  );
}

const vlek = (len: number, wrappedVersion: number, address = UNMAPPED) =>
  encodeSnpVlekLoad({ len, wrappedVersion, address });

function uninitialised(machine: Machine): Machine {
  machine.asp.platform = 'UNINIT';
  return machine;
}

const WITH_STRUCT = [
  ['SNP_PLATFORM_STATUS', SEV_IOCTL.SNP_PLATFORM_STATUS],
  ['SNP_SET_CONFIG', SEV_IOCTL.SNP_SET_CONFIG],
  ['SNP_VLEK_LOAD', SEV_IOCTL.SNP_VLEK_LOAD],
] as const;

export const DEV_SEV_CASES: readonly KvmCase[] = [
  {
    name: '/dev/sev with an argument that is not mapped',
    check: 'kvm-user-copy',
    errno: 'EFAULT',
    run: (machine) => run(sevIoctl(machine, openDevSev(machine), UNMAPPED)),
  },
  {
    name: '/dev/sev with an unknown command',
    check: 'kvm-sev-dev-command',
    errno: 'EINVAL',
    run: (machine) => devSev(machine, 13),
  },
  {
    name: 'a command of legacy SEV',
    check: 'kvm-sev-dev-command',
    errno: 'EINVAL',
    run: (machine) => devSev(machine, SEV_IOCTL.SEV_PLATFORM_STATUS, new Uint8Array(12)),
  },
  ...[...WITH_STRUCT, ['SNP_COMMIT', SEV_IOCTL.SNP_COMMIT] as const].map(
    ([name, cmd]): KvmCase => ({
      name: `${name} without SNP_INIT`,
      check: 'kvm-sev-dev-not-initialised',
      errno: 'EINVAL',
      run: (machine) => devSev(uninitialised(machine), cmd, new Uint8Array(64)),
    }),
  ),
  ...WITH_STRUCT.map(
    ([name, cmd]): KvmCase => ({
      name: `${name} without a struct`,
      check: 'kvm-sev-dev-not-initialised',
      errno: 'EINVAL',
      run: (machine) => devSev(machine, cmd),
    }),
  ),
  ...(['SNP_SET_CONFIG', 'SNP_VLEK_LOAD'] as const).map(
    (name): KvmCase => ({
      name: `${name} through a read-only descriptor, before its struct is looked at`,
      check: 'kvm-sev-dev-read-only',
      errno: 'EPERM',
      run: (machine) => devSev(machine, SEV_IOCTL[name], UNMAPPED, false),
    }),
  ),
  ...WITH_STRUCT.map(
    ([name, cmd]): KvmCase => ({
      name: `${name} with a struct that is not mapped`,
      check: 'kvm-user-copy',
      errno: 'EFAULT',
      run: (machine) => devSev(machine, cmd, UNMAPPED),
    }),
  ),
  {
    name: 'SNP_PLATFORM_STATUS on a host without memory',
    check: 'kvm-no-memory',
    errno: 'ENOMEM',
    run: (machine) => {
      exhaust(machine);
      return devSev(machine, SEV_IOCTL.SNP_PLATFORM_STATUS, new Uint8Array(32));
    },
  },
  {
    name: 'SNP_PLATFORM_STATUS with a page that cannot be given to the firmware',
    check: 'kvm-sev-dev-status-page',
    errno: 'EFAULT',
    causes: ['kvm-rmpupdate-failed', 'hw-rmpupdate-in-use'],
    run: (machine) => {
      lockNextPage(machine);
      return devSev(machine, SEV_IOCTL.SNP_PLATFORM_STATUS, new Uint8Array(32));
    },
  },
  {
    name: 'SNP_SET_CONFIG with a TCB that the firmware refuses',
    check: 'kvm-sev-dev-firmware',
    errno: 'EIO',
    fwError: 0x16,
    causes: ['fw-config-tcb'],
    run: (machine) => {
      const config = encodeSnpConfig({ reportedTcb: 0xffn, maskChipId: false, maskChipKey: false });
      return devSev(machine, SEV_IOCTL.SNP_SET_CONFIG, config);
    },
  },
  ...(
    [
      [15, 0],
      [16, 1],
    ] as const
  ).map(
    ([len, version]): KvmCase => ({
      name: `SNP_VLEK_LOAD with length ${len} and version ${version}`,
      check: 'kvm-sev-dev-vlek',
      errno: 'EINVAL',
      run: (machine) => devSev(machine, SEV_IOCTL.SNP_VLEK_LOAD, vlek(len, version)),
    }),
  ),
  {
    name: 'SNP_VLEK_LOAD with a hashstick that is not mapped',
    check: 'kvm-user-copy',
    errno: 'EFAULT',
    run: (machine) => devSev(machine, SEV_IOCTL.SNP_VLEK_LOAD, vlek(16, 0)),
  },
  {
    name: 'shutdown of the firmware with a guest alive',
    check: 'kvm-snp-shutdown',
    errno: 'EIO',
    fwError: 1,
    causes: ['fw-shutdown-guests'],
    run: (machine) => {
      startedVm(machine);
      return run(sevFirmwareShutdown(machine, 'module exit'));
    },
  },
];

/** The RMP entry of the page that is allocated next is locked, as by another processor. */
function lockNextPage({ memory, rmp }: Machine): void {
  const frame = memory.free.at(-1) ?? memory.nextFree;
  const chunk = rmp.chunks.get(Math.floor(frame / 512)) ?? new DataView(new ArrayBuffer(512 * RMP_ENTRY_SIZE));
  chunk.setUint8((frame % 512) * RMP_ENTRY_SIZE + 7, 0x80);
  rmp.chunks.set(Math.floor(frame / 512), chunk);
}
