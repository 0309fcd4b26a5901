import assert from 'node:assert/strict';
import { PAGE_SIZE, pfnOf, spaOf } from '../../../engine/address.js';
import { describeReport } from '../../../engine/asp/attestation/describe-report.js';
import { type ParsedReport, SIGNING_KEY } from '../../../engine/asp/attestation/report.js';
import { decodeReportResponse, encodeReportRequest } from '../../../engine/asp/attestation/report-request.js';
import { verifyReport } from '../../../engine/asp/attestation/report-signature.js';
import { machineVcek, vcekPublicKey } from '../../../engine/asp/attestation/vcek.js';
import { decodePlatformStatus, snpPlatformStatus } from '../../../engine/asp/commands/snp-platform-status.js';
import { encodeCpuidPage } from '../../../engine/asp/cpuid-table.js';
import { MESSAGE_TYPE } from '../../../engine/asp/guest-message.js';
import { encodeIdBlock } from '../../../engine/asp/id-block.js';
import { signIdBlock } from '../../../engine/asp/sign-id.js';
import { isZero, toHex, view } from '../../../engine/bytes.js';
import { portableCrypto } from '../../../engine/crypto.js';
import type { Machine } from '../../../engine/machine.js';
import { readPage, writePage } from '../../../engine/memory/system-memory.js';
import { seededRandom } from '../../../engine/random.js';
import { firmwareProfile, PROCESSOR_PROFILES, type ProcessorName } from '../../../engine/spec/versions.js';
import { collect, firmwarePage, must, newPage, run } from '../../support/bare-machine.js';
import { type Channel, exchange, openChannel, requestOp } from './guest-channel.js';

const NONCE = Uint8Array.from({ length: 64 }, (_, i) => 255 - i);
const ID_KEY = new Uint8Array(48).fill(0x11);
const AUTHOR_KEY = new Uint8Array(48).fill(0x22);
const FAMILY_ID = new Uint8Array(16).fill(0xfa);
const IMAGE_ID = new Uint8Array(16).fill(0x1d);
const HOST_DATA = new Uint8Array(32).fill(0x40);

/** A channel of a guest with ID block, author key and host data. */
function signedGuest(machine: Partial<Machine> = {}): Channel {
  return openChannel({
    machine,
    policy: 0xb_0000n,
    finish: ({ guest }, host) => {
      const block = encodeIdBlock({
        ld: guest.ld,
        familyId: FAMILY_ID,
        imageId: IMAGE_ID,
        version: 1,
        guestSvn: 5,
        policy: 0xb_0000n,
      });
      const bytes = new Uint8Array(PAGE_SIZE);
      bytes.set(block);
      const [idBlock, idAuth] = [newPage(host), newPage(host)];
      writePage(host.memory, idBlock, { bytes, frozen: false });
      writePage(host.memory, idAuth, { bytes: signIdBlock(block, ID_KEY, AUTHOR_KEY), frozen: false });
      return {
        idBlock: spaOf(idBlock),
        idAuth: spaOf(idAuth),
        idBlockEnabled: true,
        authKeyEnabled: true,
        hostData: HOST_DATA,
      };
    },
  });
}

/** Asks for a report as a guest does, and verifies it as a relying party that knows CHIP_ID and TCB. */
function attest(channel: Channel, vmpl = 0, vmpck = 0): { bytes: Uint8Array; report: ParsedReport } {
  const payload = exchange(channel, MESSAGE_TYPE.REPORT_REQ, encodeReportRequest({ reportData: NONCE, vmpl }), {
    vmpck,
  });
  const response = decodeReportResponse(payload);
  assert.ok(response);
  assert.deepEqual([response.status, response.size, payload.length], [0, 1184, 0x4c0]);
  assert.ok(isZero(payload.subarray(8, 0x20)));
  const { publicKey } = machineVcek(channel.machine);
  const verified = verifyReport(response.report, publicKey, portableCrypto);
  assert.ok(verified.ok, verified.ok ? '' : verified.fault.message);
  return { bytes: response.report, report: verified.value };
}

