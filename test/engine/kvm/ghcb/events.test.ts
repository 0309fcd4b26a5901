import assert from 'node:assert/strict';
import { sevVcpuDeliverSipiVector } from '../../../../engine/kvm/ghcb/kvm-emulate-ap-reset-hold.js';
import { type GhcbFieldName, NAE, VMGEXIT } from '../../../../engine/spec/ghcb-layout.js';
import { hostCpuid } from '../../../../engine/spec/host-cpuid.js';
import {
  answer,
  bytesOf,
  complete,
  enter,
  exitOf,
  type FakeGuest,
  fakeGuest,
  field,
  framesOf,
  GHCB_GPA,
  isMarked,
  logOf,
  type Request,
  readGuest,
  SHARED_BUFFER,
  vmgexit,
  writeGuest,
} from './fake-guest.js';

/** The request succeeds without userspace; the guest sees the answer. */
function ask(guest: FakeGuest, request: Request): void {
  const result = vmgexit(guest, request);
  assert.equal(result.ret, 1, result.fault?.message);
  assert.equal(result.fault, undefined, result.fault?.message);
  enter(guest);
}

const registers = (guest: FakeGuest): bigint[] =>
  (['RAX', 'RBX', 'RCX', 'RDX'] as const).map((name) => field(guest, name));

describe('VMGEXIT', () => {
  it('clears the valid bitmap, and marks what comes back', () => {
    const guest = fakeGuest();
    ask(guest, { code: VMGEXIT.HV_FEATURES, fields: { RSI: 5n } });
    const marked: GhcbFieldName[] = ['RAX', 'RBX', 'RCX', 'RDX', 'SW_EXITINFO1', 'SW_EXITINFO2'];
    for (const name of marked) assert.ok(isMarked(guest, name), name);
    for (const name of ['SW_EXITCODE', 'SW_SCRATCH', 'RSI', 'CPL', 'XCR0'] as const) {
      assert.ok(!isMarked(guest, name), name);
    }
  });

  it('takes a register whose bit is clear for 0', () => {
    const guest = fakeGuest();
    ask(guest, { code: NAE.WBINVD, fields: { RAX: 7n, RBX: 8n }, forget: ['RBX'] });
    assert.deepEqual(registers(guest), [7n, 0n, 0n, 0n]);
  });

  it('is traced, as Linux prints it and in words', () => {
    const guest = fakeGuest();
    vmgexit(guest, { code: NAE.CPUID, fields: { RAX: 0n, RCX: 0n } });
    assert.deepEqual(framesOf(guest), ['sev_handle_vmgexit']);
    const enterLine = 'kvm_vmgexit_enter: vcpu 0, exit_reason 72, exit_info1 0, exit_info2 0';
    assert.equal(logOf(guest)[0], `${enterLine} (CPUID function 0x0 index 0x0)`);
    enter(guest);
    assert.equal(logOf(guest)[0], `${enterLine.replace('enter', 'exit')} (done)`);
  });

  it('writes nothing before the next VMRUN if there was no GHCB', () => {
    const guest = fakeGuest();
    enter(guest);
    assert.deepEqual(guest.events, []);
  });
});

