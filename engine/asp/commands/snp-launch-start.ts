import { hex, type Spa } from '../../address.js';
import { copyBytes, toHex } from '../../bytes.js';
import { defineFault } from '../../fault.js';
import { PLATFORM_FEATURES } from '../../spec/platform-features.js';
import type { Op } from '../../timeline/event.js';
import { currentMitigations, platformTcb } from '../attestation/platform-tcb.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, refused, SUCCESS, status } from '../command.js';
import { findGuest } from '../common-checks.js';
import { zeroDigest } from '../launch-digest.js';
import { OEK_SIZE } from '../page-swap.js';
import { currentFirmware } from '../platform-firmware.js';
import { firmwarePolicyFaults, POLICY_BIT } from '../policy-checks.js';
import type { GuestContext } from '../state.js';

const NAME = 'SNP_LAUNCH_START';
const LAUNCH_START = 'AMD pub. 56860, SNP_LAUNCH_START';

export interface LaunchStartParams {
  readonly gctx: Spa;
  readonly policy: bigint;
  /** 16 bytes: guest OS visible workarounds. */
  readonly gosvw: Uint8Array;
  /** MA_EN: the guest is bound to the migration agent at `maGctx`. */
  readonly maEnabled: boolean;
  /** IMI_EN: the launch loads an incoming migration image. */
  readonly imiEnabled: boolean;
  readonly maGctx?: Spa;
  /** 0 or undefined: the host's frequency. */
  readonly desiredTscKhz?: number;
}

export const START_GOSVW = defineFault<{ length: number }>({
  check: 'fw-launch-start-gosvw',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'GOSVW is not 16 bytes long',
  message: (o) => `The guest OS visible workarounds have ${o.length} bytes; the field has 16.`,
  why: 'GOSVW is handed on to the guest in its secrets page, in a field of 16 bytes.',
  hint: 'Give 16 bytes; all zeros is the usual value.',
  reference: LAUNCH_START,
  confirmed: true,
});

export const START_MA_POLICY = defineFault<{ policy: bigint }>({
  check: 'fw-launch-start-ma-policy',
  layer: 'firmware',
  command: NAME,
  code: status('POLICY_FAILURE'),
  title: 'Policy forbids a migration agent',
  message: (o) => `MA_EN is set, but bit 18 (MIGRATE_MA) of the policy ${hex(o.policy)} is 0.`,
  why: 'A migration agent can read the guest’s state when it moves it. The guest owner must allow that in the policy.',
  hint: 'Set bit 18 (0x40000) of the policy, or launch without a migration agent.',
  reference: LAUNCH_START,
  confirmed: false,
});

export const START_MA_CONTEXT = defineFault<{ gctx: string }>({
  check: 'fw-launch-start-ma-context',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_GUEST'),
  title: 'Migration agent is not a guest',
  message: (o) => `MA_GCTX_PADDR ${o.gctx} is not the Context page of a guest.`,
  why: 'The migration agent is an SNP guest itself, launched before.',
  hint: 'Launch the agent first and pass the address of its context.',
  reference: LAUNCH_START,
  confirmed: false,
});

export const START_MA_STATE = defineFault<{ state: string }>({
  check: 'fw-launch-start-ma-state',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_GUEST_STATE'),
  title: 'Migration agent is not running',
  message: (o) => `The migration agent is in state ${o.state}; it must be RUNNING.`,
  why: 'Until its launch is finished the agent has no measurement that anybody could trust.',
  hint: 'Finish the launch of the agent first.',
  reference: LAUNCH_START,
  confirmed: false,
});

export const START_MA_MIGRATABLE = defineFault<{ policy: bigint }>({
  check: 'fw-launch-start-ma-migratable',
  layer: 'firmware',
  command: NAME,
  code: status('POLICY_FAILURE'),
  title: 'Migration agent may itself be migrated',
  message: (o) => `The policy ${hex(o.policy)} of the migration agent has bit 18 (MIGRATE_MA) set.`,
  why: 'An agent that another agent can move could be copied together with the secrets of its guests.',
  hint: 'Launch the agent with bit 18 of its policy clear.',
  reference: LAUNCH_START,
  confirmed: false,
});