describe('an attestation report', () => {
  it('says what the guest was launched with', () => {
    const channel = signedGuest();
    const { guest, machine } = channel;
    const { report } = attest(channel, 2, 1);
    assert.deepEqual(report.reservedNonZero, []);
    assert.equal(report.guestSvn, 5);
    assert.equal(report.policy, 0xb_0000n);
    assert.deepEqual(report.familyId, FAMILY_ID);
    assert.deepEqual(report.imageId, IMAGE_ID);
    assert.equal(report.vmpl, 2);
    assert.deepEqual(report.reportData, NONCE);
    assert.deepEqual(report.measurement, guest.ld);
    assert.ok(!isZero(report.measurement));
    assert.deepEqual(report.hostData, HOST_DATA);
    assert.deepEqual(report.idKeyDigest, guest.idKeyDigest);
    assert.deepEqual(report.authorKeyDigest, guest.authorKeyDigest);
    assert.ok(!isZero(report.authorKeyDigest));
    assert.equal(report.authorKeyEnabled, true);
    assert.equal(report.signingKey, SIGNING_KEY.VCEK);
    assert.deepEqual(report.reportId, guest.reportId);
    assert.ok(report.reportIdMa.every((b) => b === 0xff));
    assert.deepEqual(report.chipId, machineVcek(machine).chipId);
    assert.deepEqual(report.cpuid, { family: 0x19, model: 0x11, stepping: 1 });
    assert.deepEqual(report.currentVersion, { major: 1, minor: 55, build: 0 });
    assert.equal(report.platformInfo, 5n); // SMT and ECC
  });

  it('says zeros where there is no ID block', () => {
    const { report } = attest(openChannel());
    assert.equal(report.guestSvn, 0);
    for (const field of ['familyId', 'imageId', 'idKeyDigest', 'authorKeyDigest', 'hostData'] as const) {
      assert.ok(isZero(report[field]), field);
    }
    assert.equal(report.authorKeyEnabled, false);
  });

  const versions: [ProcessorName, minor: number, version: number, tcb: string][] = [
    ['milan', 51, 2, '0403000000000201'],
    ['milan', 55, 3, '0403000000000201'],
    ['genoa', 55, 3, '0403000000000201'],
    ['genoa', 58, 5, '0403000000000201'],
    ['turin', 55, 5, '0500000004030201'],
  ];
  for (const [name, minor, version, tcb] of versions) {
    it(`has version ${version} on ${name} with ABI 1.${minor}`, () => {
      const processor = PROCESSOR_PROFILES[name];
      const { report } = attest(openChannel({ machine: { processor, firmware: firmwareProfile(minor) } }));
      assert.equal(report.version, version);
      assert.equal(report.cpuid === undefined, version === 2);
      assert.equal(report.mitigations === undefined, version < 5);
      for (const value of [report.currentTcb, report.committedTcb, report.reportedTcb, report.launchTcb]) {
        assert.equal(value.toString(16).padStart(16, '0'), tcb);
      }
      assert.equal(
        report.chipId.subarray(8).every((b) => b === 0),
        name === 'turin',
      );
      assert.ok(!isZero(report.chipId.subarray(0, 8)));
    });
  }

  it('is signed with the key of the reported TCB, which the host chooses', () => {
    const channel = openChannel();
    const first = attest(channel);
    channel.machine.asp.config = { reportedTcb: 1n, maskChipId: false, maskChipKey: false };
    const second = attest(channel);
    assert.equal(second.report.reportedTcb, 1n);
    assert.equal(second.report.committedTcb, first.report.committedTcb);
    const { chipId, reportedTcb } = first.report;
    assert.equal(verifyReport(first.bytes, vcekPublicKey(chipId, reportedTcb), portableCrypto).ok, true);
    assert.equal(verifyReport(second.bytes, vcekPublicKey(chipId, reportedTcb), portableCrypto).ok, false);
    const page = firmwarePage(channel.machine);
    must(snpPlatformStatus(channel.machine, { status: page }));
    const status = decodePlatformStatus(readPage(channel.machine.memory, pfnOf(page)));
    assert.deepEqual([status.currentTcb, status.reportedTcb], [first.report.currentTcb, 1n]);
  });

  it('hides the chip when the host masks it', () => {
    const channel = openChannel();
    const { chipId } = machineVcek(channel.machine);
    channel.machine.asp.config = { maskChipId: true, maskChipKey: false };
    const { report } = attest(channel);
    assert.ok(isZero(report.chipId));
    assert.ok(!isZero(chipId));
  });

  it('has no signature when the chip key is masked', () => {
    const channel = openChannel();
    channel.machine.asp.config = { maskChipId: false, maskChipKey: true };
    const payload = exchange(channel, MESSAGE_TYPE.REPORT_REQ, encodeReportRequest({ reportData: NONCE, vmpl: 0 }));
    const { report } = decodeReportResponse(payload) ?? assert.fail();
    assert.ok(isZero(report.subarray(0x2a0)));
    const verified = verifyReport(report, machineVcek(channel.machine).publicKey, portableCrypto);
    assert.match(verified.ok ? '' : verified.fault.message, /MASK_CHIP_KEY/);
    assert.equal(view(report).getUint32(0x48, true), (7 << 2) | 2);
  });

  it('comes out the same from the same machine, and names another chip for another seed', () => {
    const [a, b, other] = [
      attest(openChannel()),
      attest(openChannel()),
      attest(openChannel({ machine: { random: seededRandom('other') } })),
    ];
    assert.equal(toHex(a.bytes), toHex(b.bytes));
    assert.notEqual(toHex(a.report.chipId), toHex(other.report.chipId));
    // However much was drawn before: the chip is not part of the launch.
    const random = seededRandom('test');
    random.bytes('something else', 100);
    const later = openChannel({ machine: { random } });
    assert.deepEqual(machineVcek(later.machine).chipId, a.report.chipId);
    assert.notDeepEqual(later.guest.reportId, a.report.reportId);
  });

  it('is described line by line', () => {
    const rows = describeReport(attest(signedGuest()).report);
    const value = (name: string): string | undefined => rows.find((row) => row.name === name)?.value;
    assert.equal(value('VERSION'), '3');
    assert.equal(value('POLICY'), '0xb0000: firmware 0.0 or newer; SMT, DEBUG');
    assert.equal(value('PLATFORM_INFO'), 'SMT_EN, ECC_EN');
    assert.equal(value('CURRENT_TCB'), 'boot loader 1, TEE 2, SNP 3, microcode 4');
    assert.equal(value('CPUID'), 'family 0x19, model 0x11, stepping 1 (Genoa)');
    assert.equal(value('REPORT_DATA'), toHex(NONCE));
    assert.equal(value('REPORT_ID_MA'), 'all ones (no migration agent)');
    assert.equal(value('SIGNING_KEY'), 'VCEK');
    for (const row of rows) assert.doesNotMatch(row.value, /undefined|NaN/);
    assert.equal(new Set(rows.map((row) => row.name)).size, rows.length);
  });
});

