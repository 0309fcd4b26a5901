import assert from 'node:assert/strict';
import type { Fault } from '../../../../engine/fault.js';
import type { IoctlResult } from '../../../../engine/kvm/result.js';
import type { Machine } from '../../../../engine/machine.js';
import { ERRNO, type ErrnoName } from '../../../../engine/spec/errno.js';
import type { KvmRelease } from '../../../../engine/spec/versions.js';
import { bootedHost } from '../../../support/kvm-host.js';

/** One refusal of the host. */
export interface KvmCase {
  readonly name: string;
  /** Id of the outermost fault. */
  readonly check: string;
  readonly errno: ErrnoName;
  /** kvm_sev_cmd.error. */
  readonly fwError?: number;
  /** Ids of the causes, outermost first. */
  readonly causes?: readonly string[];
  /** Releases in which it is so; default: all. */
  readonly kvm?: readonly KvmRelease[];
  readonly run: (machine: Machine) => IoctlResult;
  /** Default: a booted host of the release. */
  readonly host?: (kvm: KvmRelease) => Machine;
}

export const ALL_RELEASES: readonly KvmRelease[] = ['v15', 'v15+fixes', '6.11', '6.18'];

/** Runs every case under each release that it names. */
export function testCases(cases: readonly KvmCase[]): void {
  for (const testCase of cases) {
    for (const kvm of testCase.kvm ?? ALL_RELEASES) {
      it(`${testCase.name} (${kvm})`, () => {
        const machine = (testCase.host ?? ((release: KvmRelease) => bootedHost({ kvm: release })))(kvm);
        checkResult(testCase, testCase.run(machine));
      });
    }
  }
}

function checkResult(testCase: KvmCase, result: IoctlResult): void {
  assert.equal(result.fault?.check, testCase.check, result.fault?.message);
  assert.equal(result.ret, -ERRNO[testCase.errno]);
  if (result.fault.code.kind === 'errno') assert.equal(result.fault.code.name, testCase.errno);
  assert.equal(result.fwError, testCase.fwError ?? 0);
  if (testCase.causes) assert.deepEqual(causes(result.fault), testCase.causes);
  assert.ok(result.fault.message.length > 10 && !result.fault.message.includes('undefined'), result.fault.message);
  assert.ok(result.fault.hint.length > 5 && !result.fault.hint.includes('undefined'), result.fault.hint);
}

function causes(fault: Fault): string[] {
  const ids: string[] = [];
  for (let cause = fault.cause; cause; cause = cause.cause) ids.push(cause.check);
  return ids;
}
