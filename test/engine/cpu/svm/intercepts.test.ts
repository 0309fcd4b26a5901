import assert from 'node:assert/strict';
import { ENCODINGS } from '../../../../engine/cpu/encodings/table.js';
import { isIntercepted } from '../../../../engine/cpu/svm/intercepts.js';
import { EXIT } from '../../../../engine/cpu/svm/vmcb.js';
import { VMSA_AT } from '../../../../engine/cpu/svm/vmsa-state.js';
import { systemInstruction } from '../../../../engine/cpu/system/instructions.js';
import { decodeExitCode } from '../../../../engine/spec/exit-code.js';
import type { EngineEvent } from '../../../../engine/timeline/event.js';
import { CODE, type SmallGuestOptions, smallGuest } from './small-guest.js';

const u32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
const eax = (n: number): number[] => [0xb8, ...u32(n)];
const ecx = (n: number): number[] => [0xb9, ...u32(n)];
const edx = (n: number): number[] => [0xba, ...u32(n)];
const HLT = [0xf4];
const RDMSR = [0x0f, 0x32];
const WRMSR = [0x0f, 0x30];
const RAX = 0x1f8;

const exceptions = (events: readonly EngineEvent[]) =>
  events.flatMap((event) => (event.kind === 'exception' ? [[event.vector, event.errorCode, event.rip]] : []));
const first = (code: readonly number[], options: SmallGuestOptions = {}) => {
  const guest = smallGuest(code, options);
  return exceptions(guest.run())[0];
};

/** Code in front of the instruction, the instruction, the error code of #VC. */
type Row = readonly [name: string, before: readonly number[], code: readonly number[], errorCode: number];
const REFLECTED: readonly Row[] = [
  ['MOV RAX, DR7', [], [0x0f, 0x21, 0xf8], 0x27],
  ['MOV DR7, RAX', [], [0x0f, 0x23, 0xf8], 0x37],
  ['MOV RAX, DR5', [], [0x0f, 0x21, 0xe8], 0x27],
  ['RDPMC', [], [0x0f, 0x33], 0x6f],
  ['CPUID', [], [0x0f, 0xa2], 0x72],
  ['RSM', [], [0x0f, 0xaa], 0x73],
  ['INVD', [], [0x0f, 0x08], 0x76],
  ['INVLPGA', [], [0x0f, 0x01, 0xdf], 0x7a],
  ['IN AL, imm8', [], [0xe4, 0x40], 0x7b],
  ['IN EAX, DX', [], [0xed], 0x7b],
  ['OUT imm8, AL', [], [0xe6, 0x80], 0x7b],
  ['OUT DX, AX', [], [0x66, 0xef], 0x7b],
  ['INSB', [], [0x6c], 0x7b],
  ['REP OUTSD', ecx(3), [0xf3, 0x6f], 0x7b],
  ['RDMSR of APIC_BASE', ecx(0x1b), RDMSR, 0x7c],
  ['WRMSR of APIC_BASE', ecx(0x1b), WRMSR, 0x7c],
  ['RDMSR of TSC', ecx(0x10), RDMSR, 0x7c],
  ['WRMSR of TSC', ecx(0x10), WRMSR, 0x7c],
  ['RDMSR of MTRR_CAP', ecx(0xfe), RDMSR, 0x7c],
  ['RDMSR of an x2APIC register', ecx(0x802), RDMSR, 0x7c],
  ['RDMSR of SVSM_CAA', ecx(0xc001_f000), RDMSR, 0x7c],
  ['RDMSR of a number that nothing has', ecx(0x1234_5678), RDMSR, 0x7c],
  ['VMRUN', eax(0x8000), [0x0f, 0x01, 0xd8], 0x80],
  ['VMMCALL', [], [0x0f, 0x01, 0xd9], 0x81],
  ['VMLOAD', eax(0x8000), [0x0f, 0x01, 0xda], 0x82],
  ['VMSAVE', eax(0x8000), [0x0f, 0x01, 0xdb], 0x83],
  ['STGI', [], [0x0f, 0x01, 0xdc], 0x84],
  ['CLGI', [], [0x0f, 0x01, 0xdd], 0x85],
  ['SKINIT', [], [0x0f, 0x01, 0xde], 0x86],
  ['WBINVD', [], [0x0f, 0x09], 0x89],
  ['WBNOINVD', [], [0xf3, 0x0f, 0x09], 0x89],
  ['MONITOR', eax(0x8000), [0x0f, 0x01, 0xc8], 0x8a],
  ['MWAIT', [], [0x0f, 0x01, 0xc9], 0x8b],
  ['RDPRU', [], [0x0f, 0x01, 0xfd], 0x8e],
];

