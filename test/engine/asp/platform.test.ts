import assert from 'node:assert/strict';
import { pfnOf, type Spa, spa, spaOf } from '../../../engine/address.js';
import { encodeKeyRequest } from '../../../engine/asp/attestation/key-request.js';
import { parseReport, SIGNING_KEY } from '../../../engine/asp/attestation/report.js';
import { decodeReportResponse, encodeReportRequest } from '../../../engine/asp/attestation/report-request.js';
import { verifyReport } from '../../../engine/asp/attestation/report-signature.js';
import { machineVcek } from '../../../engine/asp/attestation/vcek.js';
import { machineVlek, unwrapVlek } from '../../../engine/asp/attestation/vlek.js';
import { snpActivateEx } from '../../../engine/asp/commands/snp-activate-ex.js';
import { snpCommit } from '../../../engine/asp/commands/snp-commit.js';
import { snpConfig } from '../../../engine/asp/commands/snp-config.js';
import { snpDecommission } from '../../../engine/asp/commands/snp-decommission.js';
import { snpDfFlush } from '../../../engine/asp/commands/snp-df-flush.js';
import { decodeFeatureInfo, SNP_FEATURE, snpFeatureInfo } from '../../../engine/asp/commands/snp-feature-info.js';
import { snpInit, snpInitEx } from '../../../engine/asp/commands/snp-init.js';
import {
  decodePlatformStatus,
  type PlatformStatus,
  snpPlatformStatus,
} from '../../../engine/asp/commands/snp-platform-status.js';
import { snpShutdownEx } from '../../../engine/asp/commands/snp-shutdown.js';
import { decodeMitigationResult, snpVerifyMitigation } from '../../../engine/asp/commands/snp-verify-mitigation.js';
import { snpVlekLoad } from '../../../engine/asp/commands/snp-vlek-load.js';
import { MESSAGE_TYPE } from '../../../engine/asp/guest-message.js';
import { wbinvdOnAllCores } from '../../../engine/asp/state.js';
import { isZero } from '../../../engine/bytes.js';
import { portableCrypto } from '../../../engine/crypto.js';
import type { Machine } from '../../../engine/machine.js';
import { rmpUpdate, SHARED } from '../../../engine/rmp/rmpupdate.js';
import { firmwareProfile, PROCESSOR_PROFILES, type ProcessorName } from '../../../engine/spec/versions.js';
import {
  createBareMachine,
  createInitialisedMachine,
  firmwarePage,
  launchGuest,
  must,
  newPage,
  run,
} from '../../support/bare-machine.js';
import { type Channel, exchange, openChannel } from './guest-channel.js';
import { bytesOf, stateOf } from './guest-pages.js';
import { hostBytes, install, wrapped } from './refusals/config.js';

const TCB = 0x0403_0000_0000_0201n;
const SNP_4 = 0x0404_0000_0000_0201n;

function status(machine: Machine): PlatformStatus {
  const page = machine.asp.platform === 'INIT' ? firmwarePage(machine) : spaOf(newPage(machine));
  must(snpPlatformStatus(machine, { status: page }));
  return decodePlatformStatus(bytesOf(machine, page));
}

const config = (machine: Machine, reportedTcb: bigint, maskChipId = false, maskChipKey = false) =>
  must(snpConfig(machine, { reportedTcb, maskChipId, maskChipKey }));

function report(channel: Channel, keySelect = 0) {
  const request = encodeReportRequest({ reportData: new Uint8Array(64), vmpl: 0, keySelect });
  const response = decodeReportResponse(exchange(channel, MESSAGE_TYPE.REPORT_REQ, request));
  assert.equal(response?.status, 0);
  const parsed = parseReport(response?.report ?? new Uint8Array());
  assert.ok(parsed.ok);
  return { ...parsed.value, bytes: response?.report ?? new Uint8Array() };
}

