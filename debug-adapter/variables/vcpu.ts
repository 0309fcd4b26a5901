import { hex } from '../../engine/address.js';
import type { VcpuRunState } from '../../engine/kvm/state.js';
import type { Machine } from '../../engine/machine.js';
import { decodeExitCode } from '../../engine/spec/exit-code.js';
import { decodeNpfError } from '../../engine/spec/npf-error.js';
import { VMSA_FIELDS } from '../../engine/spec/vmsa-layout.js';
import { exceptionText } from '../guest/events.js';
import type { GuestTrack } from '../guest/track.js';
import { imageField, modeText, vcpuImage, vmsaFrame } from '../guest/vcpu-image.js';
import { plainReference } from '../memory-reference.js';
import { faultView } from './fault.js';
import { msrView } from './ghcb-msr.js';
import { theVm } from './machine-state.js';
import { paddedHex } from './registers.js';
import {
  absentView,
  countView,
  dumpView,
  flagView,
  groupView,
  hexView,
  type Member,
  member,
  textView,
  type View,
} from './view.js';

/** What KVM and the processor keep of a vCPU beside its registers. */
export function vcpuMembers(machine: Machine, track: GuestTrack, index: number): readonly Member[] {
  const vcpu = theVm(machine)?.vcpus[index];
  if (!vcpu) return [];
  const image = vcpuImage(machine, index);
  const { arch } = vcpu;
  const frame = vmsaFrame(vcpu);
  const exception = track.lastException.get(index);
  return [
    member('mode', image ? textView(modeText(image)) : absentView('no state')),
    member('inGuest', flagView(image?.live === true)),
    member('mpState', textView(arch?.mpState ?? 'not run yet')),
    member('lastExit', exitView(track, index)),
    member('lastException', exception ? textView(exceptionText(exception)) : absentView('none')),
    member('ghcbMsr', ghcbView(machine, index, arch)),
    ...(arch ? [member('ghcb', ghcbExitView(arch))] : []),
    ...(frame === undefined ? [] : [member('vmsaSpa', { ...hexView(frame * 4096), memory: plainReference(frame) })]),
    member('vmsa', image ? vmsaView(machine, index) : absentView('no VMSA'), true),
  ];
}

export function exitView(track: GuestTrack, index: number): View {
  const last = track.lastExit.get(index);
  if (!last) return absentView('none yet');
  const { exitCode, exitInfo1, exitInfo2, fault } = last;
  const code = decodeExitCode(exitCode);
  const isNpf = code?.name === 'NPF';
  return groupView(
    code ? `${code.name} (${hex(exitCode)})` : hex(exitCode),
    () => [
      member('code', hexView(exitCode)),
      member('meaning', textView(code?.meaning ?? 'a code that nothing defines')),
      member('exitInfo1', isNpf ? npfView(exitInfo1) : hexView(exitInfo1)),
      member('exitInfo2', hexView(exitInfo2)),
      member('rip', hexView(last.rip)),
      member('instructions', countView(last.instructions)),
      member('ghcbMsr', msrView(last.ghcb)),
      ...(fault ? [member('fault', faultView(fault))] : []),
    ],
    'exit',
  );
}

/** EXITINFO1 of a nested page fault, bit by bit. */
function npfView(value: bigint): View {
  const { fields, reading } = decodeNpfError(value);
  const set = fields.filter((f) => f.value).map((f) => f.name);
  return {
    ...groupView(`${hex(value)} ${set.join(' ')}: ${reading}`, () => [
      ...fields.map((f) => member(f.name, { ...flagView(f.value), text: f.value ? `true: ${f.set}` : 'false' })),
      member('reading', textView(reading)),
    ]),
    scalar: value,
  };
}

function ghcbView(machine: Machine, index: number, arch: VcpuRunState | undefined): View {
  const live = machine.core?.guest?.vcpu === index ? machine.core.ghcb : undefined;
  const value = live ?? arch?.vmcb.ghcb;
  return value === undefined ? absentView('not written yet') : msrView(value);
}

/** KVM's copy of what the guest put into its GHCB for the exit at hand. */
function ghcbExitView({ ghcb }: VcpuRunState): View {
  if (!ghcb) return absentView('no exit with a GHCB at hand');
  const code = decodeExitCode(ghcb.exitCode);
  return groupView(`${code?.name ?? hex(ghcb.exitCode)}, GHCB at gpa ${hex(ghcb.gpa)}`, () => [
    member('gpa', hexView(ghcb.gpa)),
    member('exitCode', { ...hexView(ghcb.exitCode), text: `${hex(ghcb.exitCode)} ${code?.name ?? ''}`.trimEnd() }),
    member('meaning', textView(code?.meaning ?? 'a code that nothing defines')),
    ...(['exitInfo1', 'exitInfo2', 'scratch', 'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'xcr0'] as const).map((name) =>
      member(name, hexView(ghcb[name])),
    ),
    member('cpl', countView(ghcb.cpl)),
    member('validBitmap', textView(paddedHex(ghcb.validBitmap, 16))),
  ]);
}

/** All fields of the VMSA that have a name. While the guest runs the registers of the processor stand in for it. */
function vmsaView(machine: Machine, index: number): View {
  const image = vcpuImage(machine, index);
  if (!image) return absentView('no VMSA');
  return groupView(image.live ? 'in the registers of the processor' : 'saved', () => [
    ...VMSA_FIELDS.map(({ name, size }) => {
      const value = imageField(image, name) & ((1n << BigInt(size * 8)) - 1n);
      return member(name, { text: paddedHex(value, size), type: 'number', scalar: value });
    }),
    member('bytes', dumpView(image.bytes)),
  ]);
}