describe('SNP_GUEST_REQUEST', () => {
  it('counts messages for each key, by two', () => {
    const channel = openChannel();
    for (const sequence of [1n, 3n, 5n]) {
      attest(channel);
      assert.deepEqual(channel.guest.messageCount, [sequence + 1n, 0n, 0n, 0n]);
    }
    attest(channel, 3, 3);
    assert.deepEqual(channel.guest.messageCount, [6n, 0n, 0n, 2n]);
  });

  it('counts to the last pair of numbers', () => {
    const channel = openChannel();
    channel.guest.messageCount[0] = 2n ** 64n - 4n;
    attest(channel);
    assert.equal(channel.guest.messageCount[0], 2n ** 64n - 2n);
  });

  it('consumes the number of a request that it refuses inside, not that of a message that it does not take', () => {
    const channel = openChannel();
    const payload = encodeReportRequest({ reportData: NONCE, vmpl: 9 });
    const type = MESSAGE_TYPE.REPORT_REQ;
    const bad = run(requestOp(channel, { type, payload, sequence: 1n }, (bytes) => bytes.fill(0, 0, 16)));
    assert.equal(bad.fault?.check, 'fw-guest-request-authentication');
    assert.equal(channel.guest.messageCount[0], 0n);
    // The same number again, as a guest may only do with the same bytes.
    const inner = must(requestOp(channel, { type, payload, sequence: 1n }));
    assert.equal(inner.message?.fault?.check, 'fw-message-vmpl');
    assert.equal(channel.guest.messageCount[0], 2n);
    const replay = run(requestOp(channel, { type, payload, sequence: 1n }));
    assert.equal(replay.fault?.check, 'fw-guest-request-sequence');
    assert.match(replay.fault?.hint ?? '', /processed this number already/);
  });

  it('leaves the response page alone when it refuses the message', () => {
    const channel = openChannel();
    const before = readPage(channel.machine.memory, pfnOf(channel.response)).slice();
    run(requestOp(channel, { type: 0, payload: new Uint8Array(0) }));
    assert.deepEqual(readPage(channel.machine.memory, pfnOf(channel.response)), before);
  });

  it('tells the debugger what the host cannot see', () => {
    const channel = openChannel();
    const payload = encodeReportRequest({ reportData: NONCE, vmpl: 0 });
    const { value, events } = collect(requestOp(channel, { type: MESSAGE_TYPE.REPORT_REQ, payload }));
    assert.deepEqual(value.message, { name: 'MSG_REPORT_REQ', type: 5, vmpck: 0, sequence: 1n, status: 0 });
    assert.deepEqual(
      events.map((event) => event.kind),
      ['enter', 'log', 'leave'],
    );
    const [, log] = events;
    assert.match(
      log?.kind === 'log' ? log.text : '',
      /^MSG_REPORT_REQ 1 under VMPCK0: STATUS SUCCESS: attestation report of version 3 for VMPL 0, signed with/,
    );
  });
});

