import { PAGE_SIZE, pfnOf, type Spa, spa, spaOf } from '../../../../engine/address.js';
import { emulatedHashstick, wrapVlek } from '../../../../engine/asp/attestation/vlek.js';
import type { FirmwareResult } from '../../../../engine/asp/command.js';
import { snpActivate } from '../../../../engine/asp/commands/snp-activate.js';
import { snpActivateEx } from '../../../../engine/asp/commands/snp-activate-ex.js';
import { snpCommit } from '../../../../engine/asp/commands/snp-commit.js';
import { type ConfigParams, snpConfig } from '../../../../engine/asp/commands/snp-config.js';
import { snpDfFlush } from '../../../../engine/asp/commands/snp-df-flush.js';
import { snpDownloadFirmwareEx } from '../../../../engine/asp/commands/snp-download-firmware-ex.js';
import { snpFeatureInfo } from '../../../../engine/asp/commands/snp-feature-info.js';
import { snpInit, snpInitEx } from '../../../../engine/asp/commands/snp-init.js';
import { snpShutdownEx } from '../../../../engine/asp/commands/snp-shutdown.js';
import { snpVerifyMitigation } from '../../../../engine/asp/commands/snp-verify-mitigation.js';
import { snpVlekLoad } from '../../../../engine/asp/commands/snp-vlek-load.js';
import { encodeFirmwareImage, type FirmwareImage } from '../../../../engine/asp/firmware-image.js';
import { SNP_COMMAND_ID } from '../../../../engine/asp/mailbox/command-id.js';
import { mailboxCommand } from '../../../../engine/asp/mailbox/mailbox.js';
import { type CoreSetup, wbinvdOnAllCores } from '../../../../engine/asp/state.js';
import type { Machine } from '../../../../engine/machine.js';
import { writePage } from '../../../../engine/memory/system-memory.js';
import type { FirmwareStatusName } from '../../../../engine/spec/firmware-status.js';
import { firmwareProfile, PROCESSOR_PROFILES } from '../../../../engine/spec/versions.js';
import type { Op } from '../../../../engine/timeline/event.js';
import {
  createBareMachine,
  createInitialisedMachine,
  firmwarePage,
  launchGuest,
  must,
  newPage,
} from '../../../support/bare-machine.js';
import { type Case, type CaseTable, END } from './case.js';

type Command = (machine: Machine) => Op<FirmwareResult>;

function onHost(
  name: string,
  status: FirmwareStatusName,
  check: string,
  command: Command,
  machine: Partial<Machine> = {},
): Case {
  return {
    name,
    command: () => {
      const made = createInitialisedMachine(machine);
      return { machine: made, op: command(made) };
    },
    status,
    check: `fw-${check}`,
  };
}

function onReset(name: string, status: FirmwareStatusName, check: string, command: Command, more = {}): Case {
  return {
    name,
    command: () => {
      const machine = createBareMachine(more);
      return { machine, op: command(machine) };
    },
    status,
    check: `fw-${check}`,
  };
}

const abi = (minor: number): Partial<Machine> => ({ firmware: firmwareProfile(minor) });

/** Bytes at the beginning of a new page of the host. */
export function hostBytes(machine: Machine, data: Uint8Array): Spa {
  const frame = newPage(machine);
  const bytes = new Uint8Array(PAGE_SIZE);
  bytes.set(data);
  writePage(machine.memory, frame, { bytes, frozen: false });
  return spaOf(frame);
}

const config = (reportedTcb: bigint, more: Partial<ConfigParams> = {}): Command => {
  return (machine) => snpConfig(machine, { reportedTcb, maskChipId: false, maskChipKey: false, ...more });
};

export const SNP_CONFIG: CaseTable = {
  command: 'SNP_CONFIG',
  cases: [
    onHost('a reserved byte of the TCB', 'INVALID_PARAM', 'config-tcb-reserved', config(0x1_0000n)),
    onHost('the layout of Turin on Genoa', 'INVALID_PARAM', 'config-tcb-reserved', config(0x0500_0000_0403_0201n)),
    onHost('a newer boot loader', 'INVALID_PARAM', 'config-tcb', config(0x0403_0000_0000_0202n)),
    onHost('newer microcode with all else older', 'INVALID_PARAM', 'config-tcb', config(0x0500_0000_0000_0000n)),
    onHost('a TCB that is not committed', 'INVALID_PARAM', 'config-tcb', (machine) => {
      must(install(machine, { minor: 55, build: 1, svn: 9 }));
      return config(0x0404_0000_0000_0201n)(machine);
    }),
  ],
};

