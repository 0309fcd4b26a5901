import assert from 'node:assert/strict';
import { gfn } from '../../../../engine/address.js';
import { nptMap, nptZap } from '../../../../engine/cpu/svm/nested-page-table.js';
import { EXIT } from '../../../../engine/cpu/svm/vmcb.js';
import { VMSA_AT } from '../../../../engine/cpu/svm/vmsa-state.js';
import { readEntry, writeEntry } from '../../../../engine/rmp/table.js';
import { NPF } from '../../../../engine/spec/npf-error.js';
import type { EngineEvent } from '../../../../engine/timeline/event.js';
import { CODE, type SmallGuest, smallGuest } from './small-guest.js';

const RAX = 0x1f8;
const CPUID = [0x0f, 0xa2];
const RDMSR = [0x0f, 0x32];
const WRMSR = [0x0f, 0x30];
const VMGEXIT = [0xf3, 0x0f, 0x01, 0xd9];
const PVALIDATE = [0xf2, 0x0f, 0x01, 0xff];
const RMPADJUST = [0xf3, 0x0f, 0x01, 0xfe];
const HLT = [0xf4];
const u32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
const eax = (n: number): number[] => [0xb8, ...u32(n)];
const ecx = (n: number): number[] => [0xb9, ...u32(n)];
const edx = (n: number): number[] => [0xba, ...u32(n)];
/** mov rax, moffs64 */
const load = (address: number): number[] => [0x48, 0x8b, 0x04, 0x25, ...u32(address)];
const store = (address: number): number[] => [0x48, 0x89, 0x04, 0x25, ...u32(address)];

const exitOf = (events: readonly EngineEvent[]) => {
  const exit = events.find((event) => event.kind === 'exit');
  assert.ok(exit?.kind === 'exit');
  return exit;
};
const exceptions = (events: readonly EngineEvent[]) =>
  events.flatMap((event) => (event.kind === 'exception' ? [[event.vector, event.errorCode, event.rip]] : []));

