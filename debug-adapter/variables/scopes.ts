import type { Environment } from '../evaluate/names.js';
import { pageAtHand } from '../run/track.js';
import { argumentMembers } from './frame.js';
import { contextView } from './guest-context.js';
import { kvmMembers } from './kvm.js';
import { theContext } from './machine-state.js';
import { pageMembers } from './page.js';
import { platformMembers } from './platform.js';
import { policyMembers } from './policy.js';
import { registerGroups } from './registers.js';
import { vcpuMembers } from './vcpu.js';
import { groupView, NOT_VISIBLE, type View } from './view.js';

export interface ScopeView {
  readonly name: string;
  readonly view: View;
  /** Expression of the scope itself. */
  readonly expression?: string;
  readonly hint?: 'arguments' | 'registers';
}

/** Registers for code of the guest; for functions of the host only what they work on. */
function vcpuScopes({ machine, track, frame }: Environment, vcpu: number): readonly ScopeView[] {
  const state: ScopeView = {
    name: `vCPU ${vcpu}`,
    view: groupView(String(vcpu), () => vcpuMembers(machine, track.guest, vcpu)),
    expression: 'vcpu',
  };
  if (frame) return [state];
  const groups = registerGroups(machine, vcpu).map(
    ({ name, members }): ScopeView => ({
      name,
      view: groupView(name, members),
      // Registers have names of their own; flags are fields of RFLAGS.
      expression: name === 'Flags' ? 'rflags' : '',
      hint: 'registers',
    }),
  );
  return [...groups, state];
}

/** The scopes of a frame. Those that have nothing to show yet are left out. */
export function scopesOf(environment: Environment): readonly ScopeView[] {
  const { machine, plan, track, frame } = environment;
  const scopes: ScopeView[] = [];
  if (frame && argumentMembers(frame).length > 0) {
    const view = groupView(frame.name, () => argumentMembers(frame));
    scopes.push({ name: `Arguments of ${frame.name}`, view, expression: 'frame.args', hint: 'arguments' });
  }
  if (environment.vcpu !== undefined) scopes.push(...vcpuScopes(environment, environment.vcpu));
  const page = pageAtHand(machine, track, frame);
  if (page !== undefined) {
    const view = groupView('page', () => pageMembers(machine, track, page));
    scopes.push({ name: 'Page at hand', view, expression: 'page' });
  }
  const context = theContext(machine);
  const launched = context !== undefined && context.state !== 'INIT';
  const policy = launched ? context.policy : plan.start.policy;
  scopes.push({
    name: launched ? 'Policy' : 'Policy (of the manifest)',
    view: groupView('policy', () => policyMembers(policy)),
    expression: 'policy',
  });
  if (context) scopes.push({ name: `Guest context (${NOT_VISIBLE})`, view: contextView(machine), expression: 'gctx' });
  scopes.push({ name: 'KVM', view: groupView('kvm', () => kvmMembers(machine, track)), expression: 'kvm' });
  scopes.push({
    name: 'Platform',
    view: groupView('platform', () => platformMembers(machine)),
    expression: 'platform',
  });
  return scopes;
}
