import assert from 'node:assert/strict';
import { PAGE_SIZE, pfnOf, type Spa, spaOf } from '../../../engine/address.js';
import { snpGuestRequest } from '../../../engine/asp/commands/snp-guest-request.js';
import { type LaunchFinishParams, snpLaunchFinish } from '../../../engine/asp/commands/snp-launch-finish.js';
import { snpLaunchUpdate } from '../../../engine/asp/commands/snp-launch-update.js';
import { decodeMessageHeader, type Message, openMessage, sealMessage } from '../../../engine/asp/guest-message.js';
import { SECRETS_LAYOUT } from '../../../engine/asp/secrets-page.js';
import type { GuestContext } from '../../../engine/asp/state.js';
import type { Machine } from '../../../engine/machine.js';
import { readPage, writePage } from '../../../engine/memory/system-memory.js';
import { PAGE_TYPE } from '../../../engine/spec/page-type.js';
import {
  type BareGuest,
  createInitialisedMachine,
  firmwarePage,
  launchGuest,
  must,
  newPage,
  preGuestPage,
} from '../../support/bare-machine.js';
import { finish } from './refusals/launch-finish.js';

/** A running guest with what it and its host need to talk to the firmware. The guest knows its secrets page only. */
export interface Channel {
  readonly machine: Machine;
  readonly gctx: Spa;
  readonly guest: GuestContext;
  /** The page in which the host hands the message over, and that for the answer. */
  readonly request: Spa;
  readonly response: Spa;
  /** VMPCK0 … 3 as the guest reads them in its secrets page. */
  readonly keys: readonly Uint8Array[];
}

export interface ChannelOptions {
  readonly machine?: Partial<Machine>;
  readonly policy?: bigint;
  readonly finish?: (made: BareGuest, machine: Machine) => Partial<LaunchFinishParams>;
}

/** Launches a guest of one NORMAL page and the secrets page. */
export function openChannel(options: ChannelOptions = {}): Channel {
  const machine = createInitialisedMachine(options.machine);
  const made = launchGuest(machine, options.policy === undefined ? {} : { policy: options.policy });
  const { gctx, guest } = made;
  const update = { gctx, pageSize2M: false, vmplMasks: [0, 0, 0], imiPage: false } as const;
  const code = preGuestPage(machine, 1, 0x1000);
  writePage(machine.memory, pfnOf(code), { bytes: new Uint8Array(PAGE_SIZE).fill(0xf4), frozen: true });
  must(snpLaunchUpdate(machine, { ...update, page: code, pageType: PAGE_TYPE.NORMAL }));
  const secrets = preGuestPage(machine, 1, 0x2000);
  must(snpLaunchUpdate(machine, { ...update, page: secrets, pageType: PAGE_TYPE.SECRETS }));
  must(snpLaunchFinish(machine, finish(gctx, options.finish?.(made, machine))));
  const seen = readPage(machine.memory, pfnOf(secrets), guest.vek);
  return {
    machine,
    gctx,
    guest,
    request: spaOf(newPage(machine)),
    response: firmwarePage(machine),
    keys: SECRETS_LAYOUT.vmpck.map((offset) => seen.slice(offset, offset + 32)),
  };
}

/** Writes the bytes of a message into the request page, as the host does. */
export function putRequest({ machine, request }: Channel, message: Uint8Array): void {
  const bytes = new Uint8Array(PAGE_SIZE);
  bytes.set(message);
  writePage(machine.memory, pfnOf(request), { bytes, frozen: false });
}

export function key({ keys }: Channel, vmpck: number): Uint8Array {
  const found = keys[vmpck];
  assert.ok(found);
  return found;
}

/** The command with the message of the guest in place; `edit` changes its bytes on the way. */
export function requestOp(
  channel: Channel,
  message: Partial<Message> & Pick<Message, 'type' | 'payload'>,
  edit: (bytes: Uint8Array) => void = () => undefined,
) {
  const full: Message = { sequence: 1n, version: 1, vmpck: 0, ...message };
  const bytes = sealMessage(channel.keys[full.vmpck] ?? key(channel, 0), full);
  edit(bytes);
  putRequest(channel, bytes);
  return snpGuestRequest(channel.machine, channel);
}

/** The answer as the guest reads it, with the checks that Linux verify_and_dec_payload() makes. */
export function readResponse(channel: Channel, request: { sequence: bigint; type: number; vmpck: number }): Message {
  const page = readPage(channel.machine.memory, pfnOf(channel.response));
  const header = decodeMessageHeader(page);
  assert.equal(header.sequence, request.sequence + 1n);
  assert.equal(header.type, request.type + 1);
  assert.equal(header.vmpck, request.vmpck);
  assert.deepEqual([header.algorithm, header.headerVersion, header.headerSize], [1, 1, 0x60]);
  assert.equal(header.reservedAt, undefined);
  const message = openMessage(key(channel, request.vmpck), page);
  assert.ok(message, 'the answer is not authentic');
  return message;
}

/** Sends a message that must be processed and returns the payload of the answer. */
export function exchange(channel: Channel, type: number, payload: Uint8Array, more: Partial<Message> = {}): Uint8Array {
  const vmpck = more.vmpck ?? 0;
  const sequence = more.sequence ?? (channel.guest.messageCount[vmpck] ?? 0n) + 1n;
  must(requestOp(channel, { ...more, type, payload, sequence }));
  return readResponse(channel, { sequence, type, vmpck }).payload;
}
