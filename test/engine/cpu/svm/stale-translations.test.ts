import assert from 'node:assert/strict';
import fc from 'fast-check';
import { gfn, gpa, type Pfn, spaOf } from '../../../../engine/address.js';
import { nptMap, nptZap } from '../../../../engine/cpu/svm/nested-page-table.js';
import { EXIT, type Vmcb } from '../../../../engine/cpu/svm/vmcb.js';
import { retired, vmrun } from '../../../../engine/cpu/svm/vmrun.js';
import { patchPage, plainPage, readPage, writePage } from '../../../../engine/memory/system-memory.js';
import { readEntry, writeEntry } from '../../../../engine/rmp/table.js';
import { NPF } from '../../../../engine/spec/npf-error.js';
import type { EngineEvent } from '../../../../engine/timeline/event.js';
import { collect, newPage } from '../../../support/bare-machine.js';
import { CODE_AT } from '../system/small-machine.js';
import { addVcpu, type SmallGuest, smallGuest } from './small-guest.js';

/**
 * A guest of two vCPUs, at VMPL0 and VMPL1, takes orders from a mailbox: read, write, call, PVALIDATE, RMPADJUST.
 * Between two orders the host changes what it can: nested page table, RMP, contents and keys of pages, their place in
 * linear memory. Every order must come out as in a model that looks everything up each time.
 */

const MAILBOX_FRAME = 0x1f;
/** The second 2 MiB of linear addresses are the same pages without the C-bit. */
const SHARED = 0x20_0000;
const MAILBOX = SHARED + MAILBOX_FRAME * 0x1000;
const FIRST_GFN = 0x14;
const [RAX, RBX] = [0x1f8, 0x318];

const u32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
const JMP_R15 = [0x41, 0xff, 0xe7];
const LOOP = [
  ...[0xf3, 0x0f, 0x01, 0xd9], // vmgexit
  ...[0x49, 0x89, 0xe6], // mov r14, rsp
  ...[0x49, 0xc7, 0xc7, ...u32(CODE_AT)], // mov r15, loop
  ...[0x48, 0x8b, 0x34, 0x25, ...u32(MAILBOX)], // mov rsi, [mailbox]
  ...[0x48, 0x8b, 0x04, 0x25, ...u32(MAILBOX + 8)], // mov rax, [mailbox + 8]
  ...[0x8b, 0x14, 0x25, ...u32(MAILBOX + 16)], // mov edx, [mailbox + 16]
  ...[0x31, 0xc9], // xor ecx, ecx
  ...[0xff, 0x24, 0x25, ...u32(MAILBOX + 24)], // jmp [mailbox + 24]
];
const ROUTINES = {
  read: [0x8b, 0x06], // mov eax, [rsi]
  write: [0x89, 0x06], // mov [rsi], eax
  patch: [0x88, 0x06], // mov [rsi], al
  call: [0xff, 0xd6], // call rsi
  pvalidate: [0x48, 0x89, 0xf0, 0xf2, 0x0f, 0x01, 0xff, 0x0f, 0x92, 0xc3], // mov rax, rsi; pvalidate; setc bl
  rmpadjust: [0x48, 0x89, 0xf0, 0xf3, 0x0f, 0x01, 0xfe],
} as const;
type Routine = keyof typeof ROUTINES;

const addresses = new Map<string, number>();
const program = (): number[] => {
  const code = [...LOOP];
  for (const [name, bytes] of Object.entries(ROUTINES)) {
    addresses.set(name, CODE_AT + code.length);
    code.push(...bytes, ...JMP_R15);
  }
  return code;
};
const CODE = program();
/** add rsp, 8; mov [rsp], r15; mov [rsp + 24], r14; iretq */
const HANDLER = [0x48, 0x83, 0xc4, 8, 0x4c, 0x89, 0x3c, 0x24, 0x4c, 0x89, 0x74, 0x24, 0x18, 0x48, 0xcf];
const GP_EVENT = 13n | (3n << 8n) | (1n << 11n) | (1n << 31n);

/** mov al, n; ret; data from byte 16. */
const pageBytes = (n: number): Uint8Array => {
  const bytes = new Uint8Array(4096).fill(n, 16, 64);
  bytes.set([0xb0, n, 0xc3]);
  return bytes;
};

interface World {
  readonly guest: SmallGuest;
  readonly vmcbs: readonly Vmcb[];
  readonly pool: readonly Pfn[];
}