export const SNP_COMMIT: CaseTable = {
  command: 'SNP_COMMIT',
  cases: [onHost('a buffer of 8 bytes', 'INVALID_LENGTH', 'command-length', (m) => snpCommit(m, { length: 8 }))],
};

export function wrapped(machine: Machine, tcb = 0x0403_0000_0000_0201n): Uint8Array {
  return wrapVlek(machine, tcb, emulatedHashstick('some-cloud'), new Uint8Array(12).fill(5));
}

function load(machine: Machine, bytes: Uint8Array): Op<FirmwareResult> {
  return snpVlekLoad(machine, { wrappedVersion: 0, wrapped: hostBytes(machine, bytes) });
}

export const SNP_VLEK_LOAD: CaseTable = {
  command: 'SNP_VLEK_LOAD',
  cases: [
    onHost('a wrong length', 'INVALID_LENGTH', 'command-length', (machine) =>
      snpVlekLoad(machine, { length: 0, wrappedVersion: 0, wrapped: END }),
    ),
    onHost('version 1', 'INVALID_PARAM', 'vlek-load-version', (machine) =>
      snpVlekLoad(machine, { wrappedVersion: 1, wrapped: END }),
    ),
    onHost('bytes above memory', 'INVALID_ADDRESS', 'address-range', (machine) =>
      snpVlekLoad(machine, { wrappedVersion: 0, wrapped: spa(END - 431) }),
    ),
    ...[0x0c, 0x0f, 0x198, 0x19f].map((offset) =>
      onHost(`reserved byte 0x${offset.toString(16)}`, 'INVALID_PARAM', 'vlek-load-reserved', (machine) => {
        const bytes = wrapped(machine);
        bytes[offset] = 1;
        return load(machine, bytes);
      }),
    ),
    ...[0x000, 0x010, 0x18f, 0x190, 0x1a0].map((offset) =>
      onHost(`byte 0x${offset.toString(16)} changed`, 'BAD_MEASUREMENT', 'vlek-load-authentication', (machine) => {
        const bytes = wrapped(machine);
        bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
        return load(machine, bytes);
      }),
    ),
    onHost('a hashstick of another chip', 'BAD_MEASUREMENT', 'vlek-load-authentication', (machine) =>
      load(machine, wrapped({ ...machine, processor: PROCESSOR_PROFILES.turin })),
    ),
    onHost('a hashstick for an older TCB', 'INVALID_CONFIG', 'vlek-load-tcb', (machine) =>
      load(machine, wrapped(machine, 0x0402_0000_0000_0201n)),
    ),
  ],
};

export const SNP_FEATURE_INFO: CaseTable = {
  command: 'SNP_FEATURE_INFO',
  cases: [
    onHost(
      'any on ABI 1.54',
      'INVALID_COMMAND',
      'command-unknown',
      (machine) => snpFeatureInfo(machine, { ecxIn: 0, result: firmwarePage(machine) }),
      abi(54),
    ),
    onHost('a wrong length', 'INVALID_LENGTH', 'command-length', (machine) =>
      snpFeatureInfo(machine, { length: 8, ecxIn: 0, result: END }),
    ),
    onHost('sub-function 1', 'INVALID_PARAM', 'feature-info-function', (machine) =>
      snpFeatureInfo(machine, { ecxIn: 1, result: END }),
    ),
    onHost('a Hypervisor page', 'INVALID_PAGE_STATE', 'output-page-state', (machine) =>
      snpFeatureInfo(machine, { ecxIn: 0, result: spaOf(newPage(machine)) }),
    ),
    onHost('a result across pages', 'INVALID_ADDRESS', 'output-crosses-page', (machine) =>
      snpFeatureInfo(machine, { ecxIn: 0, result: spa(firmwarePage(machine) + 0xff8) }),
    ),
  ],
};

