/**
 * Quick fix for VMSA features that KVM does not support on the host: the value is reduced to the bits that it
 * does. Of the features only DebugSwap can be asked for, on Genoa and later; SNPActive is always set.
 */
import { hex } from '../../engine/address.js';
import type { Fault } from '../../engine/fault.js';
import { INIT2_FEATURES } from '../../engine/kvm/sev-init2.js';
import type { Fix, FixContext, Rule } from './rule.js';

const SNP_ACTIVE = 1n;
const DEBUG_SWAP = 1n << 5n;

export const vmsaFeatures: Rule = { name: 'vmsa-features', fixes };

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  if (fault.check !== INIT2_FEATURES.check || context.kind !== 'manifest' || !context.plan) return [];
  const field = context.parsed.tree.vm.vmsaFeatures;
  if (!field) return [];
  const supported = SNP_ACTIVE | (context.plan.host.processor.debugSwap ? DEBUG_SWAP : 0n);
  const newText = hex((field.value & supported) | SNP_ACTIVE);
  const changes = [{ file: context.path, range: field.range, newText }];
  return [{ title: `Change vmsa-features to ${newText}`, preferred: true, changes }];
}
