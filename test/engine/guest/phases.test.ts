import assert from 'node:assert/strict';
import { EXIT } from '../../../engine/cpu/svm/vmcb.js';
import { createPhaseTracker, isUefiFirmware, phaseOf } from '../../../engine/guest/phases.js';
import type { KvmVm } from '../../../engine/kvm/state.js';
import type { EngineEvent } from '../../../engine/timeline/event.js';
import { createBareMachine } from '../../support/bare-machine.js';

const place = { depth: 0, vcpu: 0, rip: 0n };

function exit(instructions: number, exitCode: bigint, exitInfo1: bigint, ghcb = 0n): EngineEvent {
  return { kind: 'exit', ...place, instructions, exitCode, exitInfo1, exitInfo2: 0n, ghcb };
}

describe('phases of OVMF', () => {
  it('are those of the GHCB MSR protocol and of the CR0 traps, each once', () => {
    const tracker = createPhaseTracker();
    // Nothing here needs memory of the guest.
    const vm = {} as KvmVm;
    const machine = createBareMachine();
    const events: EngineEvent[] = [
      exit(1, EXIT.CR0_WRITE_TRAP, 0x1n),
      { kind: 'exception', ...place, instructions: 2, vector: 29, errorCode: 0x72, address: undefined },
      { kind: 'exception', ...place, instructions: 3, vector: 29, errorCode: 0x72, address: undefined },
      exit(4, EXIT.CR0_WRITE_TRAP, 0x8000_0001n),
      exit(5, EXIT.VMGEXIT, 0n, 0x002n),
      exit(6, EXIT.VMGEXIT, 0n, 0x080n),
      exit(7, EXIT.VMGEXIT, 0n, 0x80_9012n),
      exit(8, EXIT.VMGEXIT, 0n, 0x7f_0012n),
      exit(9, EXIT.INTR, 0n),
      exit(10, EXIT.VMGEXIT, 0n, 0x1_1100n),
    ];
    const found = events.map((event) => phaseOf(tracker, machine, vm, event));
    assert.deepEqual(found, [
      'ovmf.flat32',
      'ovmf.sev-cpuid',
      undefined,
      'ovmf.paging-on',
      'ovmf.ghcb-info',
      'ovmf.hv-features',
      'ovmf.ghcb-register',
      'ovmf.ghcb-switch',
      undefined,
      'guest.terminate',
    ]);
    assert.equal(tracker.passed.get('ovmf.paging-on'), 4);
  });

  it('concern images with a firmware volume', () => {
    const image = new Uint8Array(0x4000);
    assert.equal(isUefiFirmware(image), false);
    image.set([0x5f, 0x46, 0x56, 0x48], 0x2028);
    assert.equal(isUefiFirmware(image), true);
  });
});
