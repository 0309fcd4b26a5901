/** The sample guests run on the emulated host: what they print, how they end, and that the report of hello verifies. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { verifyReport } from '../../engine/asp/attestation/report-signature.js';
import { vcekPublicKey } from '../../engine/asp/attestation/vcek.js';
import { toHex } from '../../engine/bytes.js';
import { portableCrypto } from '../../engine/crypto.js';
import { decodeTermination } from '../../engine/spec/guest-termination.js';
import { cli, samples } from '../cli/run-cli.js';

const folder = join(samples, 'guests');

interface End {
  readonly digest: string;
  readonly instructions: number;
  readonly console: string;
  readonly exit: { readonly reason: string; readonly set?: number; readonly code?: number; readonly fault?: unknown };
}

interface Run {
  readonly status: number | null;
  readonly out: string;
  readonly end: End;
  readonly lines: readonly string[];
}

const runs = new Map<string, Run>();

/** Runs a guest once for all tests. */
function launch(name: string): Run {
  const known = runs.get(name);
  if (known) return known;
  const run = launchAgain(name);
  runs.set(name, run);
  return run;
}

function launchAgain(name: string): Run {
  const { status, out } = cli('launch', '--json', join(folder, `${name}.snp.yaml`));
  const end = JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as End;
  return { status, out, end, lines: end.console.split('\n').slice(0, -1) };
}

/** Value of a reason in lib/end.h. */
function reason(name: string): number {
  const line = readFileSync(join(folder, 'lib/end.h'), 'utf8')
    .split('\n')
    .find((text) => text.startsWith(`#define ${name} `));
  assert.ok(line, name);
  return Number(line.split(/\s+/)[2]);
}

const SET = 0xf;

