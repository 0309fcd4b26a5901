import assert from 'node:assert/strict';
import { gpa, pfn } from '../../../engine/address.js';
import { view } from '../../../engine/bytes.js';
import type { Fault } from '../../../engine/fault.js';
import { rmpMakePrivate } from '../../../engine/kvm/rmp-helpers.js';
import type { KvmVm } from '../../../engine/kvm/state.js';
import type { Machine } from '../../../engine/machine.js';
import { plainPage } from '../../../engine/memory/system-memory.js';
import { mapUser, readUser } from '../../../engine/memory/user-memory.js';
import { pageState } from '../../../engine/rmp/page-state.js';
import { readEntry } from '../../../engine/rmp/table.js';
import { PAGE_TYPE } from '../../../engine/spec/page-type.js';
import { KVM_PROFILES, type KvmRelease } from '../../../engine/spec/versions.js';
import {
  bootedHost,
  createMemfd,
  launchFinish,
  launchUpdate,
  run,
  setAttributes,
  setRegion,
  startedVm,
  uaddr,
  userPages,
} from '../../support/kvm-host.js';
import { badCpuidPage, nextFrame } from './cases/update-cases.js';

const { NORMAL, ZERO, CPUID } = PAGE_TYPE;
const RELEASES = Object.keys(KVM_PROFILES) as KvmRelease[];

/** State of the private page of a frame, or undefined if there is none. */
function stateOf(machine: Machine, vm: KvmVm, frame: number): string | undefined {
  for (const gmem of vm.gmems.values()) {
    const folio = gmem.folios.get(frame);
    if (folio) return pageState(readEntry(machine.rmp, folio.pfn));
  }
  return undefined;
}

function causeErrno(fault: Fault | undefined): string | undefined {
  return fault?.cause?.code.kind === 'errno' ? fault.cause.code.name : undefined;
}

