/**
 * `expect.digest` is not the digest of this launch. The digest covers every measured page, its address and type
 * and their order, and the VMSA of each vCPU; the policy, the host data and unmeasured content are not in it. A
 * different image, kernel, command line, number of vCPUs, CPU model or VMM profile gives a different digest.
 */
import type { Fault } from '../../engine/fault.js';
import { EXPECT_DIGEST, unexpectedDigest } from '../../engine/launch/expected-digest.js';
import type { Fix, FixContext, ManifestContext, Rule } from './rule.js';

export const expectDigest: Rule = { name: 'expect-digest', manifest: check, fixes };

function check({ path, parsed, plan, measurement }: ManifestContext): readonly Fault[] {
  const expected = parsed.tree.expect.digest;
  if (!expected || !measurement || !plan) return [];
  const at = { file: path, range: expected.range };
  const fault = unexpectedDigest(plan, expected.value, measurement.digest, measurement.pages.length, at);
  return fault ? [fault] : [];
}

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  if (fault.check !== EXPECT_DIGEST.check || !fault.at) return [];
  const { range } = fault.at;
  const newText = `"${String(fault.operands['actual'])}"`;
  return [
    {
      title: 'Replace by the digest of this launch',
      preferred: true,
      changes: [{ file: context.path, range, newText }],
    },
  ];
}