/** name → lines of the console, reason for the end. test/engine/vmm/sample-guests.test.ts: how it is explained. */
const FAULTY: Readonly<Record<string, readonly [lines: readonly RegExp[], reason: string]>> = {
  'forgotten-pvalidate': [
    [/^mistake: /, /^#VC, exit 0x404 at 0xffff[0-9a-f]{4}: the page of address 0xa00000 is not validated$/],
    'END_NOT_VALIDATED',
  ],
  'validated-twice': [[/^mistake: /, /^PVALIDATE of 0x81d000: CF set, nothing changed$/], 'END_UNCHANGED'],
  'wrong-page-size': [[/^mistake: /, /^PVALIDATE of 0xa00000: code 6, FAIL_SIZEMISMATCH$/], 'END_SIZE_MISMATCH'],
  'ghcb-in-private-memory': [[], 'END_GHCB_UNSEEN'],
  'unknown-exit': [[/^mistake: /, /^exit 0x80000099: the host refuses: unknown event$/], 'END_HOST_REFUSED'],
};

function assertFinished({ status, end }: Run): void {
  assert.deepEqual([end.exit.reason, end.exit.set, end.exit.code], ['termination', SET, reason('END_FINISHED')]);
  assert.equal(end.exit.fault, undefined);
  assert.equal(status, 0);
}

describe('samples: guests that run', function () {
  this.timeout(120000);

  it('hello: its report is signed by the emulated chip, and says what was launched', () => {
    const run = launch('hello');
    assertFinished(run);
    const { lines } = run;
    assert.deepEqual(lines.slice(0, 6), [
      'hello from an SEV-SNP guest',
      'SEV_STATUS: 0x7, C-bit: 51',
      'GHCB protocol: 2 of 1 to 2; hypervisor features: 0x3',
      'processor: AuthenticAMD, signature 0x00a00f11, APIC id 0, APIC base 0xfee00900',
      'VMPL: 0',
      'memory: 0xa00000 to 0xdfffff validated, 0 pages of 2 MiB and 1024 of 4 KiB',
    ]);
    assert.equal(lines.at(-1), 'hello: finished');

    const hex = lines.find((line) => /^[0-9a-f]{2368}$/.test(line));
    assert.ok(hex, 'the report in hex');
    const bytes = new Uint8Array(Buffer.from(hex, 'hex'));
    const id = bytes.slice(0x1a0, 0x1e0);
    const tcb = new DataView(bytes.buffer).getBigUint64(0x180, true);
    const verified = verifyReport(bytes, vcekPublicKey(id, tcb), portableCrypto);
    assert.ok(verified.ok, verified.ok ? '' : verified.fault.message);
    const report = verified.value;
    assert.equal(toHex(report.measurement), run.end.digest);
    assert.match(Buffer.from(report.reportData).toString('latin1'), /^These 64 bytes are the guest's: .*\.\0\0$/);
    assert.equal(report.policy, 0x30000n);

    const printed = (title: string, rows: number): string => {
      const at = lines.indexOf(`  ${title}`);
      return lines
        .slice(at + 1, at + 1 + rows)
        .map((line) => line.trim())
        .join('');
    };
    assert.equal(printed('measurement', 2), run.end.digest);
    assert.equal(printed('report data', 2), toHex(report.reportData));
    assert.equal(printed('chip id', 2), toHex(id));
  });

  it('two-vcpus: they take turns', () => {
    const run = launch('two-vcpus');
    assertFinished(run);
    const rounds = [1, 2, 3].flatMap((n) => [`vCPU 0: round ${n}`, `  vCPU 1: round ${n}, APIC id 1`]);
    assert.deepEqual(run.lines, ['two vCPUs in turn', ...rounds, 'two-vcpus: finished']);
  });

  it('page-states: every step goes as it should', () => {
    const run = launch('page-states');
    assertFinished(run);
    const steps = run.lines.filter((line) => /^(ok|failed) /.test(line));
    assert.deepEqual(
      steps.map((line) => line.slice(0, 10)),
      steps.map((_, i) => `ok      ${String(i + 1).padStart(2)}`),
    );
    assert.equal(run.lines.at(-1), `page-states: ${steps.length} steps, 0 failed`);
    assert.ok(steps.length >= 28);
  });

  for (const [name, [lines, end]] of Object.entries(FAULTY)) {
    it(`${name}: ends with ${end}`, () => {
      const run = launch(name);
      assert.deepEqual([run.end.exit.reason, run.end.exit.set, run.end.exit.code], ['termination', SET, reason(end)]);
      assert.equal(run.status, 1);
      assert.equal(run.lines.length, lines.length, run.end.console);
      for (const [i, line] of lines.entries()) assert.match(run.lines[i] ?? '', line);
      const manifest = readFileSync(join(folder, `${name}.snp.yaml`), 'utf8');
      assert.match(manifest, new RegExp(`requested termination: 0xf:0x${reason(end).toString(16)}\n`));
    });
  }

  it('vc-inside-vc: shuts down', () => {
    const { end, status, lines } = launch('vc-inside-vc');
    assert.equal(end.exit.reason, 'shutdown');
    assert.equal(status, 1);
    assert.deepEqual(lines, ['mistake: the #VC handler executes CPUID']);
  });

  it('every run is like the one before, event by event', () => {
    for (const name of ['hello', 'two-vcpus', ...Object.keys(FAULTY)]) {
      assert.ok(launch(name).out === launchAgain(name).out, name);
    }
  });

  it('the emulator has words for every reason of lib/end.h, and for no other', () => {
    const text = readFileSync(join(folder, 'lib/end.h'), 'utf8');
    const known = [...text.matchAll(/^#define END_\w+ (0x[0-9a-f]+) +\/\*/gm)].map((match) => Number(match[1]));
    for (let code = 0; code < 0x100; code++) {
      const { meaning, set } = decodeTermination((BigInt(code) << 16n) | (BigInt(SET) << 12n) | 0x100n);
      assert.equal(set, SET);
      assert.equal(meaning !== 'no public meaning', known.includes(code), `0x${code.toString(16)}: ${meaning}`);
    }
  });
});
