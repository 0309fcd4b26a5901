import { defineFault } from '../fault.js';
import type { FirmwareStatusName } from '../spec/firmware-status.js';
import { status } from './command.js';

/**
 * Checks of SNP_GUEST_REQUEST itself, in their order. A message that fails one is not consumed: its sequence number
 * stays free. Which status each failure gives is not public.
 */

type Text = string | number | bigint;

function define<O extends Record<string, Text>>(
  check: string,
  name: FirmwareStatusName,
  text: {
    readonly title: string;
    readonly message: (operands: O) => string;
    readonly why: string;
    readonly hint: string | ((operands: O) => string);
    readonly confirmed?: boolean;
  },
) {
  return defineFault<O>({
    check: `fw-guest-request-${check}`,
    layer: 'firmware',
    command: 'SNP_GUEST_REQUEST',
    code: status(name),
    reference: 'AMD pub. 56860, SNP_GUEST_REQUEST and guest messages',
    ...text,
    confirmed: text.confirmed ?? false,
  });
}

/** The page may hold ciphertext, which looks like any wrong header. */
const readAs = (page: string): string =>
  page === 'Guest-Valid' || page === 'Guest-Invalid' || page === 'Pre-Guest' || page === 'Pre-Swap'
    ? ` The request page is in state ${page}, so the firmware reads its ciphertext.`
    : '';
const SHARED_PAGE =
  'Build the header as the specification lays it out, in a page that the guest shares with the host: the firmware reads it without the guest’s key.';

export const REQUEST_SAME_PAGE = define<{ page: string }>('same-page', 'INVALID_ADDRESS', {
  title: 'Request and response in the same page',
  message: (o) => `REQUEST_PADDR and RESPONSE_PADDR both name the page at ${o.page}.`,
  why: 'The response is written while the request may still be needed, and the two pages must be in different states.',
  hint: 'Give two pages; KVM allocates them with the VM.',
});

export const REQUEST_HEADER_VERSION = define<{ version: number; page: string }>('header-version', 'INVALID_PARAM', {
  title: 'Unknown version of the message header',
  message: (o) => `HDR_VERSION of the message is ${o.version}; the firmware knows 1.${readAs(o.page)}`,
  why: 'The header tells the firmware which key and which nonce to use. What does not look like a header is not tried.',
  hint: SHARED_PAGE,
});

export const REQUEST_HEADER_SIZE = define<{ size: string; page: string }>('header-size', 'INVALID_PARAM', {
  title: 'Wrong size of the message header',
  message: (o) => `HDR_SIZE of the message is ${o.size}; version 1 has 0x60 bytes.${readAs(o.page)}`,
  why: 'The payload begins after the header, so both sides must agree on its size.',
  hint: SHARED_PAGE,
});

export const REQUEST_ALGORITHM = define<{ algorithm: number }>('algorithm', 'INVALID_PARAM', {
  title: 'Unknown algorithm of a guest message',
  message: (o) => `ALGO of the message is ${o.algorithm}; the only one is 1, AES-256-GCM.`,
  why: 'Guest and firmware share 32-byte keys that are used with AES-256-GCM.',
  hint: 'Set the byte at offset 0x30 of the header to 1.',
});

export const REQUEST_RESERVED = define<{ offset: string }>('reserved', 'INVALID_PARAM', {
  title: 'Reserved bytes of the message header are not zero',
  message: (o) => `The byte at offset ${o.offset} of the message header must be zero.`,
  why: 'Bytes 0x28 … 0x2f, 0x38 … 0x3b and 0x3d … 0x5f are reserved.',
  hint: 'Clear the header before its fields are written.',
});

export const REQUEST_VMPCK = define<{ vmpck: number }>('vmpck', 'INVALID_PARAM', {
  title: 'No such VMPCK',
  message: (o) => `MSG_VMPCK of the message is ${o.vmpck}; a guest has VMPCK0 to VMPCK3.`,
  why: 'There is one VM platform communication key for each VMPL.',
  hint: 'Name the key with which the message was encrypted: 0 to 3.',
});

