import { type Spa, spa } from '../../../../engine/address.js';
import { CPUID_HANDLER } from '../../../../engine/asp/attestation/cpuid-request.js';
import { encodeKeyRequest, type KeyRequest } from '../../../../engine/asp/attestation/key-request.js';
import { encodeReportRequest, type ReportRequest } from '../../../../engine/asp/attestation/report-request.js';
import { type GuestRequestResult, snpGuestRequest } from '../../../../engine/asp/commands/snp-guest-request.js';
import { type CpuidEntry, encodeCpuidPage } from '../../../../engine/asp/cpuid-table.js';
import { MESSAGE_TYPE, type Message } from '../../../../engine/asp/guest-message.js';
import { view } from '../../../../engine/bytes.js';
import type { Machine } from '../../../../engine/machine.js';
import type { FirmwareStatusName } from '../../../../engine/spec/firmware-status.js';
import { firmwareProfile } from '../../../../engine/spec/versions.js';
import type { Op } from '../../../../engine/timeline/event.js';
import {
  createBareMachine,
  createGuest,
  createInitialisedMachine,
  firmwarePage,
  launchGuest,
} from '../../../support/bare-machine.js';
import { type Channel, type ChannelOptions, openChannel, requestOp } from '../guest-channel.js';
import { type Case, type CaseTable, END } from './case.js';
import { CACHE } from './launch-update.js';

const REPORT: Pick<Message, 'type' | 'payload'> = {
  type: MESSAGE_TYPE.REPORT_REQ,
  payload: encodeReportRequest({ reportData: new Uint8Array(64).fill(7), vmpl: 0 }),
};

type Pages = Partial<Record<'gctx' | 'request' | 'response', Spa>>;

/** A report request of a running guest, with other pages. */
function pagesCase(name: string, status: FirmwareStatusName, check: string, pages: (channel: Channel) => Pages): Case {
  return {
    name,
    command: () => {
      const channel = openChannel();
      requestOp(channel, REPORT);
      const { machine, gctx, request, response } = channel;
      return { machine, op: snpGuestRequest(machine, { gctx, request, response, ...pages(channel) }) };
    },
    status,
    check: `fw-${check}`,
  };
}

/** A message of a running guest, changed before it is sealed or afterwards, on its way through the host. */
function messageCase(
  name: string,
  status: FirmwareStatusName,
  check: string,
  message: Partial<Message>,
  edit?: (bytes: Uint8Array) => void,
  arrange: (channel: Channel) => void = () => undefined,
): Case {
  return {
    name,
    command: () => {
      const channel = openChannel();
      arrange(channel);
      return { machine: channel.machine, op: requestOp(channel, { ...REPORT, ...message }, edit) };
    },
    status,
    check: `fw-guest-request-${check}`,
  };
}

const put =
  (offset: number, value: number) =>
  (bytes: Uint8Array): void => {
    bytes[offset] = value;
  };

