import { equalBytes, toHex } from '../engine/bytes.js';
import { type Fault, makeFault } from '../engine/fault.js';
import type { LaunchPlan } from '../engine/launch/plan.js';
import { EXPECT_DIGEST } from '../server/rules/expect-digest.js';

/** The linter's finding, made at the end of a complete launch from what the firmware really measured. */
export function digestDiffers(plan: LaunchPlan, digest: Uint8Array, pages: number): Fault | undefined {
  const { digest: expected, at } = plan.expect;
  if (!expected || equalBytes(expected, digest)) return undefined;
  const { vcpus, cpu } = plan.vm;
  return makeFault(EXPECT_DIGEST, { expected: toHex(expected), actual: toHex(digest), vcpus, cpu, pages }, { at });
}