describe('IOIO', () => {
  const OUT = 0x3f8_0000n;
  for (const [size, bits, bytes] of [
    [1, 0x10n, [0x88]],
    [2, 0x20n, [0x88, 0x77]],
    [4, 0x40n, [0x88, 0x77, 0x66, 0x55]],
  ] as const) {
    it(`OUT of ${size} bytes`, () => {
      const guest = fakeGuest();
      const result = vmgexit(guest, { code: NAE.IOIO, info1: OUT | bits, fields: { RAX: 0x1122_3344_5566_7788n } });
      assert.equal(result.ret, 0);
      const exit = exitOf(guest, 'KVM_EXIT_IO');
      assert.deepEqual(
        { ...exit, data: [...exit.data] },
        {
          reason: 'KVM_EXIT_IO',
          direction: 'out',
          size,
          port: 0x3f8,
          count: 1,
          data: [...bytes],
        },
      );
      assert.equal(complete(guest).ret, 1);
    });

    it(`IN of ${size} bytes ${size === 4 ? 'clears' : 'keeps'} the rest of RAX`, () => {
      const guest = fakeGuest();
      vmgexit(guest, { code: NAE.IOIO, info1: OUT | bits | 1n, fields: { RAX: 0x1122_3344_5566_7788n } });
      exitOf(guest, 'KVM_EXIT_IO').data.fill(0xee);
      assert.equal(complete(guest).ret, 1);
      enter(guest);
      const expected = { 1: 0x1122_3344_5566_77een, 2: 0x1122_3344_5566_eeeen, 4: 0xeeee_eeeen }[size];
      assert.equal(field(guest, 'RAX'), expected);
    });
  }

  it('of size 0 is done at once', () => {
    const guest = fakeGuest();
    ask(guest, { code: NAE.IOIO, info1: OUT | 1n });
    ask(guest, { code: NAE.IOIO, info1: OUT | 5n, info2: 4n, buffer: bytesOf(0) });
  });

  it('REP OUTS takes the data from the shared buffer', () => {
    const guest = fakeGuest();
    vmgexit(guest, { code: NAE.IOIO, info1: OUT | 0x1cn, info2: 3n, buffer: bytesOf(0x61, 0x62, 0x63, 0x64) });
    const exit = exitOf(guest, 'KVM_EXIT_IO');
    assert.deepEqual([exit.direction, exit.size, exit.count, [...exit.data]], ['out', 1, 3, [0x61, 0x62, 0x63]]);
    assert.equal(complete(guest).ret, 1);
  });

  it('REP INS puts it there', () => {
    const guest = fakeGuest();
    vmgexit(guest, { code: NAE.IOIO, info1: OUT | 0x2dn, info2: 2n, buffer: bytesOf(0) });
    exitOf(guest, 'KVM_EXIT_IO').data.set([1, 2, 3, 4]);
    assert.equal(complete(guest).ret, 1);
    assert.deepEqual([...readGuest(guest, SHARED_BUFFER, 5)], [1, 2, 3, 4, 0]);
  });

  it('REP INS over more than a page comes in several exits, and goes back before VMRUN', () => {
    const guest = fakeGuest();
    const at = 0x1_0000;
    vmgexit(guest, { code: NAE.IOIO, info1: OUT | 0x2dn, info2: 3000n, fields: { SW_SCRATCH: BigInt(at) } });
    const first = exitOf(guest, 'KVM_EXIT_IO');
    assert.equal(first.count, 2048);
    first.data.fill(1);
    assert.equal(complete(guest).ret, 0);
    const second = exitOf(guest, 'KVM_EXIT_IO');
    assert.equal(second.count, 952);
    second.data.fill(2);
    assert.equal(complete(guest).ret, 1);
    assert.deepEqual([...readGuest(guest, at, 2)], [0, 0]);
    enter(guest);
    assert.deepEqual([...readGuest(guest, at + 4094, 4)], [1, 1, 2, 2]);
    assert.deepEqual([...readGuest(guest, at + 5998, 4)], [2, 2, 0, 0]);
  });
});

describe('MMIO', () => {
  it('is read in pieces of 8 bytes', () => {
    const guest = fakeGuest();
    vmgexit(guest, { code: VMGEXIT.MMIO_READ, info1: 0xfec0_0010n, info2: 12n, buffer: bytesOf(9) });
    const first = exitOf(guest, 'KVM_EXIT_MMIO');
    assert.deepEqual([first.gpa, first.length, first.isWrite], [0xfec0_0010, 8, false]);
    first.data.fill(0xaa);
    assert.equal(complete(guest).ret, 0);
    const second = exitOf(guest, 'KVM_EXIT_MMIO');
    assert.deepEqual([second.gpa, second.length], [0xfec0_0018, 4]);
    second.data.fill(0xbb);
    assert.equal(complete(guest).ret, 1);
    const expected = [...Array(8).fill(0xaa), ...Array(4).fill(0xbb), 0];
    assert.deepEqual([...readGuest(guest, SHARED_BUFFER, 13)], expected);
  });

  it('is written', () => {
    const guest = fakeGuest();
    vmgexit(guest, { code: VMGEXIT.MMIO_WRITE, info1: 0xfee0_00b0n, info2: 4n, buffer: bytesOf(1, 2, 3, 4) });
    const exit = exitOf(guest, 'KVM_EXIT_MMIO');
    assert.deepEqual([exit.isWrite, [...exit.data]], [true, [1, 2, 3, 4]]);
    assert.equal(complete(guest).ret, 1);
  });

  it('of length 0 is done at once', () => {
    const guest = fakeGuest();
    ask(guest, { code: VMGEXIT.MMIO_READ, info1: 0xfec0_0000n, buffer: bytesOf(0) });
  });

  it('data outside of the GHCB goes back before VMRUN, for a read only', () => {
    const guest = fakeGuest();
    const SW_SCRATCH = 0x9000n;
    vmgexit(guest, { code: VMGEXIT.MMIO_READ, info1: 0xfec0_0000n, info2: 4n, fields: { SW_SCRATCH } });
    exitOf(guest, 'KVM_EXIT_MMIO').data.fill(7);
    complete(guest);
    enter(guest);
    assert.deepEqual([...readGuest(guest, 0x9000, 5)], [7, 7, 7, 7, 0]);
    vmgexit(guest, { code: VMGEXIT.MMIO_WRITE, info1: 0xfec0_0000n, info2: 4n, fields: { SW_SCRATCH } });
    writeGuest(guest, 0x9000, bytesOf(8));
    complete(guest);
    enter(guest);
    assert.equal(readGuest(guest, 0x9000, 1)[0], 8);
  });
});