export function install(machine: Machine, image: FirmwareImage, commit = false): Op<FirmwareResult> {
  const bytes = encodeFirmwareImage(image);
  return snpDownloadFirmwareEx(machine, { image: hostBytes(machine, bytes), imageLength: bytes.length, commit });
}

function imageCase(
  name: string,
  status: FirmwareStatusName,
  check: string,
  image: Partial<FirmwareImage>,
  edit: (bytes: Uint8Array) => void = () => undefined,
): Case {
  return onHost(name, status, check, (machine) => {
    const bytes = encodeFirmwareImage({ minor: 55, build: 7, svn: 3, ...image });
    edit(bytes);
    return snpDownloadFirmwareEx(machine, {
      image: hostBytes(machine, bytes),
      imageLength: bytes.length,
      commit: false,
    });
  });
}

export const SNP_DOWNLOAD_FIRMWARE_EX: CaseTable = {
  command: 'SNP_DOWNLOAD_FIRMWARE_EX',
  cases: [
    onHost('a wrong length', 'INVALID_LENGTH', 'command-length', (machine) =>
      snpDownloadFirmwareEx(machine, { length: 4, image: END, imageLength: 0, commit: false }),
    ),
    onHost('an image cut short', 'INVALID_LENGTH', 'download-image-length', (machine) =>
      snpDownloadFirmwareEx(machine, { image: spa(0x80_0000), imageLength: 159, commit: false }),
    ),
    onHost('an image above memory', 'INVALID_ADDRESS', 'address-range', (machine) =>
      snpDownloadFirmwareEx(machine, { image: END, imageLength: 160, commit: false }),
    ),
    ...[0, 8, 11, 0x40, 0x9f].map((offset) =>
      imageCase(`byte 0x${offset.toString(16)} changed`, 'BAD_SIGNATURE', 'download-signature', {}, (bytes) => {
        bytes[offset] = (bytes[offset] ?? 0) ^ 1;
      }),
    ),
    imageCase('ABI 1.60', 'UNSUPPORTED', 'download-abi', { minor: 60 }),
    imageCase('an older security version', 'BAD_SVN', 'download-svn', { minor: 58, svn: 2 }),
    imageCase('an older version', 'BAD_VERSION', 'download-version', { minor: 54 }),
    imageCase('an image that needs a shutdown', 'SHUTDOWN_REQUIRED', 'download-shutdown', { needsShutdown: true }),
    imageCase('an image whose test fails', 'UPDATE_FAILED', 'download-failed', { failure: 'refused' }),
    imageCase('an image that stops half way', 'RESTORE_REQUIRED', 'restore-required', { failure: 'half-way' }),
  ],
};

export const AFTER_A_FAILED_UPDATE: CaseTable = {
  command: 'firmware after a failed update',
  cases: [snpCommit, snpDfFlush, snpShutdownEx].map((command) =>
    onHost(`any command: ${command.name}`, 'RESTORE_REQUIRED', 'restore-required', (machine) => {
      machine.asp.restoreRequired = true;
      return command(machine);
    }),
  ),
};

export const SNP_VERIFY_MITIGATION: CaseTable = {
  command: 'SNP_VERIFY_MITIGATION',
  cases: [
    onHost('any on ABI 1.57', 'INVALID_COMMAND', 'command-unknown', (m) => verify(m), abi(57)),
    onHost('a wrong length', 'INVALID_LENGTH', 'command-length', (m) => verify(m, { length: 0x18 }), abi(58)),
    onHost('sub-command 2', 'INVALID_PARAM', 'verify-mitigation-command', (m) => verify(m, { subCommand: 2 }), abi(58)),
    onHost(
      'an unknown mitigation',
      'INVALID_PARAM',
      'verify-mitigation-vector',
      (m) => verify(m, { vector: 2n }),
      abi(58),
    ),
    onHost(
      'a Hypervisor page for the result',
      'INVALID_PAGE_STATE',
      'output-page-state',
      (m) => verify(m, { dst: spaOf(newPage(m)) }),
      abi(58),
    ),
    onHost(
      'a result across pages',
      'INVALID_ADDRESS',
      'output-crosses-page',
      (m) => verify(m, { dst: spa(firmwarePage(m) + 0xff0) }),
      abi(58),
    ),
  ],
};

