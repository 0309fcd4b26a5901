/**
 * A policy that allows debugging together with an ID block or host data. With DEBUG set the host may read and
 * write all guest memory, so the identity that the ID block asserts to a guest owner protects nothing.
 */
import { isZero } from '../../engine/bytes.js';
import { defineFault, type Fault, makeFault } from '../../engine/fault.js';
import { writtenPolicy } from './policy-place.js';
import type { Fix, FixContext, ManifestContext, Rule } from './rule.js';

export const DEBUG_POLICY = defineFault<{ policy: bigint; beside: string }>({
  check: 'lint-debug-policy',
  layer: 'manifest',
  command: 'policy',
  code: { kind: 'input' },
  severity: 'warning',
  title: 'Debug policy on a guest with an identity',
  message: (o) =>
    `Bit 19 (DEBUG) of the policy lets the host read and change the guest's memory, although the launch has ${o.beside}.`,
  why: 'SNP_DBG_DECRYPT and SNP_DBG_ENCRYPT give the host every page of a guest whose policy allows it. An ID block or host data is for guests that prove to somebody who they are; that proof is worthless if the host can rewrite the guest.',
  hint: 'Clear bit 19 of the policy for anything but experiments.',
  reference: 'AMD pub. 56860, guest policy; SNP_DBG_DECRYPT',
  confirmed: true,
});

const DEBUG = 1n << 19n;

export const debugPolicy: Rule = { name: 'debug-policy', manifest: check, fixes };

function check(context: ManifestContext): readonly Fault[] {
  const policy = writtenPolicy(context);
  if (!policy || (policy.value & DEBUG) === 0n || !context.plan) return [];
  const { finish } = context.plan;
  const beside = finish.idBlock ? 'an ID block' : isZero(finish.hostData) ? undefined : 'host data';
  if (beside === undefined) return [];
  const at = { file: policy.file, range: policy.rangeOfBits(DEBUG) };
  return [makeFault(DEBUG_POLICY, { policy: policy.value, beside }, { at })];
}

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  if (fault.check !== DEBUG_POLICY.check) return [];
  const policy = writtenPolicy(context);
  const changes = policy?.replaceBy(policy.value & ~DEBUG) ?? [];
  return changes.length > 0 ? [{ title: 'Clear bit 19 (DEBUG) of the policy', changes }] : [];
}
