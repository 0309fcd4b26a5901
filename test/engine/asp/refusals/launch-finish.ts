import { PAGE_SIZE, type Spa, spa, spaOf } from '../../../../engine/address.js';
import { type LaunchFinishParams, snpLaunchFinish } from '../../../../engine/asp/commands/snp-launch-finish.js';
import { ID_AUTH_LAYOUT } from '../../../../engine/asp/id-auth.js';
import { encodeIdBlock, type IdBlock } from '../../../../engine/asp/id-block.js';
import { signIdBlock } from '../../../../engine/asp/sign-id.js';
import { writePage } from '../../../../engine/memory/system-memory.js';
import type { FirmwareStatusName } from '../../../../engine/spec/firmware-status.js';
import { firmwareProfile } from '../../../../engine/spec/versions.js';
import { createInitialisedMachine, launchGuest, must, newPage, POLICY } from '../../../support/bare-machine.js';
import { type Case, type CaseTable, END } from './case.js';

export const finish = (gctx: Spa, fields: Partial<LaunchFinishParams> = {}): LaunchFinishParams => ({
  gctx,
  idBlock: spa(0),
  idAuth: spa(0),
  idBlockEnabled: false,
  authKeyEnabled: false,
  vcekDisabled: false,
  hostData: new Uint8Array(32),
  ...fields,
});

const ID_KEY = new Uint8Array(48).fill(0x11);
const AUTHOR_KEY = new Uint8Array(48).fill(0x22);

/** LAUNCH_FINISH of an empty guest with a signed ID block, both changed before and after signing. */
function finishCase(
  name: string,
  status: FirmwareStatusName,
  check: string,
  change: {
    readonly block?: Partial<IdBlock>;
    readonly auth?: (page: Uint8Array) => void;
    readonly authKeyEnabled?: boolean;
    readonly author?: boolean;
    readonly abi?: number;
    readonly tamper?: (block: Uint8Array) => void;
  } = {},
): Case {
  return {
    name,
    command: () => {
      const machine = createInitialisedMachine({ firmware: firmwareProfile(change.abi ?? 55) });
      const { gctx, guest } = launchGuest(machine);
      const block = encodeIdBlock({
        ld: guest.ld,
        familyId: new Uint8Array(16),
        imageId: new Uint8Array(16),
        version: 1,
        guestSvn: 1,
        policy: POLICY,
        ...change.block,
      });
      const auth = signIdBlock(block, ID_KEY, change.author ? AUTHOR_KEY : undefined);
      change.tamper?.(block);
      change.auth?.(auth);
      const bytes = new Uint8Array(PAGE_SIZE);
      // Linux allocates the ID block with kmalloc: it need not begin a page.
      bytes.set(block, 0x60);
      const [idBlock, idAuth] = [newPage(machine), newPage(machine)];
      writePage(machine.memory, idBlock, { bytes, frozen: false });
      writePage(machine.memory, idAuth, { bytes: auth, frozen: false });
      const params = finish(gctx, {
        idBlock: spa(spaOf(idBlock) + 0x60),
        idAuth: spaOf(idAuth),
        idBlockEnabled: true,
        authKeyEnabled: change.authKeyEnabled ?? change.author ?? false,
      });
      return { machine, op: snpLaunchFinish(machine, params) };
    },
    status,
    check,
  };
}

export const SNP_LAUNCH_FINISH: CaseTable = {
  command: 'SNP_LAUNCH_FINISH',
  cases: [
    {
      name: 'a second finish',
      command: () => {
        const machine = createInitialisedMachine();
        const { gctx } = launchGuest(machine);
        must(snpLaunchFinish(machine, finish(gctx)));
        return { machine, op: snpLaunchFinish(machine, finish(gctx)) };
      },
      status: 'INVALID_GUEST_STATE',
      check: 'fw-guest-state',
    },
    {
      name: 'host data of 31 bytes',
      command: () => {
        const machine = createInitialisedMachine();
        const { gctx } = launchGuest(machine);
        return { machine, op: snpLaunchFinish(machine, finish(gctx, { hostData: new Uint8Array(31) })) };
      },
      status: 'INVALID_PARAM',
      check: 'fw-launch-finish-host-data',
    },
    {
      name: 'an ID block above memory',
      command: () => {
        const machine = createInitialisedMachine();
        const { gctx } = launchGuest(machine);
        return { machine, op: snpLaunchFinish(machine, finish(gctx, { idBlockEnabled: true, idBlock: END })) };
      },
      status: 'INVALID_ADDRESS',
      check: 'fw-address-range',
    },
    finishCase('version 2', 'INVALID_PARAM', 'fw-launch-finish-id-block-version', { block: { version: 2 } }),
    finishCase('algorithm 2', 'INVALID_PARAM', 'fw-launch-finish-id-key-algorithm', {
      auth: (page) => page.fill(2, 0, 1),
    }),
    finishCase('AUTH_KEY_EN without author key', 'INVALID_PARAM', 'fw-launch-finish-author-key-algorithm', {
      authKeyEnabled: true,
    }),
    finishCase('author key algorithm 2', 'INVALID_PARAM', 'fw-launch-finish-author-key-algorithm', {
      author: true,
      auth: (page) => page.fill(2, 4, 5),
    }),
    ...[0x008, 0x03f, 0x644, 0x67f, 0xc84, 0xfff].map((offset) =>
      finishCase(`reserved byte 0x${offset.toString(16)}`, 'INVALID_PARAM', 'fw-launch-finish-id-auth-reserved', {
        auth: (page) => page.fill(1, offset, offset + 1),
      }),
    ),
    finishCase('no author key on ABI 1.51', 'INVALID_PARAM', 'fw-launch-finish-author-key-required', { abi: 51 }),
    finishCase('another digest', 'BAD_MEASUREMENT', 'fw-launch-finish-launch-digest', {
      block: { ld: new Uint8Array(48).fill(1) },
    }),
    finishCase('another policy', 'POLICY_FAILURE', 'fw-launch-finish-policy', { block: { policy: 0xb_0000n } }),
    finishCase('a changed block', 'BAD_SIGNATURE', 'fw-launch-finish-id-block-signature', {
      tamper: (block) => block.fill(1, 0x30, 0x31),
    }),
    ...(
      [
        ['R with 577 bits', ID_AUTH_LAYOUT.idBlockSig + 71],
        ['QY with more than 384 bits', ID_AUTH_LAYOUT.idKey + 4 + 72 + 48],
        ['curve 3', ID_AUTH_LAYOUT.idKey],
      ] as const
    ).map(([name, offset]) =>
      finishCase(name, 'BAD_SIGNATURE', 'fw-launch-finish-id-block-signature', {
        auth: (page) => page.fill(3, offset, offset + 1),
      }),
    ),
    finishCase('an empty signature', 'BAD_SIGNATURE', 'fw-launch-finish-id-block-signature', {
      auth: (page) => page.fill(0, ID_AUTH_LAYOUT.idBlockSig, ID_AUTH_LAYOUT.idKey),
    }),
    finishCase('an empty key', 'BAD_SIGNATURE', 'fw-launch-finish-id-block-signature', {
      auth: (page) => page.fill(0, ID_AUTH_LAYOUT.idKey + 4, 0x644),
    }),
    finishCase('a changed author signature', 'BAD_SIGNATURE', 'fw-launch-finish-id-key-signature', {
      author: true,
      auth: (page) => page.fill(1, ID_AUTH_LAYOUT.idKeySig, ID_AUTH_LAYOUT.idKeySig + 1),
    }),
  ],
};
