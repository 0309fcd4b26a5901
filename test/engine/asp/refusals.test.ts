import assert from 'node:assert/strict';
import { pfnOf } from '../../../engine/address.js';
import { snpLaunchUpdate } from '../../../engine/asp/commands/snp-launch-update.js';
import { encodeCpuidPage } from '../../../engine/asp/cpuid-table.js';
import { digestSteps } from '../../../engine/asp/digest-steps.js';
import { isZero, view } from '../../../engine/bytes.js';
import type { Fault } from '../../../engine/fault.js';
import type { Machine } from '../../../engine/machine.js';
import { ZERO_PAGE } from '../../../engine/memory/page-bytes.js';
import { readEntry } from '../../../engine/rmp/table.js';
import { FIRMWARE_STATUS } from '../../../engine/spec/firmware-status.js';
import { createInitialisedMachine, launchGuest, must, run } from '../../support/bare-machine.js';
import { assertAllProduced } from '../../support/fault-coverage.js';
import { readResponse } from './guest-channel.js';
import type { CaseTable } from './refusals/case.js';
import {
  AFTER_A_FAILED_UPDATE,
  MAILBOX,
  PLATFORM_OPTIONS,
  SNP_ACTIVATE_EX,
  SNP_COMMIT,
  SNP_CONFIG,
  SNP_DOWNLOAD_FIRMWARE_EX,
  SNP_FEATURE_INFO,
  SNP_VERIFY_MITIGATION,
  SNP_VLEK_LOAD,
} from './refusals/config.js';
import { SNP_ACTIVATE, SNP_DECOMMISSION, SNP_GCTX_CREATE, SNP_PAGE_RECLAIM } from './refusals/guest.js';
import { GUEST_MESSAGES, SNP_GUEST_REQUEST } from './refusals/guest-request.js';
import { SNP_LAUNCH_FINISH } from './refusals/launch-finish.js';
import { SNP_LAUNCH_START } from './refusals/launch-start.js';
import { CACHE, cpuid, cpuidPage, SNP_LAUNCH_UPDATE, update } from './refusals/launch-update.js';
import { MIGRATION_MESSAGES } from './refusals/migration.js';
import {
  SNP_DBG_DECRYPT,
  SNP_DBG_ENCRYPT,
  SNP_PAGE_MD_INIT,
  SNP_PAGE_MOVE,
  SNP_PAGE_SET_STATE,
  SNP_PAGE_UNSMASH,
} from './refusals/pages.js';
import { SNP_DF_FLUSH, SNP_INIT_EX, SNP_PLATFORM_STATUS, SNP_SHUTDOWN_EX } from './refusals/platform.js';
import { SNP_PAGE_SWAP_IN, SNP_PAGE_SWAP_OUT } from './refusals/swap.js';

const produced = new Set<string>();

/** Everything that a refused command must not have changed. */
function visible(machine: Machine): unknown {
  const { asp, rmp } = machine;
  return structuredClone({
    platform: asp.platform,
    guests: [...asp.guests],
    asids: [...asp.activeAsids],
    flush: [...asp.asidsToFlush],
    settings: [asp.config, asp.options, asp.firmware, asp.vlek, asp.mitigations],
    chunks: [...rmp.chunks].map(([i, chunk]) => [i, new Uint8Array(chunk.buffer.slice(0))]),
  });
}

function refusals({ command, cases }: CaseTable): void {
  describe(`${command} refuses`, () => {
    for (const c of cases) {
      it(`${c.name} → ${c.status}, ${c.check}`, () => {
        const { machine, op } = c.command();
        const before = visible(machine);
        const result = run(op);
        assert.equal(result.fault?.check, c.check, result.fault?.message);
        assert.equal(result.status, FIRMWARE_STATUS[c.status]);
        assert.equal(result.fault?.layer, 'firmware');
        assert.deepEqual(visible(machine), before);
        assert.equal(machine.stack.frames.length, 0);
        // Texts are made of the operands, none of which may be missing.
        for (const text of [result.fault?.message, result.fault?.hint])
          assert.doesNotMatch(text ?? '', /undefined|NaN/);
        produced.add(c.check);
      });
    }
  });
}

