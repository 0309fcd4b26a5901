import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { toHex } from '../../../engine/bytes.js';
import { rootFault } from '../../../engine/fault.js';
import { measurePlan } from '../../../engine/launch/measure.js';
import { dryRun } from '../../../engine/vmm/launch.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';
import { firmwarePlan } from '../../support/plans.js';
import { describeVectors, readVector, VECTORS } from '../../support/vectors.js';

describeVectors('launch of the images of the vectors', () => {
  for (const name of readdirSync(join(VECTORS, 'ovmf')).filter(
    (file) => file.includes('suffix') && !file.includes('4k-'),
  )) {
    it(name, () => {
      // The images are the last part of an OVMF; QEMU wants whole 64 KiB blocks.
      const part = new Uint8Array(readVector(`ovmf/${name}`));
      const bytes = new Uint8Array(Math.ceil(part.length / 0x1_0000) * 0x1_0000);
      bytes.set(part, bytes.length - part.length);
      for (const vcpus of [1, 3]) {
        const plan = firmwarePlan(bytes, { vcpus });
        const { digest, fault } = dryRun(plan, { crypto: nativeCrypto });
        assert.equal(fault, undefined, fault && rootFault(fault).message);
        const measured = measurePlan(plan);
        assert.ok(digest && measured.ok);
        assert.equal(toHex(digest), toHex(measured.value.digest));
      }
    });
  }
});
