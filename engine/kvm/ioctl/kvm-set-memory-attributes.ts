import { type Gfn, gfn, hex, isPageAligned, PAGE_SIZE } from '../../address.js';
import { nptZap } from '../../cpu/svm/nested-page-table.js';
import { defineFault, type Operands } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { errno } from '../../spec/errno.js';
import type { Op } from '../../timeline/event.js';
import { copyIn, DONE, type IoctlResult, inKernelAtOnce, peek, refuse } from '../result.js';
import type { GfnRange, KvmVm } from '../state.js';
import {
  decodeMemoryAttributes,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  MEMORY_ATTRIBUTES_SIZE,
} from '../uapi/memory-structs.js';

const COMMAND = 'KVM_SET_MEMORY_ATTRIBUTES';
const REFERENCE = 'Linux virt/kvm/kvm_main.c kvm_vm_ioctl_set_mem_attributes()';

export const ATTRIBUTES_FLAGS = defineFault<{ flags: string }>({
  check: 'kvm-attributes-flags',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Flags must be 0',
  message: (o) => `The flags ${o.flags} are not 0.`,
  why: 'No flag is defined.',
  hint: 'Pass 0.',
  reference: REFERENCE,
  confirmed: true,
});

export const ATTRIBUTES_UNKNOWN = defineFault<{ attributes: string; supported: string }>({
  check: 'kvm-attributes-unknown',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Memory attribute not supported',
  message: (o) => `The attributes ${o.attributes} are not supported; this VM supports ${o.supported}.`,
  why: 'KVM_MEMORY_ATTRIBUTE_PRIVATE (bit 3) is the only attribute, and only VM types with private memory have it.',
  hint: 'Create the VM with type KVM_X86_SNP_VM, and use 0x8 or 0.',
  reference: REFERENCE,
  confirmed: true,
});

export const ATTRIBUTES_RANGE = defineFault<{ address: string; size: string }>({
  check: 'kvm-attributes-range',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Range not page aligned',
  message: (o) => `The range of ${o.size} bytes at ${o.address} is empty, wraps around, or is not aligned to 4 KiB.`,
  why: 'A page is private or shared as a whole. A VMM marks each range private before it launches it, so a misaligned range fails here first.',
  hint: 'Align address and length to 4 KiB (0x1000).',
  reference: REFERENCE,
  confirmed: true,
});

/** KVM_SET_MEMORY_ATTRIBUTES: makes frames private or shared, and unmaps them. Neither the RMP nor any page changes. */
export function kvmSetMemoryAttributes(machine: Machine, vm: KvmVm, argp: number): Op<IoctlResult> {
  return inKernelAtOnce(machine, COMMAND, peek(machine, argp, MEMORY_ATTRIBUTES_SIZE, operandsOf), () => {
    const copied = copyIn(machine, COMMAND, 'struct kvm_memory_attributes', argp, MEMORY_ATTRIBUTES_SIZE);
    if (!copied.ok) return copied.result;
    const { address, size, attributes, flags } = decodeMemoryAttributes(copied.bytes);
    const supported = vm.hasPrivateMem ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0n;
    if (flags !== 0n) return refuse(ATTRIBUTES_FLAGS, { flags: hex(flags) });
    if ((attributes & ~supported) !== 0n) {
      return refuse(ATTRIBUTES_UNKNOWN, { attributes: hex(attributes), supported: hex(supported) });
    }
    if (size === 0n || address + size >= 1n << 64n || !isPageAligned(address) || !isPageAligned(size)) {
      return refuse(ATTRIBUTES_RANGE, { address: hex(address), size: hex(size) });
    }
    const range = { start: gfn(Number(address) / PAGE_SIZE), end: gfn(Number(address + size) / PAGE_SIZE) };
    const makePrivate = attributes === KVM_MEMORY_ATTRIBUTE_PRIVATE;
    const unchanged = makePrivate ? isPrivate(vm, range.start, range.end) : !hasPrivate(vm, range);
    if (!unchanged) {
      // kvm_pre_set_memory_attributes(): whatever is mapped in the range, private or shared, faults again.
      if (vm.nestedPageTable) nptZap(vm.nestedPageTable, range.start, range.end);
      vm.privateRanges = makePrivate ? addRange(vm.privateRanges, range) : removeRange(vm.privateRanges, range);
    }
    return DONE;
  });
}

function operandsOf(bytes: Uint8Array): Operands {
  const { address, size, attributes } = decodeMemoryAttributes(bytes);
  return { address: hex(address), size: hex(size), attributes: attributes === 8n ? 'PRIVATE' : hex(attributes) };
}

/** kvm_range_has_memory_attributes(): all frames of [start, end) are private. */
export function isPrivate(vm: KvmVm, start: Gfn, end: Gfn): boolean {
  return vm.privateRanges.some((range) => range.start <= start && end <= range.end);
}

function hasPrivate(vm: KvmVm, { start, end }: GfnRange): boolean {
  return vm.privateRanges.some((range) => range.start < end && start < range.end);
}

export function addRange(ranges: readonly GfnRange[], added: GfnRange): GfnRange[] {
  let { start, end } = added;
  const out: GfnRange[] = [];
  for (const range of ranges) {
    if (range.end < start || end < range.start) out.push(range);
    else {
      start = gfn(Math.min(start, range.start));
      end = gfn(Math.max(end, range.end));
    }
  }
  out.push({ start, end });
  return out.sort((a, b) => a.start - b.start);
}

export function removeRange(ranges: readonly GfnRange[], removed: GfnRange): GfnRange[] {
  const out: GfnRange[] = [];
  for (const range of ranges) {
    if (range.start < removed.start) out.push({ start: range.start, end: gfn(Math.min(range.end, removed.start)) });
    if (removed.end < range.end) out.push({ start: gfn(Math.max(range.start, removed.end)), end: range.end });
  }
  return out;
}