describe('KVM_SEV_SNP_LAUNCH_UPDATE', () => {
  for (const kvm of RELEASES) {
    describe(kvm, () => {
      let machine: Machine;
      let vm: KvmVm;
      beforeEach(() => {
        machine = bootedHost({ kvm });
        vm = startedVm(machine);
      });

      it('advances gfn_start, uaddr and len', () => {
        const source = userPages(machine, 3);
        const { ret, params } = launchUpdate(machine, vm, { type: NORMAL, uaddr: uaddr(source), len: 0x3000n });
        assert.equal(ret, 0);
        assert.deepEqual(params, { gfnStart: 4n, uaddr: uaddr(source) + 0x3000n, len: 0n, type: NORMAL, flags: 0 });
        for (const frame of [1, 2, 3]) assert.equal(stateOf(machine, vm, frame), 'Guest-Valid');
      });

      it('leaves uaddr of ZERO pages alone', () => {
        const { params } = launchUpdate(machine, vm, { type: ZERO, uaddr: 0x1234n, len: 0x2000n });
        assert.deepEqual(params, { gfnStart: 3n, uaddr: 0x1234n, len: 0n, type: ZERO, flags: 0 });
      });

      it('takes length 0', () => {
        const { ret, params } = launchUpdate(machine, vm, { len: 0n });
        assert.equal(ret, 0);
        assert.equal(params.gfnStart, 1n);
        assert.equal(stateOf(machine, vm, 1), undefined);
      });

      it('clips a request to its slot and goes on in the next call', () => {
        const fd = createMemfd(machine, vm, 0x1_0000).ret;
        setRegion(machine, vm, { slot: 1, guestPhysAddr: 0x10_0000, memorySize: 0x1_0000, guestMemfd: fd });
        setAttributes(machine, vm, 0x10_0000, 0x1_0000);
        const first = launchUpdate(machine, vm, { gfnStart: 0xfen, len: 0x4000n });
        assert.equal(first.ret, 0);
        assert.deepEqual([first.params.gfnStart, first.params.len], [0x100n, 0x2000n]);
        assert.equal(launchUpdate(machine, vm, first.params).params.len, 0n);
      });

      it('swallows an error after the first page; the rest fails at once', () => {
        setAttributes(machine, vm, 0x3000, 0x1000, 0n);
        const partial = launchUpdate(machine, vm, { len: 0x4000n });
        assert.deepEqual([partial.ret, partial.fault, partial.error], [0, undefined, 0]);
        assert.deepEqual([partial.params.gfnStart, partial.params.len], [3n, 0x2000n]);
        assert.equal(stateOf(machine, vm, 2), 'Guest-Valid');
        const rest = launchUpdate(machine, vm, partial.params);
        assert.equal(rest.ret, -5);
        assert.equal(rest.fault?.cause?.check, 'kvm-page-not-private');
        assert.deepEqual(rest.params, partial.params);
      });

      it('returns -EIO whatever the inner errno is', () => {
        run(rmpMakePrivate(machine, nextFrame(machine), gpa(0x5000), 7, false));
        const { ret, fault } = launchUpdate(machine, vm);
        assert.equal(ret, -5);
        assert.equal(causeErrno(fault), kvm === '6.11' || kvm === '6.18' ? 'EEXIST' : 'EINVAL');
      });

      it('returns -EINVAL for a failed RMP lookup', () => {
        machine.memory.free.push(pfn(machine.rmp.coveredPages));
        const { fault } = launchUpdate(machine, vm);
        assert.equal(causeErrno(fault), 'EINVAL');
      });

      it('goes through the descriptor of the call, and takes the page back', () => {
        const { ret, error, fault } = launchUpdate(machine, vm, {}, 4);
        assert.deepEqual([ret, error, fault?.cause?.check], [-5, 0, 'kvm-sev-fd']);
        assert.deepEqual(machine.kvm.leaked, []);
        assert.equal(launchUpdate(machine, vm).ret, 0);
      });

      it('can be repeated after the page was made private', () => {
        setAttributes(machine, vm, 0x1000, 0x1000, 0n);
        assert.equal(launchUpdate(machine, vm).ret, -5);
        setAttributes(machine, vm, 0x1000, 0x1000);
        assert.equal(launchUpdate(machine, vm).ret, 0);
      });

      it('punches a failed page out of guest_memfd only in v15', () => {
        setAttributes(machine, vm, 0x1000, 0x1000, 0n);
        launchUpdate(machine, vm);
        const folio = [...vm.gmems.values()][0]?.folios.get(1);
        if (kvm === '6.11' || kvm === '6.18') assert.equal(folio?.prepared, false);
        else assert.equal(folio, undefined);
      });

      it('hands a refused CPUID page back with corrections, and takes the corrected page', () => {
        const address = mapUser(machine.user, 'cpuid', badCpuidPage());
        const refused = launchUpdate(machine, vm, { type: CPUID, uaddr: uaddr(address) });
        assert.deepEqual([refused.ret, refused.error], [-5, 0x16]);
        assert.ok(refused.fault?.cause?.cause?.check.includes('cpuid'), 'the firmware names the leaf');
        const corrected = readUser(machine.user, address, 4096);
        assert.ok(corrected);
        assert.notEqual(view(corrected).getUint32(16 + 0x20, true), 0xffff_ffff);
        assert.equal(view(corrected).getUint32(16, true), 1);
        assert.equal(stateOf(machine, vm, 1) ?? 'Hypervisor', 'Hypervisor');
        const again = launchUpdate(machine, vm, { type: CPUID, uaddr: uaddr(address) });
        assert.equal(again.ret, 0, again.fault?.cause?.cause?.message);
        assert.equal(stateOf(machine, vm, 1), 'Guest-Valid');
      });

      it('works on unaligned sources', () => {
        const source = userPages(machine, 2, 0x41);
        const { ret } = launchUpdate(machine, vm, { type: NORMAL, uaddr: uaddr(source) + 0x10n });
        assert.equal(ret, 0);
      });
    });
  }

  describe('source that cannot be read', () => {
    const half = (machine: Machine) => mapUser(machine.user, 'half', new Uint8Array(0x1800));

    for (const kvm of ['v15', 'v15+fixes'] as const) {
      it(`${kvm}: the count of missing bytes is taken for a count of pages`, () => {
        const machine = bootedHost({ kvm });
        const vm = startedVm(machine);
        const address = uaddr(half(machine)) + 0x1000n;
        const result = launchUpdate(machine, vm, { type: NORMAL, uaddr: address, len: 0x1000n });
        assert.deepEqual([result.ret, result.fault], [0, undefined]);
        assert.equal(result.params.gfnStart, 1n + 0x800n);
        assert.equal(result.params.len, BigInt.asUintN(64, 0x1000n - 0x800n * 0x1000n));
        assert.equal(result.params.uaddr, address + 0x80_0000n);
        assert.equal(stateOf(machine, vm, 1), undefined);
      });

      it(`${kvm}: not after the first page`, () => {
        const machine = bootedHost({ kvm });
        const vm = startedVm(machine);
        const result = launchUpdate(machine, vm, { type: NORMAL, uaddr: uaddr(half(machine)), len: 0x2000n });
        assert.deepEqual([result.ret, result.params.gfnStart, result.params.len], [0, 2n, 0x1000n]);
      });
    }

    it('6.11: -EFAULT inside, -EIO outside', () => {
      const machine = bootedHost({ kvm: '6.11' });
      const vm = startedVm(machine);
      const address = uaddr(half(machine)) + 0x1000n;
      const result = launchUpdate(machine, vm, { type: NORMAL, uaddr: address, len: 0x1000n });
      assert.equal(result.ret, -5);
      assert.equal(causeErrno(result.fault), 'EFAULT');
      assert.equal(result.params.gfnStart, 1n);
    });
  });

  it('leaks a page that the firmware does not give back', () => {
    const machine = bootedHost();
    const vm = startedVm(machine);
    const frame = nextFrame(machine);
    machine.asp.platform = 'UNINIT';
    const { fault, error } = launchUpdate(machine, vm);
    assert.equal(fault?.cause?.check, 'kvm-page-firmware');
    assert.equal(error, 1);
    assert.deepEqual(machine.kvm.leaked, [frame]);
    assert.equal(pageState(readEntry(machine.rmp, frame)), 'Pre-Guest');
  });
});

describe('VMSA of KVM_SEV_SNP_LAUNCH_FINISH', () => {
  it('has the features of INIT2; the registers that userspace gave stay as they are, even as a Buffer', () => {
    const machine = bootedHost();
    const vm = startedVm(machine);
    const [vcpu] = vm.vcpus;
    assert.ok(vcpu?.vmsaPfn !== undefined);
    const given = Buffer.from(vcpu.vmsa);
    given.fill(0, 0x3b0, 0x3b8);
    vcpu.vmsa = given;
    assert.equal(launchFinish(machine, vm).ret, 0);
    assert.equal(view(plainPage(machine.memory, vcpu.vmsaPfn).content.bytes).getBigUint64(0x3b0, true), 1n);
    assert.equal(view(given).getBigUint64(0x3b0, true), 0n);
  });
});