describe('CPUID', () => {
  const cpuid = (guest: FakeGuest, fn: bigint, index = 0n, fields: Request['fields'] = {}): number[] => {
    ask(guest, { code: NAE.CPUID, fields: { RAX: fn, RCX: index, ...fields } });
    return registers(guest).map(Number);
  };

  it('answers what KVM_SET_CPUID2 gave', () => {
    const guest = fakeGuest();
    const [eax, ebx, ecx, edx] = cpuid(guest, 0n);
    assert.equal(eax, 0xd);
    assert.equal(Buffer.from(Uint32Array.of(ebx ?? 0, edx ?? 0, ecx ?? 0).buffer).toString(), 'AuthenticAMD');
  });

  it('without it answers zeros, as for a leaf that is not there', () => {
    const guest = fakeGuest();
    assert.deepEqual(cpuid(guest, 0x8000_9999n), [0, 0, 0, 0]);
    guest.vcpu.cpuid = undefined;
    assert.deepEqual(cpuid(guest, 0n), [0, 0, 0, 0]);
  });

  it('has the APIC ID of the vCPU in 1, 0xB and 8000_001E', () => {
    const guest = fakeGuest({ vcpus: 4 });
    const third = guest.vm.vcpus[3];
    guest.vcpu.cpuid = third?.cpuid;
    assert.equal((cpuid(guest, 1n)[1] ?? 0) >>> 24, 3);
    assert.equal(cpuid(guest, 0xbn, 0n)[3], 3);
    assert.deepEqual(cpuid(guest, 0xbn, 7n), [0, 0, 7, 3]);
    assert.deepEqual(cpuid(guest, 0x8000_001en).slice(0, 2), [3, 3]);
  });

  it('of 0xD follows the XCR0 in the GHCB', () => {
    const guest = fakeGuest();
    const avx = hostCpuid(guest.machine.processor, 0xd, 2);
    assert.equal(cpuid(guest, 0xdn, 0n, { XCR0: 1n })[1], 0x240);
    assert.equal(cpuid(guest, 0xdn, 0n, { XCR0: 7n })[1], avx.eax + avx.ebx);
    assert.equal(cpuid(guest, 0xdn, 1n, { XCR0: 7n })[1], 0x240 + avx.eax);
  });

  it('of 1 shows OSXSAVE as CR4 has it', () => {
    const guest = fakeGuest();
    const osxsave = () => ((cpuid(guest, 1n)[2] ?? 0) >>> 27) & 1;
    assert.equal(osxsave(), 0);
    guest.arch.cr4 = 1n << 18n;
    assert.equal(osxsave(), 1);
  });
});

describe('MSR', () => {
  const read = (guest: FakeGuest, msr: bigint): bigint => {
    ask(guest, { code: NAE.MSR, fields: { RCX: msr } });
    return (field(guest, 'RDX') << 32n) | field(guest, 'RAX');
  };
  const write = (guest: FakeGuest, msr: bigint, value: bigint): void =>
    ask(guest, { code: NAE.MSR, info1: 1n, fields: { RCX: msr, RAX: value & 0xffff_ffffn, RDX: value >> 32n } });

  for (const [name, msr, value] of [
    ['APIC_BASE', 0x1bn, 0xfee0_0900n],
    ['MTRRCAP', 0xfen, 0x508n],
    ['MCG_CAP', 0x179n, 0x100_010an],
    ['MC9_CTL', 0x424n, 0xffff_ffff_ffff_ffffn],
    ['MISC_ENABLE', 0x1a0n, 0x1800n],
    ['SYSCFG', 0xc001_0010n, 0n],
    ['PLATFORM_INFO', 0xcen, 0x8000_0000n],
  ] as const) {
    it(`${name} after reset`, () => assert.equal(read(fakeGuest(), msr), value));
  }

  for (const [name, msr, value] of [
    ['MTRR_DEF_TYPE', 0x2ffn, 0xc06n],
    ['a variable MTRR', 0x200n, 0xc000_0000n],
    ['TSC_AUX', 0xc000_0103n, 3n],
    ['HWCR', 0xc001_0015n, 1n << 24n],
    ['TSC_ADJUST', 0x3bn, 0x1_0000_0000n],
    ['POLL_CONTROL', 0x4b56_4d05n, 0n],
    ['SYSTEM_TIME without its enable bit', 0x4b56_4d01n, 0x1000n],
  ] as const) {
    it(`${name} keeps what is written`, () => {
      const guest = fakeGuest();
      write(guest, msr, value);
      assert.equal(read(guest, msr), value);
    });
  }

  it('TSC_AUX is the guest’s own where the processor switches it', () => {
    const guest = fakeGuest({ processor: 'genoa' });
    const { fault } = vmgexit(guest, { code: NAE.MSR, fields: { RCX: 0xc000_0103n } });
    assert.equal(fault?.check, 'kvm-msr-passed-through');
  });

  it('performance counters read 0, whatever is written', () => {
    const guest = fakeGuest();
    write(guest, 0xc001_0000n, 0x43_0076n);
    assert.equal(read(guest, 0xc001_0000n), 0n);
  });

  it('TSC goes on from what is written', () => {
    const guest = fakeGuest();
    write(guest, 0x10n, 0x1_2345_6789n);
    assert.equal(read(guest, 0x10n), 0x1_2345_6789n);
  });
});

