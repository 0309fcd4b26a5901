import { type Gfn, gfn, gpa, type Pfn, spaOf } from '../../../../engine/address.js';
import { view } from '../../../../engine/bytes.js';
import { createNestedPageTable, nptMap } from '../../../../engine/cpu/svm/nested-page-table.js';
import { createVmcb, type Vmcb } from '../../../../engine/cpu/svm/vmcb.js';
import { retired, vmrun } from '../../../../engine/cpu/svm/vmrun.js';
import { storeVmsa, VMSA_AT } from '../../../../engine/cpu/svm/vmsa-state.js';
import type { Machine } from '../../../../engine/machine.js';
import { plainPage, writePage } from '../../../../engine/memory/system-memory.js';
import { type RmpEntry, VMPL_ALL } from '../../../../engine/rmp/entry.js';
import { readEntry, writeEntry } from '../../../../engine/rmp/table.js';
import { collect, createInitialisedMachine, launchGuest, newPage } from '../../../support/bare-machine.js';
import { CODE_AT, type SmallMachineOptions, smallMachine } from '../system/small-machine.js';

/** A guest that VMRUN can enter: the code and tables of the small machine in validated pages, its state in a VMSA. */
export interface SmallGuest {
  readonly machine: Machine;
  readonly vmcb: Vmcb;
  readonly asid: number;
  readonly key: number;
  readonly vmsa: Pfn;
  /** System page behind a guest page of the first 128 KiB. */
  page(frame: number): Pfn;
  run(instructions?: number): ReturnType<typeof collect<void>>['events'];
  /** Register of the saved state by VMSA offset. */
  saved(offset: number): bigint;
}

export const C_BIT = 1n << 51n;
const PAGES = 32;

export interface SmallGuestOptions extends SmallMachineOptions {
  /** Guest pages that stay Guest-Invalid. */
  readonly invalid?: readonly number[];
  readonly machine?: Partial<Machine>;
  /** In 64-bit mode: data accesses without the C-bit. */
  readonly shared?: boolean;
  readonly sevFeatures?: bigint;
  /** Permission masks of all pages; default VMPL0 only. */
  readonly vmplMasks?: RmpEntry['vmpl'];
  /** In 64-bit mode: linear address, in 2 MiB, where the pages are mapped a second time without the C-bit. */
  readonly sharedAt?: number;
}

export function smallGuest(code: readonly number[], options: SmallGuestOptions = {}): SmallGuest {
  const small = smallMachine(code, options);
  const { cpu } = small;
  const bytes = cpu.bytes.slice(cpu.guestStart, cpu.guestStart + PAGES * 4096);
  // The small machine's one leaf entry, at 0x12000.
  if (options.bits !== 32 && !options.shared) view(bytes).setBigUint64(0x1_2000, C_BIT | 0x87n, true);
  if (options.sharedAt !== undefined)
    view(bytes).setBigUint64(0x1_2000 + 8 * (options.sharedAt / 0x20_0000), 0x87n, true);
  const machine = createInitialisedMachine(options.machine ?? {});
  const { guest } = launchGuest(machine);
  const { asid, vek: key } = guest;
  const table = createNestedPageTable();
  const pages: Pfn[] = [];
  const assign = (frame: Pfn, at: number, vmsa: boolean, validated: boolean): void => {
    writeEntry(machine.rmp, frame, {
      assigned: true,
      pageSize2M: false,
      immutable: false,
      subPageCount: 0,
      gpa: gpa(at),
      asid,
      vmsa,
      validated,
      lock: false,
      vmpl: options.vmplMasks ?? [VMPL_ALL, 0, 0, 0],
    });
  };
  for (let n = 0; n < PAGES; n++) {
    const frame = newPage(machine);
    pages.push(frame);
    writePage(machine.memory, frame, { bytes: bytes.slice(n * 4096, (n + 1) * 4096), frozen: false }, key);
    assign(frame, n * 4096, false, !options.invalid?.includes(n));
    nptMap(table, gfn(n), { pfn: frame, writable: true, size2M: false, reserved: false });
  }
  const vmsa = newPage(machine);
  const state = new Uint8Array(4096);
  storeVmsa(small, state);
  const v = view(state);
  v.setBigUint64(VMSA_AT.efer, BigInt(small.state.efer | 0x1000), true);
  v.setBigUint64(VMSA_AT.sevFeatures, options.sevFeatures ?? 1n, true);
  writePage(machine.memory, vmsa, { bytes: state, frozen: false }, key);
  assign(vmsa, 0xffff_ffff_f000, true, true);
  const vmcb = createVmcb(table);
  vmcb.asid = asid;
  vmcb.vmsa = spaOf(vmsa);
  return {
    machine,
    vmcb,
    asid,
    key,
    vmsa,
    page: (frame) => pages[frame] as Pfn,
    run: (instructions = 1000) => collect(vmrun(machine, 0, vmcb, retired(machine) + instructions)).events,
    saved: (offset) => view(plainPage(machine.memory, vmsa).content.bytes).getBigUint64(offset, true),
  };
}

/** A further vCPU with a copy of the first one's VMSA; its VMCB. */
export function addVcpu(guest: SmallGuest, changes: { vmpl?: number; rsp?: bigint; rip?: bigint } = {}): Vmcb {
  const { machine, key, asid } = guest;
  const frame = newPage(machine);
  const bytes = plainPage(machine.memory, guest.vmsa).content.bytes.slice();
  const v = view(bytes);
  bytes[VMSA_AT.vmpl] = changes.vmpl ?? 0;
  if (changes.rsp !== undefined) v.setBigUint64(RSP, changes.rsp, true);
  if (changes.rip !== undefined) v.setBigUint64(VMSA_AT.rip, changes.rip, true);
  writePage(machine.memory, frame, { bytes, frozen: false }, key);
  writeEntry(machine.rmp, frame, { ...readEntry(machine.rmp, guest.vmsa) });
  const vmcb = createVmcb(guest.vmcb.nestedPageTable);
  vmcb.asid = asid;
  vmcb.vmsa = spaOf(frame);
  return vmcb;
}
const RSP = 0x1d8;

export const CODE = BigInt(CODE_AT);
export const frameOf = (n: number): Gfn => gfn(n);
