import assert from 'node:assert/strict';
import type { ExitHandling } from '../../../../engine/kvm/run/kvm-exit.js';
import { ERRNO, type ErrnoName } from '../../../../engine/spec/errno.js';
import type { KvmRelease } from '../../../../engine/spec/versions.js';
import { answer, type FakeGuest, type FakeGuestOptions, fakeGuest } from './fake-guest.js';

/** A request of a guest that KVM does not fulfil. */
export interface GhcbCase {
  readonly name: string;
  readonly check: string;
  readonly guest?: FakeGuestOptions;
  /** Releases in which it is so; default: one of each kind. */
  readonly kvm?: readonly KvmRelease[];
  readonly run: (guest: FakeGuest) => ExitHandling;
  /** SW_EXITINFO1 and SW_EXITINFO2 afterwards; then KVM_RUN goes on. */
  readonly info?: readonly [bigint, bigint];
  /** The GHCB MSR afterwards; then KVM_RUN goes on. */
  readonly msr?: bigint;
  /** KVM_RUN fails. */
  readonly errno?: ErrnoName;
  /** Reason of the exit to userspace. */
  readonly exit?: string;
  /** Words of the message. */
  readonly says?: RegExp;
  readonly after?: (guest: FakeGuest) => void;
}

export function testGhcbCases(cases: readonly GhcbCase[]): void {
  for (const each of cases) {
    for (const kvm of each.kvm ?? (['v15', '6.11'] as const)) {
      it(`${each.name} (${kvm})`, () => {
        const guest = fakeGuest({ ...each.guest, kvm });
        const result = each.run(guest);
        const { exit } = guest.arch;
        const fault = result.fault ?? (exit && 'fault' in exit ? exit.fault : undefined);
        assert.equal(fault?.check, each.check, fault?.message);
        for (const text of [fault.message, fault.hint]) assert.doesNotMatch(text, /undefined|NaN|\[object/);
        if (each.says) assert.match(fault.message, each.says);
        if (each.errno) assert.equal(result.ret, -ERRNO[each.errno]);
        else if (each.exit) {
          assert.equal(result.ret, 0);
          assert.equal(exit?.reason, each.exit);
        } else assert.equal(result.ret, 1);
        if (each.info) assert.deepEqual(answer(guest), each.info);
        if (each.msr !== undefined) assert.equal(guest.arch.vmcb.ghcb, each.msr);
        each.after?.(guest);
      });
    }
  }
}

/** SW_EXITINFO1 2 with the reason. */
export const malformed = (reason: number): readonly [bigint, bigint] => [2n, BigInt(reason)];
/** SW_EXITINFO1 1: raise #GP. */
export const RAISE_GP: readonly [bigint, bigint] = [1n, 0x8000_030dn];