function createWorld(): World {
  const guest = smallGuest(CODE, { vmplMasks: [15, 15, 0, 0], sharedAt: SHARED });
  const { machine, key } = guest;
  const handlers = plainPage(machine.memory, guest.page(6)).content.bytes;
  for (const vector of [13, 14, 29]) handlers.set(HANDLER, 16 * vector);
  writeEntry(machine.rmp, guest.page(MAILBOX_FRAME), { ...readEntry(machine.rmp, 0 as Pfn), assigned: false });
  writePage(machine.memory, guest.page(MAILBOX_FRAME), { bytes: new Uint8Array(4096), frozen: false }, 0);
  const second = addVcpu(guest, { vmpl: 1, rsp: 0x7800n });
  const pool = Array.from({ length: 6 }, (_, n) => {
    const frame = newPage(machine);
    writePage(machine.memory, frame, { bytes: pageBytes(n), frozen: false }, key);
    return frame;
  });
  nptZap(guest.vmcb.nestedPageTable, gfn(FIRST_GFN), gfn(FIRST_GFN + 4));
  return { guest, vmcbs: [guest.vmcb, second], pool };
}

// --- what the host may do ---

type HostAction =
  | {
      readonly kind: 'map';
      readonly page: number;
      readonly frame: number;
      readonly writable: boolean;
      readonly reserved: boolean;
    }
  | { readonly kind: 'zap'; readonly page: number }
  | {
      readonly kind: 'rmp';
      readonly frame: number;
      readonly assigned: boolean;
      readonly own: boolean;
      readonly page: number;
      readonly immutable: boolean;
      readonly validated: boolean;
      readonly mask: number;
    }
  | { readonly kind: 'fill'; readonly frame: number; readonly value: number; readonly encrypted: boolean }
  | { readonly kind: 'poke'; readonly frame: number; readonly value: number }
  | { readonly kind: 'moveOut' };

function act({ guest, pool }: World, action: HostAction): void {
  const { machine, vmcb, asid, key } = guest;
  const table = vmcb.nestedPageTable;
  const frame = pool['frame' in action ? action.frame : 0] as Pfn;
  switch (action.kind) {
    case 'map': {
      const { writable, reserved } = action;
      nptMap(table, gfn(FIRST_GFN + action.page), { pfn: frame, writable, reserved, size2M: false });
      return;
    }
    case 'zap':
      nptZap(table, gfn(FIRST_GFN + action.page), gfn(FIRST_GFN + action.page + 1));
      return;
    case 'rmp': {
      const { assigned, immutable, validated, mask } = action;
      writeEntry(machine.rmp, frame, {
        assigned,
        immutable,
        validated,
        pageSize2M: false,
        subPageCount: 0,
        gpa: gpa((FIRST_GFN + action.page) * 4096),
        asid: action.own ? asid : asid + 1,
        vmsa: false,
        lock: false,
        vmpl: [15, mask, 0, 0],
      });
      return;
    }
    case 'fill':
      writePage(machine.memory, frame, { bytes: pageBytes(action.value), frozen: false }, action.encrypted ? key : 0);
      return;
    case 'poke': {
      const page = plainPage(machine.memory, frame);
      patchPage(machine.memory, frame, 1, Uint8Array.of(action.value), page.key);
      return;
    }
    case 'moveOut':
      machine.core?.slots.makeRoom();
      return;
  }
}

// --- what the guest may do, and what comes of it ---

interface Order {
  readonly kind: 'order';
  readonly vcpu: 0 | 1;
  readonly routine: Routine;
  readonly page: number;
  readonly shared: boolean;
  readonly value: number;
}

type Outcome =
  | { readonly npf: bigint; readonly gpa: bigint }
  | { readonly exception: number; readonly code: number | undefined }
  | { readonly rax: bigint }
  | { readonly code: bigint; readonly carry?: boolean };

const offsetOf = (routine: Routine): number =>
  routine === 'patch' ? 1 : routine === 'read' || routine === 'write' ? 16 : 0;
const kindOf = (routine: Routine) => (routine === 'call' ? 'fetch' : routine === 'read' ? 'read' : 'write');

