import assert from 'node:assert/strict';
import { gfn, gpa, hva, pfn } from '../../../../engine/address.js';
import { nptLookup, nptMap } from '../../../../engine/cpu/svm/nested-page-table.js';
import { EXIT } from '../../../../engine/cpu/svm/vmcb.js';
import { kvmGmemPunchHole } from '../../../../engine/kvm/mmu/kvm-gmem-punch-hole.js';
import { npfInterception } from '../../../../engine/kvm/mmu/npf-interception.js';
import { rmpMakePrivate } from '../../../../engine/kvm/rmp-helpers.js';
import { plainPage, writePage } from '../../../../engine/memory/system-memory.js';
import { readUser, writeUser } from '../../../../engine/memory/user-memory.js';
import { pageState } from '../../../../engine/rmp/page-state.js';
import { readEntry } from '../../../../engine/rmp/table.js';
import { setAttributes, setRegion, trace } from '../../../support/kvm-host.js';
import {
  archState,
  NPF_BITS,
  RAM_GPA,
  RAM_SIZE,
  type RunningVm,
  runningVm,
  vcpuOf,
} from '../../../support/running-vm.js';
import { ALL_RELEASES } from '../cases/kvm-case.js';

const { present, write, reserved, rmp, encrypted, sizeMismatch } = NPF_BITS;
const PAGE = gfn(RAM_GPA / 4096);
/** No memory slot. */
const HOLE = 0x8000_0000;
const NO_GMEM = 0x4000_0000;

function fault(setup: RunningVm, address: number, bits: bigint) {
  const arch = archState(setup);
  Object.assign(arch.vmcb, { exitCode: EXIT.NPF, exitInfo1: bits, exitInfo2: BigInt(address) });
  arch.exit = undefined;
  const { value, events } = trace(npfInterception(setup.machine, setup.vm, vcpuOf(setup.vm)));
  const logs = events.flatMap((event) => (event.kind === 'log' ? [event.text] : []));
  return { ...value, exit: archState(setup).exit, logs };
}

function npt(setup: RunningVm, address: number) {
  return nptLookup(archState(setup).vmcb.nestedPageTable, gfn(Math.floor(address / 4096)));
}

/** As a page that the guest has asked to share, with what the VMM wrote into it. */
function share(setup: RunningVm, address = RAM_GPA): void {
  setAttributes(setup.machine, setup.vm, address, 0x1000, 0n);
}

