import assert from 'node:assert/strict';
import { PAGE_SIZE_2M, type Spa, spa } from '../../../engine/address.js';
import type { FirmwareResult } from '../../../engine/asp/command.js';
import { snpActivate } from '../../../engine/asp/commands/snp-activate.js';
import { snpActivateEx } from '../../../engine/asp/commands/snp-activate-ex.js';
import { snpCommit } from '../../../engine/asp/commands/snp-commit.js';
import { snpConfig } from '../../../engine/asp/commands/snp-config.js';
import { snpDbgDecrypt } from '../../../engine/asp/commands/snp-dbg-decrypt.js';
import { snpDbgEncrypt } from '../../../engine/asp/commands/snp-dbg-encrypt.js';
import { snpDecommission } from '../../../engine/asp/commands/snp-decommission.js';
import { snpDfFlush } from '../../../engine/asp/commands/snp-df-flush.js';
import { snpDownloadFirmwareEx } from '../../../engine/asp/commands/snp-download-firmware-ex.js';
import { snpFeatureInfo } from '../../../engine/asp/commands/snp-feature-info.js';
import { snpGctxCreate } from '../../../engine/asp/commands/snp-gctx-create.js';
import { snpGuestRequest } from '../../../engine/asp/commands/snp-guest-request.js';
import { snpGuestStatus } from '../../../engine/asp/commands/snp-guest-status.js';
import { snpInit, snpInitEx } from '../../../engine/asp/commands/snp-init.js';
import { snpLaunchFinish } from '../../../engine/asp/commands/snp-launch-finish.js';
import { snpLaunchStart } from '../../../engine/asp/commands/snp-launch-start.js';
import { snpLaunchUpdate } from '../../../engine/asp/commands/snp-launch-update.js';
import { snpPageMdInit } from '../../../engine/asp/commands/snp-page-md-init.js';
import { snpPageMove } from '../../../engine/asp/commands/snp-page-move.js';
import { snpPageReclaim } from '../../../engine/asp/commands/snp-page-reclaim.js';
import { snpPageSetState } from '../../../engine/asp/commands/snp-page-set-state.js';
import { snpPageSwapIn } from '../../../engine/asp/commands/snp-page-swap-in.js';
import { snpPageSwapOut } from '../../../engine/asp/commands/snp-page-swap-out.js';
import { snpPageUnsmash } from '../../../engine/asp/commands/snp-page-unsmash.js';
import { snpPlatformStatus } from '../../../engine/asp/commands/snp-platform-status.js';
import { snpShutdownEx } from '../../../engine/asp/commands/snp-shutdown.js';
import { snpVerifyMitigation } from '../../../engine/asp/commands/snp-verify-mitigation.js';
import { snpVlekLoad } from '../../../engine/asp/commands/snp-vlek-load.js';
import type { GuestState } from '../../../engine/asp/state.js';
import { faultDefinitions } from '../../../engine/fault.js';
import type { Machine } from '../../../engine/machine.js';
import { FIRMWARE_STATUS, type FirmwareStatusName } from '../../../engine/spec/firmware-status.js';
import type { Op } from '../../../engine/timeline/event.js';
import { createBareMachine, createGuest, createInitialisedMachine, GOSVW, run } from '../../support/bare-machine.js';

const ODD = spa(0x80_0008);
const swap = { src: ODD, dst: ODD, mdata: ODD, softwareData: 0n, pageSize2M: false, pageType: 0, rootMdata: false };

/** Every command with operands of which only the context is good, and the guest states that it takes: all, or these. */
const GUEST_COMMANDS: readonly (readonly [
  name: string,
  (machine: Machine, gctx: Spa) => Op<FirmwareResult>,
  states: readonly GuestState[],
])[] = [
  [
    'SNP_LAUNCH_START',
    (m, gctx) => snpLaunchStart(m, { gctx, policy: 0n, gosvw: GOSVW, maEnabled: false, imiEnabled: false }),
    ['INIT'],
  ],
  [
    'SNP_LAUNCH_UPDATE',
    (m, gctx) =>
      snpLaunchUpdate(m, { gctx, page: ODD, pageSize2M: false, pageType: 1, vmplMasks: [0, 0, 0], imiPage: false }),
    ['LAUNCH'],
  ],
  [
    'SNP_LAUNCH_FINISH',
    (m, gctx) =>
      snpLaunchFinish(m, {
        gctx,
        idBlock: ODD,
        idAuth: ODD,
        idBlockEnabled: false,
        authKeyEnabled: false,
        vcekDisabled: false,
        hostData: new Uint8Array(0),
      }),
    ['LAUNCH'],
  ],
  ['SNP_ACTIVATE', (m, gctx) => snpActivate(m, { gctx, asid: 0 }), ['LAUNCH', 'RUNNING']],
  ['SNP_ACTIVATE_EX', (m, gctx) => snpActivateEx(m, { gctx, asid: 0, apicIds: [] }), ['LAUNCH', 'RUNNING']],
  ['SNP_GUEST_STATUS', (m, gctx) => snpGuestStatus(m, { gctx, status: ODD }), ['INIT', 'LAUNCH', 'RUNNING']],
  ['SNP_DECOMMISSION', (m, gctx) => snpDecommission(m, { gctx }), ['INIT', 'LAUNCH', 'RUNNING']],
  // In INIT for MSG_IMPORT_REQ, which only the message itself shows.
  ['SNP_GUEST_REQUEST', (m, gctx) => snpGuestRequest(m, { gctx, request: ODD, response: ODD }), ['INIT', 'RUNNING']],
  ['SNP_DBG_DECRYPT', (m, gctx) => snpDbgDecrypt(m, { gctx, src: ODD, dst: ODD }), ['RUNNING']],
  ['SNP_DBG_ENCRYPT', (m, gctx) => snpDbgEncrypt(m, { gctx, src: ODD, dst: ODD }), ['RUNNING']],
  ['SNP_PAGE_MD_INIT', (m, gctx) => snpPageMdInit(m, { gctx, page: ODD }), ['LAUNCH', 'RUNNING']],
  [
    'SNP_PAGE_MOVE',
    (m, gctx) => snpPageMove(m, { gctx, src: ODD, dst: ODD, pageSize2M: false }),
    ['LAUNCH', 'RUNNING'],
  ],
  ['SNP_PAGE_SWAP_OUT', (m, gctx) => snpPageSwapOut(m, { gctx, ...swap }), ['LAUNCH', 'RUNNING']],
  ['SNP_PAGE_SWAP_IN', (m, gctx) => snpPageSwapIn(m, { gctx, ...swap, inPlace: false }), ['LAUNCH', 'RUNNING']],
];