describe('MSG_CPUID_REQ', () => {
  const entry = { eaxIn: 0x8000_001d, ecxIn: 3, xcr0In: 0n, xssIn: 0n, eax: 0x163, ebx: 1, ecx: 2, edx: 3 };
  const request = (edx: number): Uint8Array => encodeCpuidPage([{ ...entry, edx }]).slice(0, 16 + 48);

  it('accepts what the processor has', () => {
    const payload = exchange(openChannel(), MESSAGE_TYPE.CPUID_REQ, request(2));
    assert.deepEqual([view(payload).getUint32(0, true), view(payload).getUint32(4, true)], [0, 1]);
    assert.deepEqual(payload.slice(16), request(2).slice(16));
  });

  it('gives back corrected values with INVALID_PARAM', () => {
    const payload = exchange(openChannel(), MESSAGE_TYPE.CPUID_REQ, request(6));
    assert.deepEqual([view(payload).getUint32(0, true), view(payload).getUint32(4, true)], [0x16, 1]);
    assert.deepEqual(payload.slice(16), request(2).slice(16));
  });

  it('takes the full table of 64 entries', () => {
    const entries = Array.from({ length: 64 }, (_, i) => ({ ...entry, eaxIn: 0x4000_0000 + i }));
    const payload = exchange(openChannel(), MESSAGE_TYPE.CPUID_REQ, encodeCpuidPage(entries).slice(0, 16 + 64 * 48));
    assert.deepEqual([view(payload).getUint32(0, true), payload.length], [0, 3088]);
  });
});

describe('MSG_TSC_INFO_REQ', () => {
  for (const [desired, scale] of [
    [0, 1n << 32n],
    [1_200_000, 1n << 31n],
    [4_800_000, 1n << 33n],
  ] as const) {
    it(`gives the scale for ${desired} kHz of a host with 2400000 kHz`, () => {
      const channel = openChannel();
      channel.guest.desiredTscKhz = desired;
      const payload = exchange(channel, MESSAGE_TYPE.TSC_INFO_REQ, new Uint8Array(128));
      assert.equal(payload.length, 128);
      assert.equal(view(payload).getBigUint64(8, true), scale);
      assert.ok(isZero(payload.subarray(0, 8)) && isZero(payload.subarray(16)));
    });
  }
});
