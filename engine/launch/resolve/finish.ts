import { encodeIdBlock } from '../../asp/id-block.js';
import { fromBase64 } from '../../base64.js';
import type { IgvmIdentity } from '../igvm/id-block.js';
import { IGVM_OVERRIDES } from '../igvm/vmm-faults.js';
import type { FinishTree, ManifestTree } from '../manifest/tree.js';
import { measurePlan } from '../measure.js';
import type { LaunchPlan, PlanFinish } from '../plan.js';
import { type ResolveContext, readFile, refuse } from './context.js';
import { MANIFEST_BASE64, MANIFEST_ID_BLOCK_DIGEST } from './faults.js';

/** The parameters of LAUNCH_FINISH. `plan` is complete but for them; its digest is the default of an ID block. */
export function resolveFinish(
  context: ResolveContext,
  tree: FinishTree | undefined,
  plan: Omit<LaunchPlan, 'finish'>,
  fromIgvm?: IgvmIdentity,
): PlanFinish {
  if (fromIgvm && tree?.idBlock && plan.igvm) {
    const operands = { path: plan.igvm.path, key: 'id-block', file: 'another one', manifest: 'given' };
    refuse(context, IGVM_OVERRIDES, operands, tree.idBlock.key ?? tree.idBlock.range);
  }
  const idBlock = fromIgvm?.idBlock ?? idBlockOf(context, tree?.idBlock, plan);
  const idAuth = fromIgvm?.idAuth ?? (tree?.idAuth && idAuthOf(context, tree.idAuth));
  return {
    ...(idBlock ? { idBlock } : {}),
    ...(idAuth ? { idAuth } : {}),
    authorKey: fromIgvm?.authorKey ?? tree?.authorKey?.value ?? false,
    vcekDisabled: tree?.vcekDisabled?.value ?? false,
    hostData: tree?.hostData?.value ?? new Uint8Array(32),
  };
}

function idAuthOf(
  context: ResolveContext,
  { value, range }: NonNullable<FinishTree['idAuth']>,
): Uint8Array | undefined {
  if (value.kind === 'file') return readFile(context, value.path, range)?.bytes;
  const bytes = fromBase64(value.text);
  if (bytes) return bytes;
  context.blocked = true;
  return refuse(context, MANIFEST_BASE64, { key: 'id-auth' }, range);
}

function idBlockOf(
  context: ResolveContext,
  idBlock: NonNullable<NonNullable<ManifestTree['launch']>['finish']>['idBlock'],
  plan: Omit<LaunchPlan, 'finish'>,
): Uint8Array | undefined {
  if (!idBlock) return undefined;
  if (idBlock.value.kind === 'file') return readFile(context, idBlock.value.path, idBlock.range)?.bytes;
  const { fields } = idBlock.value;
  const ld = fields.ld ?? ownDigest(context, plan, idBlock.key ?? idBlock.range);
  return ld && encodeIdBlock({ ...fields, ld, policy: fields.policy ?? plan.start.policy });
}

function ownDigest(
  context: ResolveContext,
  plan: Omit<LaunchPlan, 'finish'>,
  range: { readonly start: number; readonly end: number },
): Uint8Array | undefined {
  if (context.blocked) return undefined;
  const finish: PlanFinish = { authorKey: false, vcekDisabled: false, hostData: new Uint8Array(32) };
  const measured = measurePlan({ ...plan, finish }, context.crypto);
  if (measured.ok) return measured.value.digest;
  return refuse(context, MANIFEST_ID_BLOCK_DIGEST, { reason: measured.fault.message }, range);
}