function verify(machine: Machine, params: Partial<Parameters<typeof snpVerifyMitigation>[1]> = {}): Op<FirmwareResult> {
  return snpVerifyMitigation(machine, { subCommand: 0, vector: 0n, ...params });
}

function activateEx(
  asid: number,
  apicIds: readonly number[],
  more: { length?: number; policy?: bigint } = {},
): Command {
  return (machine) => {
    const policy = more.policy === undefined ? {} : { policy: more.policy };
    const { gctx } = launchGuest(machine, { asid: 0, ...policy });
    return snpActivateEx(machine, { gctx, asid, apicIds, ...(more.length ? { length: more.length } : {}) });
  };
}

const SINGLE_SOCKET = 0x13_0000n;

function twoSockets(command: Command): Command {
  return (machine) => {
    Object.assign(machine.asp, { topology: { sockets: 2, threadsPerSocket: 128 } });
    return command(machine);
  };
}

export const SNP_ACTIVATE_EX: CaseTable = {
  command: 'SNP_ACTIVATE_EX',
  cases: [
    onHost('a wrong length', 'INVALID_LENGTH', 'command-length', activateEx(1, [0], { length: 0x18 })),
    onHost('an empty list', 'INVALID_PARAM', 'activate-ex-empty', activateEx(1, [])),
    onHost('an APIC ID that nobody has', 'INVALID_PARAM', 'activate-ex-apic-id', activateEx(1, [0, 256])),
    onHost('ASID 100', 'INVALID_ASID', 'activate-asid', activateEx(100, [0])),
    onHost("another guest's ASID", 'ASID_OWNED', 'activate-asid-owned', (machine) => {
      launchGuest(machine, { asid: 5 });
      return activateEx(5, [0])(machine);
    }),
    onHost('a second ASID', 'ACTIVE', 'activate-active', (machine) => {
      const { gctx } = launchGuest(machine, { asid: 0 });
      must(snpActivateEx(machine, { gctx, asid: 1, apicIds: [0] }));
      return snpActivateEx(machine, { gctx, asid: 2, apicIds: [1] });
    }),
    onHost('a guest that is active everywhere', 'ACTIVE', 'activate-active', (machine) => {
      const { gctx } = launchGuest(machine, { asid: 1 });
      return snpActivateEx(machine, { gctx, asid: 1, apicIds: [1] });
    }),
    onReset('the first guest without flush', 'DFFLUSH_REQUIRED', 'activate-df-flush', (machine) => {
      must(snpInit(machine));
      return activateEx(1, [0])(machine);
    }),
    onHost(
      'two sockets for a guest of one',
      'POLICY_FAILURE',
      'activate-single-socket',
      twoSockets(activateEx(1, [0, 200], { policy: SINGLE_SOCKET })),
    ),
    onHost(
      'the second socket later',
      'POLICY_FAILURE',
      'activate-single-socket',
      twoSockets((machine) => {
        const { gctx } = launchGuest(machine, { asid: 0, policy: SINGLE_SOCKET });
        must(snpActivateEx(machine, { gctx, asid: 1, apicIds: [130] }));
        return snpActivateEx(machine, { gctx, asid: 1, apicIds: [1] });
      }),
    ),
    onHost(
      'SNP_ACTIVATE of a guest of one socket',
      'POLICY_FAILURE',
      'activate-single-socket',
      twoSockets((machine) => {
        const { gctx } = launchGuest(machine, { asid: 0, policy: SINGLE_SOCKET });
        return snpActivate(machine, { gctx, asid: 1 });
      }),
    ),
  ],
};

const turin = { processor: PROCESSOR_PROFILES.turin };
const GOOD_SYSCFG = 0x388_0000n;

function cores(edit: Partial<CoreSetup>): Command {
  return (machine) => {
    const good = { syscfg: GOOD_SYSCFG, hsavePa: spa(0), rmpBase: machine.rmp.base, rmpEnd: machine.rmp.end };
    machine.asp.cores = [
      { apicId: 0, ...good },
      { apicId: 1, ...good, ...edit },
    ];
    return snpInit(machine);
  };
}

