import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { KvmRelease } from '../../engine/spec/versions.js';
import { hashOf, operate, runEpisode } from '../invariants/run.js';
import { listedNumbers, seededNumbers } from '../invariants/source.js';
import { createWorld, type World } from '../invariants/world.js';

/**
 * Host, firmware and guests in any order; behind each operation: a page is in exactly one state, validated implies
 * assigned, no operation of the host leaves a page validated that it changed, a private page is readable by its owner
 * alone, a guest that validates once reads what it wrote, and a destroyed guest leaves nothing behind. The long run is
 * scripts/invariants.mjs.
 */
const settings = fc.record({
  kvm: fc.constantFrom<KvmRelease>('v15', 'v15+fixes', '6.11', '6.18'),
  hugePages: fc.boolean(),
});

/** Numbers of one operation; it takes as many as it needs. */
const operation = fc.array(fc.nat(0xffff), { minLength: 4, maxLength: 16 });

function play(world: World, operations: readonly (readonly number[])[]): World {
  for (const numbers of operations) operate(world, listedNumbers(numbers));
  return world;
}

describe('Invariants of the machine', function () {
  this.timeout(120_000);

  it('hold after any sequence of operations', () => {
    fc.assert(
      fc.property(settings, fc.array(operation, { maxLength: 120 }), ({ kvm, hugePages }, operations) => {
        play(createWorld(kvm, hugePages), operations);
      }),
      { numRuns: 40 },
    );
  });

  it('the same sequence gives the same state', () => {
    fc.assert(
      fc.property(settings, fc.array(operation, { maxLength: 60 }), ({ kvm, hugePages }, operations) => {
        const [one, two] = [1, 2].map(() => hashOf(play(createWorld(kvm, hugePages), operations)));
        assert.equal(one, two);
      }),
      { numRuns: 8 },
    );
  });

  it('hold in a long sequence in which every operation has an effect', () => {
    const effects = new Map<string, number>();
    for (const hugePages of [false, true]) {
      const world = runEpisode({ kvm: '6.11', hugePages, operations: 4000, numbers: seededNumbers(7) });
      for (const [name, count] of world.effects) effects.set(name, (effects.get(name) ?? 0) + count);
    }
    for (const name of [
      'pvalidate',
      'rescind',
      'read',
      'write',
      'share',
      'rmpupdate',
      'firmware',
      'map',
      'convert',
      'destroy',
    ]) {
      assert.ok((effects.get(name) ?? 0) > 0, `${name} never had an effect`);
    }
    assert.ok((effects.get('compared with the view of the others') ?? 0) > 100);
  });
});
