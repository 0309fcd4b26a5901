import { equalBytes, toHex } from '../bytes.js';
import { defineFault, type Fault, makeFault, type SourceLocation } from '../fault.js';
import type { LaunchPlan } from './plan.js';

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
  title: 'Launch digest is not the expected one',
  message: (o) =>
    `The launch digest is ${o.actual}, not ${o.expected}. It measures ${o.pages} pages, the VMSAs of ${o.vcpus} vCPU${o.vcpus === 1 ? '' : 's'} of model ${o.cpu} included.`,
  why: 'The guest owner compares the digest in the attestation report with an expected value. It depends on the firmware image, on kernel, initrd and command line if they are hashed, on the number of vCPUs, on the CPU model (its signature is in RDX of each VMSA), on vmsa-features and on the VMM, but not on the policy.',
  hint: 'Compare image, vm.vcpus, vm.cpu, vm.vmm and vm.vmsa-features with those of the expected launch; if this launch is the right one, replace the digest.',
  reference: 'AMD pub. 56860, SNP_LAUNCH_UPDATE, PAGE_INFO',
  confirmed: true,
});

/** The same finding before a launch, from the measurement, and after it, from what the firmware measured. */
export function unexpectedDigest(
  plan: LaunchPlan,
  expected: Uint8Array,
  actual: Uint8Array,
  pages: number,
  at?: SourceLocation,
): Fault | undefined {
  if (equalBytes(expected, actual)) return undefined;
  const { vcpus, cpu } = plan.vm;
  const operands = { expected: toHex(expected), actual: toHex(actual), vcpus, cpu, pages };
  return makeFault(EXPECT_DIGEST, operands, { at });
}
