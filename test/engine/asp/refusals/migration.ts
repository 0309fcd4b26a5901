import { MESSAGE_TYPE, type Message } from '../../../../engine/asp/guest-message.js';
import { encodeExportRequest } from '../../../../engine/asp/migration/export-request.js';
import { type ExportedContext, encodeContext } from '../../../../engine/asp/migration/exported-context.js';
import { encodeImportRequest } from '../../../../engine/asp/migration/import-request.js';
import { encodeVmrkRequest } from '../../../../engine/asp/migration/vmrk-request.js';
import { view } from '../../../../engine/bytes.js';
import { createGuest } from '../../../support/bare-machine.js';
import { type Channel, openChannel, requestOp } from '../guest-channel.js';
import { type Client, launchClient, MIGRATABLE } from '../migration/agent.js';
import type { MessageCase } from './guest-request.js';

interface Request {
  readonly type: number;
  readonly payload: Uint8Array;
  readonly vmpck?: number;
}

function migrationCase(
  name: string,
  check: string,
  request: (channel: Channel) => Request,
  policy?: bigint,
): MessageCase {
  return {
    name,
    send: () => {
      const channel = openChannel(policy === undefined ? {} : { policy });
      const message: Partial<Message> & Request = request(channel);
      return { channel, op: requestOp(channel, message), sent: { type: message.type, vmpck: message.vmpck ?? 0 } };
    },
    status: 'INVALID_PARAM',
    check: `fw-${check}`,
  };
}

const vmrk = (gctx: number): Request => ({
  type: MESSAGE_TYPE.VMRK_REQ,
  payload: encodeVmrkRequest(gctx, new Uint8Array(32).fill(9)),
});

const exported = (gctx: number, imiEnabled = false): Request => ({
  type: MESSAGE_TYPE.EXPORT_REQ,
  payload: encodeExportRequest(gctx, imiEnabled),
});

/** A context that any empty guest could take. */
function context({ guest }: Channel, fields: Partial<ExportedContext> = {}): Uint8Array {
  const { idBlock, ...rest } = guest;
  return encodeContext({ ...rest, policy: MIGRATABLE, ...fields });
}

type ContextMessage = 'IMPORT_REQ' | 'ABSORB_REQ' | 'ABSORB_NOMA_REQ';

function send(name: ContextMessage, gctx: number, bytes: Uint8Array, edit?: (payload: Uint8Array) => void): Request {
  const payload = encodeImportRequest(gctx, bytes);
  edit?.(payload);
  return { type: MESSAGE_TYPE[name], payload };
}

const put =
  (offset: number, value: number) =>
  (payload: Uint8Array): void => {
    view(payload).setUint32(offset, value, true);
  };

const edited = (request: Request, offset: number, value: number): Request => {
  put(offset, value)(request.payload);
  return request;
};

const under = (request: Request, vmpck: number): Request => ({ ...request, vmpck });
const empty = ({ machine }: Channel): number => createGuest(machine).gctx;
const launching = (channel: Channel, imiEnabled = true): Client =>
  launchClient(channel, { imiEnabled, launching: true, pages: [1] });