describe('SNP_CONFIG and SNP_COMMIT', () => {
  it('set what reports say, in any platform state, until they are reset', () => {
    const machine = createBareMachine();
    config(machine, 1n, true, true);
    assert.deepEqual(machine.asp.config, { reportedTcb: 1n, maskChipId: true, maskChipKey: true });
    const { maskChipId, maskChipKey, reportedTcb, currentTcb } = status(machine);
    assert.deepEqual([maskChipId, maskChipKey, reportedTcb, currentTcb], [true, true, 1n, TCB]);
    config(machine, 0n);
    assert.equal(status(machine).reportedTcb, TCB);
  });

  it('go with a firmware update: current first, committed and reported with the commit', () => {
    const channel = openChannel();
    const { machine } = channel;
    must(install(machine, { minor: 56, build: 9, svn: 4 }));
    const { apiMinor, buildId, currentTcb, reportedTcb } = status(machine);
    assert.deepEqual([apiMinor, buildId, currentTcb, reportedTcb], [56, 9, SNP_4, TCB]);
    const before = report(channel);
    assert.deepEqual([before.currentTcb, before.committedTcb, before.reportedTcb], [SNP_4, TCB, TCB]);
    assert.deepEqual([before.launchTcb, before.currentVersion.minor, before.committedVersion.minor], [TCB, 56, 55]);
    // Not committed yet: the old firmware can be installed again.
    must(install(machine, { minor: 55, build: 0, svn: 3 }));
    must(install(machine, { minor: 56, build: 9, svn: 4 }));
    must(snpCommit(machine));
    const after = report(channel);
    assert.deepEqual([after.currentTcb, after.committedTcb, after.reportedTcb], [SNP_4, SNP_4, SNP_4]);
    assert.equal(after.committedVersion.build, 9);
    assert.equal(run(install(machine, { minor: 55, build: 0, svn: 3 })).fault?.check, 'fw-download-svn');
    // The VCEK is another one now.
    assert.ok(verifyReport(after.bytes, machineVcek(machine).publicKey, portableCrypto).ok);
    assert.ok(!verifyReport(before.bytes, machineVcek(machine).publicKey, portableCrypto).ok);
  });

  it('end a reported TCB that was set before', () => {
    const machine = createInitialisedMachine();
    config(machine, 1n, true);
    must(snpCommit(machine, { length: 4 }));
    assert.deepEqual(machine.asp.config, { maskChipId: true, maskChipKey: false });
  });
});

describe('SNP_DOWNLOAD_FIRMWARE_EX', () => {
  it('gives the platform another firmware while guests run', () => {
    const machine = createInitialisedMachine();
    const { guest } = launchGuest(machine);
    assert.equal(run(snpFeatureInfo(machine, { ecxIn: 0, result: firmwarePage(machine) })).fault, undefined);
    must(install(machine, { minor: 58, build: 1, svn: 3 }, true));
    assert.equal(status(machine).apiMinor, 58);
    assert.equal(guest.state, 'LAUNCH');
    must(snpVerifyMitigation(machine, { subCommand: 0, vector: 0n }));
  });

  it('repairs an update that failed half way, and nothing else does', () => {
    const machine = createInitialisedMachine();
    const broken = run(install(machine, { minor: 58, build: 1, svn: 3, failure: 'half-way' }));
    assert.equal(broken.fault?.check, 'fw-restore-required');
    assert.equal(run(snpDfFlush(machine)).fault?.check, 'fw-restore-required');
    must(install(machine, { minor: 55, build: 2, svn: 3 }));
    must(snpDfFlush(machine));
    assert.equal(status(machine).buildId, 2);
  });

  it('takes an image that needs a shutdown after one', () => {
    const machine = createInitialisedMachine();
    const image = { minor: 58, build: 1, svn: 3, needsShutdown: true };
    assert.equal(run(install(machine, image)).fault?.check, 'fw-download-shutdown');
    must(snpShutdownEx(machine));
    must(install(machine, image));
    assert.equal(status(machine).apiMinor, 58);
  });
});