describe('other events', () => {
  for (const [name, code, fields] of [
    ['INVD', NAE.INVD, {}],
    ['WBINVD', NAE.WBINVD, {}],
    ['MONITOR', NAE.MONITOR, { RAX: 1n, RCX: 0n, RDX: 0n }],
    ['MWAIT', NAE.MWAIT, { RAX: 0n, RCX: 0n }],
    ['a write of DR7', NAE.WRITE_DR7, { RAX: 0x400n }],
    ['a read of DR7', NAE.READ_DR7, {}],
    ['NMI complete', VMGEXIT.NMI_COMPLETE, {}],
  ] as const) {
    it(`${name} is nothing to do`, () => {
      const guest = fakeGuest();
      ask(guest, { code, fields });
      assert.deepEqual(answer(guest), [0n, 0n]);
    });
  }

  it('hypervisor features: SNP and AP creation', () => {
    const guest = fakeGuest();
    ask(guest, { code: VMGEXIT.HV_FEATURES });
    assert.deepEqual(answer(guest), [0n, 3n]);
  });

  it('the AP jump table is kept', () => {
    const guest = fakeGuest();
    ask(guest, { code: VMGEXIT.AP_JUMP_TABLE, info1: 0n, info2: 0x8000n });
    ask(guest, { code: VMGEXIT.AP_JUMP_TABLE, info1: 1n });
    assert.deepEqual(answer(guest), [0n, 0x8000n]);
  });

  it('hypercall MAP_GPA_RANGE goes to the VMM, its result to RAX', () => {
    const guest = fakeGuest();
    const fields = { RAX: 12n, RBX: 0x1000n, RCX: 2n, RDX: 0x10n, CPL: 0n };
    assert.equal(vmgexit(guest, { code: NAE.VMMCALL, fields }).ret, 0);
    const exit = exitOf(guest, 'KVM_EXIT_HYPERCALL');
    assert.deepEqual([exit.nr, exit.args.slice(0, 3)], [12, [0x1000n, 2n, 0x10n]]);
    exit.ret = 5n;
    assert.equal(complete(guest).ret, 1);
    enter(guest);
    assert.equal(field(guest, 'RAX'), 5n);
  });

  it('hypercalls VAPIC_POLL_IRQ and SCHED_YIELD succeed', () => {
    const guest = fakeGuest();
    ask(guest, { code: NAE.VMMCALL, fields: { RAX: 1n, CPL: 0n } });
    assert.equal(field(guest, 'RAX'), 0n);
    ask(guest, { code: NAE.VMMCALL, fields: { RAX: 11n, RBX: 1n, CPL: 0n } });
    assert.equal(guest.arch.yielded, true);
  });

  it('AP reset hold waits for a SIPI; the first one of all is only noted', () => {
    const guest = fakeGuest();
    vmgexit(guest, { code: VMGEXIT.AP_HLT_LOOP });
    assert.equal(guest.arch.mpState, 'AP_RESET_HOLD');
    sevVcpuDeliverSipiVector(guest.machine, guest.vm, guest.vcpu);
    assert.deepEqual(answer(guest), [0n, 0n]);
    sevVcpuDeliverSipiVector(guest.machine, guest.vm, guest.vcpu);
    assert.deepEqual(answer(guest), [0n, 1n]);
    enter(guest);
    assert.equal(guest.arch.apResetHold, 'none');
  });

  it('termination goes to userspace with the GHCB MSR, and the reason beside it', () => {
    const guest = fakeGuest();
    assert.equal(vmgexit(guest, { code: VMGEXIT.TERM_REQUEST, info1: 0x21n }).ret, 0);
    const exit = exitOf(guest, 'KVM_EXIT_SYSTEM_EVENT');
    assert.deepEqual([exit.type, exit.data], [6, [BigInt(GHCB_GPA)]]);
    assert.deepEqual(exit.termination, { set: 1, code: 2 });
  });
});