export const SNP_GUEST_REQUEST: CaseTable = {
  command: 'SNP_GUEST_REQUEST',
  cases: [
    {
      name: 'before SNP_INIT',
      command: () => {
        const machine = createBareMachine();
        const page = spa(0x80_0000);
        return { machine, op: snpGuestRequest(machine, { gctx: page, request: page, response: page }) };
      },
      status: 'INVALID_PLATFORM_STATE',
      check: 'fw-platform-state',
    },
    {
      name: 'a guest that is being launched',
      command: () => {
        const machine = createInitialisedMachine();
        const { gctx } = launchGuest(machine);
        return { machine, op: snpGuestRequest(machine, { gctx, request: gctx, response: gctx }) };
      },
      status: 'INVALID_GUEST_STATE',
      check: 'fw-guest-state',
    },
    {
      name: 'a report for a guest in state INIT',
      command: () => {
        const machine = createInitialisedMachine();
        const { gctx, guest } = createGuest(machine);
        const request = firmwarePage(machine);
        const channel = { machine, gctx, guest, request, response: firmwarePage(machine), keys: guest.vmpck };
        return { machine, op: requestOp(channel, REPORT) };
      },
      status: 'INVALID_GUEST_STATE',
      check: 'fw-guest-state',
    },
    pagesCase('a page that is no context', 'INVALID_GUEST', 'guest-context', ({ request }) => ({ gctx: request })),
    pagesCase('an odd request address', 'INVALID_ADDRESS', 'address-alignment', ({ request }) => ({
      request: spa(request + 8),
    })),
    pagesCase('a request above memory', 'INVALID_ADDRESS', 'address-range', () => ({ request: END })),
    pagesCase('an odd response address', 'INVALID_ADDRESS', 'address-alignment', ({ response }) => ({
      response: spa(response + 8),
    })),
    pagesCase('a response above memory', 'INVALID_ADDRESS', 'address-range', () => ({ response: END })),
    pagesCase('one page for both', 'INVALID_ADDRESS', 'guest-request-same-page', ({ response }) => ({
      request: response,
    })),
    pagesCase(
      'a Hypervisor page for the response',
      'INVALID_PAGE_STATE',
      'output-page-state',
      ({ request, response }) => ({
        request: response,
        response: request,
      }),
    ),
    pagesCase('the RMP for the response', 'INVALID_PAGE_STATE', 'output-page-state', () => ({ response: spa(0) })),
    pagesCase('the context for the response', 'INVALID_PAGE_STATE', 'output-page-state', ({ gctx }) => ({
      response: gctx,
    })),
    pagesCase('a private page of the guest', 'INVALID_PARAM', 'guest-request-header-version', ({ guest }) => ({
      request: spa((guest.measured[0]?.pfn ?? 0) * 4096),
    })),
    messageCase('header version 2', 'INVALID_PARAM', 'header-version', {}, put(0x31, 2)),
    messageCase('a header of 0x50 bytes', 'INVALID_PARAM', 'header-size', {}, put(0x32, 0x50)),
    messageCase('algorithm 0', 'INVALID_PARAM', 'algorithm', {}, put(0x30, 0)),
    ...[0x28, 0x2f, 0x38, 0x3b, 0x3d, 0x5f].map((offset) =>
      messageCase(`reserved byte 0x${offset.toString(16)}`, 'INVALID_PARAM', 'reserved', {}, put(offset, 1)),
    ),
    messageCase('VMPCK 4', 'INVALID_PARAM', 'vmpck', { vmpck: 4 }),
    messageCase('4001 bytes', 'INVALID_PARAM', 'size', {}, (bytes) => view(bytes).setUint16(0x36, 4001, true)),
    messageCase('sequence number 0', 'INVALID_PARAM', 'sequence', { sequence: 0n }),
    messageCase('sequence number 3 at first', 'INVALID_PARAM', 'sequence', { sequence: 3n }),
    messageCase('a number again', 'INVALID_PARAM', 'sequence', { sequence: 1n }, undefined, ({ guest }) => {
      guest.messageCount[0] = 2n;
    }),
    messageCase('the last number', 'AEAD_OFLOW', 'sequence-overflow', { sequence: 2n ** 64n - 1n }, undefined, (c) => {
      c.guest.messageCount[0] = 2n ** 64n - 2n;
    }),
    messageCase('a changed tag', 'BAD_MEASUREMENT', 'authentication', {}, (bytes) =>
      put(0, (bytes[0] ?? 0) ^ 1)(bytes),
    ),
    messageCase('a changed payload', 'BAD_MEASUREMENT', 'authentication', {}, (bytes) =>
      put(0x60, (bytes[0x60] ?? 0) ^ 1)(bytes),
    ),
    messageCase('a changed type', 'BAD_MEASUREMENT', 'authentication', {}, put(0x34, 3)),
    messageCase('a payload cut short', 'BAD_MEASUREMENT', 'authentication', {}, put(0x36, 95)),
    messageCase('the key of another VMPL', 'BAD_MEASUREMENT', 'authentication', {}, put(0x3c, 1)),
    ...[0, 2, 6, 18, 19, 255].map((type) => messageCase(`type ${type}`, 'INVALID_PARAM', 'type', { type })),
    messageCase('version 2 of a report request', 'INVALID_PARAM', 'message-version', { version: 2 }),
    messageCase('version 2 of a key request on 1.55', 'INVALID_PARAM', 'message-version', {
      type: MESSAGE_TYPE.KEY_REQ,
      version: 2,
      payload: new Uint8Array(40),
    }),
    ...(
      [
        [MESSAGE_TYPE.REPORT_REQ, 95],
        [MESSAGE_TYPE.REPORT_REQ, 97],
        [MESSAGE_TYPE.KEY_REQ, 40],
        [MESSAGE_TYPE.CPUID_REQ, 15],
        [MESSAGE_TYPE.TSC_INFO_REQ, 0],
        [MESSAGE_TYPE.VMRK_REQ, 32],
        [MESSAGE_TYPE.EXPORT_REQ, 8],
        [MESSAGE_TYPE.IMPORT_REQ, 0x31f],
        [MESSAGE_TYPE.ABSORB_REQ, 0x321],
        [MESSAGE_TYPE.ABSORB_NOMA_REQ, 0],
      ] as const
    ).map(([type, size]) =>
      messageCase(`${size} bytes of type ${type}`, 'INVALID_PARAM', 'message-size', {
        type,
        payload: new Uint8Array(size),
      }),
    ),
    messageCase('a CPUID table cut short', 'INVALID_PARAM', 'message-size', {
      type: CPUID_HANDLER.type,
      payload: encodeCpuidPage([CACHE, CACHE]).slice(0, 100),
    }),
  ],
};

