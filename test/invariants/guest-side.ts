import assert from 'node:assert/strict';
import { type Gfn, gfn, gpaOf, PAGES_PER_2M, type Pfn } from '../../engine/address.js';
import { type NptTranslation, nptLookup } from '../../engine/cpu/svm/nested-page-table.js';
import { npfInterception } from '../../engine/kvm/mmu/npf-interception.js';
import { patchPage, plainPage, residentSlot } from '../../engine/memory/system-memory.js';
import { checkGuestAccess, type GuestAccess } from '../../engine/rmp/access-check.js';
import type { RmpInstructionOutcome, RmpTarget } from '../../engine/rmp/guest-instruction.js';
import { pvalidatePage } from '../../engine/rmp/pvalidate.js';
import { rmpadjustPage } from '../../engine/rmp/rmpadjust.js';
import { NPF, npfAccessBits } from '../../engine/spec/npf-error.js';
import { type Guest, perform, RECKLESS, type World } from './world.js';

/** What a guest does: the checks of the processor in their order, with KVM behind them, without executing code. */

/** How often an access is repeated after KVM has handled a nested page fault. */
const PATIENCE = 4;

/** VMRUN would enter: the ASID still belongs to the context with which the guest was launched. */
export function canRun({ machine }: World, { vm, context, key, dead }: Guest): boolean {
  const active = machine.asp.activeAsids.get(vm.asid);
  return !dead && active === context.address && machine.asp.guests.get(active)?.vek === key;
}

type Reached = { readonly mapped: NptTranslation } | { readonly refused: 'vc' | 'stuck' };

/** `attempt` until it passes, or KVM cannot help: #VMEXIT(NPF) goes to KVM as it would. */
function reach(
  world: World,
  guest: Guest,
  frame: Gfn,
  access: Pick<GuestAccess, 'kind' | 'encrypted'>,
  attempt: (
    mapped: NptTranslation,
  ) => { readonly outcome: 'ok' } | { readonly outcome: 'vc' } | { readonly outcome: 'npf'; readonly code: number },
): Reached {
  const { machine } = world;
  for (let i = 0; i < PATIENCE; i++) {
    const table = guest.vm.nestedPageTable;
    const vcpu = guest.vm.vcpus[0];
    if (!table || !vcpu?.arch) return { refused: 'stuck' };
    const mapped = nptLookup(table, frame);
    if (mapped?.entry.reserved) return { refused: 'vc' };
    let code = (mapped ? NPF.P : 0) + npfAccessBits({ ...access, walk: false });
    if (mapped && (mapped.entry.writable || access.kind !== 'write')) {
      const tried = attempt(mapped);
      switch (tried.outcome) {
        case 'ok':
          return { mapped };
        case 'vc':
          return { refused: 'vc' };
        case 'npf':
          code = tried.code;
      }
    }
    vcpu.arch.vmcb.exitInfo1 = BigInt(code);
    vcpu.arch.vmcb.exitInfo2 = BigInt(gpaOf(frame));
    const { ret } = perform(world, npfInterception(machine, guest.vm, vcpu));
    if (ret <= 0) return { refused: 'stuck' };
  }
  return { refused: 'stuck' };
}

/** One access of 8 bytes at the start of a page; `write`: the value. Undefined: it did not come to pass. */
export function accessPage(
  world: World,
  guest: Guest,
  frame: Gfn,
  encrypted: boolean,
  write?: bigint,
): { readonly value: bigint; readonly pfn: Pfn } | 'vc' | undefined {
  const { machine } = world;
  const kind = write === undefined ? 'read' : 'write';
  const base = { asid: guest.vm.asid, vmpl: 0, gpa: gpaOf(frame), kind, user: false, encrypted, walk: false } as const;
  const reached = reach(world, guest, frame, { kind, encrypted }, ({ pfn, entry }) => {
    const verdict = checkGuestAccess(machine.rmp, pfn, { ...base, nptPageSize2M: entry.size2M });
    if (verdict.ok) return { outcome: 'ok' };
    return verdict.outcome === 'vc' ? { outcome: 'vc' } : { outcome: 'npf', code: verdict.errorCode };
  });
  if ('refused' in reached) return reached.refused === 'vc' ? 'vc' : undefined;
  const { pfn } = reached.mapped;
  const key = encrypted ? guest.key : 0;
  residentSlot(machine.memory, pfn, key);
  if (write !== undefined) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, write, true);
    patchPage(machine.memory, pfn, 0, bytes, key);
  }
  return { value: firstWord(plainPage(machine.memory, pfn).content.bytes), pfn };
}