describe('npf_interception', () => {
  it('gives a page of guest_memfd for a private access, private and not validated', () => {
    const setup = runningVm();
    const { ret } = fault(setup, RAM_GPA + 0x123, encrypted);
    assert.equal(ret, 1);
    const mapped = npt(setup, RAM_GPA);
    assert.ok(mapped?.entry.writable && !mapped.entry.reserved);
    const entry = readEntry(setup.machine.rmp, mapped.pfn);
    assert.equal(pageState(entry), 'Guest-Invalid');
    assert.deepEqual([entry.gpa, entry.asid, entry.immutable], [RAM_GPA, setup.vm.asid, false]);
  });

  it('maps the page of the VMM for a shared access, with its content', () => {
    const setup = runningVm();
    share(setup);
    assert.ok(writeUser(setup.machine.user, setup.ram + 5, Uint8Array.of(7)));
    assert.equal(fault(setup, RAM_GPA, write).ret, 1);
    const mapped = npt(setup, RAM_GPA);
    assert.ok(mapped);
    assert.equal(pageState(readEntry(setup.machine.rmp, mapped.pfn)), 'Hypervisor');
    assert.equal(plainPage(setup.machine.memory, mapped.pfn).content.bytes[5], 7);
    // What the guest writes there the VMM reads, and the reverse.
    writePage(setup.machine.memory, mapped.pfn, { bytes: new Uint8Array(4096).fill(9), frozen: false });
    assert.deepEqual(readUser(setup.machine.user, setup.ram + 4, 2), Uint8Array.of(9, 9));
    assert.ok(writeUser(setup.machine.user, setup.ram + 0xffe, Uint8Array.of(1, 2, 3)));
    assert.equal(plainPage(setup.machine.memory, mapped.pfn).content.bytes[0xfff], 2);
  });

  const exits = [
    { name: 'private access to a shared frame', address: RAM_GPA, bits: encrypted, shared: true, flags: 8 },
    { name: 'shared access to a private frame', address: RAM_GPA + 0x10, bits: write, shared: false, flags: 0 },
    { name: 'private access where no memory is', address: HOLE, bits: encrypted, shared: false, flags: 8 },
    {
      name: 'private access to a private hole',
      address: HOLE,
      bits: encrypted,
      shared: false,
      flags: 8,
      attribute: true,
    },
    {
      name: 'private access to a slot without guest_memfd',
      address: NO_GMEM,
      bits: encrypted,
      shared: false,
      flags: 8,
      attribute: true,
    },
  ];
  for (const { name, address, bits, shared, flags, attribute } of exits) {
    it(`goes to the VMM for a ${name}`, () => {
      const setup = runningVm();
      setRegion(setup.machine, setup.vm, { slot: 2, flags: 0, guestPhysAddr: NO_GMEM, memorySize: 0x1000 });
      if (shared) share(setup);
      if (attribute) setAttributes(setup.machine, setup.vm, address, 0x1000);
      const { ret, exit } = fault(setup, address, bits);
      assert.equal(ret, -14);
      assert.ok(exit?.reason === 'KVM_EXIT_MEMORY_FAULT');
      assert.deepEqual([exit.flags, exit.gpa, exit.size], [flags, address - (address % 4096), 4096]);
      assert.equal(exit.fault?.check, 'kvm-memory-fault');
      assert.equal(npt(setup, address), undefined);
    });
  }

  it('makes a hole MMIO for a shared access, and the guest runs again', () => {
    const setup = runningVm();
    assert.equal(fault(setup, HOLE, write).ret, 1);
    assert.equal(npt(setup, HOLE)?.entry.reserved, true);
    assert.equal(fault(setup, HOLE, reserved | write | present).ret, 1);
    const refused = fault(setup, HOLE, reserved | write | present | encrypted);
    assert.deepEqual([refused.ret, refused.fault?.check], [-14, 'kvm-npf-reserved-private']);
  });

  it('fails where the VMM has nothing mapped', () => {
    const setup = runningVm();
    setAttributes(setup.machine, setup.vm, 0, 0x1000, 0n);
    const { ret, fault: why } = fault(setup, 0, write);
    assert.deepEqual([ret, why?.check], [-14, 'kvm-npf-user-page']);
  });

  it('fails when the host is out of memory, or the RMP does not let it', () => {
    const setup = runningVm();
    const { memory, rmp: table } = setup.machine;
    memory.free.push(pfn(table.coveredPages));
    const uncovered = fault(setup, RAM_GPA, encrypted);
    assert.deepEqual([uncovered.ret, uncovered.fault?.check], [-2, 'kvm-gmem-prepare-lookup']);
    assert.equal(uncovered.exit?.reason, 'KVM_EXIT_MEMORY_FAULT');
  });

  for (const kvm of ALL_RELEASES) {
    it(`takes a write of the wrong kind to a mapped page as spurious only in v15 (${kvm})`, () => {
      const setup = runningVm({ kvm });
      fault(setup, RAM_GPA, encrypted);
      const { ret, exit, logs } = fault(setup, RAM_GPA, present | write | rmp);
      assert.equal(ret, kvm === 'v15' ? 1 : -14);
      assert.equal(exit?.reason, kvm === 'v15' ? undefined : 'KVM_EXIT_MEMORY_FAULT');
      assert.equal(logs.length, kvm === 'v15' ? 1 : 0);
    });

    it(`calls the RMP fault handler after an error only in v15 (${kvm})`, () => {
      const setup = runningVm({ kvm });
      fault(setup, RAM_GPA, encrypted);
      const { ret, exit, logs } = fault(setup, RAM_GPA, present | rmp);
      assert.deepEqual([ret, exit?.reason, logs.length], [-14, 'KVM_EXIT_MEMORY_FAULT', kvm === 'v15' ? 1 : 0]);
    });
  }
});

