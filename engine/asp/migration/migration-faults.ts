import { defineFault } from '../../fault.js';
import { status } from '../command.js';

/**
 * Checks on messages that move guests between hosts. Their code is the STATUS in the encrypted response, for which no
 * public source has other values than INVALID_PARAM. github.com/AMDESE/sev-tool src/rmp.h for layouts; who may ask for
 * what: Paradžik et al., formal analysis of SEV-SNP.
 */

type Text = string | number | bigint;

function define<O extends Record<string, Text>>(
  check: string,
  text: {
    readonly title: string;
    readonly message: (operands: O) => string;
    readonly why: string;
    readonly hint: string;
  },
) {
  return defineFault<O>({
    check: `fw-migration-${check}`,
    layer: 'firmware',
    command: 'MSG_*_REQ',
    code: status('INVALID_PARAM'),
    reference: 'AMD pub. 56860, guest messages for migration; AMDESE/sev-tool src/rmp.h',
    confirmed: false,
    ...text,
  });
}

export const MIGRATION_VMPCK = define<{ vmpck: number }>('vmpck', {
  title: 'Migration message from a lower privilege level',
  message: (o) => `The message came under VMPCK${o.vmpck}; it acts for a whole guest, which only VMPL 0 may.`,
  why: 'A key may name its own privilege level and the less privileged ones. These messages hold or replace the keys of all levels.',
  hint: 'Send the message under VMPCK0.',
});

export const MIGRATION_TARGET = define<{ gctx: string }>('target', {
  title: 'Migration message for something that is no other guest',
  message: (o) => `GCTX_PADDR ${o.gctx} is not the Context page of another guest.`,
  why: 'The agent names the guest by the address of its context, which it gets from the host.',
  hint: 'Pass the address that SNP_GCTX_CREATE was given for the guest.',
});

export const MIGRATION_AGENT = define<{ gctx: string }>('agent', {
  title: 'Guest has another migration agent',
  message: (o) => `REPORT_ID_MA of the guest with context ${o.gctx} is not the REPORT_ID of the requester.`,
  why: 'A guest is bound to its agent by SNP_LAUNCH_START, and its attestation report says to which. Nobody else may take it along.',
  hint: 'Launch the guest with MA_EN and the context of this agent.',
});

export const MIGRATION_STATE = define<{ state: string; needed: string }>('state', {
  title: 'Guest in the wrong state for the migration message',
  message: (o) => `The guest is in state ${o.state}; the message needs ${o.needed}.`,
  why: 'Contexts leave a guest that was launched and enter one that holds nothing yet: INIT for an import, LAUNCH for an absorb.',
  hint: 'Create a fresh context for an import; launch the incoming migration image for an absorb.',
});

export const MIGRATION_NOT_SWAPPED = define<{ gctx: string }>('not-swapped-out', {
  title: 'Guest is not swapped out',
  message: (o) => `The guest with context ${o.gctx} has no root metadata entry.`,
  why: 'Pages travel as SNP_PAGE_SWAP_OUT wrote them. The root entry in the context vouches for the metadata pages, and those for all other pages; without it the new host could bring in old contents.',
  hint: 'Swap out all pages, then the metadata pages, the last of them with ROOT_MDATA_EN.',
});

export const MIGRATION_NO_IMI = define<{ gctx: string }>('no-image', {
  title: 'Guest has no incoming migration image',
  message: (o) => `The guest with context ${o.gctx} was launched without IMI_EN.`,
  why: 'A context is absorbed by a guest whose launch loaded the code that receives it, and whose digest is known on both sides.',
  hint: 'Launch with IMI_EN and pages with IMI_PAGE, or import into an empty context.',
});

export const MIGRATION_IMD = define<{ expected: string; actual: string }>('image-digest', {
  title: 'Digest of the incoming migration image differs',
  message: (o) => `The context expects the image ${o.expected}; the guest was launched with ${o.actual}.`,
  why: 'The guest owner measured the image that may take over the guest. Another one could read its secrets.',
  hint: 'Launch the target with exactly the IMI pages of the source.',
});

export const MIGRATION_SIZE = define<{ size: number; version: number }>('context-version', {
  title: 'Unknown layout of the guest context',
  message: (o) =>
    `The message holds a context of ${o.size} bytes, version ${o.version}; the firmware knows 0x300 bytes, version 2.`,
  why: 'Firmware versions lay out the context differently; a wrong one would put keys into the wrong fields.',
  hint: 'Export with a firmware of the same GCTX_VERSION.',
});

export const MIGRATION_CONTEXT = define<{ offset: string }>('context-invalid', {
  title: 'Guest context is not valid',
  message: (o) => `The field at offset ${o.offset} of the context has a value that no context has.`,
  why: 'Reserved bytes are zero, and the state is one of three.',
  hint: 'Pass on the context as MSG_EXPORT_RSP gave it.',
});

export const MIGRATION_POLICY = define<{ reason: string }>('policy', {
  title: 'Policy of the guest forbids the move',
  message: (o) => `${o.reason}`,
  why: 'The policy travels with the guest and holds on every host: it must allow a migration agent, and the new platform must fulfil it as at a launch.',
  hint: 'Move the guest to a platform that fulfils its policy; MIGRATE_MA (bit 18) has to be set at launch.',
});

export const MIGRATION_REQUESTER = define<{ reason: string }>('requester', {
  title: 'Requester cannot do that',
  message: (o) => `${o.reason}.`,
  why: 'An agent that is moved itself could be copied with the secrets of its guests; a guest without agent absorbs a context into itself, one with agent leaves that to the agent.',
  hint: 'Send the message from the right guest.',
});