/** Without any memory of earlier accesses. Undefined: the page holds no code, so that nobody should call it. */
function expected({ guest }: World, { vcpu, routine, page, shared, value }: Order): Outcome | undefined {
  const { machine, vmcb, asid, key } = guest;
  const isRmp = routine === 'pvalidate' || routine === 'rmpadjust';
  const kind = isRmp ? 'read' : kindOf(routine);
  const encrypted = !shared || kind === 'fetch';
  if (routine === 'pvalidate' && vcpu === 1) return { exception: 13, code: 0 };
  if (routine === 'rmpadjust' && vcpu === 1) return { code: 2n };
  const address = BigInt((FIRST_GFN + page) * 4096 + (isRmp ? 0 : offsetOf(routine)));
  const access =
    NPF.U + NPF.FINAL + (kind === 'write' ? NPF.W : 0) + (kind === 'fetch' ? NPF.ID : 0) + (encrypted ? NPF.ENC : 0);
  const npf = (bits: number): Outcome => ({ npf: BigInt(access + bits), gpa: address });
  const entry = vmcb.nestedPageTable.entries.get(gfn(FIRST_GFN + page));
  if (!entry) return npf(0);
  if (entry.reserved) return { exception: 29, code: 0x400 };
  if (kind === 'write' && !entry.writable) return npf(NPF.P);
  const rmp = readEntry(machine.rmp, entry.pfn);
  if (isRmp && shared) return { code: 1n };
  if (encrypted) {
    const fits = rmp.assigned && rmp.asid === asid && rmp.gpa === (FIRST_GFN + page) * 4096 && !rmp.immutable;
    if (!fits) return npf(NPF.P + NPF.RMP);
    if (routine === 'pvalidate') {
      const same = rmp.validated === (value % 2 === 1);
      return { code: 0n, carry: same };
    }
    if (!rmp.validated) return { exception: 29, code: 0x404 };
    if (routine === 'rmpadjust') return { code: 0n };
    const needed = kind === 'fetch' ? 8 : kind === 'read' ? 1 : 3;
    if (((rmp.vmpl[vcpu] ?? 0) & needed) !== needed) return npf(NPF.P + NPF.RMP + NPF.VMPL);
  } else if (kind === 'write' && rmp.assigned) return npf(NPF.P + NPF.RMP);
  const bytes = readPage(machine.memory, entry.pfn, encrypted ? key : 0);
  if (kind === 'fetch') {
    const isCode = bytes[0] === 0xb0 && bytes[2] === 0xc3;
    return isCode ? { rax: BigInt(bytes[1] ?? 0) } : undefined;
  }
  if (kind === 'write') return { rax: BigInt(value) };
  return { rax: BigInt(new DataView(bytes.buffer, bytes.byteOffset).getUint32(16, true)) };
}

const edxOf = ({ routine, value }: Order): number => (routine === 'rmpadjust' ? 1 | ((value & 15) << 8) : value & 1);

function obey(world: World, order: Order): Outcome {
  const { guest, vmcbs } = world;
  const { machine } = guest;
  const vmcb = vmcbs[order.vcpu] as Vmcb;
  const mail = new DataView(new ArrayBuffer(32));
  const base = order.shared ? SHARED : 0;
  mail.setBigUint64(0, BigInt(base + (FIRST_GFN + order.page) * 4096 + offsetOf(order.routine)), true);
  mail.setBigUint64(8, order.routine === 'call' ? 0n : BigInt(order.value), true);
  mail.setBigUint64(16, BigInt(edxOf(order)), true);
  mail.setBigUint64(24, BigInt(addresses.get(order.routine) ?? 0), true);
  patchPage(machine.memory, guest.page(MAILBOX_FRAME), 0, new Uint8Array(mail.buffer));
  const events = enter(world, vmcb, order.vcpu);
  const thrown = events.find((event) => event.kind === 'exception');
  if (vmcb.exitCode === EXIT.NPF) {
    const outcome = { npf: vmcb.exitInfo1, gpa: vmcb.exitInfo2 };
    vmcb.eventInj = GP_EVENT;
    enter(world, vmcb, order.vcpu);
    assert.equal(vmcb.exitCode, EXIT.VMGEXIT);
    return outcome;
  }
  assert.equal(vmcb.exitCode, EXIT.VMGEXIT, vmcb.emulatorFault?.message);
  if (thrown?.kind === 'exception') return { exception: thrown.vector, code: thrown.errorCode };
  const state = new DataView(vmsaOf(guest, vmcb).buffer, vmsaOf(guest, vmcb).byteOffset);
  const rax = state.getBigUint64(RAX, true);
  if (order.routine === 'pvalidate') {
    const carry = rax === 0n ? { carry: (state.getBigUint64(RBX, true) & 0xffn) === 1n } : {};
    return { code: rax, ...carry };
  }
  return order.routine === 'rmpadjust' ? { code: rax } : { rax };
}

