import assert from 'node:assert/strict';
import { PSC_RESULT, VMGEXIT } from '../../../../engine/spec/ghcb-layout.js';
import { complete, exitOf, GHCB_GPA, vmgexit } from './fake-guest.js';
import { entry, PRIVATE, performPsc, pscList, SHARED, SMASH, sendPsc } from './psc-list.js';
import type { GhcbCase } from './refusal-case.js';

const { INVALID_HDR, INVALID_ENTRY, GENERIC } = PSC_RESULT;
const V15_ONLY = ['v15'] as const;
const FIXUP_ONLY = ['v15+fixes'] as const;

/** Page state changes that are refused or go wrong. */
export const PSC_CASES: readonly GhcbCase[] = [
  {
    name: 'a list that the VMM does not take',
    check: 'kvm-psc-no-exit',
    guest: { hypercalls: false },
    run: (guest) => sendPsc(guest, pscList([entry(0x100, PRIVATE)])),
    info: [0n, GENERIC],
  },
  {
    name: 'a list while another one is under way',
    check: 'kvm-psc-in-flight',
    run: (guest) => {
      const list = pscList([entry(0x100, PRIVATE)]);
      sendPsc(guest, list);
      // The VMM enters the vCPU again, but not through KVM_RUN's completion.
      guest.arch.complete = undefined;
      return sendPsc(guest, list);
    },
    info: [0n, GENERIC],
  },
  ...[253, 0xffff].map(
    (end): GhcbCase => ({
      name: `end_entry ${end}`,
      check: 'kvm-psc-header',
      run: (guest) => sendPsc(guest, pscList([entry(0x100, PRIVATE)], 0, end)),
      info: [0n, INVALID_HDR],
    }),
  ),
  ...(
    [
      ['a 4K entry with cur_page 2', entry(0x100, PRIVATE, false, 2), /only one/],
      ['a 2M entry with cur_page 513', entry(0x200, PRIVATE, true, 513), /only 512/],
      ['a 2M entry for a frame that is not aligned', entry(0x201, SHARED, true), /not a multiple of 512/],
    ] as const
  ).map(
    ([name, wrong, says]): GhcbCase => ({
      name,
      check: 'kvm-psc-entry',
      run: (guest) => performPsc(guest, pscList([entry(0x10, PRIVATE), wrong])).last,
      info: [0n, INVALID_ENTRY],
      says,
    }),
  ),
  {
    name: 'a wrong entry of an operation that is not made',
    check: 'kvm-psc-entry',
    kvm: ['v15+fixes', '6.11', '6.18'],
    run: (guest) => sendPsc(guest, pscList([entry(0x201, SMASH, true)])),
    info: [0n, INVALID_ENTRY],
  },
  {
    name: 'an answer of the VMM that is not 0',
    check: 'kvm-psc-userspace',
    run: (guest) => performPsc(guest, pscList([entry(0x10, PRIVATE)]), 22n).last,
    info: [0n, GENERIC],
  },
  {
    name: 'a list that begins so late that it leaves the page',
    check: 'kvm-psc-buffer',
    run: (guest) => {
      // The header at 0xFE0 of the page, and the fourth entry behind its end.
      const buffer = new Uint8Array(0x7f0);
      buffer.set(pscList([entry(0x100, SMASH)], 0, 3), 0x7e0);
      return vmgexit(guest, { code: VMGEXIT.PSC, buffer, fields: { SW_SCRATCH: BigInt(GHCB_GPA + 0xfe0) } });
    },
    info: [0n, INVALID_HDR],
  },
  {
    name: 'a list outside of the GHCB, with length 0',
    check: 'kvm-psc-buffer',
    run: (guest) => vmgexit(guest, { code: VMGEXIT.PSC, fields: { SW_SCRATCH: 0x9000n } }),
    info: [0n, INVALID_HDR],
  },
  {
    name: 'PSMASH alone: an exit for nothing',
    check: 'kvm-psc-uninitialised',
    kvm: V15_ONLY,
    run: (guest) => sendPsc(guest, pscList([entry(0x200, SMASH, true)])),
    exit: 'KVM_EXIT_HYPERCALL',
    after: (guest) => assert.deepEqual(exitOf(guest, 'KVM_EXIT_HYPERCALL').args.slice(0, 3), [0n, 0n, 1n]),
  },
  {
    name: 'PSMASH behind a conversion: an exit that shares page 0',
    check: 'kvm-psc-uninitialised',
    kvm: V15_ONLY,
    run: (guest) => {
      sendPsc(guest, pscList([entry(0x10, PRIVATE), entry(0x30, SMASH)]));
      return complete(guest);
    },
    exit: 'KVM_EXIT_HYPERCALL',
    after: (guest) => assert.deepEqual(exitOf(guest, 'KVM_EXIT_HYPERCALL').args.slice(0, 3), [0n, 1n, 0n]),
  },
  {
    name: 'a list that is done already: an exit for nothing',
    check: 'kvm-psc-uninitialised',
    kvm: ['v15', 'v15+fixes'],
    run: (guest) => sendPsc(guest, pscList([entry(0x10, PRIVATE, false, 1)])),
    exit: 'KVM_EXIT_HYPERCALL',
    after: (guest) => assert.deepEqual(exitOf(guest, 'KVM_EXIT_HYPERCALL').args.slice(0, 3), [0n, 0n, 0x10n]),
  },
  {
    name: 'PSMASH at the end, for ever',
    check: 'kvm-psc-endless',
    kvm: V15_ONLY,
    run: (guest) => performPsc(guest, pscList([entry(0x10, PRIVATE), entry(0x200, SMASH, true)])).last,
    exit: 'emulator',
  },
  {
    name: 'PSMASH that is done already',
    check: 'kvm-psc-recursion',
    kvm: FIXUP_ONLY,
    run: (guest) => sendPsc(guest, pscList([entry(0x200, SMASH, true, 512)])),
    errno: 'EINVAL',
  },
];