refusals(SNP_INIT_EX);
refusals(SNP_SHUTDOWN_EX);
refusals(SNP_DF_FLUSH);
refusals(SNP_PLATFORM_STATUS);
refusals(SNP_GCTX_CREATE);
refusals(SNP_ACTIVATE);
refusals(SNP_PAGE_RECLAIM);
refusals(SNP_DECOMMISSION);
refusals(SNP_LAUNCH_START);
refusals(SNP_LAUNCH_UPDATE);
refusals(SNP_LAUNCH_FINISH);
refusals(SNP_GUEST_REQUEST);
for (const table of [
  SNP_CONFIG,
  SNP_COMMIT,
  SNP_VLEK_LOAD,
  SNP_FEATURE_INFO,
  SNP_DOWNLOAD_FIRMWARE_EX,
  AFTER_A_FAILED_UPDATE,
  SNP_VERIFY_MITIGATION,
  SNP_ACTIVATE_EX,
  PLATFORM_OPTIONS,
  SNP_PAGE_MOVE,
  SNP_PAGE_MD_INIT,
  SNP_PAGE_UNSMASH,
  SNP_PAGE_SET_STATE,
  SNP_DBG_DECRYPT,
  SNP_DBG_ENCRYPT,
  SNP_PAGE_SWAP_OUT,
  SNP_PAGE_SWAP_IN,
  MAILBOX,
]) {
  refusals(table);
}

describe('an authentic guest message is answered with a status', () => {
  for (const c of [...GUEST_MESSAGES, ...MIGRATION_MESSAGES]) {
    it(`${c.name} → ${c.status}, ${c.check}`, () => {
      const { channel, op, sent } = c.send();
      const result = run(op);
      assert.equal(result.status, FIRMWARE_STATUS.SUCCESS, result.fault?.message);
      assert.equal(result.fault, undefined);
      assert.equal(result.message?.fault?.check, c.check, result.message?.fault?.message);
      assert.equal(result.message?.status, FIRMWARE_STATUS[c.status]);
      assert.equal(result.message?.fault?.command, result.message?.name);
      for (const text of [result.message?.fault?.message, result.message?.fault?.hint]) {
        assert.doesNotMatch(text ?? '', /undefined|NaN/);
      }
      // The number is used up, and the answer holds nothing but its status.
      assert.equal(channel.guest.messageCount[sent.vmpck as 0], 2n);
      const { payload } = readResponse(channel, { ...sent, sequence: 1n });
      assert.equal(view(payload).getUint32(0, true), FIRMWARE_STATUS[c.status]);
      if (/^fw-(message|migration)-/.test(c.check)) assert.ok(isZero(payload.subarray(4)));
      produced.add(c.check);
    });
  }
});

describe('a page list refuses', () => {
  const cases: [string, Parameters<typeof digestSteps>[0], string, number][] = [
    ['half a page', [{ type: 1, gpa: 0, data: new Uint8Array(2048) }], 'image-page-list-length', 0],
    ['no page', [{ type: 1, gpa: 0, data: new Uint8Array(0) }], 'image-page-list-length', 0],
    ['a page without address', [{ type: 3, gpa: 0 }, { type: 3 }], 'image-page-list-gpa', 1],
  ];
  for (const [name, steps, check, step] of cases) {
    it(`${name} → ${check}`, () => {
      const result = digestSteps(steps);
      const fault: Fault | undefined = result.ok ? undefined : result.fault;
      assert.equal(fault?.check, check);
      assert.equal(result.step, step);
      if (fault) produced.add(fault.check);
    });
  }
});

describe('a refused page', () => {
  it('stays Pre-Guest and plain, with the CPUID values corrected', () => {
    const machine = createInitialisedMachine();
    const { gctx, guest } = launchGuest(machine);
    const page = cpuidPage(() => undefined, [CACHE])(machine);
    const entry = readEntry(machine.rmp, pfnOf(page));
    const ld = guest.ld;
    const result = run(snpLaunchUpdate(machine, update(gctx, page, cpuid)));
    assert.equal(result.fault?.operands['0x8000001d.3 edx'], 'provided 0x6 expected 0x2');
    assert.deepEqual(readEntry(machine.rmp, pfnOf(page)), entry);
    assert.equal(guest.ld, ld);
    const stored = machine.memory.pages.get(pfnOf(page));
    assert.equal(stored?.key, 0);
    assert.deepEqual(stored?.content.bytes, encodeCpuidPage([{ ...CACHE, edx: 2 }]));
    // The corrected page is accepted.
    must(snpLaunchUpdate(machine, update(gctx, page, cpuid)));
    assert.notEqual(machine.memory.pages.get(pfnOf(page))?.content, ZERO_PAGE);
  });
});

describe('checks of the firmware', () => {
  it('have all been reached above', () => assertAllProduced(produced, ['fw-', 'image-page-list-']));
});