describe('SNP_VLEK_LOAD', () => {
  const load = (machine: Machine) =>
    must(snpVlekLoad(machine, { length: 16, wrappedVersion: 0, wrapped: hostBytes(machine, wrapped(machine)) }));

  it('makes reports under the VLEK, without the chip', () => {
    const channel = openChannel();
    const { machine } = channel;
    load(machine);
    assert.equal(status(machine).vlekEnabled, true);
    for (const [select, key] of [
      [0, SIGNING_KEY.VLEK],
      [1, SIGNING_KEY.VCEK],
      [2, SIGNING_KEY.VLEK],
    ] as const) {
      const made = report(channel, select);
      assert.equal(made.signingKey, key);
      assert.equal(isZero(made.chipId), key === SIGNING_KEY.VLEK);
      const identity = key === SIGNING_KEY.VLEK ? machineVlek(machine) : machineVcek(machine);
      assert.ok(identity);
      assert.ok(verifyReport(made.bytes, identity.publicKey, portableCrypto).ok);
    }
  });

  it('serves a guest that must not use the VCEK', () => {
    const channel = openChannel({ finish: () => ({ vcekDisabled: true }) });
    load(channel.machine);
    assert.equal(report(channel).signingKey, SIGNING_KEY.VLEK);
    const key = (keySelect: number): Uint8Array => {
      const request = { rootKey: 0, keySelect, fields: 0n, vmpl: 0, guestSvn: 0, tcb: 0n };
      return exchange(channel, MESSAGE_TYPE.KEY_REQ, encodeKeyRequest(request));
    };
    assert.equal(key(0)[0], 0);
    assert.equal(key(1)[0], 0x27);
    assert.ok(!isZero(key(2).subarray(0x20)));
  });

  it('is of no use above its TCB', () => {
    const channel = openChannel();
    load(channel.machine);
    must(install(channel.machine, { minor: 56, build: 9, svn: 4 }, true));
    assert.equal(machineVlek(channel.machine), undefined);
    assert.equal(report(channel).signingKey, SIGNING_KEY.VCEK);
    config(channel.machine, TCB);
    assert.equal(report(channel).signingKey, SIGNING_KEY.VLEK);
  });

  it('wraps for one chip', () => {
    const machine = createInitialisedMachine();
    const bytes = wrapped(machine);
    assert.equal(bytes.length, 432);
    assert.equal(unwrapVlek(machine, bytes)?.length, 384);
    assert.equal(unwrapVlek({ ...machine, processor: PROCESSOR_PROFILES.turin }, bytes), undefined);
  });
});

describe('SNP_FEATURE_INFO', () => {
  const cases: [ProcessorName, minor: number, features: (keyof typeof SNP_FEATURE)[]][] = [
    ['milan', 55, ['CXL_ALLOW_POLICY']],
    ['genoa', 55, ['RAPL_DIS', 'AES_256_XTS_POLICY', 'CXL_ALLOW_POLICY']],
    ['turin', 55, ['RAPL_DIS', 'CIPHERTEXT_HIDING', 'AES_256_XTS_POLICY', 'CXL_ALLOW_POLICY']],
    ['turin', 58, Object.keys(SNP_FEATURE) as (keyof typeof SNP_FEATURE)[]],
  ];
  for (const [name, minor, features] of cases) {
    it(`knows ${name} with ABI 1.${minor}`, () => {
      const machine = createBareMachine({ processor: PROCESSOR_PROFILES[name], firmware: firmwareProfile(minor) });
      assert.equal(status(machine).featureInfo, true);
      const result = spaOf(newPage(machine));
      must(snpFeatureInfo(machine, { length: 0x10, ecxIn: 0, result }));
      const info = decodeFeatureInfo(bytesOf(machine, result));
      const found = (Object.keys(SNP_FEATURE) as (keyof typeof SNP_FEATURE)[]).filter(
        (feature) => (info.ecx & SNP_FEATURE[feature]) !== 0,
      );
      assert.deepEqual(found, features);
      assert.deepEqual([info.eax, info.ebx, info.edx], [0, 0, 0]);
    });
  }
});

