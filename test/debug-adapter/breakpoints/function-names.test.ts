import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FUNCTION_NAMES, unknownFunction } from '../../../debug-adapter/breakpoints/function-names.js';
import { parseManifest } from '../../../engine/launch/manifest/parse.js';
import { resolvePlan } from '../../../engine/launch/resolve.js';
import { nextEvent } from '../../../engine/timeline/run.js';
import { launch } from '../../../engine/vmm/launch.js';
import { createFileSource } from '../../../platform/file-source.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';

/** What no sample guest asks for: certificates with a report, a list of pages that KVM has to leave for the VMM. */
const RARE: readonly string[] = [
  'snp_complete_psc',
  'snp_handle_ext_guest_req',
  'snp_begin_ext_guest_req',
  'snp_complete_ext_guest_req',
];

describe('names of function breakpoints', () => {
  it('are all that a launch or a running guest enters, good or broken', function () {
    // Whole guests run, in code that is not bundled.
    this.timeout(240_000);
    const entered = new Set<string>();
    for (const folder of ['samples', 'samples/broken', 'samples/guests']) {
      for (const name of readdirSync(folder).filter((each) => each.endsWith('.snp.yaml') && !each.startsWith('ovmf'))) {
        const file = join(process.cwd(), folder, name);
        const { plan } = resolvePlan(parseManifest(readFileSync(file, 'utf8'), file), createFileSource());
        if (!plan || plan.vm.vcpus > 4) continue;
        const run = launch(plan, { crypto: nativeCrypto, run: folder === 'samples/guests' });
        for (let event = nextEvent(run); event; event = nextEvent(run)) {
          if (event.kind !== 'enter' || event.frame.layer === 'launch' || event.frame.layer === 'guest') continue;
          entered.add(event.frame.name);
        }
      }
    }
    const missing = [...entered].filter((name) => !FUNCTION_NAMES.includes(name));
    assert.deepEqual(missing, []);
    const never = FUNCTION_NAMES.filter((name) => !entered.has(name) && !RARE.includes(name));
    assert.deepEqual(never, [], 'names that no launch reaches');
  });

  it('are told apart by no more than case', () => {
    assert.equal(unknownFunction('rmpupdate', []), undefined);
    assert.match(unknownFunction('rmpudpate', []) ?? '', /Did you mean RMPUPDATE\?/);
  });
});