describe('VMRUN', () => {
  const automatic: readonly (readonly [string, readonly number[], bigint, bigint, bigint])[] = [
    ['VMGEXIT', VMGEXIT, EXIT.VMGEXIT, 0n, 4n],
    ['HLT', HLT, EXIT.HLT, 0n, 1n],
    ['MOV CR0', [0x0f, 0x20, 0xc0, 0x0f, 0x22, 0xc0], EXIT.CR0_WRITE_TRAP, 0x8000_0011n, 6n],
    ['MOV CR4', [0x0f, 0x20, 0xe0, 0x0f, 0x22, 0xe0], EXIT.CR4_WRITE_TRAP, 0x220n, 6n],
    ['WRMSR EFER', [...ecx(0xc000_0080), ...RDMSR, ...WRMSR], EXIT.EFER_WRITE_TRAP, 0x1d01n, 9n],
  ];
  for (const [name, code, exitCode, info1, length] of automatic) {
    it(`exits behind ${name}`, () => {
      const guest = smallGuest(code);
      const exit = exitOf(guest.run());
      assert.deepEqual([exit.exitCode, exit.exitInfo1, exit.rip], [exitCode, info1, CODE + length]);
      assert.equal(guest.saved(VMSA_AT.rip), CODE + length);
    });
  }

  const reflected: readonly (readonly [string, readonly number[], number])[] = [
    ['CPUID', CPUID, 0x72],
    ['IN', [0xe4, 0x40], 0x7b],
    ['OUT', [0xe6, 0x80], 0x7b],
    ['INS', [0x6c], 0x7b],
    ['RDMSR of an MSR that KVM emulates', [...ecx(0x1b), ...RDMSR], 0x7c],
    ['WRMSR of an MSR that KVM emulates', [...ecx(0x1b), ...WRMSR], 0x7c],
    ['WBINVD', [0x0f, 0x09], 0x89],
    ['INVD', [0x0f, 0x08], 0x76],
    ['MONITOR', [0x0f, 0x01, 0xc8], 0x8a],
    ['MWAIT', [0x0f, 0x01, 0xc9], 0x8b],
    ['RDPMC', [0x0f, 0x33], 0x6f],
    ['VMMCALL', [0x0f, 0x01, 0xd9], 0x81],
    ['MOV from DR7', [0x0f, 0x21, 0xf8], 0x27],
    ['MOV to DR7', [0x0f, 0x23, 0xf8], 0x37],
  ];
  for (const [name, code, errorCode] of reflected) {
    it(`raises #VC for ${name}`, () => {
      const guest = smallGuest(code);
      const events = guest.run();
      const before = code.length > 5 ? 5n : 0n;
      assert.deepEqual(exceptions(events), [[29, errorCode, CODE + before]]);
      // The handler of the small machine is HLT.
      assert.equal(exitOf(events).exitCode, EXIT.HLT);
    });
  }

  it('leaves debug registers to a guest with debug virtualization', () => {
    const guest = smallGuest([0x0f, 0x21, 0xf8, ...HLT], { sevFeatures: 0x21n });
    assert.deepEqual(exceptions(guest.run()), []);
    assert.equal(guest.saved(RAX), 0x400n);
  });

  it('reads SEV_STATUS and the GHCB MSR without an exit', () => {
    const status = smallGuest([...ecx(0xc001_0131), ...RDMSR, ...HLT]);
    status.run();
    assert.equal(status.saved(RAX), 7n);
    const msr = smallGuest([...eax(0x5012), ...edx(0), ...ecx(0xc001_0130), ...WRMSR, ...VMGEXIT]);
    msr.run();
    assert.equal(msr.vmcb.ghcb, 0x5012n);
  });

  describe('nested paging and RMP', () => {
    it('exits with NPF before an access to a page that is not mapped', () => {
      const guest = smallGuest([...load(0x3_0123), ...HLT], { shared: true });
      const exit = exitOf(guest.run());
      assert.deepEqual(
        [exit.exitCode, exit.exitInfo1, exit.exitInfo2, exit.rip],
        [EXIT.NPF, BigInt(NPF.U + NPF.FINAL), 0x3_0123n, CODE],
      );
      assert.equal(guest.saved(VMSA_AT.rip), CODE);
    });

    it('goes on after the host has mapped the page', () => {
      const guest = smallGuest([...load(0x1_f000), ...HLT]);
      const entry = { pfn: guest.page(0x1f), writable: true, size2M: false, reserved: false };
      nptZap(guest.vmcb.nestedPageTable, gfn(0x1f), gfn(0x20));
      assert.equal(exitOf(guest.run()).exitCode, EXIT.NPF);
      nptMap(guest.vmcb.nestedPageTable, gfn(0x1f), entry);
      assert.equal(exitOf(guest.run()).exitCode, EXIT.HLT);
    });

    it('raises #VC 0x400 for a reserved bit: MMIO', () => {
      const guest = smallGuest([...load(0x1_f000)]);
      nptMap(guest.vmcb.nestedPageTable, gfn(0x1f), {
        pfn: guest.page(0x1f),
        writable: true,
        size2M: false,
        reserved: true,
      });
      assert.deepEqual(exceptions(guest.run()), [[29, 0x400, CODE]]);
    });

    it('refuses a shared write to a page that the guest owns', () => {
      const guest = smallGuest([...store(0x1_e000)], { shared: true });
      const exit = exitOf(guest.run());
      assert.equal(exit.exitInfo1, BigInt(NPF.P + NPF.W + NPF.U + NPF.RMP + NPF.FINAL));
      assert.equal(exit.fault?.layer, 'hardware');
    });
  });

  describe('private accesses, paging off', () => {
    // Without paging everything is private.
    const flat = (code: readonly number[], invalid: readonly number[] = []): SmallGuest =>
      smallGuest(code, { bits: 32, invalid });

    it('raises #VC 0x404 with CR2 for a page that is not validated', () => {
      const guest = flat([0xa1, ...u32(0x1_e010)], [0x1e]);
      const events = guest.run();
      assert.deepEqual(exceptions(events), [[29, 0x404, CODE]]);
      assert.equal(guest.saved(VMSA_AT.cr2), 0x1_e010n);
    });

    it('validates, and then reads', () => {
      const guest = flat(
        [...eax(0x1_e000), ...ecx(0), ...edx(1), ...PVALIDATE, 0xa1, ...u32(0x1_e010), ...HLT],
        [0x1e],
      );
      const events = guest.run();
      assert.deepEqual(exceptions(events), []);
      const done = events.find((event) => event.kind === 'instruction');
      assert.ok(done?.kind === 'instruction');
      assert.deepEqual([done.name, done.code, done.carry], ['PVALIDATE', 0, false]);
      assert.equal(readEntry(guest.machine.rmp, guest.page(0x1e)).validated, true);
    });

    it('says with CF that a page was validated already', () => {
      const guest = flat([...eax(0x1_e000), ...ecx(0), ...edx(1), ...PVALIDATE, ...HLT]);
      guest.run();
      assert.equal(guest.saved(VMSA_AT.rflags) & 1n, 1n);
      assert.equal(guest.saved(RAX), 0n);
    });

    it('forgets the translation of a page that it rescinds', () => {
      const read = [0xa1, ...u32(0x1_e010)];
      const guest = flat([...read, ...eax(0x1_e000), ...ecx(0), ...edx(0), ...PVALIDATE, ...read]);
      assert.deepEqual(
        exceptions(guest.run()).map(([vector, code]) => [vector, code]),
        [[29, 0x404]],
      );
    });

    it('refuses to run a VMSA without the VMSA bit', () => {
      const guest = flat(HLT);
      const { rmp } = guest.machine;
      writeEntry(rmp, guest.vmsa, { ...readEntry(rmp, guest.vmsa), vmsa: false });
      const exit = exitOf(guest.run());
      assert.equal(exit.exitCode, EXIT.INVALID);
      assert.equal(exit.fault?.check, 'hw-vmrun-vmsa-rmp');
    });

    it('makes a VMSA with RMPADJUST', () => {
      const guest = smallGuest([...eax(0x1_e000), ...ecx(0), ...edx(0x1_0001), ...RMPADJUST, ...HLT]);
      guest.run();
      assert.equal(guest.saved(RAX), 0n);
      assert.equal(readEntry(guest.machine.rmp, guest.page(0x1e)).vmsa, true);
    });
  });

  it('is interrupted at the deadline, and goes on as if it had not been', () => {
    // inc eax; jmp -4
    const guest = smallGuest([0xff, 0xc0, 0xeb, 0xfc], { bits: 32 });
    assert.equal(exitOf(guest.run(1001)).exitCode, EXIT.INTR);
    assert.equal(exitOf(guest.run(999)).exitCode, EXIT.INTR);
    assert.equal(guest.saved(RAX), 1000n);
  });

  it('gives control back after each slice without changing anything', () => {
    const guest = smallGuest([0xff, 0xc0, 0xeb, 0xfc], { bits: 32 });
    guest.machine.guestControl.slice = 7;
    const events = guest.run(70);
    assert.equal(events.filter((event) => event.kind === 'control').length, 10);
    assert.equal(guest.saved(RAX), 35n);
  });

  it('stops before a breakpoint, also at its own first instruction', () => {
    const guest = smallGuest([0x90, 0x90, 0xeb, 0xfc], { bits: 32 });
    guest.machine.guestControl.breakpoints = new Set([CODE + 1n]);
    const stops = guest.run(9).filter((event) => event.kind === 'control');
    assert.deepEqual(
      stops.map((event) => event.kind === 'control' && [event.reason, event.rip]),
      [
        ['breakpoint', CODE + 1n],
        ['breakpoint', CODE + 1n],
        ['breakpoint', CODE + 1n],
      ],
    );
  });
});
