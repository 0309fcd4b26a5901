import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Fault } from '../../../engine/fault.js';
import { parseManifest } from '../../../engine/launch/manifest/parse.js';
import { resolvePlan } from '../../../engine/launch/resolve.js';
import { ATTACK_NAMES, type AttackName } from '../../../engine/spec/attacks.js';
import type { EngineEvent } from '../../../engine/timeline/event.js';
import { nextEvent } from '../../../engine/timeline/run.js';
import { launch } from '../../../engine/vmm/launch.js';
import { createFileSource } from '../../../platform/file-source.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';

/** The samples of samples/attacks: each attempt, and what stopped it. */
const FOLDER = join(import.meta.dirname, '../../../samples/attacks');

function perform(sample: string, change: (text: string) => string = (text) => text) {
  const path = join(FOLDER, `${sample}.snp.yaml`);
  const parsed = parseManifest(change(readFileSync(path, 'utf8')), path);
  const { plan } = resolvePlan(parsed, createFileSource(), nativeCrypto);
  assert.ok(plan);
  const run = launch(plan, { crypto: nativeCrypto, run: true });
  const attacks: { readonly name: string; readonly check: string | undefined }[] = [];
  const exits: string[] = [];
  const logs: string[] = [];
  for (let event = nextEvent(run); event; event = nextEvent(run)) note(event);
  function note(event: EngineEvent): void {
    if (event.kind === 'leave' && event.frame.name.startsWith('attack: ')) {
      attacks.push({ name: event.frame.name.slice('attack: '.length), check: event.fault?.check });
    }
    if (event.kind === 'exit' && event.fault) exits.push(event.fault.check);
    if (event.kind === 'log' && event.text.startsWith('attack: ')) logs.push(event.text);
  }
  assert.ok(run.outcome);
  const { outcome, machine } = run;
  const end = outcome.exit;
  return {
    attacks,
    exits,
    logs,
    serial: machine.console.serial,
    code: end?.reason === 'termination' ? end.code : undefined,
    checks: chain(outcome.fault ?? (end && 'fault' in end ? end.fault : undefined)),
  };
}

function chain(fault: Fault | undefined): string[] {
  const checks: string[] = [];
  for (let f = fault; f; f = f.cause) checks.push(f.check);
  return checks;
}

interface Expected {
  readonly attack: AttackName;
  /** Faults of the steps, in their order. */
  readonly steps: readonly (string | undefined)[];
  /** Last check of the chain that explains the end. */
  readonly stoppedBy?: string;
  /** Faults of #VMEXITs. */
  readonly exits?: readonly string[];
  /** Reason of the guest's termination; lib/end.h of the sample guests. */
  readonly code?: number;
  readonly serial?: RegExp;
}

const FINISHED = 0;
const UNEXPECTED_VC = 1;
const NOT_VALIDATED = 2;
const EXCEPTION = 3;
const CHEATED = 0x16;
const notValidated = 'hw-access-not-validated';

const SAMPLES: Readonly<Record<string, Expected>> = {
  'forge-cpuid': { attack: 'forge-cpuid', steps: [undefined], stoppedBy: 'fw-launch-update-cpuid-policy' },
  'tamper-page': { attack: 'tamper-page', steps: [undefined], stoppedBy: 'fw-launch-finish-launch-digest' },
  'tamper-id-block': {
    attack: 'tamper-id-block',
    steps: [undefined],
    stoppedBy: 'fw-launch-finish-id-block-signature',
  },
  remap: {
    attack: 'remap',
    steps: [undefined],
    exits: ['hw-access-guest-owned'],
    code: FINISHED,
    serial: /month 3: the balance is 300\naccount: finished\n$/,
  },
  'double-map': {
    attack: 'double-map',
    steps: [undefined],
    exits: ['hw-access-reverse-map'],
    code: FINISHED,
    serial: /month 3: the balance is 300\naccount: finished\n$/,
  },
  exchange: { attack: 'exchange', steps: [undefined, undefined], code: NOT_VALIDATED, stoppedBy: notValidated },
  'exchange-lazy': {
    attack: 'exchange',
    steps: [undefined, undefined],
    code: CHEATED,
    serial: /month 2: the balance is 200\nthe balance is 100 now, and should be 200/,
  },
  replay: {
    attack: 'replay',
    steps: [undefined, 'hw-host-write', undefined],
    code: NOT_VALIDATED,
    stoppedBy: notValidated,
    serial: /month 3: the balance is 300\n#VC, exit 0x404/,
  },
  'replay-trusting': {
    attack: 'replay',
    steps: [undefined, 'hw-host-write', undefined],
    code: CHEATED,
    serial: /month 3: the balance is 300\nthe balance is 100 now, and should be 300/,
  },
  'inject-vc': {
    attack: 'inject-vc',
    steps: [undefined],
    code: UNEXPECTED_VC,
    serial: /#VC for CPUID, but at 0x[0-9a-f]+ is [0-9a-f]+ [0-9a-f]+: the host has injected it/,
  },
  'inject-vc-trusting': { attack: 'inject-vc', steps: [undefined], stoppedBy: 'kvm-memory-fault' },
  'inject-interrupt': {
    attack: 'inject-interrupt',
    steps: [undefined],
    code: EXCEPTION,
    stoppedBy: 'guest-exception',
    serial: /exception 13, error code 0x403/,
  },
};

describe('Attack samples', function () {
  this.timeout(60_000);

  for (const [sample, expected] of Object.entries(SAMPLES)) {
    it(`${sample}: ${expected.stoppedBy ?? expected.exits?.[0] ?? (expected.code === CHEATED ? 'succeeds' : 'the guest')}`, () => {
      const { attacks, exits, code, checks, serial } = perform(sample);
      assert.deepEqual(
        attacks,
        expected.steps.map((check) => ({ name: expected.attack, check })),
      );
      assert.deepEqual(exits, expected.exits ?? []);
      if (expected.stoppedBy) assert.equal(checks.at(-1), expected.stoppedBy, checks.join());
      if (expected.code !== undefined) assert.equal(code, expected.code, serial);
      if (expected.serial) assert.match(serial, expected.serial);
    });

    if (expected.exits || expected.code !== undefined) {
      it(`${sample}: without the attack the guest finishes`, () => {
        const { attacks, code, serial } = perform(sample, (text) => text.replace(/host:\n {2}attack: .*\n/, ''));
        assert.deepEqual([attacks, code], [[], FINISHED]);
        assert.match(serial, /month 3: the balance is 300\naccount[-a-z]*: finished\n$/);
      });
    }
  }

  it('show each attack that there is, and all of them', () => {
    const names = readdirSync(FOLDER).flatMap((name) => name.match(/^(.*)\.snp\.yaml$/)?.[1] ?? []);
    assert.deepEqual(names.sort(), Object.keys(SAMPLES).sort());
    assert.deepEqual([...new Set(Object.values(SAMPLES).map(({ attack }) => attack))].sort(), [...ATTACK_NAMES].sort());
  });

  it('say so when there was nothing to attack', () => {
    const noBlock = perform('tamper-id-block', (text) => text.replace(/ {2}finish:[\s\S]*$/, ''));
    assert.match(noBlock.logs.join(), /tamper-id-block did not come to pass/);
    const elsewhere = perform('remap', (text) =>
      text.replace('attack: remap', 'attack: remap\n  attack-page: 0x3000000'),
    );
    assert.equal(elsewhere.code, FINISHED);
    assert.match(elsewhere.logs.join(), /remap did not come to pass/);
  });
});
