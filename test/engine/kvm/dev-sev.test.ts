import assert from 'node:assert/strict';
import { decodePlatformStatus, PLATFORM_STATUS_SIZE } from '../../../engine/asp/commands/snp-platform-status.js';
import { openDevSev, sevIoctl } from '../../../engine/kvm/ccp/sev-ioctl.js';
import {
  decodeSevIssueCmd,
  encodeSevIssueCmd,
  encodeSnpConfig,
  encodeSnpVlekLoad,
  SEV_IOCTL,
  SEV_ISSUE_CMD_SIZE,
} from '../../../engine/kvm/uapi/sev-issue-cmd.js';
import type { Machine } from '../../../engine/machine.js';
import { mapUser, readUser } from '../../../engine/memory/user-memory.js';
import { bootedHost, run, startedVm, trace } from '../../support/kvm-host.js';

function call(machine: Machine, cmd: number, data: Uint8Array, writable = true) {
  const address = mapUser(machine.user, 'command', data);
  const argp = mapUser(machine.user, 'sev_issue_cmd', encodeSevIssueCmd({ cmd, data: address, error: 0x5555 }));
  const { value, events } = trace(sevIoctl(machine, openDevSev(machine, writable), argp));
  const after = readUser(machine.user, argp, SEV_ISSUE_CMD_SIZE);
  assert.ok(after);
  return {
    ...value,
    events,
    error: decodeSevIssueCmd(after).error,
    data: readUser(machine.user, address, data.length),
  };
}

const config = (maskChipId: boolean) => encodeSnpConfig({ reportedTcb: 0n, maskChipId, maskChipKey: false });

describe('/dev/sev', () => {
  it('SNP_PLATFORM_STATUS answers through a Firmware page, which comes back', () => {
    const machine = bootedHost();
    startedVm(machine);
    const pages = machine.memory.pages.size;
    const { ret, error, data, events } = call(
      machine,
      SEV_IOCTL.SNP_PLATFORM_STATUS,
      new Uint8Array(PLATFORM_STATUS_SIZE),
    );
    assert.deepEqual([ret, error], [0, 0]);
    const status = decodePlatformStatus(data ?? new Uint8Array());
    assert.deepEqual([status.apiMajor, status.apiMinor, status.state, status.guestCount], [1, 55, 1, 1]);
    assert.equal(status.rmpInitialised, true);
    const causes = events.flatMap((event) => (event.kind === 'rmp' ? [event.cause] : []));
    assert.deepEqual(causes, ['RMPUPDATE', 'SNP_PAGE_RECLAIM', 'RMPUPDATE']);
    assert.equal(machine.memory.pages.size, pages);
  });

  it('SNP_SET_CONFIG shows in the status', () => {
    const machine = bootedHost();
    assert.equal(call(machine, SEV_IOCTL.SNP_SET_CONFIG, config(true)).ret, 0);
    const { data } = call(machine, SEV_IOCTL.SNP_PLATFORM_STATUS, new Uint8Array(PLATFORM_STATUS_SIZE));
    assert.equal(decodePlatformStatus(data ?? new Uint8Array()).maskChipId, true);
  });

  it('SNP_COMMIT and SNP_PLATFORM_STATUS need no right to write', () => {
    const machine = bootedHost();
    assert.equal(call(machine, SEV_IOCTL.SNP_COMMIT, new Uint8Array(8), false).ret, 0);
    assert.equal(call(machine, SEV_IOCTL.SNP_PLATFORM_STATUS, new Uint8Array(32), false).ret, 0);
    assert.equal(call(machine, SEV_IOCTL.SNP_SET_CONFIG, config(false), false).ret, -1);
  });

  it('SNP_VLEK_LOAD hands the hashstick over, and its status comes back', () => {
    const machine = bootedHost();
    const pages = machine.memory.pages.size;
    const address = mapUser(machine.user, 'hashstick', new Uint8Array(432).fill(7));
    const { ret, error, fault } = call(
      machine,
      SEV_IOCTL.SNP_VLEK_LOAD,
      encodeSnpVlekLoad({ len: 16, wrappedVersion: 0, address }),
    );
    assert.equal(ret, -5);
    assert.ok(error !== 0 && error !== 0x5555);
    assert.match(fault?.cause?.check ?? '', /^fw-vlek-load-/);
    assert.equal(machine.memory.pages.size, pages);
  });

  it('leaves the struct alone for an unknown command, and tells the error otherwise', () => {
    const machine = bootedHost();
    assert.equal(call(machine, 99, new Uint8Array(8)).error, 0x5555);
    assert.equal(call(machine, SEV_IOCTL.SNP_COMMIT, new Uint8Array(8)).error, 0);
    run(sevIoctl(machine, 3, 0));
  });
});