/** AMDESE/sev-tool, guest states: which command is allowed in which. */
describe('guest state', () => {
  for (const [name, command, allowed] of GUEST_COMMANDS) {
    for (const state of ['INIT', 'LAUNCH', 'RUNNING'] as const) {
      const isAllowed = allowed.includes(state);
      it(`${state} ${isAllowed ? 'takes' : 'refuses'} ${name}`, () => {
        const machine = createInitialisedMachine();
        const { gctx, guest } = createGuest(machine);
        guest.state = state;
        assert.equal(run(command(machine, gctx)).fault?.check === 'fw-guest-state', !isAllowed);
      });
    }
  }
  it('none takes a page that is no context', () => {
    for (const [name, command] of GUEST_COMMANDS) {
      const machine = createInitialisedMachine();
      assert.equal(run(command(machine, spa(0x80_0000))).fault?.check, 'fw-guest-context', name);
    }
  });
});

const HOST_COMMANDS: readonly (readonly [name: string, (machine: Machine) => Op<FirmwareResult>, uninit: boolean])[] = [
  ['SNP_INIT', (m) => snpInit(m), true],
  ['SNP_INIT_EX', (m) => snpInitEx(m, { initRmp: true }), true],
  ['SNP_PLATFORM_STATUS', (m) => snpPlatformStatus(m, { status: ODD }), true],
  ['SNP_FEATURE_INFO', (m) => snpFeatureInfo(m, { ecxIn: 0, result: ODD }), true],
  ['SNP_CONFIG', (m) => snpConfig(m, { reportedTcb: 0n, maskChipId: false, maskChipKey: false }), true],
  ['SNP_COMMIT', (m) => snpCommit(m), true],
  ['SNP_VLEK_LOAD', (m) => snpVlekLoad(m, { wrappedVersion: 1, wrapped: ODD }), true],
  ['SNP_DOWNLOAD_FIRMWARE_EX', (m) => snpDownloadFirmwareEx(m, { image: ODD, imageLength: 0, commit: false }), true],
  ['SNP_VERIFY_MITIGATION', (m) => snpVerifyMitigation(m, { subCommand: 9, vector: 0n }), true],
  ['SNP_SHUTDOWN_EX', (m) => snpShutdownEx(m), false],
  ['SNP_DF_FLUSH', (m) => snpDfFlush(m), false],
  ['SNP_GCTX_CREATE', (m) => snpGctxCreate(m, { page: ODD }), false],
  ['SNP_PAGE_RECLAIM', (m) => snpPageReclaim(m, { page: ODD, pageSize2M: false }), false],
  ['SNP_PAGE_UNSMASH', (m) => snpPageUnsmash(m, { page: spa(PAGE_SIZE_2M) }), false],
  ['SNP_PAGE_SET_STATE', (m) => snpPageSetState(m, { ranges: [] }), false],
  ...GUEST_COMMANDS.map(([name, command]) => [name, (m: Machine) => command(m, spa(0x80_0000)), false] as const),
];

describe('platform state UNINIT', () => {
  for (const [name, command, allowed] of HOST_COMMANDS) {
    it(`${allowed ? 'takes' : 'refuses'} ${name}`, () => {
      const { fault } = run(command(createBareMachine()));
      assert.equal(fault?.code.kind === 'firmware' && fault.code.name === 'INVALID_PLATFORM_STATE', !allowed);
    });
  }
});

/** Statuses that no SNP command of the emulated firmware returns, and why. */
const NEVER: Partial<Record<FirmwareStatusName, string>> = {
  ALREADY_OWNED: 'legacy SEV: the platform has an owner',
  INVALID_CERTIFICATE: 'legacy SEV: PDH and PEK certificates',
  SECURE_DATA_INVALID: 'legacy SEV: storage of INIT_EX',
  HWERROR_PLATFORM: 'hardware does not fail',
  HWERROR_UNSAFE: 'hardware does not fail',
  RING_BUFFER_EXIT: 'legacy SEV: ring buffer mode',
  RMP_INITIALIZATION_FAILED: 'hardware does not fail',
};

describe('status codes', () => {
  it('are all returned by some check, but those that have a reason not to', () => {
    const returned = new Set(faultDefinitions().flatMap(({ code }) => (code.kind === 'firmware' ? [code.name] : [])));
    const missing = Object.keys(FIRMWARE_STATUS).filter((name) => name !== 'SUCCESS' && !returned.has(name));
    assert.deepEqual(missing.sort(), Object.keys(NEVER).sort());
  });
});