export const PLATFORM_OPTIONS: CaseTable = {
  command: 'SNP_INIT_EX and SNP_SHUTDOWN_EX with options',
  cases: [
    onReset('TIO_EN', 'UNSUPPORTED', 'init-option-unsupported', (m) =>
      snpInitEx(m, { initRmp: true, tioEnable: true }),
    ),
    onReset('MAX_SNP_ASID without hiding', 'INVALID_PARAM', 'init-max-snp-asid', (m) =>
      snpInitEx(m, { initRmp: true, maxSnpAsid: 5 }),
    ),
    ...[0, 100].map((maxSnpAsid) =>
      onReset(
        `hiding with MAX_SNP_ASID ${maxSnpAsid}`,
        'INVALID_PARAM',
        'init-max-snp-asid',
        (m) => snpInitEx(m, { initRmp: true, ciphertextHiding: true, maxSnpAsid }),
        turin,
      ),
    ),
    {
      name: 'an ASID above MAX_SNP_ASID',
      command: () => {
        const machine = createBareMachine(turin);
        must(snpInitEx(machine, { initRmp: true, ciphertextHiding: true, maxSnpAsid: 5 }));
        wbinvdOnAllCores(machine.asp);
        must(snpDfFlush(machine));
        const { gctx } = launchGuest(machine, { asid: 0 });
        return { machine, op: snpActivate(machine, { gctx, asid: 6 }) };
      },
      status: 'INVALID_ASID',
      check: 'fw-activate-asid',
    },
    ...(
      [
        ['memory encryption off', { syscfg: GOOD_SYSCFG & ~(1n << 23n) }],
        ['SNP off', { syscfg: GOOD_SYSCFG & ~(1n << 24n) }],
        ['VMPLs off', { syscfg: GOOD_SYSCFG & ~(1n << 25n) }],
        ['MFDM clear', { syscfg: GOOD_SYSCFG & ~(1n << 19n) }],
        ['another SYSCFG', { syscfg: GOOD_SYSCFG | 1n }],
        ['a host save area', { hsavePa: spa(0x1000) }],
        ['another RMP_BASE', { rmpBase: spa(0x10_0000) }],
        ['another RMP_END', { rmpEnd: spa(0x10_ffff) }],
      ] as const
    ).map(([name, edit]) => onReset(`a core with ${name}`, 'INVALID_CONFIG', 'init-core-msrs', cores(edit))),
    onReset('an IOMMU buffer in the RMP', 'INVALID_PAGE_STATE', 'init-iommu-page', (machine) => {
      machine.asp.iommuPages = [pfnOf(machine.rmp.base)];
      return snpInit(machine);
    }),
    onHost('an IOMMU buffer that is a guest page', 'INVALID_PAGE_STATE', 'init-iommu-page', (machine) => {
      // Context pages stay when the machine forgets its guests.
      const { gctx } = launchGuest(machine, { asid: 0 });
      machine.asp.guests.clear();
      must(snpShutdownEx(machine));
      machine.asp.iommuPages = [pfnOf(gctx)];
      return snpInitEx(machine, { initRmp: false });
    }),
    onHost('a shutdown with a wrong length', 'INVALID_LENGTH', 'command-length', (m) =>
      snpShutdownEx(m, { length: 4 }),
    ),
    onHost(
      'X86_SNP_SHUTDOWN on ABI 1.57',
      'INVALID_PARAM',
      'shutdown-x86-unsupported',
      (m) => snpShutdownEx(m, { x86Shutdown: true }),
      abi(57),
    ),
  ],
};

/** A buffer of zeros but for one word. */
function raw(id: number, offset: number, value: number): Command {
  return (machine) => {
    const bytes = new Uint8Array(0x80);
    new DataView(bytes.buffer).setUint32(offset, value, true);
    return mailboxCommand(machine, id, hostBytes(machine, bytes));
  };
}

export const MAILBOX: CaseTable = {
  command: 'the mailbox',
  cases: [
    onHost('an unknown number', 'INVALID_COMMAND', 'command-unknown', raw(0x0cc, 0, 0)),
    onHost('a reserved bit', 'INVALID_PARAM', 'command-reserved', raw(SNP_COMMAND_ID.SNP_CONFIG, 0x3c, 1)),
    onHost('too many APIC IDs', 'INVALID_PARAM', 'command-list', raw(SNP_COMMAND_ID.SNP_ACTIVATE_EX, 0x14, 1025)),
  ],
};
