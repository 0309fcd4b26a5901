import type { Spa } from '../../../../engine/address.js';
import { snpLaunchFinish } from '../../../../engine/asp/commands/snp-launch-finish.js';
import { type LaunchStartParams, snpLaunchStart } from '../../../../engine/asp/commands/snp-launch-start.js';
import type { Machine } from '../../../../engine/machine.js';
import type { FirmwareStatusName } from '../../../../engine/spec/firmware-status.js';
import { PROCESSOR_PROFILES } from '../../../../engine/spec/versions.js';
import {
  createGuest,
  createInitialisedMachine,
  firmwarePage,
  GOSVW,
  launchGuest,
  must,
  POLICY,
} from '../../../support/bare-machine.js';
import type { Case, CaseTable } from './case.js';
import { finish } from './launch-finish.js';

const milan = PROCESSOR_PROFILES.milan;
const start = (gctx: Spa, fields: Partial<LaunchStartParams> = {}): LaunchStartParams => ({
  gctx,
  policy: POLICY,
  gosvw: GOSVW,
  maEnabled: false,
  imiEnabled: false,
  ...fields,
});

function startCase(
  name: string,
  fields: Partial<LaunchStartParams>,
  status: FirmwareStatusName,
  check: string,
  overrides: Partial<Machine> = {},
): Case {
  return {
    name,
    command: () => {
      const machine = createInitialisedMachine(overrides);
      return { machine, op: snpLaunchStart(machine, start(createGuest(machine).gctx, fields)) };
    },
    status,
    check,
  };
}

export const SNP_LAUNCH_START: CaseTable = {
  command: 'SNP_LAUNCH_START',
  cases: [
    {
      name: 'a page that is no context',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpLaunchStart(machine, start(firmwarePage(machine))) };
      },
      status: 'INVALID_GUEST',
      check: 'fw-guest-context',
    },
    {
      name: 'a second start',
      command: () => {
        const machine = createInitialisedMachine();
        return { machine, op: snpLaunchStart(machine, start(launchGuest(machine).gctx)) };
      },
      status: 'INVALID_GUEST_STATE',
      check: 'fw-guest-state',
    },
    startCase('a GOSVW of 15 bytes', { gosvw: new Uint8Array(15) }, 'INVALID_PARAM', 'fw-launch-start-gosvw'),
    startCase('policy 0', { policy: 0n }, 'POLICY_FAILURE', 'fw-policy-reserved-one'),
    startCase('policy 0x300000', { policy: 0x30_0000n }, 'POLICY_FAILURE', 'fw-policy-reserved-one'),
    startCase('bit 40', { policy: 0x100_0003_0000n }, 'POLICY_FAILURE', 'fw-policy-reserved-bits'),
    startCase('a newer ABI', { policy: 0x3_0138n }, 'POLICY_FAILURE', 'fw-policy-abi'),
    startCase('a newer ABI major', { policy: 0x3_0200n }, 'POLICY_FAILURE', 'fw-policy-abi'),
    startCase('no SMT', { policy: 0x2_0000n }, 'POLICY_FAILURE', 'fw-policy-smt'),
    startCase('XTS on Milan', { policy: 0x43_0000n }, 'POLICY_FAILURE', 'fw-policy-aes-256-xts', { processor: milan }),
    startCase('RAPL_DIS', { policy: 0x83_0000n }, 'POLICY_FAILURE', 'fw-policy-rapl'),
    startCase('ciphertext hiding', { policy: 0x103_0000n }, 'POLICY_FAILURE', 'fw-policy-ciphertext-hiding'),
    startCase('MA_EN without policy bit 18', { maEnabled: true }, 'POLICY_FAILURE', 'fw-launch-start-ma-policy'),
    startCase(
      'MA_EN without agent',
      { maEnabled: true, policy: 0x7_0000n },
      'INVALID_GUEST',
      'fw-launch-start-ma-context',
    ),
    startCase('a TSC of 1 THz', { desiredTscKhz: 1_000_000_000 }, 'INVALID_PARAM', 'fw-launch-start-tsc'),
    {
      name: 'an agent that does not run',
      command: () => {
        const machine = createInitialisedMachine();
        const agent = launchGuest(machine);
        const { gctx } = createGuest(machine);
        const fields = { maEnabled: true, policy: 0x7_0000n, maGctx: agent.gctx };
        return { machine, op: snpLaunchStart(machine, start(gctx, fields)) };
      },
      status: 'INVALID_GUEST_STATE',
      check: 'fw-launch-start-ma-state',
    },
    {
      name: 'an agent that may be migrated',
      command: () => {
        const machine = createInitialisedMachine();
        const agent = launchGuest(machine, { policy: 0x7_0000n });
        must(snpLaunchFinish(machine, finish(agent.gctx)));
        const { gctx } = createGuest(machine);
        const fields = { maEnabled: true, policy: 0x7_0000n, maGctx: agent.gctx };
        return { machine, op: snpLaunchStart(machine, start(gctx, fields)) };
      },
      status: 'POLICY_FAILURE',
      check: 'fw-launch-start-ma-migratable',
    },
  ],
};
