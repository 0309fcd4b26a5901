import assert from 'node:assert/strict';
import { hva, spaOf } from '../../../../engine/address.js';
import { MESSAGE_TYPE, sealMessage } from '../../../../engine/asp/guest-message.js';
import type { ExitHandling } from '../../../../engine/kvm/run/kvm-exit.js';
import { userPageFrame } from '../../../../engine/memory/user-memory.js';
import { pageState } from '../../../../engine/rmp/page-state.js';
import { readEntry } from '../../../../engine/rmp/table.js';
import { FIRMWARE_STATUS } from '../../../../engine/spec/firmware-status.js';
import { VMGEXIT } from '../../../../engine/spec/ghcb-layout.js';
import { answer, complete, exitOf, type FakeGuest, vmgexit, writeGuest } from './fake-guest.js';
import { type GhcbCase, malformed } from './refusal-case.js';

/** Guest requests, and what can go wrong with them. */

export const REQUEST = 0x1_0000;
export const RESPONSE = 0x1_1000;
export const CERTIFICATES = 0x1_2000;

export function vmpck(guest: FakeGuest): Uint8Array {
  const context = guest.vm.snpContext;
  const found = context === undefined ? undefined : guest.machine.asp.guests.get(spaOf(context));
  if (!found) throw new Error('no guest context');
  return found.vmpck[0];
}

/** Puts a report request into the request page; `sequence` wrong: the firmware refuses. */
export function putReportRequest(guest: FakeGuest, sequence = 1n, type: number = MESSAGE_TYPE.REPORT_REQ): void {
  const payload = new Uint8Array(96).fill(0x5a, 0, 64);
  writeGuest(guest, REQUEST, sealMessage(vmpck(guest), { sequence, type, version: 1, vmpck: 0, payload }));
}

export const sendRequest = (guest: FakeGuest): ExitHandling =>
  vmgexit(guest, { code: VMGEXIT.GUEST_REQUEST, info1: BigInt(REQUEST), info2: BigInt(RESPONSE) });

export const sendExtended = (guest: FakeGuest, fields: { RAX?: bigint; RBX?: bigint } = {}): ExitHandling =>
  vmgexit(guest, {
    code: VMGEXIT.EXT_GUEST_REQUEST,
    info1: BigInt(REQUEST),
    info2: BigInt(RESPONSE),
    fields: { RAX: BigInt(CERTIFICATES), RBX: 1n, ...fields },
  });

/** State of the frame behind the response page in the RMP. */
export function responseState(guest: FakeGuest): string {
  const { machine } = guest;
  const frame = userPageFrame(machine.user, machine, hva(guest.ram + RESPONSE));
  assert.ok(frame !== undefined);
  return pageState(readEntry(machine.rmp, frame));
}