export const MIGRATION_MESSAGES: readonly MessageCase[] = [
  // VMRK
  migrationCase('a VMRK under VMPCK1', 'migration-vmpck', (c) => under(vmrk(launchClient(c).gctx), 1)),
  migrationCase('a VMRK with a reserved byte', 'message-reserved', (c) => edited(vmrk(launchClient(c).gctx), 8, 1)),
  migrationCase('a VMRK for itself', 'migration-target', (c) => vmrk(c.gctx)),
  migrationCase('a VMRK for a page that is no context', 'migration-target', (c) => vmrk(c.request)),
  migrationCase('a VMRK for a guest without agent', 'migration-agent', (c) => vmrk(empty(c))),
  migrationCase('a VMRK for a guest in state INIT', 'migration-state', (c) => {
    const { gctx, guest } = createGuest(c.machine);
    guest.reportIdMa = c.guest.reportId.slice();
    return vmrk(gctx);
  }),
  // EXPORT
  migrationCase('an export under VMPCK3', 'migration-vmpck', (c) => under(exported(launchClient(c).gctx), 3)),
  migrationCase('an export with a reserved bit', 'message-reserved', (c) => edited(exported(c.gctx), 8, 2)),
  migrationCase('an export with a reserved byte', 'message-reserved', (c) => edited(exported(c.gctx), 12, 1)),
  migrationCase('an export of itself', 'migration-target', (c) => exported(c.gctx)),
  migrationCase('an export of the guest of another agent', 'migration-agent', (c) => {
    const { gctx, guest } = launchClient(c);
    guest.reportIdMa = new Uint8Array(32).fill(1);
    return exported(gctx);
  }),
  migrationCase('an export of a guest in state INIT', 'migration-state', (c) => {
    const { gctx, guest } = createGuest(c.machine);
    guest.reportIdMa = c.guest.reportId.slice();
    return exported(gctx);
  }),
  migrationCase('an export for an image that is not there', 'migration-no-image', (c) =>
    exported(launchClient(c).gctx, true),
  ),
  migrationCase('an export of a guest with pages', 'migration-not-swapped-out', (c) => exported(launchClient(c).gctx)),
  // IMPORT
  migrationCase('an import under VMPCK1', 'migration-vmpck', (c) => under(send('IMPORT_REQ', empty(c), context(c)), 1)),
  migrationCase(
    'an import by a guest that is migrated itself',
    'migration-requester',
    (c) => send('IMPORT_REQ', empty(c), context(c)),
    MIGRATABLE,
  ),
  migrationCase('an import into itself', 'migration-target', (c) => send('IMPORT_REQ', c.gctx, context(c))),
  migrationCase('an import into a launched guest', 'migration-state', (c) =>
    send('IMPORT_REQ', launchClient(c).gctx, context(c)),
  ),
  migrationCase('a context of 0x2ff bytes', 'migration-context-version', (c) =>
    send('IMPORT_REQ', empty(c), context(c), put(8, 0x2ff)),
  ),
  migrationCase('a context of version 1', 'migration-context-version', (c) =>
    send('IMPORT_REQ', empty(c), context(c), put(0xc, 1)),
  ),
  migrationCase('an import with a reserved byte', 'message-reserved', (c) =>
    send('IMPORT_REQ', empty(c), context(c), put(0x1c, 1)),
  ),
  ...(
    [
      [0x220, 4],
      [0x230, 3],
      [0x234, 1],
      [0x2fc, 1],
    ] as const
  ).map(([offset, value]) =>
    migrationCase(`a context with 0x${offset.toString(16)} wrong`, 'migration-context-invalid', (c) =>
      send('IMPORT_REQ', empty(c), context(c), put(0x20 + offset, value)),
    ),
  ),
  migrationCase('a policy that this platform cannot keep', 'migration-policy', (c) =>
    send('IMPORT_REQ', empty(c), context(c, { policy: 0x6_0000n })),
  ),
  migrationCase('a policy without MIGRATE_MA', 'migration-policy', (c) =>
    send('IMPORT_REQ', empty(c), context(c, { policy: 0x3_0000n })),
  ),
  // ABSORB
  migrationCase('an absorb under VMPCK2', 'migration-vmpck', (c) =>
    under(send('ABSORB_REQ', launching(c).gctx, context(c)), 2),
  ),
  migrationCase('an absorb into itself', 'migration-target', (c) => send('ABSORB_REQ', c.gctx, context(c))),
  migrationCase('an absorb into the guest of another agent', 'migration-agent', (c) => {
    const { gctx, guest } = launching(c);
    guest.reportIdMa = new Uint8Array(32).fill(1);
    return send('ABSORB_REQ', gctx, context(c));
  }),
  migrationCase('an absorb into a running guest', 'migration-state', (c) =>
    send('ABSORB_REQ', launchClient(c, { imiEnabled: true }).gctx, context(c)),
  ),
  migrationCase('an absorb of version 3', 'migration-context-version', (c) =>
    send('ABSORB_REQ', launching(c).gctx, context(c), put(0xc, 3)),
  ),
  migrationCase('an absorb of another policy', 'migration-policy', (c) =>
    send('ABSORB_REQ', launching(c).gctx, context(c, { policy: 0xf_0000n })),
  ),
  migrationCase('an absorb without image', 'migration-no-image', (c) =>
    send('ABSORB_REQ', launching(c, false).gctx, context(c)),
  ),
  migrationCase('an absorb into another image', 'migration-image-digest', (c) =>
    send('ABSORB_REQ', launching(c).gctx, context(c, { imd: new Uint8Array(48).fill(1) })),
  ),
  // ABSORB without agent
  migrationCase('an absorb without agent under VMPCK1', 'migration-vmpck', (c) =>
    under(send('ABSORB_NOMA_REQ', 0, context(c)), 1),
  ),
  migrationCase('an absorb without agent with an address', 'message-reserved', (c) =>
    send('ABSORB_NOMA_REQ', c.gctx, context(c)),
  ),
  migrationCase('an absorb without agent by a guest with one', 'migration-requester', (c) => {
    c.guest.reportIdMa = new Uint8Array(32).fill(1);
    return send('ABSORB_NOMA_REQ', 0, context(c));
  }),
  migrationCase('an absorb without agent and without image', 'migration-no-image', (c) =>
    send('ABSORB_NOMA_REQ', 0, context(c, { policy: c.guest.policy })),
  ),
];
