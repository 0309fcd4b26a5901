import { hex, type Spa, spa } from '../../address.js';
import { equalBytes, toHex, view } from '../../bytes.js';
import { type Fault, type FaultDefinition, makeFault, type Operands } from '../../fault.js';
import { reservedFault } from '../attestation/message-checks.js';
import type { FirmwareMachine } from '../command.js';
import { type MessageContext, messageFault } from '../guest-message-handler.js';
import { currentFirmware } from '../platform-firmware.js';
import { firmwarePolicyFaults, POLICY_BIT } from '../policy-checks.js';
import type { GuestContext, GuestState } from '../state.js';
import {
  decodeContext,
  EXPORTED_CONTEXT_SIZE,
  EXPORTED_CONTEXT_VERSION,
  type ExportedContext,
} from './exported-context.js';
import {
  MIGRATION_AGENT,
  MIGRATION_CONTEXT,
  MIGRATION_IMD,
  MIGRATION_NO_IMI,
  MIGRATION_POLICY,
  MIGRATION_SIZE,
  MIGRATION_STATE,
  MIGRATION_TARGET,
  MIGRATION_VMPCK,
} from './migration-faults.js';

/** Checks that the migration messages share. */

export type Checked<T> = { readonly value: T } | { readonly fault: Fault };

/** GCTX, size, version and reserved bytes, then the context itself. */
export const IMPORT_HEADER_SIZE = 0x20;
export const IMPORT_REQUEST_SIZE = IMPORT_HEADER_SIZE + EXPORTED_CONTEXT_SIZE;
export const IMPORT_RESPONSE_SIZE = 0x10;

export function migrationFault<O extends Operands>(
  definition: FaultDefinition<O>,
  operands: O,
  message: string,
): { readonly fault: Fault } {
  return { fault: messageFault(definition, operands, message) };
}

/** These messages name no VMPL: they act for the whole guest. */
export function vmpckFault(vmpck: number, message: string): Fault | undefined {
  return vmpck === 0 ? undefined : messageFault(MIGRATION_VMPCK, { vmpck }, message);
}

/** The other guest that a message names in its first eight bytes. */
export function targetOf({ machine, guest, payload }: MessageContext, message: string): Checked<GuestContext> {
  const address: Spa = spa(Number(view(payload).getBigUint64(0, true)));
  const target = machine.asp.guests.get(address);
  if (!target || target === guest) return migrationFault(MIGRATION_TARGET, { gctx: hex(address) }, message);
  return { value: target };
}

export function agentFault(target: GuestContext, requester: GuestContext, message: string): Fault | undefined {
  if (equalBytes(target.reportIdMa, requester.reportId)) return undefined;
  return messageFault(MIGRATION_AGENT, { gctx: hex(target.address) }, message);
}

export function stateFault(target: GuestContext, needed: readonly GuestState[], message: string): Fault | undefined {
  if (needed.includes(target.state)) return undefined;
  return messageFault(MIGRATION_STATE, { state: target.state, needed: needed.join(' or ') }, message);
}

/** The context in an import or absorb request, and whether this platform may run it. */
export function contextIn({ machine, payload }: MessageContext, message: string): Checked<ExportedContext> {
  const v = view(payload);
  const [size, version] = [v.getUint32(0x08, true), v.getUint32(0x0c, true)];
  if (size !== EXPORTED_CONTEXT_SIZE || version !== EXPORTED_CONTEXT_VERSION) {
    return migrationFault(MIGRATION_SIZE, { size, version }, message);
  }
  const reserved = reservedFault(payload, 0x10, IMPORT_HEADER_SIZE, message);
  if (reserved) return { fault: reserved };
  const context = decodeContext(payload.subarray(IMPORT_HEADER_SIZE));
  if (typeof context === 'number') return migrationFault(MIGRATION_CONTEXT, { offset: hex(context) }, message);
  const reason = policyProblem(machine, context);
  return reason === undefined ? { value: context } : migrationFault(MIGRATION_POLICY, { reason }, message);
}

function policyProblem(machine: FirmwareMachine, { policy }: ExportedContext): string | undefined {
  const [fault] = firmwarePolicyFaults(policy, currentFirmware(machine), machine.processor, machine.asp.options);
  return fault?.message;
}

/** True: the guest was launched for a migration agent. */
export function isMigratable(policy: bigint): boolean {
  return (policy & POLICY_BIT.MIGRATE_MA) !== 0n;
}

/** The target was launched with the image that the context expects. */
export function imageFault(target: GuestContext, context: ExportedContext, message: string): Fault | undefined {
  if (!target.imiEnabled) return messageFault(MIGRATION_NO_IMI, { gctx: hex(target.address) }, message);
  if (equalBytes(target.imd, context.imd)) return undefined;
  return { ...makeFault(MIGRATION_IMD, { expected: toHex(context.imd), actual: toHex(target.imd) }), command: message };
}