export const START_TSC = defineFault<{ desired: number; host: number }>({
  check: 'fw-launch-start-tsc',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'TSC frequency not representable',
  message: (o) => `DESIRED_TSC_KHZ ${o.desired} cannot be reached from the host’s ${o.host} kHz.`,
  why: 'The guest’s TSC is the host’s times GUEST_TSC_SCALE, a fixed-point number with 8 integer and 32 fraction bits.',
  hint: 'Ask for less than 256 times the host’s frequency, or pass 0 for the host’s own.',
  reference: `${LAUNCH_START}; AMD64 APM vol. 2, Secure TSC`,
  confirmed: false,
});

function refusal(machine: FirmwareMachine, guest: GuestContext, params: LaunchStartParams): FirmwareResult | undefined {
  const { asp, processor } = machine;
  if (params.gosvw.length !== 16) return refuse(START_GOSVW, { length: params.gosvw.length });
  const [policyFault] = firmwarePolicyFaults(params.policy, currentFirmware(machine), processor, asp.options);
  if (policyFault) return refused(policyFault);
  if (params.maEnabled) {
    if ((params.policy & POLICY_BIT.MIGRATE_MA) === 0n) return refuse(START_MA_POLICY, { policy: params.policy });
    const agent = params.maGctx === undefined ? undefined : asp.guests.get(params.maGctx);
    if (!agent || agent === guest) return refuse(START_MA_CONTEXT, { gctx: hex(params.maGctx ?? 0) });
    if (agent.state !== 'RUNNING') return refuse(START_MA_STATE, { state: agent.state });
    if ((agent.policy & POLICY_BIT.MIGRATE_MA) !== 0n) return refuse(START_MA_MIGRATABLE, { policy: agent.policy });
  }
  const desired = params.desiredTscKhz ?? 0;
  const host = PLATFORM_FEATURES[processor.name].tscKhz;
  if (desired < 0 || desired / host >= 256) return refuse(START_TSC, { desired, host });
  return undefined;
}

/** SNP_LAUNCH_START (0x0A0): INIT → LAUNCH. AMD pub. 56860, SNP_LAUNCH_START. */
export function snpLaunchStart(machine: FirmwareMachine, params: LaunchStartParams): Op<FirmwareResult> {
  const args = {
    gctx: hex(params.gctx),
    policy: hex(params.policy),
    maEnabled: params.maEnabled,
    imiEnabled: params.imiEnabled,
  };
  // biome-ignore lint/correctness/useYield: the command has no events of its own.
  return inCommand(machine, NAME, { args }, function* () {
    const found = findGuest(machine, NAME, params.gctx, ['INIT']);
    if ('refusal' in found) return found.refusal;
    const { guest } = found;
    const wrong = refusal(machine, guest, params);
    if (wrong) return wrong;
    const { asp, memory, random } = machine;
    guest.vek = asp.nextKey++;
    memory.keys.set(guest.vek, random.bytes('VEK', 32));
    guest.policy = params.policy;
    guest.ld = zeroDigest();
    guest.imd = zeroDigest();
    guest.imiEnabled = params.imiEnabled;
    guest.gosvw = copyBytes(params.gosvw);
    guest.desiredTscKhz = params.desiredTscKhz ?? 0;
    guest.launchTcb = platformTcb(machine).current;
    guest.launchMitigations = currentMitigations(machine);
    guest.oek = random.fixed(`OEK ${toHex(guest.reportId)}`, OEK_SIZE);
    guest.oekIvCount = 0n;
    const agent = params.maEnabled && params.maGctx !== undefined ? asp.guests.get(params.maGctx) : undefined;
    guest.reportIdMa = agent ? copyBytes(agent.reportId) : new Uint8Array(32).fill(0xff);
    guest.state = 'LAUNCH';
    return SUCCESS;
  });
}
