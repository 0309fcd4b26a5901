import assert from 'node:assert/strict';
import { MESSAGE_TYPE, openMessage } from '../../../../engine/asp/guest-message.js';
import { ALL_RELEASES } from '../cases/kvm-case.js';
import {
  answer,
  bytesOf,
  complete,
  exitOf,
  type FakeGuest,
  fakeGuest,
  framesOf,
  readGuest,
  writeGuest,
} from './fake-guest.js';
import {
  CERTIFICATES,
  GUEST_REQUEST_CASES,
  putReportRequest,
  RESPONSE,
  responseState,
  sendExtended,
  sendRequest,
  vmpck,
} from './guest-request-cases.js';
import { testGhcbCases } from './refusal-case.js';

/** The report data that comes back, from an authentic answer. */
function reportData(guest: FakeGuest): number[] {
  const message = openMessage(vmpck(guest), readGuest(guest, RESPONSE, 4096));
  assert.equal(message?.type, MESSAGE_TYPE.REPORT_RSP);
  assert.equal(message.sequence, 2n);
  return [...message.payload.subarray(0x20 + 0x50, 0x20 + 0x50 + 64)];
}

const SENT = Array(64).fill(0x5a);

describe('guest requests', () => {
  testGhcbCases(GUEST_REQUEST_CASES);

  for (const kvm of ALL_RELEASES) {
    it(`bring a report (${kvm})`, () => {
      const guest = fakeGuest({ kvm });
      putReportRequest(guest);
      assert.equal(sendRequest(guest).fault, undefined);
      assert.deepEqual(answer(guest), [0n, 0n]);
      assert.deepEqual(reportData(guest), SENT);
      assert.equal(responseState(guest), 'Hypervisor');
      assert.ok(framesOf(guest).includes('SNP_GUEST_REQUEST'));
    });
  }

  it('hand the response page to the firmware in v15, and none of the guest’s in 6.11', () => {
    for (const [kvm, changes] of [
      ['v15', 2],
      ['6.11', 0],
    ] as const) {
      const guest = fakeGuest({ kvm });
      putReportRequest(guest);
      sendRequest(guest);
      assert.equal(guest.events.filter((event) => event.kind === 'rmp').length >= changes, true);
      if (changes === 0) assert.ok(!guest.events.some((event) => event.kind === 'rmp'));
    }
  });
});

describe('extended guest requests', () => {
  it('give an empty certificate table with a report in 6.11', () => {
    const guest = fakeGuest();
    putReportRequest(guest);
    writeGuest(guest, CERTIFICATES, new Uint8Array(32).fill(9));
    assert.equal(sendExtended(guest).fault, undefined);
    assert.deepEqual([...readGuest(guest, CERTIFICATES, 26)], [...Array(24).fill(0), 9, 9]);
    assert.deepEqual(reportData(guest), SENT);
  });

  it('do not touch the certificate pages if there are none, or if no report is asked for', () => {
    for (const [type, pages] of [
      [MESSAGE_TYPE.REPORT_REQ, 0n],
      [MESSAGE_TYPE.KEY_REQ, 1n],
    ] as const) {
      const guest = fakeGuest();
      putReportRequest(guest, 1n, type);
      writeGuest(guest, CERTIFICATES, bytesOf(9));
      sendExtended(guest, { RBX: pages });
      assert.equal(readGuest(guest, CERTIFICATES, 1)[0], 9);
    }
  });

  it('ask the VMM for certificates in v15', () => {
    const guest = fakeGuest({ kvm: 'v15' });
    putReportRequest(guest);
    assert.equal(sendExtended(guest, { RBX: 3n }).ret, 0);
    const { reason, ...fields } = exitOf(guest, 'KVM_EXIT_VMGEXIT');
    assert.equal(reason, 'KVM_EXIT_VMGEXIT');
    assert.deepEqual(fields, { type: 1, dataGpa: CERTIFICATES, dataNpages: 3, ret: 0, flags: 0, status: 0 });
    assert.equal(complete(guest).ret, 1);
    assert.deepEqual(reportData(guest), SENT);
  });

  it('tell the VMM that they are done, if it wants to know', () => {
    const guest = fakeGuest({ kvm: 'v15' });
    putReportRequest(guest);
    sendExtended(guest);
    exitOf(guest, 'KVM_EXIT_VMGEXIT').flags = 1;
    assert.equal(complete(guest).ret, 0);
    const second = exitOf(guest, 'KVM_EXIT_VMGEXIT');
    assert.deepEqual([second.status, second.flags], [1, 0]);
    assert.deepEqual(answer(guest), [0n, 0n]);
    assert.deepEqual(reportData(guest), SENT);
    assert.equal(complete(guest).ret, 1);
  });
});