/** An authentic message whose STATUS says no, although the command succeeds. */
export interface MessageCase {
  readonly name: string;
  readonly send: () => { readonly channel: Channel; readonly op: Op<GuestRequestResult>; readonly sent: Sent };
  readonly status: FirmwareStatusName;
  readonly check: string;
}

interface Sent {
  readonly type: number;
  readonly vmpck: number;
}

function statusCase(
  name: string,
  status: FirmwareStatusName,
  check: string,
  message: Partial<Message> & Pick<Message, 'type' | 'payload'>,
  options: ChannelOptions = {},
  arrange: (channel: Channel) => void = () => undefined,
): MessageCase {
  return {
    name,
    send: () => {
      const channel = openChannel(options);
      arrange(channel);
      const sent = { type: message.type, vmpck: message.vmpck ?? 0 };
      return { channel, op: requestOp(channel, message), sent };
    },
    status,
    check: `fw-${check}`,
  };
}

const noVcek: ChannelOptions = { finish: () => ({ vcekDisabled: true }) };
const abi = (minor: number): Partial<Machine> => ({ firmware: firmwareProfile(minor) });

function reportMessage(
  fields: Partial<ReportRequest>,
  edit: (payload: Uint8Array) => void = () => undefined,
  more: Partial<Message> = {},
): Partial<Message> & Pick<Message, 'type' | 'payload'> {
  const payload = encodeReportRequest({ reportData: new Uint8Array(64), vmpl: 0, ...fields });
  edit(payload);
  return { type: MESSAGE_TYPE.REPORT_REQ, payload, ...more };
}

function keyMessage(
  fields: Partial<KeyRequest>,
  edit: (payload: Uint8Array) => void = () => undefined,
  more: Partial<Message> = {},
): Partial<Message> & Pick<Message, 'type' | 'payload'> {
  const payload = encodeKeyRequest({ rootKey: 0, keySelect: 0, fields: 0n, vmpl: 0, guestSvn: 0, tcb: 0n, ...fields });
  edit(payload);
  return { type: MESSAGE_TYPE.KEY_REQ, payload, ...more };
}

const cpuidMessage = (entries: readonly CpuidEntry[], edit: (payload: Uint8Array) => void = () => undefined) => {
  const payload = encodeCpuidPage(entries).slice(0, 16 + 48 * entries.length);
  edit(payload);
  return { type: MESSAGE_TYPE.CPUID_REQ, payload };
};

