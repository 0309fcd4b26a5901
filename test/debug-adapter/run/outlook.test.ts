import assert from 'node:assert/strict';
import { freshRefusal, lookAhead, type Outlook, type RefusalWatch } from '../../../debug-adapter/run/outlook.js';
import type { Fault } from '../../../engine/fault.js';
import type { EngineEvent, Op } from '../../../engine/timeline/event.js';
import type { LaunchOutcome, LaunchRun } from '../../../engine/timeline/run.js';

/** Made by hand: a definition would be taken for one of the product's checks. */
function fault(check: string, cause?: Fault): Fault {
  return {
    check,
    layer: 'firmware',
    command: 'TEST',
    code: { kind: 'firmware', name: 'INVALID_PARAM', value: 0x16 },
    severity: 'error',
    title: 'A refusal',
    message: 'refused',
    hint: 'None.',
    reference: 'none',
    confirmed: true,
    operands: {},
    cause,
  };
}

function leave(depth: number, fault?: Fault): EngineEvent {
  return { kind: 'leave', depth, frame: { id: 1, layer: 'kvm', name: 'f', args: {} }, result: '', fault };
}

const outer = (cause: Fault): Fault => fault('outer', cause);

function runOf(events: readonly EngineEvent[], outcome: LaunchOutcome): LaunchRun {
  function* operation(): Op<LaunchOutcome> {
    yield* events;
    return outcome;
  }
  // The look ahead reads nothing but the events.
  return { plan: undefined as never, machine: undefined as never, events: operation(), position: 0 };
}

function lookAt(events: readonly EngineEvent[], outcome: LaunchOutcome): Promise<Outlook> {
  return new Promise((resolve, reject) => lookAhead(runOf(events, outcome), resolve, reject));
}

describe('refusals', () => {
  const a = fault('inner');

  it('are fresh once on their way up', () => {
    const watch: RefusalWatch = {};
    const seen = [leave(5), leave(4, a), leave(3, outer(a)), leave(2, outer(outer(a))), leave(4, a)];
    assert.deepEqual(
      seen.map((event) => freshRefusal(watch, event) !== undefined),
      [false, true, false, false, true],
    );
  });

  it('are fatal where the launch ends with them', async () => {
    const log: EngineEvent = { kind: 'log', depth: 0, source: 'vmm', text: 'SNP_LAUNCH_START ret=-5' };
    const outlook = await lookAt([leave(4), leave(4, a), leave(3, outer(a)), log], { fault: outer(a) });
    assert.equal(outlook.position, 2);
    assert.equal(outlook.fatal?.check, 'outer');
    assert.deepEqual(outlook.messages, ['SNP_LAUNCH_START ret=-5']);
  });

  it('are not fatal where the caller tries again', async () => {
    const outlook = await lookAt([leave(4, a), leave(4)], { digest: new Uint8Array(48) });
    assert.equal(outlook.fatal, undefined);
    assert.equal(outlook.position, undefined);
  });

  it('are told apart when the second try fails as the first did', async () => {
    const outlook = await lookAt([leave(4, a), leave(3, outer(a)), leave(4, a), leave(3, outer(a))], {
      fault: outer(a),
    });
    assert.equal(outlook.position, 3);
  });
});
