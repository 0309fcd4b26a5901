import { type Gpa, PAGE_SIZE } from '../../address.js';
import { view } from '../../bytes.js';
import type { Machine } from '../../machine.js';
import {
  GHCB_FIELD,
  GHCB_SAVE_SIZE,
  GHCB_USAGE,
  GHCB_VALID_BITMAP,
  type GhcbFieldName,
  validBitmap,
} from '../../spec/ghcb-layout.js';
import { kvmReadGuest, kvmWriteGuest } from '../mmu/kvm-read-guest.js';
import type { GhcbMap, KvmVm } from '../state.js';

/** The GHCB page as KVM has it mapped: guest memory in the shared view, read and written field by field. */

/** A field of the save area; one byte for CPL. */
export function ghcbField(save: Uint8Array, name: GhcbFieldName): bigint {
  const { offset, size } = GHCB_FIELD[name];
  return size === 1 ? BigInt(save[offset] ?? 0) : view(save).getBigUint64(offset, true);
}

/** 128 bits. */
export function ghcbValidBitmap(save: Uint8Array): bigint {
  const v = view(save);
  return v.getBigUint64(GHCB_VALID_BITMAP, true) | (v.getBigUint64(GHCB_VALID_BITMAP + 8, true) << 64n);
}

/** kvm_vcpu_map(), and the save area. Undefined: there is no memory slot at `gpa`. */
export function readGhcb(machine: Machine, vm: KvmVm, gpa: number): Uint8Array | undefined {
  return kvmReadGuest(machine, vm, gpa, GHCB_SAVE_SIZE);
}

export function readUsage(machine: Machine, vm: KvmVm, gpa: number): number {
  const bytes = kvmReadGuest(machine, vm, gpa + GHCB_USAGE, 4);
  return bytes ? view(bytes).getUint32(0, true) : 0;
}

/** memset() of the valid bitmap in the page; every answer replaces the bitmap anyway. */
export function clearValidBitmap(machine: Machine, vm: KvmVm, gpa: Gpa): void {
  kvmWriteGuest(machine, vm, gpa + GHCB_VALID_BITMAP, new Uint8Array(16));
}

const INFO_VALID = validBitmap('SW_EXITINFO1', 'SW_EXITINFO2');
const REGISTERS_VALID = validBitmap('RAX', 'RBX', 'RCX', 'RDX');

/** ghcb_set_sw_exit_info_1() and _2(): at once, because another vCPU could look. */
export function setExitInfo(machine: Machine, vm: KvmVm, map: GhcbMap, info1: bigint, info2: bigint): void {
  map.valid |= INFO_VALID;
  update(machine, vm, map, [
    ['SW_EXITINFO1', info1],
    ['SW_EXITINFO2', info2],
  ]);
}

/** sev_es_sync_to_ghcb(): RAX, RBX, RCX and RDX, whether anything put a value into them or not. */
export function sevEsSyncToGhcb(machine: Machine, vm: KvmVm, map: GhcbMap): void {
  map.valid |= REGISTERS_VALID;
  update(machine, vm, map, [
    ['RAX', map.rax],
    ['RCX', map.rcx],
    ['RDX', map.rdx],
    ['RBX', map.rbx],
  ]);
}

/** Writes fields and the bitmap in one piece: each write of a page makes the processor translate it anew. */
function update(
  machine: Machine,
  vm: KvmVm,
  map: GhcbMap,
  fields: readonly (readonly [name: GhcbFieldName, value: bigint])[],
): void {
  const [first] = fields;
  const start = first ? GHCB_FIELD[first[0]].offset : GHCB_VALID_BITMAP;
  const bytes = kvmReadGuest(machine, vm, map.gpa + start, GHCB_SAVE_SIZE - start);
  if (!bytes) return;
  const v = view(bytes);
  for (const [name, value] of fields) v.setBigUint64(GHCB_FIELD[name].offset - start, BigInt.asUintN(64, value), true);
  v.setBigUint64(GHCB_VALID_BITMAP - start, BigInt.asUintN(64, map.valid), true);
  v.setBigUint64(GHCB_VALID_BITMAP + 8 - start, map.valid >> 64n, true);
  kvmWriteGuest(machine, vm, map.gpa + start, bytes);
}

/** SW_EXITCODE, SW_EXITINFO1 and SW_EXITINFO2 as they stand in the page now. */
export function exitFields(machine: Machine, vm: KvmVm, gpa: number): readonly [bigint, bigint, bigint] {
  const bytes = kvmReadGuest(machine, vm, gpa + GHCB_FIELD.SW_EXITCODE.offset, 24) ?? new Uint8Array(24);
  const v = view(bytes);
  return [v.getBigUint64(0, true), v.getBigUint64(8, true), v.getBigUint64(16, true)];
}

/** The whole page, for views; undefined where no memory is. */
export function ghcbPage(machine: Machine, vm: KvmVm, gpa: number): Uint8Array | undefined {
  return kvmReadGuest(machine, vm, gpa, PAGE_SIZE);
}