/** Exceptions of the instruction itself, which come before the intercept. */
const GP = [13, 0] as const;
const UD = [6, undefined] as const;
type Early = readonly [
  string,
  readonly number[],
  readonly number[],
  readonly [number, number | undefined],
  SmallGuestOptions?,
];
const user: SmallGuestOptions = { cpl: 3 };
const EARLY: readonly Early[] = [
  ['RDMSR in user mode', [], RDMSR, GP, user],
  ['WRMSR in user mode', [], WRMSR, GP, user],
  ['IN above IOPL', [], [0xe4, 0x40], GP, user],
  ['OUTS above IOPL', [], [0x6e], GP, user],
  ['HLT in user mode', [], HLT, GP, user],
  ['WBINVD in user mode', [], [0x0f, 0x09], GP, user],
  ['INVD in user mode', [], [0x0f, 0x08], GP, user],
  ['MOV DR7 in user mode', [], [0x0f, 0x21, 0xf8], GP, user],
  ['MOV CR0 in user mode', [], [0x0f, 0x22, 0xc0], GP, user],
  ['MOV CR8 in user mode', [], [0x44, 0x0f, 0x22, 0xc0], GP, user],
  ['CLTS in user mode', [], [0x0f, 0x06], GP, user],
  ['RDPMC in user mode', [], [0x0f, 0x33], GP, user],
  ['VMRUN in user mode', [], [0x0f, 0x01, 0xd8], GP, user],
  ['MONITOR in user mode', [], [0x0f, 0x01, 0xc8], UD, user],
  ['MWAIT in user mode', [], [0x0f, 0x01, 0xc9], UD, user],
  ['PVALIDATE in user mode', [], [0xf2, 0x0f, 0x01, 0xff], GP, user],
  ['RMPADJUST in user mode', [], [0xf3, 0x0f, 0x01, 0xfe], GP, user],
  ['VMRUN of an odd address', eax(0x8001), [0x0f, 0x01, 0xd8], GP],
  ['VMSAVE of an odd address', eax(0x8010), [0x0f, 0x01, 0xdb], GP],
  ['MONITOR with hints', ecx(1), [0x0f, 0x01, 0xc8], GP],
  ['MWAIT with unknown extensions', ecx(2), [0x0f, 0x01, 0xc9], GP],
  ['DR7 with bits above 31', [0x48, 0xb8, 0, 0, 0, 0, 1, 0, 0, 0], [0x0f, 0x23, 0xf8], GP],
  ['DR5 with CR4.DE', [], [0x0f, 0x21, 0xe8], UD, { cr4: 8 }],
  ['MOV CR0 of PG without PE', eax(0x8000_0000), [0x0f, 0x22, 0xc0], GP],
  ['MOV CR4 of reserved bits', eax(0x8000_0000), [0x0f, 0x22, 0xe0], GP],
  ['WRMSR of SEV_STATUS', ecx(0xc001_0131), WRMSR, GP],
  ['RDMSR of VIRTUAL_TOM', ecx(0xc001_0135), RDMSR, GP],
  ['RDMSR of GUEST_TSC_FREQ', ecx(0xc001_0134), RDMSR, GP],
  ['RDMSR of SECURE_AVIC_CONTROL', ecx(0xc001_0138), RDMSR, GP],
  ['WRMSR of EFER with reserved bits', [...ecx(0xc000_0080), ...eax(0x10)], WRMSR, GP],
  ['WRMSR of a SPEC_CTRL bit that does not exist', [...ecx(0x48), ...edx(1)], WRMSR, GP],
  ['RMPUPDATE', [], [0xf2, 0x0f, 0x01, 0xfe], UD],
  ['PSMASH', [], [0xf3, 0x0f, 0x01, 0xff], UD],
  ['RMPREAD', [], [0xf2, 0x0f, 0x01, 0xfd], UD],
];

