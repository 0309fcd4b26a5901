import assert from 'node:assert/strict';
import { spaOf } from '../../../engine/address.js';
import { type assignedPages, hostKexec, hostModuleExit, hostPanic } from '../../../engine/kvm/host-kexec.js';
import { destroyVm } from '../../../engine/kvm/sev-vm-destroy.js';
import type { Machine } from '../../../engine/machine.js';
import { plainPage, readPage } from '../../../engine/memory/system-memory.js';
import { hostWrite } from '../../../engine/rmp/host-write.js';
import { pageState } from '../../../engine/rmp/page-state.js';
import { readEntry } from '../../../engine/rmp/table.js';
import {
  bootedHost,
  launchFinish,
  launchUpdate,
  run,
  startedVm,
  trace,
  uaddr,
  userPages,
} from '../../support/kvm-host.js';

function withGuest(): { readonly machine: Machine; readonly frame: ReturnType<typeof assignedPages>[number] } {
  const machine = bootedHost();
  const vm = startedVm(machine);
  launchUpdate(machine, vm, { type: 1, uaddr: uaddr(userPages(machine, 1)) });
  launchFinish(machine, vm);
  const frame = [...vm.gmems.values()][0]?.folios.get(1)?.pfn;
  assert.ok(frame !== undefined);
  return { machine, frame };
}

const logs = (events: ReturnType<typeof trace>['events']): string =>
  events.flatMap((event) => (event.kind === 'log' ? [event.text] : [])).join('\n');

describe('Shutdown of the firmware', () => {
  it('flushes the data fabric when the firmware asks for it, and succeeds', () => {
    const { machine } = withGuest();
    run(destroyVm(machine));
    const { value, events } = trace(hostModuleExit(machine));
    assert.equal(value.fault, undefined);
    const commands = events.flatMap((e) => (e.kind === 'enter' && e.frame.layer === 'firmware' ? [e.frame.name] : []));
    assert.deepEqual(commands, ['SNP_SHUTDOWN_EX', 'SNP_DF_FLUSH', 'SNP_SHUTDOWN_EX']);
    assert.deepEqual([machine.asp.platform, machine.kvm.snpEnabled], ['UNINIT', false]);
  });

  it('fails while a guest is alive', () => {
    const { machine } = withGuest();
    const { value, events } = trace(hostModuleExit(machine));
    assert.deepEqual([value.ret, value.fault?.cause?.check], [-5, 'fw-shutdown-guests']);
    assert.match(logs(events), /SEV-SNP firmware shutdown failed/);
    assert.equal(machine.asp.platform, 'INIT');
  });
});

describe('kexec', () => {
  it('without guests leaves nothing assigned, and the next kernel runs guests', () => {
    const { machine } = withGuest();
    run(destroyVm(machine));
    const { shutdown, assigned, boot } = run(hostKexec(machine));
    assert.deepEqual([shutdown.fault, assigned, boot?.fault], [undefined, [], undefined]);
    machine.kvm.sevFds.add(3);
    const vm = startedVm(machine);
    assert.equal(launchUpdate(machine, vm).ret, 0);
    assert.equal(launchFinish(machine, vm).ret, 0);
  });

  it('with a guest keeps its pages, and the next kernel cannot initialise SNP', () => {
    const { machine, frame } = withGuest();
    const { shutdown, assigned, boot } = run(hostKexec(machine));
    assert.equal(shutdown.fault?.check, 'kvm-snp-shutdown');
    assert.ok(assigned.includes(frame));
    assert.deepEqual([boot?.fault, machine.asp.platform, machine.kvm.vms.size], [undefined, 'INIT', 0]);
    assert.equal(pageState(readEntry(machine.rmp, frame)), 'Guest-Valid');
    // The context, the VMSA, the page and the response page of the guest that nobody knows any more.
    assert.equal(assigned.length, 4);
  });
});

describe('panic with a crash kernel', () => {
  it('with guests: their memory reads as ciphertext, and a write is #PF', () => {
    const { machine, frame } = withGuest();
    const { shutdown, assigned, boot } = run(hostPanic(machine));
    assert.deepEqual([shutdown.fault?.check, boot], ['kvm-snp-shutdown', undefined]);
    assert.ok(assigned.includes(frame));
    const plain = plainPage(machine.memory, frame).content.bytes;
    assert.notDeepEqual([...readPage(machine.memory, frame).subarray(0, 16)], [...plain.subarray(0, 16)]);
    assert.equal(hostWrite(machine, frame, 0, Uint8Array.of(1))?.check, 'hw-host-write');
    assert.ok(spaOf(frame) > 0);
  });

  it('without guests: the firmware is down and everything can be written', () => {
    const { machine, frame } = withGuest();
    run(destroyVm(machine));
    assert.deepEqual(run(hostPanic(machine)).assigned, []);
    assert.equal(hostWrite(machine, frame, 0, Uint8Array.of(1)), undefined);
  });
});