export const GUEST_MESSAGES: readonly MessageCase[] = [
  statusCase(
    'a report request with a reserved byte',
    'INVALID_PARAM',
    'message-reserved',
    reportMessage({}, put(0x5f, 1)),
  ),
  statusCase('a report request with KEY_SEL 4', 'INVALID_PARAM', 'message-reserved', reportMessage({ keySelect: 4 })),
  statusCase('a report for VMPL 4', 'INVALID_PARAM', 'message-vmpl', reportMessage({ vmpl: 4 })),
  statusCase(
    'a report for VMPL 0 under VMPCK1',
    'INVALID_PARAM',
    'message-vmpl',
    reportMessage({}, undefined, { vmpck: 1 }),
  ),
  statusCase('a report with KEY_SEL 3', 'INVALID_PARAM', 'message-key-select', reportMessage({ keySelect: 3 })),
  statusCase('a report under a VLEK', 'INVALID_KEY', 'message-no-vlek', reportMessage({ keySelect: 2 })),
  statusCase(
    'a report under a disabled VCEK',
    'INVALID_KEY',
    'message-vcek-disabled',
    reportMessage({ keySelect: 1 }),
    noVcek,
  ),
  statusCase('a report with VCEK_DIS and no VLEK', 'INVALID_KEY', 'message-vcek-disabled', reportMessage({}), noVcek),
  ...[0x01, 0x04, 0x07].map((offset) =>
    statusCase(
      `a key request with reserved byte ${offset}`,
      'INVALID_PARAM',
      'message-reserved',
      keyMessage({}, put(offset, 1)),
    ),
  ),
  statusCase(
    'a key request with field 6 in version 1',
    'INVALID_PARAM',
    'message-reserved',
    keyMessage({ fields: 0x40n }),
  ),
  statusCase(
    'a key request with field 7 in version 2',
    'INVALID_PARAM',
    'message-reserved',
    keyMessage({ fields: 0x80n, mitigations: 0n }, undefined, { version: 2 }),
    { machine: abi(58) },
  ),
  statusCase(
    'a key for VMPL 1 under VMPCK2',
    'INVALID_PARAM',
    'message-vmpl',
    keyMessage({ vmpl: 1 }, undefined, { vmpck: 2 }),
  ),
  statusCase('a key for SVN 1 without ID block', 'INVALID_PARAM', 'message-key-guest-svn', keyMessage({ guestSvn: 1 })),
  statusCase('a key for a newer boot loader', 'INVALID_PARAM', 'message-key-tcb', keyMessage({ tcb: 2n })),
  statusCase(
    'a key for mitigations',
    'INVALID_PARAM',
    'message-key-mitigations',
    keyMessage({ mitigations: 1n }, undefined, { version: 2 }),
    { machine: abi(58) },
  ),
  statusCase('a key with KEY_SEL 3', 'INVALID_PARAM', 'message-key-select', keyMessage({ keySelect: 3 })),
  statusCase('a key from the VLEK', 'INVALID_KEY', 'message-no-vlek', keyMessage({ keySelect: 2 })),
  statusCase('a key from a disabled VCEK', 'INVALID_KEY', 'message-vcek-disabled', keyMessage({}), noVcek),
  statusCase(
    'a key from a VMRK not yet given',
    'INVALID_PARAM',
    'message-key-vmrk',
    keyMessage({ rootKey: 1 }),
    {},
    (c) => {
      c.guest.reportIdMa = new Uint8Array(32);
    },
  ),
  statusCase('complex cache indexing', 'INVALID_PARAM', 'launch-update-cpuid-policy', cpuidMessage([CACHE])),
  statusCase('65 CPUID entries', 'INVALID_PARAM', 'launch-update-cpuid-count', {
    type: MESSAGE_TYPE.CPUID_REQ,
    payload: (() => {
      const payload = new Uint8Array(16 + 64 * 48);
      payload[0] = 65;
      return payload;
    })(),
  }),
  statusCase(
    'a reserved byte in the CPUID request',
    'INVALID_PARAM',
    'launch-update-cpuid-reserved',
    cpuidMessage([], put(8, 1)),
  ),
  statusCase('a TSC request that is not empty', 'INVALID_PARAM', 'message-reserved', {
    type: MESSAGE_TYPE.TSC_INFO_REQ,
    payload: new Uint8Array(128).fill(1, 127),
  }),
];