describe('sev_handle_rmp_fault', () => {
  /** A private 2 MiB entry of the RMP behind the first page of RAM, which the guest has touched. */
  function large(): RunningVm & { readonly frame: number } {
    const setup = runningVm();
    const head = pfn(Math.ceil(setup.machine.memory.nextFree / 512) * 512);
    const page = gpa(Math.floor(RAM_GPA / 0x20_0000) * 0x20_0000);
    trace(rmpMakePrivate(setup.machine, head, page, setup.vm.asid, false, true));
    const frame = pfn(head + (RAM_GPA - page) / 4096);
    const gmem = setup.vm.gmems.get(setup.vm.slots.get(1)?.gmemFd ?? -1);
    gmem?.folios.set(0, { pfn: frame, prepared: true });
    nptMap(archState(setup).vmcb.nestedPageTable, PAGE, { pfn: frame, writable: true, size2M: false, reserved: false });
    return { ...setup, frame };
  }

  it('splits a 2 MiB entry, unmaps the region and says so', () => {
    const setup = large();
    const { ret, logs } = fault(setup, RAM_GPA, present | write | rmp | encrypted | sizeMismatch);
    assert.equal(ret, 1);
    const pfnText = setup.frame.toString(16);
    assert.deepEqual(logs, [
      `kvm_rmp_fault: vcpu 0 gpa 0000000000100000 pfn 0x${pfnText} error_code 0x2000c80000003 rmp_level 2 psmash_ret 0`,
    ]);
    assert.equal(readEntry(setup.machine.rmp, pfn(setup.frame)).pageSize2M, false);
    assert.equal(npt(setup, RAM_GPA), undefined);
  });

  it('has nothing to do for a 4 KiB entry', () => {
    const setup = runningVm();
    fault(setup, RAM_GPA, encrypted);
    const before = archState(setup).vmcb.nestedPageTable.revision;
    const { ret, logs } = fault(setup, RAM_GPA, present | rmp | encrypted);
    assert.equal(ret, 1);
    assert.match(logs.join(), /rmp_level 1 psmash_ret 0$/);
    assert.equal(archState(setup).vmcb.nestedPageTable.revision, before);
  });

  it('warns of a fault on a shared frame', () => {
    const setup = runningVm();
    share(setup);
    assert.deepEqual(fault(setup, RAM_GPA, rmp | present).logs, [
      'SEV: Unexpected RMP fault for non-private GPA 0x100000',
    ]);
  });
});

describe('what takes private memory away', () => {
  function touched(): RunningVm {
    const setup = runningVm();
    for (const page of [0, 1, 2]) assert.equal(fault(setup, RAM_GPA + page * 0x1000, encrypted).ret, 1);
    return setup;
  }

  it('KVM_SET_MEMORY_ATTRIBUTES unmaps, but leaves RMP and page', () => {
    const setup = touched();
    const private_ = npt(setup, RAM_GPA)?.pfn;
    assert.ok(private_ !== undefined);
    share(setup);
    assert.equal(npt(setup, RAM_GPA), undefined);
    assert.ok(npt(setup, RAM_GPA + 0x1000));
    assert.equal(readEntry(setup.machine.rmp, private_).assigned, true);
    // Back again without a hole: the guest finds its old page.
    setAttributes(setup.machine, setup.vm, RAM_GPA, 0x1000);
    fault(setup, RAM_GPA, encrypted);
    assert.equal(npt(setup, RAM_GPA)?.pfn, private_);
  });

  it('KVM_SET_MEMORY_ATTRIBUTES does nothing for what is so already', () => {
    const setup = touched();
    setAttributes(setup.machine, setup.vm, RAM_GPA, RAM_SIZE);
    assert.ok(npt(setup, RAM_GPA));
    setAttributes(setup.machine, setup.vm, HOLE, 0x1000, 0n);
    assert.ok(npt(setup, RAM_GPA));
  });

  it('a punched hole gives the page back', () => {
    const setup = touched();
    const { machine, vm } = setup;
    const gmem = vm.gmems.get(vm.slots.get(1)?.gmemFd ?? -1);
    const page = npt(setup, RAM_GPA + 0x1000)?.pfn;
    assert.ok(gmem && page !== undefined);
    const { value } = trace(kvmGmemPunchHole(machine, vm, gmem, 0x1000, 0x1000));
    assert.equal(value.ret, 0);
    assert.equal(readEntry(machine.rmp, page).assigned, false);
    assert.ok(machine.memory.free.includes(page));
    assert.deepEqual([...gmem.folios.keys()].sort(), [0, 2]);
    assert.equal(npt(setup, RAM_GPA + 0x1000), undefined);
    assert.ok(npt(setup, RAM_GPA));
  });

  for (const [offset, length] of [
    [0, 0],
    [1, 0x1000],
    [0, 0x800],
  ] as const) {
    it(`a hole of ${length} bytes at ${offset} is refused`, () => {
      const { machine, vm } = touched();
      const gmem = vm.gmems.get(vm.slots.get(1)?.gmemFd ?? -1);
      assert.ok(gmem);
      const { value } = trace(kvmGmemPunchHole(machine, vm, gmem, offset, length));
      assert.deepEqual([value.ret, value.fault?.check], [-22, 'kvm-gmem-punch-range']);
    });
  }

  it('deleting the slot unmaps it', () => {
    const setup = touched();
    setRegion(setup.machine, setup.vm, { slot: 1, memorySize: 0, guestPhysAddr: RAM_GPA, userspaceAddr: hva(0) });
    assert.equal(npt(setup, RAM_GPA), undefined);
  });
});
