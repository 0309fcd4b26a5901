import assert from 'node:assert/strict';
import { Execution } from '../../../debug-adapter/run/execution.js';
import type { EngineEvent, Op } from '../../../engine/timeline/event.js';
import type { LaunchOutcome, LaunchRun } from '../../../engine/timeline/run.js';

/** A launch of log lines, each of which takes a while. */
function slowRun(events: number, milliseconds: number): LaunchRun {
  function* operation(): Op<LaunchOutcome> {
    for (let i = 0; i < events; i++) {
      const until = performance.now() + milliseconds;
      while (performance.now() < until);
      yield { kind: 'log', depth: 0, source: 'vmm', text: String(i) };
    }
    return {};
  }
  return { plan: undefined as never, machine: undefined as never, events: operation(), position: 0 };
}

describe('execution in slices', () => {
  it('serves other work between slices, and ends once', async () => {
    let turns = 0;
    let ends = 0;
    const run = slowRun(300, 0.5);
    await new Promise<void>((resolve, reject) => {
      const watch = (): void => {
        turns++;
        if (ends === 0) setImmediate(watch);
      };
      new Execution(run, {
        onEvent: () => 'go',
        onEnd: () => {
          ends++;
          setImmediate(resolve);
        },
        onCrash: reject,
      }).resume();
      watch();
    });
    assert.equal(run.position, 300);
    assert.equal(ends, 1);
    // 300 events of 0.5 ms or more, in slices of 10 ms at most: other work had a turn after each slice.
    assert.ok(turns >= 10, `only ${turns} turns for other work`);
  });

  it('stops where it is told and goes on from there', async () => {
    const seen: string[] = [];
    const run = slowRun(5, 0);
    await new Promise<void>((resolve, reject) => {
      const execution: Execution = new Execution(run, {
        onEvent: (event: EngineEvent) => {
          if (event.kind === 'log') seen.push(event.text);
          if (seen.length !== 2) return 'go';
          setImmediate(() => execution.resume());
          return 'stop';
        },
        onEnd: () => resolve(),
        onCrash: reject,
      });
      execution.resume();
    });
    assert.deepEqual(seen, ['0', '1', '2', '3', '4']);
  });

  it('runs no further once cancelled', async () => {
    const run = slowRun(1000, 0.1);
    const execution = new Execution(run, {
      onEvent: () => 'go',
      onEnd: () => assert.fail(),
      onCrash: () => assert.fail(),
    });
    execution.resume();
    await new Promise((resolve) => setTimeout(resolve, 10));
    execution.cancel();
    const { position } = run;
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(run.position, position);
    assert.equal(execution.running, false);
  });

  it('reports an exception of ours', async () => {
    function* broken(): Op<LaunchOutcome> {
      yield { kind: 'log', depth: 0, source: 'vmm', text: '' };
      throw new Error('bug');
    }
    const run: LaunchRun = { plan: undefined as never, machine: undefined as never, events: broken(), position: 0 };
    const error = await new Promise((resolve) => {
      new Execution(run, { onEvent: () => 'go', onEnd: () => assert.fail(), onCrash: resolve }).resume();
    });
    assert.match(String(error), /bug/);
  });
});
