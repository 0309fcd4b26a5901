/** `sev-snp launch` with guests that run: console, trace, JSON, exit status. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { cli, samples } from './run-cli.js';

const guest = (name: string): string => join(samples, 'guests', `${name}.snp.yaml`);

interface Line {
  readonly event: string;
  readonly [name: string]: unknown;
}
const lines = (text: string): Line[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

describe('sev-snp launch of a guest', () => {
  it('prints what the guest prints, and how it ends', () => {
    const { status, out, err } = cli('launch', guest('hello'));
    assert.equal(err, '');
    assert.equal(status, 0);
    assert.match(out, /^ {2}hello from an SEV-SNP guest$/m);
    assert.match(out, /^launch digest [0-9a-f]{96}\nend: the guest asked for its termination: reason set 15, code 0/m);
  });

  it('explains a guest that fails, and fails', () => {
    const { status, out, err } = cli('launch', guest('forgotten-pvalidate'));
    assert.equal(status, 1);
    assert.match(out, /^launch digest/m);
    assert.match(err, /Validated bit is 0/);
    assert.match(err, /to fix: PVALIDATE the page once/);
  });

  it('traces exits, exceptions, RMP changes and GHCB events as readable lines', () => {
    const { out } = cli('launch', guest('page-states'), '--trace');
    for (const text of [
      /^ *vCPU 0 rip=0xfff0 #VMEXIT NPF gpa=0xfffffff0 error=0x500000014 \(U ID final ENC\)$/m,
      /^ *vCPU 0 rip=0x[0-9a-f]+ #VC error=0x72 \(CPUID\)$/m,
      /^ *vCPU 0 rip=0x[0-9a-f]+ #VMEXIT VMGEXIT MSR 0x2 get SEV information$/m,
      /^ *rmp pfn=0x[0-9a-f]+ Guest-Invalid → Guest-Valid gpa=0x[0-9a-f]+ asid=1 \(PVALIDATE\)$/m,
      /^ *vCPU 0 rip=0x[0-9a-f]+ PVALIDATE rax=0x[0-9a-f]+ ecx=0x0 edx=0x1 → eax=0 cf=0$/m,
      /kernel: kvm_vmgexit_enter: vcpu 0, exit_reason 80000010/,
    ]) {
      assert.match(out, text);
    }
    assert.doesNotMatch(out, /KVM_RUN: 0/);
  });

  it('writes every event as JSON, and at the end the registers of each vCPU', () => {
    const { status, out } = cli('launch', guest('two-vcpus'), '--json');
    assert.equal(status, 0);
    const all = lines(out);
    const kinds = new Set(all.map((line) => line.event));
    for (const kind of ['exit', 'exception', 'instruction', 'console', 'rmp', 'end']) assert.ok(kinds.has(kind), kind);
    const vcpus = new Set(all.filter((line) => line.event === 'exit').map((line) => line['vcpu']));
    assert.deepEqual([...vcpus].sort(), [0, 1]);
    const end = all.at(-1);
    assert.equal((end?.['exit'] as Line | undefined)?.['reason'], 'termination');
    assert.match(end?.['console'] as string, /vCPU 1: round 3/);
    const registers = end?.['vcpus'] as Record<string, unknown>[];
    assert.deepEqual(
      registers.map((vcpu) => vcpu['vcpu']),
      [0, 1],
    );
    for (const vcpu of registers) {
      for (const name of ['rip', 'rax', 'r15', 'rflags', 'cr3', 'efer', 'cs.base']) {
        assert.match(String(vcpu[name]), /^0x[0-9a-f]+$/, name);
      }
    }
  });

  it('stops at the limit with the registers of that instruction', () => {
    const { status, out } = cli('launch', guest('hello'), '--json', '--max-instructions', '0');
    assert.equal(status, 0);
    const end = lines(out).at(-1);
    assert.equal(end?.['instructions'], 0);
    const vcpus = (end?.['vcpus'] ?? []) as Record<string, unknown>[];
    assert.deepEqual([vcpus[0]?.['rip'], vcpus[0]?.['cs.base']], ['0xfff0', '0xffff0000']);
  });

  it('ends every faulty guest with a fault and status 1', () => {
    for (const name of [
      'validated-twice',
      'wrong-page-size',
      'ghcb-in-private-memory',
      'vc-inside-vc',
      'unknown-exit',
    ]) {
      const { status, out } = cli('launch', guest(name), '--json');
      assert.equal(status, 1, name);
      const exit = lines(out).at(-1)?.['exit'] as { readonly fault?: { readonly message: string } };
      assert.ok((exit.fault?.message.length ?? 0) > 100, name);
    }
  });
});