const vmsaOf = ({ machine }: SmallGuest, vmcb: Vmcb): Uint8Array =>
  plainPage(machine.memory, Math.floor((vmcb.vmsa ?? spaOf(0 as Pfn)) / 4096) as Pfn).content.bytes;

function enter({ guest: { machine } }: World, vmcb: Vmcb, vcpu: number): EngineEvent[] {
  return collect(vmrun(machine, vcpu, vmcb, retired(machine) + 1000)).events;
}

const page = fc.nat(3);
const frame = fc.nat(5);
const value = fc.nat(255);
/** Often a page that the guest can use. */
const mostly = fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) });
const mask = fc.oneof({ weight: 2, arbitrary: fc.constant(15) }, fc.nat(15));
const hostAction: fc.Arbitrary<HostAction> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('map' as const),
      page,
      frame,
      writable: mostly,
      reserved: mostly.map((usual) => !usual),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('zap' as const), page }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('rmp' as const),
      frame,
      assigned: mostly,
      own: mostly,
      page,
      immutable: mostly.map((usual) => !usual),
      validated: mostly,
      mask,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('fill' as const), frame, value, encrypted: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('poke' as const), frame, value }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'moveOut' as const }) },
);
/** A page as the guest wants it: mapped, assigned to this frame of its, validated, code in it. */
const usable: fc.Arbitrary<readonly HostAction[]> = fc.record({ page, frame, value, mask }).map((r) => [
  { kind: 'map', page: r.page, frame: r.frame, writable: true, reserved: false },
  {
    kind: 'rmp',
    frame: r.frame,
    assigned: true,
    own: true,
    page: r.page,
    immutable: false,
    validated: true,
    mask: r.mask,
  },
  { kind: 'fill', frame: r.frame, value: r.value, encrypted: true },
]);
const order: fc.Arbitrary<Order> = fc.record({
  kind: fc.constant('order' as const),
  vcpu: fc.constantFrom(0 as const, 0 as const, 1 as const),
  routine: fc.constantFrom<Routine>('read', 'read', 'write', 'patch', 'call', 'call', 'pvalidate', 'rmpadjust'),
  page,
  shared: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  value,
});
/** Several orders of one vCPU for one page, with nothing in between. */
const episode: fc.Arbitrary<readonly (HostAction | Order)[]> = fc
  .tuple(usable, fc.array(order, { minLength: 2, maxLength: 8 }))
  .map(([prepared, orders]) => {
    const [first] = prepared;
    const about = first?.kind === 'map' ? first.page : 0;
    return [...prepared, ...orders.map((o) => ({ ...o, page: about, vcpu: orders[0]?.vcpu ?? 0 }))];
  });
const steps = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: order.map((o) => [o]) },
    { weight: 2, arbitrary: hostAction.map((a) => [a]) },
    { weight: 2, arbitrary: episode },
  ),
  { minLength: 40, maxLength: 150, size: 'max' },
);

describe('translations and decoded code', () => {
  it('never outlive the rights, places, contents and keys that they were made for', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(steps, (groups) => {
        const world = createWorld();
        for (const n of [0, 1]) {
          enter(world, world.vmcbs[n] as Vmcb, n);
          assert.equal(world.vmcbs[n]?.exitCode, EXIT.VMGEXIT, world.vmcbs[n]?.exitFault?.message);
        }
        for (const step of groups.flat()) {
          if (step.kind !== 'order') {
            act(world, step);
            continue;
          }
          const outcome = expected(world, step);
          if (!outcome) continue;
          assert.deepEqual(obey(world, step), outcome, JSON.stringify(step));
          const [what = ''] = Object.keys(outcome);
          seen.set(`${step.routine} ${what}`, (seen.get(`${step.routine} ${what}`) ?? 0) + 1);
        }
      }),
      { numRuns: 60, seed: 20_26 },
    );
    // Each kind of outcome was there often enough to mean something.
    for (const wanted of ['read rax', 'read npf', 'read exception', 'write rax', 'patch rax', 'call rax', 'call npf']) {
      assert.ok((seen.get(wanted) ?? 0) > 20, `${wanted}: ${seen.get(wanted) ?? 0}`);
    }
  });
});
