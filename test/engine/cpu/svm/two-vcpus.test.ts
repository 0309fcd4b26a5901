import assert from 'node:assert/strict';
import { pfnOf, type Spa } from '../../../../engine/address.js';
import { EXIT, type Vmcb } from '../../../../engine/cpu/svm/vmcb.js';
import { retired, vmrun } from '../../../../engine/cpu/svm/vmrun.js';
import { plainPage } from '../../../../engine/memory/system-memory.js';
import { run } from '../../../support/bare-machine.js';
import { CODE_AT } from '../system/small-machine.js';
import { addVcpu, type SmallGuest, smallGuest } from './small-guest.js';

const u32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
const wrmsr = (msr: number): number[] => [0xb9, ...u32(msr), 0x48, 0x89, 0xd8, 0x31, 0xd2, 0x0f, 0x30];
const VMGEXIT = [0xf3, 0x0f, 0x01, 0xd9];

/** RBX is another number in each vCPU; it goes everywhere, with an exit after each step. */
const PROGRAM = [
  ...[0x48, 0xff, 0xc3], // inc rbx
  ...VMGEXIT,
  ...[0x66, 0x48, 0x0f, 0x6e, 0xeb], // movq xmm5, rbx
  ...[0x66, 0x0f, 0xfe, 0xed], // paddd xmm5, xmm5
  ...[0x53, 0xdb, 0x04, 0x24, 0x5a], // push rbx; fild dword [rsp]; pop rdx
  ...VMGEXIT,
  ...[0xd9, 0xe8, 0xde, 0xc1, 0xdd, 0xd8], // fld1; faddp; fstp st0
  ...wrmsr(0xc000_0082), // LSTAR
  ...VMGEXIT,
  ...wrmsr(0xc000_0103), // TSC_AUX
  ...wrmsr(0xc001_0130), // GHCB
  ...VMGEXIT,
  ...[0x0f, 0x22, 0xd3], // mov cr2, rbx
  ...[0x0f, 0x23, 0xc3], // mov dr0, rbx
  ...[0x48, 0x01, 0xd8, 0x0f, 0x9f, 0xc1], // add rax, rbx; setg cl
  ...VMGEXIT,
  ...[0x51, 0x9d, 0x9c, 0x59], // push rcx; popf; pushf; pop rcx
  ...[0x0f, 0x01, 0xf8], // swapgs
];
const CODE = [...PROGRAM, 0xe9, ...u32(-(PROGRAM.length + 5))];
const EXITS = 60;

function world(): { guest: SmallGuest; vmcbs: [Vmcb, Vmcb] } {
  // With DebugVirtualization the debug registers are of each vCPU, too.
  const guest = smallGuest(CODE, { sevFeatures: 0x21n });
  const second = addVcpu(guest, { rsp: 0x7800n });
  for (const [n, vmcb] of [guest.vmcb, second].entries())
    stateOf(guest, vmcb).setBigUint64(0x318, [3n, 0x1_2345_6789n][n] ?? 0n, true);
  return { guest, vmcbs: [guest.vmcb, second] };
}

function stateOf(guest: SmallGuest, vmcb: Vmcb): DataView {
  const { bytes } = plainPage(guest.machine.memory, pfnOf(vmcb.vmsa as Spa)).content;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function enter(guest: SmallGuest, vcpu: number, vmcb: Vmcb): string {
  run(vmrun(guest.machine, vcpu, vmcb, retired(guest.machine) + 1000));
  assert.equal(vmcb.exitCode, EXIT.VMGEXIT, vmcb.emulatorFault?.message ?? vmcb.exitFault?.message);
  const view = stateOf(guest, vmcb);
  return `${vmcb.ghcb} ${Buffer.from(view.buffer, view.byteOffset, 4096).toString('hex')}`;
}

describe('two vCPUs on one core', () => {
  it('each goes through the same states as if it were alone', () => {
    const alone = [0, 1].map((n) => {
      const { guest, vmcbs } = world();
      return Array.from({ length: EXITS }, () => enter(guest, n, vmcbs[n] as Vmcb));
    });
    const { guest, vmcbs } = world();
    const seen: string[][] = [[], []];
    // Turns of one to three exits.
    for (let turn = 0; (seen[0]?.length ?? 0) < EXITS || (seen[1]?.length ?? 0) < EXITS; turn++) {
      for (let k = 0; k < 1 + (turn % 3); k++) seen[turn % 2]?.push(enter(guest, turn % 2, vmcbs[turn % 2] as Vmcb));
    }
    for (const n of [0, 1]) assert.deepEqual(seen[n]?.slice(0, EXITS), alone[n], `vCPU ${n}`);
    assert.notDeepEqual(alone[0], alone[1]);
  });

  it('DR0 to DR3 of a guest without DebugVirtualization do not outlive an exit', () => {
    // mov rax, dr0; vmgexit; mov dr0, rsp; vmgexit; mov rax, dr0; vmgexit
    const guest = smallGuest([
      0x0f,
      0x21,
      0xc0,
      ...VMGEXIT,
      0x0f,
      0x23,
      0xc4,
      ...VMGEXIT,
      0x0f,
      0x21,
      0xc0,
      ...VMGEXIT,
    ]);
    for (let n = 0; n < 3; n++) guest.run();
    assert.equal(guest.saved(0x1f8), 0n);
    assert.equal(guest.saved(0x178), BigInt(CODE_AT + 21));
    assert.equal(guest.saved(0x180), 0n);
  });
});