export const REQUEST_SIZE = define<{ size: number; limit: number }>('size', 'INVALID_PARAM', {
  title: 'Guest message longer than its page',
  message: (o) => `MSG_SIZE of the message is ${o.size}; after the header there is room for ${o.limit} bytes.`,
  why: 'A message is one page: a header of 0x60 bytes and at most 4000 bytes of payload.',
  hint: 'MSG_SIZE counts the payload without the header, in bytes, little-endian.',
});

export const REQUEST_SEQUENCE_OVERFLOW = define<{ vmpck: number; count: string }>('sequence-overflow', 'AEAD_OFLOW', {
  title: 'Sequence numbers used up',
  message: (o) => `The last message under VMPCK${o.vmpck} had sequence number ${o.count}; there is none left.`,
  why: 'The sequence number is the nonce of AES-GCM, and a nonce must never come twice under a key.',
  hint: 'Launch the guest anew; it then gets new keys.',
});

export const REQUEST_SEQUENCE = define<{ vmpck: number; sequence: string; expected: string }>(
  'sequence',
  'INVALID_PARAM',
  {
    title: 'Guest message out of sequence',
    message: (o) =>
      `The message has sequence number ${o.sequence} under VMPCK${o.vmpck}; the firmware expects ${o.expected}.`,
    why: 'Guest and firmware count messages for each key: requests are odd, responses even. The number is the nonce of AES-GCM, and it keeps the host from replaying or dropping messages. A number that the firmware has processed is gone, also if the guest never saw the response.',
    hint: (o) =>
      BigInt(o.sequence) < BigInt(o.expected)
        ? `The firmware has processed this number already. If the response was lost, this key must not be used any more: Linux wipes it. Never encrypt another payload under the same number.`
        : 'Count from 1 and add 2 after each response; keep the count in the secrets page, so that the next boot stage goes on from there.',
    confirmed: false,
  },
);

export const REQUEST_TAG = define<{ vmpck: number; sequence: string }>('authentication', 'BAD_MEASUREMENT', {
  title: 'Guest message is not authentic',
  message: (o) => `The tag of the message does not fit VMPCK${o.vmpck}, sequence number ${o.sequence} and the bytes.`,
  why: 'The tag covers the payload and the header from offset 0x30. It shows that the message comes from somebody who has the key, and that the host did not change it.',
  hint: 'Encrypt with VMPCKn of the secrets page for MSG_VMPCK n; nonce: the sequence number as 8 bytes little-endian and 4 zero bytes; additional data: header bytes 0x30 to 0x5f; tag at offset 0. A wiped key (zeros) cannot be used.',
});

export const REQUEST_TYPE = define<{ type: string }>('type', 'INVALID_PARAM', {
  title: 'Unknown type of guest message',
  message: (o) => `MSG_TYPE ${o.type} is no request that SNP firmware knows.`,
  why: 'Requests have odd numbers from 1, MSG_CPUID_REQ, to 0x11, MSG_TSC_INFO_REQ. Real firmware refuses any other number, too.',
  hint: 'Send one of the requests, such as 5, MSG_REPORT_REQ.',
});

export const REQUEST_MESSAGE_VERSION = define<{ type: string; version: number; known: string }>(
  'message-version',
  'INVALID_PARAM',
  {
    title: 'Unknown version of a guest message',
    message: (o) => `MSG_VERSION of the ${o.type} is ${o.version}; this firmware knows ${o.known}.`,
    why: 'The version says how the payload is laid out. Version 2 of MSG_KEY_REQ came with firmware ABI 1.58.',
    hint: 'Use version 1, or a firmware that knows the newer one.',
  },
);

export const REQUEST_MESSAGE_SIZE = define<{ type: string; size: number; needed: string }>(
  'message-size',
  'INVALID_PARAM',
  {
    title: 'Guest message of the wrong size',
    message: (o) => `The payload of the ${o.type} has ${o.size} bytes; it must have ${o.needed}.`,
    why: 'Each request is a fixed structure. Another size usually means that a field was left out or that the header was counted in.',
    hint: 'Set MSG_SIZE to the size of the payload structure.',
  },
);
