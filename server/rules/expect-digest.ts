/**
 * `expect.digest` is not the digest of this launch. The digest covers every measured page, its address and type
 * and their order, and the VMSA of each vCPU; the policy, the host data and unmeasured content are not in it. A
 * different image, kernel, command line, number of vCPUs, CPU model or VMM profile gives a different digest.
 */
import { equalBytes, toHex } from '../../engine/bytes.js';
import { defineFault, type Fault, makeFault } from '../../engine/fault.js';
import type { Fix, FixContext, ManifestContext, Rule } from './rule.js';

export const EXPECT_DIGEST = defineFault<{
  expected: string;
  actual: string;
  vcpus: number;
  cpu: string;
  pages: number;
}>({
  check: 'lint-expect-digest',
  layer: 'manifest',
  command: 'expect.digest',
  code: { kind: 'input' },
  title: 'Launch digest differs',
  message: (o) =>
    `The launch digest is ${o.actual}, not ${o.expected}. It measures ${o.pages} pages, the VMSAs of ${o.vcpus} vCPU${o.vcpus === 1 ? '' : 's'} of model ${o.cpu} included.`,
  why: 'The guest owner compares the digest in the attestation report with an expected value. It depends on the firmware image, on kernel, initrd and command line if they are hashed, on the number of vCPUs, on the CPU model (its signature is in RDX of each VMSA), on vmsa-features and on the VMM, but not on the policy.',
  hint: 'Compare image, vm.vcpus, vm.cpu, vm.vmm and vm.vmsa-features with those of the expected launch; if this launch is the right one, replace the digest.',
  reference: 'AMD pub. 56860, SNP_LAUNCH_UPDATE, PAGE_INFO',
  confirmed: true,
});

export const expectDigest: Rule = { name: 'expect-digest', manifest: check, fixes };

function check({ path, parsed, plan, measurement }: ManifestContext): readonly Fault[] {
  const expected = parsed.tree.expect.digest;
  if (!expected || !measurement || !plan || equalBytes(expected.value, measurement.digest)) return [];
  const operands = {
    expected: toHex(expected.value),
    actual: toHex(measurement.digest),
    vcpus: plan.vm.vcpus,
    cpu: plan.vm.cpu,
    pages: measurement.pages.length,
  };
  return [makeFault(EXPECT_DIGEST, operands, { at: { file: path, range: expected.range } })];
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