describe('SNP_VERIFY_MITIGATION', () => {
  it('sets the vector of reports, and that of guests launched afterwards', () => {
    const firmware = firmwareProfile(58);
    const channel = openChannel({ machine: { firmware } });
    const { machine } = channel;
    const dst = firmwarePage(machine);
    const result = () => decodeMitigationResult(bytesOf(machine, dst));
    must(snpVerifyMitigation(machine, { length: 0x40, subCommand: 0, vector: 0n, dst }));
    assert.deepEqual(result(), { verified: 0n, supported: 1n, failure: 0 });
    must(snpVerifyMitigation(machine, { subCommand: 1, vector: 1n, dst }));
    assert.deepEqual(result(), { verified: 1n, supported: 1n, failure: 0 });
    assert.deepEqual(report(channel).mitigations, { launch: 0n, current: 1n });
    assert.equal(launchGuest(machine, { asid: 9 }).guest.launchMitigations, 1n);
  });
});

describe('SNP_ACTIVATE_EX', () => {
  it('activates a guest on some processors, and later on more of them', () => {
    const machine = createInitialisedMachine();
    const { gctx, guest } = launchGuest(machine, { asid: 0 });
    must(snpActivateEx(machine, { length: 0x20, gctx, asid: 3, apicIds: [4, 0] }));
    assert.deepEqual([guest.asid, guest.apicIds, machine.asp.activeAsids.get(3)], [3, [0, 4], gctx]);
    must(snpActivateEx(machine, { gctx, asid: 3, apicIds: [4, 8] }));
    assert.deepEqual(guest.apicIds, [0, 4, 8]);
    must(snpDecommission(machine, { gctx }));
    assert.ok(machine.asp.asidsToFlush.has(3));
  });
});

describe('SNP_SHUTDOWN_EX', () => {
  const withIommu = (minor: number): { machine: Machine; page: Spa } => {
    const machine = createBareMachine({ firmware: firmwareProfile(minor) });
    const frame = newPage(machine);
    machine.asp.iommuPages = [frame];
    must(snpInit(machine));
    wbinvdOnAllCores(machine.asp);
    must(snpDfFlush(machine));
    return { machine, page: spaOf(frame) };
  };

  it('gives the buffers of the IOMMUs back with IOMMU_SNP_SHUTDOWN', () => {
    const { machine, page } = withIommu(55);
    assert.equal(stateOf(machine, page), 'Firmware');
    must(snpShutdownEx(machine, { length: 8, iommuShutdown: true }));
    assert.equal(stateOf(machine, page), 'Reclaim');
    must(rmpUpdate(machine, pfnOf(page), { ...SHARED, pageSize2M: false }));
    must(snpInitEx(machine, { initRmp: false }));
    assert.equal(stateOf(machine, page), 'Firmware');
  });

  it('keeps them without', () => {
    const { machine, page } = withIommu(55);
    must(snpShutdownEx(machine));
    assert.equal(stateOf(machine, page), 'Firmware');
    assert.ok(machine.rmp.initialised);
    assert.equal(status(machine).state, 0);
  });

  it('makes them Hypervisor before ABI 1.53', () => {
    const { machine, page } = withIommu(52);
    must(snpShutdownEx(machine, { iommuShutdown: true }));
    assert.equal(stateOf(machine, page), 'Hypervisor');
  });

  it('switches SNP off with X86_SNP_SHUTDOWN', () => {
    const { machine, page } = withIommu(58);
    must(snpShutdownEx(machine, { x86Shutdown: true }));
    assert.equal(stateOf(machine, page), 'Default');
    assert.equal(run(snpInitEx(machine, { initRmp: false })).fault?.check, 'fw-init-rmp-required');
    must(snpInit(machine));
  });
});

describe('SNP_INIT', () => {
  it('accepts cores that are set up alike', () => {
    const machine = createBareMachine();
    const { base: rmpBase, end: rmpEnd } = machine.rmp;
    const good = { syscfg: 0x388_0000n, hsavePa: spa(0), rmpBase, rmpEnd };
    machine.asp.cores = [0, 1, 2].map((apicId) => ({ apicId, ...good }));
    must(snpInit(machine));
  });
});
