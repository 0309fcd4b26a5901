import { hex } from '../../engine/address.js';
import type { GuestMemfd, KvmVm, MemorySlot } from '../../engine/kvm/state.js';
import type { Machine } from '../../engine/machine.js';
import { firmwareStatusName } from '../../engine/spec/firmware-status.js';
import type { Track } from '../run/track.js';
import { theVm } from './machine-state.js';
import {
  absentView,
  countView,
  dumpView,
  flagView,
  groupView,
  hexView,
  listView,
  type Member,
  member,
  numberView,
  textView,
  type View,
} from './view.js';

const SNP_VM = 4;

export function kvmMembers(machine: Machine, track: Track): readonly Member[] {
  const vm = theVm(machine);
  return [
    member('release', textView(machine.kvmProfile.release)),
    member('snpEnabled', flagView(machine.kvm.snpEnabled)),
    member('vm', vm ? vmView(vm) : absentView('no virtual machine yet: KVM_CREATE_VM has not run')),
    member('lastIoctl', track.ioctl ? textView(`${track.ioctl.name}: ${track.ioctl.result}`) : absentView('none')),
    member('fw_error', firmwareErrorView(track)),
    member('leakedPages', countView(machine.kvm.leaked.length)),
  ];
}

/** fw_error of the latest firmware command, which KVM hands to userspace. */
export function firmwareErrorView(track: Track): View {
  const last = track.firmware;
  if (!last) return absentView('no firmware command has run yet');
  const value = last.value ?? 0;
  return { ...hexView(value), text: `${hex(value)} ${firmwareStatusName(value) ?? ''} (${last.command})` };
}

export function vmView(vm: KvmVm): View {
  const type = vm.type === SNP_VM ? 'KVM_X86_SNP_VM (4)' : String(vm.type);
  return groupView(`fd ${vm.fd}, ${type}, asid ${vm.asid}`, () => [
    member('type', { ...numberView(vm.type), text: type }),
    member('asid', countView(vm.asid)),
    member('needInit', flagView(vm.needInit)),
    member('sevActive', flagView(vm.sevActive)),
    member('hasPrivateMem', flagView(vm.hasPrivateMem)),
    member('vmsaFeatures', hexView(vm.vmsaFeatures)),
    member('ghcbVersion', countView(vm.ghcbVersion)),
    member('policy', vm.policy === undefined ? absentView('not given yet') : hexView(vm.policy)),
    member('snpContext', vm.snpContext === undefined ? absentView('none yet') : hexView(vm.snpContext * 4096)),
    member('launchFinished', flagView(vm.launchFinished)),
    member('vcpus', vcpusView(vm)),
    member('slots', slotsView([...vm.slots.values()])),
    member('gmems', gmemsView([...vm.gmems.values()])),
    member('privateRanges', privateRangesView(vm)),
  ]);
}

function vcpusView(vm: KvmVm): View {
  const at = (index: number): Member => {
    const vcpu = vm.vcpus[index];
    if (!vcpu) return member(String(index), absentView('gone'));
    const where = vcpu.vmsaPfn === undefined ? 'VMSA not encrypted yet' : `VMSA at SPA ${hex(vcpu.vmsaPfn * 4096)}`;
    return member(
      String(index),
      groupView(where, () => [
        member('guestStateProtected', flagView(vcpu.guestStateProtected)),
        member('vmsa', dumpView(vcpu.vmsa)),
        member('vmsaSpa', vcpu.vmsaPfn === undefined ? absentView('none') : hexView(vcpu.vmsaPfn * 4096)),
      ]),
    );
  };
  return listView({ count: vm.vcpus.length, at }, 'vCPU');
}

function slotsView(slots: readonly MemorySlot[]): View {
  const at = (index: number): Member => {
    const slot = slots[index];
    if (!slot) return member(String(index), absentView('gone'));
    const end = (slot.gfn + slot.pages) * 4096;
    return member(
      String(slot.id),
      groupView(`${slot.label}: gpa ${hex(slot.gfn * 4096)} … ${hex(end - 1)}`, () => [
        member('label', textView(slot.label)),
        member('gpa', hexView(slot.gfn * 4096)),
        member('pages', countView(slot.pages)),
        member('userspace', hexView(slot.userspace)),
        member('gmemFd', slot.gmemFd === undefined ? absentView('none') : countView(slot.gmemFd)),
      ]),
    );
  };
  return listView({ count: slots.length, at }, 'slot');
}

function gmemsView(gmems: readonly GuestMemfd[]): View {
  const at = (index: number): Member => {
    const gmem = gmems[index];
    if (!gmem) return member(String(index), absentView('gone'));
    let prepared = 0;
    for (const folio of gmem.folios.values()) if (folio.prepared) prepared++;
    return member(
      `fd ${gmem.fd}`,
      groupView(`${gmem.pages} pages, ${gmem.folios.size} allocated`, () => [
        member('pages', countView(gmem.pages)),
        member('allocated', countView(gmem.folios.size)),
        member('prepared', countView(prepared)),
      ]),
    );
  };
  return listView({ count: gmems.length, at }, 'guest_memfd');
}

function privateRangesView(vm: KvmVm): View {
  const ranges = vm.privateRanges;
  const at = (index: number): Member => {
    const range = ranges[index];
    if (!range) return member(String(index), absentView('gone'));
    return member(String(index), textView(`gpa ${hex(range.start * 4096)} … ${hex(range.end * 4096 - 1)} private`));
  };
  return listView({ count: ranges.length, at }, 'range');
}
