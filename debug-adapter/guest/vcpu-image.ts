import { type Pfn, pfnOf } from '../../engine/address.js';
import { copyBytes, view } from '../../engine/bytes.js';
import { storeVmsa, VMSA_AT, vmsaOffset } from '../../engine/cpu/svm/vmsa-state.js';
import type { Vcpu } from '../../engine/cpu/system/vcpu.js';
import type { KvmVcpu } from '../../engine/kvm/state.js';
import type { Machine } from '../../engine/machine.js';
import { patchPage, plainPage } from '../../engine/memory/system-memory.js';
import { theVm } from '../variables/machine-state.js';

/** Mode in which code of a vCPU is decoded, in bits. */
export type CodeBits = 16 | 32 | 64;

/**
 * The state of a vCPU in the layout of its VMSA, wherever it is now: in the registers of the processor between VMRUN
 * and #VMEXIT, else in the VMSA page. A copy of one moment.
 */
export interface VcpuImage {
  readonly index: number;
  /** The processor executes this vCPU now. */
  readonly live: boolean;
  /** 4096 bytes. */
  readonly bytes: Uint8Array;
}

/** Undefined before the vCPU exists. */
export function vcpuImage(machine: Machine, index: number): VcpuImage | undefined {
  const vcpu = theVm(machine)?.vcpus[index];
  if (!vcpu) return undefined;
  const bytes = copyBytes(storedVmsa(machine, vcpu));
  const live = liveVcpu(machine, index);
  if (live) storeVmsa(live, bytes);
  return { index, live: live !== undefined, bytes };
}

export function vcpuCount(machine: Machine): number {
  return theVm(machine)?.vcpus.length ?? 0;
}

/** The processor, if it runs this vCPU, or was left with its state when it could not go on. */
export function liveVcpu(machine: Machine, index: number): Vcpu | undefined {
  const { core } = machine;
  const isLeft = core?.guest === undefined && theVm(machine)?.vcpus[index]?.arch?.vmcb.emulatorFault !== undefined;
  return core?.guest?.vcpu === index || isLeft ? core?.vcpu : undefined;
}

/** Frame of the VMSA that VMRUN uses; undefined before LAUNCH_FINISH has encrypted one. */
export function vmsaFrame({ arch, vmsaPfn }: KvmVcpu): Pfn | undefined {
  const address = arch?.vmcb.vmsa;
  return address === undefined ? vmsaPfn : pfnOf(address);
}

function storedVmsa(machine: Machine, vcpu: KvmVcpu): Uint8Array {
  const frame = vmsaFrame(vcpu);
  return frame === undefined ? vcpu.vmsa : plainPage(machine.memory, frame).content.bytes;
}

/** Changes the stored state of a vCPU that the processor does not run. False if it has no VMSA page yet. */
export function patchVmsa(machine: Machine, index: number, offset: number, value: bigint, size: number): boolean {
  const vcpu = theVm(machine)?.vcpus[index];
  const frame = vcpu && vmsaFrame(vcpu);
  if (frame === undefined) return false;
  const bytes = new Uint8Array(8);
  view(bytes).setBigUint64(0, BigInt.asUintN(64, value), true);
  const { key } = plainPage(machine.memory, frame);
  patchPage(machine.memory, frame, offset, bytes.subarray(0, size), key);
  return true;
}

export function imageField({ bytes }: VcpuImage, name: string): bigint {
  return view(bytes).getBigUint64(vmsaOffset(name), true);
}

const SEGMENT_ATTRIBUTES = 2;
const CODE_LONG = 0x200;
const BIG = 0x400;
const LMA = 0x400n;

export function codeBits(image: VcpuImage): CodeBits {
  const attributes = view(image.bytes).getUint16(vmsaOffset('cs.selector') + SEGMENT_ATTRIBUTES, true);
  if ((imageField(image, 'efer') & LMA) !== 0n && (attributes & CODE_LONG) !== 0) return 64;
  return (attributes & BIG) !== 0 ? 32 : 16;
}

/** What is added to RIP for the linear address of the next instruction: nothing in 64-bit mode. */
export function codeBase(image: VcpuImage): bigint {
  return codeBits(image) === 64 ? 0n : imageField(image, 'cs.base');
}

/** Linear address of RIP. */
export function instructionAddress(image: VcpuImage): bigint {
  return linearOf(image, imageField(image, 'rip'));
}

export function linearOf(image: VcpuImage, rip: bigint): bigint {
  return codeBits(image) === 64 ? rip : BigInt.asUintN(32, codeBase(image) + rip);
}

export function currentPrivilege({ bytes }: VcpuImage): number {
  return bytes[VMSA_AT.cpl] ?? 0;
}

export function privilegeLevel({ bytes }: VcpuImage): number {
  return bytes[VMSA_AT.vmpl] ?? 0;
}

const PE = 1n;

/** `64-bit, CPL 0` */
export function modeText(image: VcpuImage): string {
  const bits = codeBits(image);
  const isLong = (imageField(image, 'efer') & LMA) !== 0n;
  const isProtected = (imageField(image, 'cr0') & PE) !== 0n;
  const mode =
    bits === 64 ? '64-bit' : isLong ? `compatibility ${bits}-bit` : isProtected ? `${bits}-bit` : 'real mode';
  const vmpl = privilegeLevel(image);
  return `${mode}, CPL ${currentPrivilege(image)}${vmpl > 0 ? `, VMPL ${vmpl}` : ''}`;
}
