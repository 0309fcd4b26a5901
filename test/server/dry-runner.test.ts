import assert from 'node:assert/strict';
import { parseManifest } from '../../engine/launch/manifest/parse.js';
import type { LaunchPlan } from '../../engine/launch/plan.js';
import { resolvePlan } from '../../engine/launch/resolve.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { createDryRunner } from '../../server/dry-runner.js';
import { memoryFiles } from '../support/memory-files.js';

const MANIFEST = `snp: 1
vm: { vcpus: 2, memory: 16MiB }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: normal, file: boot.bin }
    - { gpa: 0x2000, type: secrets }
  finish: { author-key: false }
`;
const files = memoryFiles({ '/ws/boot.bin': new Uint8Array(4096) });

function planOf(text: string): LaunchPlan {
  const { plan, faults } = resolvePlan(parseManifest(text, '/ws/a.snp.yaml'), files, nativeCrypto);
  assert.ok(plan, faults.map((f) => f.message).join('\n'));
  return plan;
}

/** Whatever is remembered: the result is the one of a fresh run. */
function agrees(first: string, second: string): void {
  const runner = createDryRunner(nativeCrypto);
  runner.run(planOf(first));
  const plan = planOf(second);
  assert.deepEqual(runner.run(plan), createDryRunner(nativeCrypto).run(plan));
}

describe('dry runner', () => {
  const changes: readonly (readonly [string, string])[] = [
    ['0x30000', '0x20000'],
    ['vcpus: 2', 'vcpus: 3'],
    ['memory: 16MiB', 'memory: 1MiB'],
    ['0x2000,', '0x1000,'],
    ['type: secrets', 'type: zero'],
    ['author-key: false', `host-data: "${'01'.repeat(32)}"`],
    ['snp: 1', 'snp: 1\nhost: { kvm: v15 }'],
    ['snp: 1', 'snp: 1\nhost: { firmware: "1.51" }'],
    ['normal', 'unmeasured'],
  ];
  for (const [from, to] of changes) {
    it(`notices that ${from} became ${to}`, () => {
      agrees(MANIFEST, MANIFEST.replace(from, to));
      agrees(MANIFEST.replace(from, to), MANIFEST);
    });
  }

  it('moves the place of a fault with the text', () => {
    const wrong = MANIFEST.replace('0x2000,', '0x1000,');
    agrees(wrong, `# a comment\n\n${wrong}`);
    const refused = MANIFEST.replace('0x30000', '0x20000');
    agrees(refused, `# a comment\n\n${refused}`);
  });
});
