import { VMSA_SIZE } from '../../spec/vmsa-layout.js';
import type { UpdateTree } from '../manifest/tree.js';
import type { VmmName } from '../plan.js';
import { BSP_EIP, buildVmsa } from '../vmsa/build.js';
import { type ResolveContext, readFile, refuse } from './context.js';
import * as faults from './faults.js';

type VmsaTree = Extract<UpdateTree, { kind: 'vmsa' }>;

/**
 * One VMSA for each vCPU, in the order of their numbers. vCPUs with the same state share one array, so that it is
 * hashed once. Without reset block application processors start at the reset vector, too. VMSAs of an IGVM file come
 * before the VMM's own, and entries of the manifest before both.
 */
export function resolveVmsas(
  context: ResolveContext,
  trees: readonly VmsaTree[],
  vm: { readonly vmm: VmmName; readonly vcpus: number; readonly signature: number; readonly features: bigint },
  resetEip: number | undefined,
  fromIgvm?: ReadonlyMap<number, Uint8Array>,
): readonly Uint8Array[] {
  const { vmm, vcpus, signature, features } = vm;
  const eipOf = (vcpu: number): number => (vcpu === 0 ? BSP_EIP : (resetEip ?? BSP_EIP));
  const bsp = buildVmsa({ vmm, signature, features, eip: eipOf(0) });
  const ap = buildVmsa({ vmm, signature, features, eip: eipOf(1) });
  const vmsas = Array.from({ length: vcpus }, (_, vcpu) => fromIgvm?.get(vcpu) ?? (vcpu === 0 ? bsp : ap));
  const given = new Set<number>();
  trees.forEach((tree, position) => {
    const vcpu = tree.vcpu?.value ?? position;
    const range = tree.vcpu?.range ?? tree.range;
    if (vcpu >= vcpus) {
      refuse(context, faults.MANIFEST_VMSA_VCPU, { vcpu, vcpus }, range);
      return;
    }
    if (given.has(vcpu)) refuse(context, faults.MANIFEST_VMSA_TWICE, { vcpu }, range);
    given.add(vcpu);
    const registers = tree.registers?.value.map((r) => ({ name: r.name.value, value: r.value.value }));
    if (tree.file) {
      const file = readFile(context, tree.file.value, tree.file.range);
      if (!file) return;
      if (file.bytes.length !== VMSA_SIZE) {
        const operands = { path: file.path, size: file.bytes.length };
        refuse(context, faults.MANIFEST_VMSA_FILE_SIZE, operands, tree.file.range);
        context.blocked = true;
        return;
      }
      vmsas[vcpu] = file.bytes;
    } else if (registers) vmsas[vcpu] = buildVmsa({ vmm, signature, features, eip: eipOf(vcpu), registers });
  });
  return vmsas;
}