const [OLD, NEW] = [['v15', 'v15+fixes'] as const, ['6.11', '6.18'] as const];
export const GUEST_REQUEST_CASES: readonly GhcbCase[] = [
  {
    name: 'a request page where no memory is',
    check: 'kvm-guest-req-copy',
    kvm: NEW,
    run: (guest) => vmgexit(guest, { code: VMGEXIT.GUEST_REQUEST, info1: 0x8000_0000n, info2: BigInt(RESPONSE) }),
    errno: 'EIO',
  },
  {
    name: 'a response page where no memory is',
    check: 'kvm-guest-req-copy',
    kvm: NEW,
    run: (guest) => {
      putReportRequest(guest);
      return vmgexit(guest, { code: VMGEXIT.GUEST_REQUEST, info1: BigInt(REQUEST), info2: 0x8000_0000n });
    },
    errno: 'EIO',
    says: /response page/,
  },
  {
    name: 'an extended request whose page is not in memory',
    check: 'kvm-guest-req-copy',
    kvm: NEW,
    run: (guest) => vmgexit(guest, { code: VMGEXIT.EXT_GUEST_REQUEST, info1: 0x8000_0000n, info2: BigInt(RESPONSE) }),
    errno: 'EIO',
  },
  {
    name: 'pages for certificates that are not in memory',
    check: 'kvm-guest-req-copy',
    kvm: NEW,
    run: (guest) => {
      putReportRequest(guest);
      return sendExtended(guest, { RAX: 0x8000_0000n });
    },
    errno: 'EIO',
    says: /page for certificates/,
  },
  {
    name: 'a host that has closed /dev/sev',
    check: 'kvm-guest-req-issue',
    kvm: NEW,
    run: (guest) => {
      putReportRequest(guest);
      guest.machine.kvm.sevFds.clear();
      return sendRequest(guest);
    },
    errno: 'EIO',
  },
  {
    name: 'a message that the firmware refuses',
    check: 'kvm-guest-req-firmware',
    kvm: NEW,
    run: (guest) => {
      putReportRequest(guest, 7n);
      return sendRequest(guest);
    },
    after: (guest) => {
      assert.deepEqual(answer(guest), [0n, BigInt(FIRMWARE_STATUS.INVALID_PARAM)]);
      assert.equal(responseState(guest), 'Hypervisor');
    },
  },
  {
    name: 'a message that the firmware refuses: the page is lost',
    check: 'kvm-guest-req-page-lost',
    kvm: OLD,
    run: (guest) => {
      putReportRequest(guest, 7n);
      return sendRequest(guest);
    },
    after: (guest) => {
      assert.deepEqual(answer(guest), [0n, (0x8000_0000n << 32n) | BigInt(FIRMWARE_STATUS.INVALID_PARAM)]);
      assert.equal(responseState(guest), 'Firmware');
    },
  },
  ...(
    [
      ['a request page that is not aligned', 0x1_0010n, BigInt(RESPONSE), /request page .* not aligned/],
      ['a response page that is not aligned', BigInt(REQUEST), 0x1_1001n, /response page .* not aligned/],
      ['a response page where no memory is', BigInt(REQUEST), 0x8000_0000n, /not in guest memory/],
    ] as const
  ).map(
    ([name, info1, info2, says]): GhcbCase => ({
      name,
      check: 'kvm-guest-req-pages',
      kvm: OLD,
      run: (guest) => vmgexit(guest, { code: VMGEXIT.GUEST_REQUEST, info1, info2 }),
      info: [0n, 0x8000_0000_0000_0000n],
      says,
    }),
  ),
  ...(['RAX', 'RBX'] as const).map(
    (field): GhcbCase => ({
      name: `an extended report request without ${field}`,
      check: 'kvm-ext-guest-req-data',
      kvm: NEW,
      run: (guest) => {
        putReportRequest(guest);
        return vmgexit(guest, {
          code: VMGEXIT.EXT_GUEST_REQUEST,
          info1: BigInt(REQUEST),
          info2: BigInt(RESPONSE),
          fields: { RAX: BigInt(CERTIFICATES), RBX: 1n },
          forget: [field],
        });
      },
      info: malformed(5),
    }),
  ),
  {
    name: 'an extended report request with an address that is not aligned',
    check: 'kvm-ext-guest-req-data',
    kvm: NEW,
    run: (guest) => {
      putReportRequest(guest);
      return sendExtended(guest, { RAX: 0x1_2008n });
    },
    info: malformed(5),
  },
  {
    name: 'an extended request with an address that is not aligned',
    check: 'kvm-ext-guest-req-data-v15',
    kvm: OLD,
    run: (guest) => sendExtended(guest, { RAX: 0x1_2008n }),
    info: [0n, 0x8000_0000_0000_0000n],
  },
  ...([1, 2, 9] as const).map(
    (ret): GhcbCase => ({
      name: `certificates that the VMM refuses with ${ret}`,
      check: 'kvm-ext-guest-req-certificates',
      kvm: OLD,
      run: (guest) => {
        sendExtended(guest);
        const exit = exitOf(guest, 'KVM_EXIT_VMGEXIT');
        exit.ret = ret;
        exit.dataNpages = 4;
        return complete(guest);
      },
      info: [0n, BigInt(ret) << 32n],
      after: (guest) => assert.equal(guest.arch.ghcbMap?.rbx, ret === 1 ? 4n : 1n),
    }),
  ),
];