export function firstWord(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

/** PVALIDATE or RMPADJUST of a page. Undefined: it did not come to an end. */
function instruction(
  world: World,
  guest: Guest,
  frame: Gfn,
  execute: (target: RmpTarget) => RmpInstructionOutcome,
): Extract<RmpInstructionOutcome, { kind: 'done' }> | undefined {
  let done: Extract<RmpInstructionOutcome, { kind: 'done' }> | undefined;
  reach(world, guest, frame, { kind: 'read', encrypted: true }, ({ pfn, entry }) => {
    const { asid } = guest.vm;
    const target = { pfn, gpa: gpaOf(frame), nptPageSize2M: entry.size2M, asid, vmpl: 0, encrypted: true } as const;
    const outcome = execute(target);
    if (outcome.kind === 'npf') return { outcome: 'npf', code: outcome.errorCode };
    if (outcome.kind === 'vc') return { outcome: 'vc' };
    done = outcome;
    return { outcome: 'ok' };
  });
  return done;
}

export function pvalidate(world: World, guest: Guest, frame: Gfn, size2M: boolean, validate: boolean) {
  return instruction(world, guest, frame, (target) => pvalidatePage(world.machine.rmp, target, { validate, size2M }));
}

export function rmpadjust(world: World, guest: Guest, frame: Gfn, targetVmpl: 1 | 2 | 3, mask: number, vmsa: boolean) {
  const operands = { targetVmpl, mask, vmsa, size2M: false };
  return instruction(world, guest, frame, (target) => rmpadjustPage(world.machine.rmp, target, operands));
}

function framesOf(frame: Gfn, size2M: boolean): Gfn[] {
  return size2M ? Array.from({ length: PAGES_PER_2M }, (_, i) => gfn(frame + i)) : [frame];
}

/** A guest that keeps its record validates nothing twice, and ends where PVALIDATE says that nothing changed. */
export function acceptPage(world: World, index: number, guest: Guest, frame: Gfn, size2M: boolean): boolean {
  const careful = index !== RECKLESS;
  const frames = framesOf(frame, size2M);
  if (careful && frames.some((each) => guest.record.has(each))) return false;
  const done = pvalidate(world, guest, frame, size2M, true);
  if (done?.code !== 0) return false;
  if (careful && done.carry) guest.dead = true;
  else for (const each of frames) guest.record.set(each, undefined);
  return true;
}

export function rescindPage(world: World, index: number, guest: Guest, frame: Gfn, size2M: boolean): boolean {
  const frames = framesOf(frame, size2M);
  if (index !== RECKLESS && !frames.every((each) => guest.record.has(each))) return false;
  const done = pvalidate(world, guest, frame, size2M, false);
  if (done?.code !== 0) return false;
  if (index !== RECKLESS && done.carry) guest.dead = true;
  for (const each of frames) guest.record.delete(each);
  return true;
}

/** Private accesses of a guest go to pages of its record. What it reads is what it wrote last. */
export function usePage(world: World, index: number, guest: Guest, frame: Gfn, write: boolean): boolean {
  const careful = index !== RECKLESS;
  if (careful && !guest.record.has(frame)) return false;
  const expected = guest.record.get(frame);
  const value = write ? (world.next++ * 0x9e37_79b9_7f4a_7c15n) & 0xffff_ffff_ffff_ffffn : undefined;
  const reached = accessPage(world, guest, frame, true, value);
  if (reached === 'vc' && careful && guest.record.has(frame)) guest.dead = true; // exchanged by the host
  if (reached === undefined || reached === 'vc') return false;
  if (value !== undefined) guest.record.set(frame, value);
  else if (careful && expected !== undefined) {
    assert.equal(
      reached.value,
      expected,
      `guest ${index} reads at frame 0x${frame.toString(16)} what it did not write`,
    );
  }
  return true;
}
