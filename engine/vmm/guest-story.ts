import { hex } from '../address.js';
import { type Fault, type FaultDefinition, makeFault, type Operands } from '../fault.js';
import type { KvmVcpu } from '../kvm/state.js';
import type { Machine } from '../machine.js';
import type { EngineEvent } from '../timeline/event.js';
import type { Vmm } from './context.js';
import type { End } from './guest-end-faults.js';

/** Where each vCPU stood at its last #VMEXIT; kept while a guest runs. */
export interface GuestPositions {
  readonly exits: Map<number, { readonly rip: bigint; readonly instructions: number }>;
}

export function createGuestPositions(): GuestPositions {
  return { exits: new Map() };
}

export function notePosition(positions: GuestPositions, event: EngineEvent): void {
  if (event.kind === 'exit') positions.exits.set(event.vcpu, { rip: event.rip, instructions: event.instructions });
}

/** An incident explains an end that comes within so many instructions. A guest that prints first needs many. */
const RECENT = 2_000_000;
/** A plain exception is everyday business: only what follows at once has to do with it. */
const RECENT_EXCEPTION = 100_000;

/** What went wrong for the vCPU shortly before, if anything. */
export function recentIncident(machine: Machine, vcpu: number, instructions: number): Fault | undefined {
  const incident = machine.incidents.get(vcpu);
  if (!incident) return undefined;
  const plain = incident.fault.check === 'guest-exception' && !incident.fault.cause;
  const age = instructions - incident.instructions;
  return age <= (plain ? RECENT_EXCEPTION : RECENT) ? incident.fault : undefined;
}

/**
 * Why a guest ended: the definition's own words, then those of the causes. `below`: the fault of the exit itself;
 * without one what went wrong shortly before is named.
 */
export function endFault<O extends Operands>(
  { vmm, positions }: { readonly vmm: Vmm; readonly positions: GuestPositions },
  { index }: KvmVcpu,
  definition: FaultDefinition<End & O>,
  more: O,
  below?: Fault,
): Fault {
  const exit = positions.exits.get(index);
  const instructions = exit?.instructions ?? 0;
  const cause = below ?? recentIncident(vmm.machine, index, instructions);
  const operands = { ...more, vcpu: index, rip: hex(exit?.rip ?? 0n), instructions };
  return withStory(makeFault(definition, operands, cause ? { cause } : {}));
}

/** The fault with the messages of its causes in its own, as one paragraph. */
export function withStory(fault: Fault): Fault {
  const sentences: string[] = [];
  for (let f = fault.cause; f; f = f.cause) sentences.push(f.message);
  return sentences.length === 0 ? fault : { ...fault, message: `${fault.message} Behind it: ${sentences.join(' ')}` };
}
