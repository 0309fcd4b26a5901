import { defineFault } from '../fault.js';
import { status } from './command.js';

/**
 * Checks on the content of authentic guest messages. Their code is the STATUS in the encrypted response; the command
 * SNP_GUEST_REQUEST itself succeeds. AMD pub. 56860, guest messages.
 */

const FAMILY = 'MSG_*_REQ';
const REPORT = 'AMD pub. 56860, MSG_REPORT_REQ';
const KEY = 'AMD pub. 56860, MSG_KEY_REQ';

export const MESSAGE_RESERVED = defineFault<{ offset: string }>({
  check: 'fw-message-reserved',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_PARAM'),
  title: 'Reserved bits of a guest message are not zero',
  message: (o) => `The request has a reserved bit set at offset ${o.offset} of its payload.`,
  why: 'Reserved bits may get a meaning in a later firmware; a guest that sets them by chance would then ask for something else.',
  hint: 'Clear the whole payload before its fields are written.',
  reference: 'AMD pub. 56860, guest messages',
  confirmed: false,
});

export const MESSAGE_VMPL = defineFault<{ vmpl: number; vmpck: number }>({
  check: 'fw-message-vmpl',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_PARAM'),
  title: 'Guest message names a VMPL that its key may not name',
  message: (o) =>
    o.vmpl > 3
      ? `The request names VMPL ${o.vmpl}; there are VMPL 0 to 3.`
      : `The request names VMPL ${o.vmpl}, but it came under VMPCK${o.vmpck}, which speaks for VMPL ${o.vmpck} and the less privileged ones.`,
  why: 'A report or key tells at which privilege level the requester runs. Code at VMPL n holds the keys from VMPCKn on, so a key may name only its own level and those below it; otherwise a kernel at VMPL 2 could pass for the paravisor at VMPL 0.',
  hint: 'Ask for the VMPL of the key or a higher number, or send the message under a more privileged VMPCK.',
  reference: 'AMD pub. 56860, MSG_REPORT_REQ and MSG_KEY_REQ; Linux Documentation/virt/coco/sev-guest.rst',
  confirmed: true,
});

export const MESSAGE_KEY_SEL = defineFault({
  check: 'fw-message-key-select',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_PARAM'),
  title: 'KEY_SEL 3 is reserved',
  message: () => 'KEY_SEL of the request is 3, which is reserved.',
  why: 'KEY_SEL says which key signs or is the root: 0 the VLEK if there is one and otherwise the VCEK, 1 the VCEK, 2 the VLEK.',
  hint: 'Use KEY_SEL 0.',
  reference: REPORT,
  confirmed: false,
});

export const MESSAGE_NO_VLEK = defineFault({
  check: 'fw-message-no-vlek',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_KEY'),
  title: 'No VLEK loaded',
  message: () => 'KEY_SEL asks for the VLEK, but the platform has none that fits the reported TCB.',
  why: 'A VLEK belongs to a cloud provider, who loads it with SNP_VLEK_LOAD. It does not serve when it is older than the reported TCB.',
  hint: 'Use KEY_SEL 0 or 1, or let the host load a VLEK.',
  reference: 'AMD pub. 56860, MSG_REPORT_REQ and SNP_VLEK_LOAD',
  confirmed: true,
});

export const MESSAGE_VCEK_DISABLED = defineFault<{ select: number }>({
  check: 'fw-message-vcek-disabled',
  layer: 'firmware',
  command: FAMILY,
  code: status('INVALID_KEY'),
  title: 'VCEK disabled for this guest',
  message: (o) =>
    `KEY_SEL ${o.select} leads to the VCEK, which SNP_LAUNCH_FINISH disabled for this guest (VCEK_DIS)${o.select === 0 ? ', and no VLEK is loaded' : ''}.`,
  why: 'A provider that does not want chips to be told apart launches guests with VCEK_DIS; they then get reports and keys under the VLEK only.',
  hint: 'Let the host load a VLEK, or launch with vcek-disabled: false.',
  reference: 'AMD pub. 56860, SNP_LAUNCH_FINISH and MSG_REPORT_REQ',
  confirmed: true,
});

export const KEY_SVN = defineFault<{ requested: number; launched: number }>({
  check: 'fw-message-key-guest-svn',
  layer: 'firmware',
  command: 'MSG_KEY_REQ',
  code: status('INVALID_PARAM'),
  title: 'Derived key for a newer guest',
  message: (o) => `The request asks for GUEST_SVN ${o.requested}; the ID block of this guest says ${o.launched}.`,
  why: 'A guest may derive the keys of its own and of older versions, so that it can read what those stored. A key of a newer version would let an old, broken guest read its successor’s secrets.',
  hint: 'Ask for at most the GUEST_SVN of the ID block; without ID block it is 0.',
  reference: KEY,
  confirmed: true,
});

export const KEY_TCB = defineFault<{ component: string; requested: string; committed: string }>({
  check: 'fw-message-key-tcb',
  layer: 'firmware',
  command: 'MSG_KEY_REQ',
  code: status('INVALID_PARAM'),
  title: 'Derived key for a newer TCB',
  message: (o) =>
    `TCB_VERSION of the request is ${o.requested}, whose ${o.component} is above that of the committed TCB: ${o.committed}.`,
  why: 'Keys bound to a firmware version must not be had on an older one. Each component is compared alone.',
  hint: 'Take TCB_VERSION from COMMITTED_TCB of a report; on family 19h and 1Ah its bytes have different meanings.',
  reference: KEY,
  confirmed: true,
});

export const KEY_MITIGATIONS = defineFault<{ requested: string; launched: string }>({
  check: 'fw-message-key-mitigations',
  layer: 'firmware',
  command: 'MSG_KEY_REQ',
  code: status('INVALID_PARAM'),
  title: 'Derived key for mitigations that were not there',
  message: (o) => `LAUNCH_MIT_VECTOR ${o.requested} has bits that were not set at launch: ${o.launched}.`,
  why: 'A key may be bound to mitigations that were verified when the guest was launched, not to others.',
  hint: 'Ask for a subset of LAUNCH_MIT_VECTOR in a report of this guest.',
  reference: KEY,
  confirmed: false,
});

export const KEY_NO_VMRK = defineFault({
  check: 'fw-message-key-vmrk',
  layer: 'firmware',
  command: 'MSG_KEY_REQ',
  code: status('INVALID_PARAM'),
  title: 'No VM root key yet',
  message: () => 'The request wants a key from the VMRK, but the migration agent of this guest has not given one.',
  why: 'The VM root key of a guest with a migration agent comes from the agent (MSG_VMRK_REQ), so that it is the same on each host.',
  hint: 'Let the agent send MSG_VMRK_REQ first, or derive from the VCEK (ROOT_KEY_SELECT 0).',
  reference: KEY,
  confirmed: false,
});