describe('intercepts of a KVM host', () => {
  for (const [name, before, code, errorCode] of REFLECTED) {
    it(`${name} raises #VC ${errorCode.toString(16)}`, () => {
      assert.deepEqual(first([...before, ...code]), [29, errorCode, CODE + BigInt(before.length)]);
      assert.equal(decodeExitCode(BigInt(errorCode))?.class, 'non-automatic');
    });
  }

  for (const [name, before, code, [vector, errorCode], options] of EARLY) {
    it(`${name} raises its own exception`, () => {
      assert.deepEqual(first([...before, ...code], options), [vector, errorCode, CODE + BigInt(before.length)]);
    });
  }

  // Not intercepted: the processor does them, as it does without a host.
  const own: readonly (readonly [string, readonly number[]])[] = [
    ['RDTSC', [0x0f, 0x31]],
    ['RDTSCP', [0x0f, 0x01, 0xf9]],
    ['MOV CR3', [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]],
    ['INVLPG', [0x0f, 0x01, 0x3c, 0x25, 0, 0, 0, 0]],
    ['MOV RAX, DR6', [0x0f, 0x21, 0xf0]],
    ['MOV DR0, RAX', [0x0f, 0x23, 0xc0]],
    ['PUSHF and POPF', [0x9c, 0x9d]],
    ['LGDT', [0x0f, 0x01, 0x04, 0x25, 0, 0x80, 0, 0]],
    ['SIDT', [0x0f, 0x01, 0x0c, 0x25, 0, 0x80, 0, 0]],
    ['RDMSR of LSTAR', [...ecx(0xc000_0082), ...RDMSR]],
    ['RDMSR of PAT', [...ecx(0x277), ...RDMSR]],
    ['RDMSR of TSC_AUX', [...ecx(0xc000_0103), ...RDMSR]],
    ['RDMSR of SPEC_CTRL', [...ecx(0x48), ...RDMSR]],
    ['WRMSR of PRED_CMD', [...ecx(0x49), ...eax(1), ...edx(0), ...WRMSR]],
    ['RDMSR of DEBUGCTL', [...ecx(0x1d9), ...RDMSR]],
  ];
  for (const [name, code] of own) {
    it(`${name} is the processor's own`, () => {
      const guest = smallGuest([...code, ...HLT]);
      assert.deepEqual(exceptions(guest.run()), []);
      assert.equal(guest.vmcb.exitCode, EXIT.HLT, guest.vmcb.emulatorFault?.message);
      assert.equal(guest.saved(VMSA_AT.rip), CODE + BigInt(code.length) + 1n);
    });
  }

  it('leaves #DB to the guest only with DebugVirtualization', () => {
    // pushf; or byte [rsp+1], 1; popf; nop
    const stepping = [0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d, 0x90, ...HLT];
    const reflected = smallGuest(stepping);
    assert.deepEqual(exceptions(reflected.run())[0], [29, 0x41, CODE + 8n]);
    assert.equal(reflected.saved(VMSA_AT.dr6) & 0x4000n, 0x4000n);
    assert.deepEqual(first(stepping, { sevFeatures: 0x21n }), [1, undefined, CODE + 8n]);
  });

  it('INT1 is not the #DB that the host intercepts', () => {
    const guest = smallGuest([0xf1]);
    assert.deepEqual(exceptions(guest.run()), []);
    // HLT of the handler of vector 1.
    assert.equal(guest.saved(VMSA_AT.rip), 0x6011n);
  });

  it('the host knows of CR8 and task priority', () => {
    const guest = smallGuest([...eax(7), 0x44, 0x0f, 0x22, 0xc0]);
    guest.run();
    assert.deepEqual([guest.vmcb.exitCode, guest.vmcb.exitInfo1], [EXIT.CR8_WRITE_TRAP, 7n]);
    assert.equal(guest.saved(VMSA_AT.vintrCtrl) & 0xffn, 7n);
  });

  it('does not let the guest clear EFER.SVME', () => {
    const guest = smallGuest([...ecx(0xc000_0080), ...eax(0xd01), ...edx(0), ...WRMSR]);
    guest.run();
    assert.equal(guest.vmcb.exitInfo1 & 0x1000n, 0x1000n);
  });

  it('counts PAUSE only in a tight loop', () => {
    // pause; jmp -4
    const tight = smallGuest([0xf3, 0x90, 0xeb, 0xfc]);
    tight.run(10_000);
    assert.equal(tight.vmcb.exitCode, EXIT.PAUSE);
    // pause; mov ecx, 200; loop -2; jmp
    const loose = smallGuest([0xf3, 0x90, ...ecx(200), 0xe2, 0xfe, 0xeb, 0xf5]);
    loose.run(1_000_000);
    assert.equal(loose.vmcb.exitCode, EXIT.INTR);
  });

  it('SecureTSC scales the counter and tells its frequency', () => {
    const guest = smallGuest([...ecx(0xc001_0134), ...RDMSR, ...HLT], { sevFeatures: 0x201n });
    guest.run();
    assert.equal(guest.vmcb.exitCode, EXIT.HLT);
    // GUEST_TSC_SCALE of the VMSA is zero.
    assert.equal(guest.saved(RAX), 0n);
  });

  it('tells the host of the guest’s RFLAGS.IF and interrupt shadow', () => {
    const shadow = smallGuest([0xfb, 0xf3, 0x0f, 0x01, 0xd9]);
    shadow.run();
    assert.equal(shadow.vmcb.intState, 2n);
  });

  it('every privileged instruction has a handler or an intercept, or ends in a Fault that names it', () => {
    const missing = ENCODINGS.filter(
      ({ semantics, privileged }) => privileged && !isIntercepted(semantics) && !systemInstruction(semantics),
    );
    // The list may only become shorter; each row needs a case here.
    assert.deepEqual(
      missing.map(({ text }) => text),
      [
        '66 0F 38 82 INVPCID Gv,Mo',
        'NP 0F C7 /3 XRSTORS M',
        'NP 0F C7 /5 XSAVES M',
        'NP 0F 01 /7:6 INVLPGB',
        'NP 0F 01 /7:7 TLBSYNC',
        'F3 0F 01 /5:0 SETSSBSY',
        'F3 0F AE /6 /mem CLRSSBSY Mq',
        '66 0F 38 F5 WRUSS My,Gy',
      ],
    );
    const guest = smallGuest([0x66, 0x0f, 0x38, 0x82, 0x04, 0x24]);
    assert.deepEqual(exceptions(guest.run()), []);
    assert.match(guest.vmcb.emulatorFault?.message ?? '', /66 0F 38 82 INVPCID/);
    assert.equal(guest.saved(VMSA_AT.rip), CODE);
  });
});
