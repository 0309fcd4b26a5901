import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Gfn, gfn } from '../../../../engine/address.js';
import { nptMap, nptZap } from '../../../../engine/cpu/svm/nested-page-table.js';
import { EXIT, type Vmcb } from '../../../../engine/cpu/svm/vmcb.js';
import { retired, vmrun } from '../../../../engine/cpu/svm/vmrun.js';
import { svmCompleteInterrupts } from '../../../../engine/kvm/run/svm-complete-interrupts.js';
import { plainPage } from '../../../../engine/memory/system-memory.js';
import { readEntry, writeEntry } from '../../../../engine/rmp/table.js';
import type { EngineEvent } from '../../../../engine/timeline/event.js';
import { CODE_AT } from '../system/small-machine.js';
import { addVcpu, type SmallGuest, smallGuest } from './small-guest.js';

/**
 * A guest with two vCPUs that does a bit of everything: #VC with a handler that exits, PVALIDATE, code that it changes
 * under its own feet, string moves, private and shared memory, an NPF at each first touch.
 */

const u32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
const SHARED = 0x20_0000;
/** Offset of the immediate that the program changes. */
const PATCHED = 3;
const PROGRAM = [
  ...[0x48, 0x81, 0xc3, ...u32(0x11)], // add rbx, 0x11
  ...[0x80, 0x04, 0x25, ...u32(CODE_AT + PATCHED), 3], // add byte [the immediate above], 3
  ...[0x48, 0x89, 0x1c, 0x25, ...u32(0x1_4ff8)], // mov [0x14ff8], rbx
  ...[0x48, 0x01, 0x1c, 0x25, ...u32(SHARED + 0x1_f010)], // add [shared page], rbx
  ...[0x31, 0xc0, 0x31, 0xc9, 0x0f, 0xa2], // xor eax, eax; xor ecx, ecx; cpuid
  ...[0xb8, ...u32(0x1_5000), 0x31, 0xc9, 0x89, 0xda, 0x83, 0xe2, 1], // mov eax, page; xor ecx, ecx; edx = ebx & 1
  ...[0xf2, 0x0f, 0x01, 0xff], // pvalidate
  ...[0x11, 0x04, 0x25, ...u32(0x1_6000)], // adc [0x16000], eax
  ...[0xbe, ...u32(0x1_4f80), 0xbf, ...u32(0x1_7000), 0xb9, ...u32(100)], // esi, edi, ecx
  ...[0xf3, 0xa4], // rep movsb
  ...[0x0f, 0x31, 0x48, 0x31, 0x04, 0x25, ...u32(0x1_6008)], // rdtsc; xor [0x16008], rax
  ...[0xa4, 0x55, 0x5d], // movsb; push rbp; pop rbp
];
const CODE = [...PROGRAM, 0xe9, ...u32(-(PROGRAM.length + 5))];
/** vmgexit; add rsp, 8; add qword [rsp], 2; iretq */
const HANDLER = [0xf3, 0x0f, 0x01, 0xd9, 0x48, 0x83, 0xc4, 8, 0x48, 0x83, 0x04, 0x24, 2, 0x48, 0xcf];
const TOUCHED = [0x14, 0x16, 0x17, 0x1f];

interface World {
  readonly guest: SmallGuest;
  readonly vmcbs: readonly Vmcb[];
  readonly missing: Map<number, Gfn>;
}

function createWorld(): World {
  const guest = smallGuest(CODE, { sharedAt: SHARED });
  plainPage(guest.machine.memory, guest.page(6)).content.bytes.set(HANDLER, 16 * 29);
  const { nestedPageTable } = guest.vmcb;
  for (const n of TOUCHED) nptZap(nestedPageTable, gfn(n), gfn(n + 1));
  return { guest, vmcbs: [guest.vmcb, addVcpu(guest, { rsp: 0x7800n })], missing: new Map() };
}

/** The host: maps what is missing, injects what was cut off, takes turns by the clock. */
function play({ guest, vmcbs }: World, onControl: (event: EngineEvent) => void): unknown[] {
  const { machine } = guest;
  const told: unknown[] = [];
  const end = 6000;
  let turn = 0;
  for (let quantum = 700; retired(machine) < end; quantum += 700) {
    const vmcb = vmcbs[turn % 2] as Vmcb;
    while (retired(machine) < quantum) {
      for (const event of vmrun(machine, turn % 2, vmcb, quantum)) {
        if (event.kind === 'control') onControl(event);
        else if (event.kind === 'exit')
          told.push([event.vcpu, event.exitCode, event.exitInfo2, event.rip, event.instructions]);
        else if (event.kind === 'exception' || event.kind === 'instruction')
          told.push([event.kind, event.rip, event.instructions]);
      }
      assert.equal(vmcb.emulatorFault, undefined);
      svmCompleteInterrupts(vmcb);
      if (vmcb.exitCode === EXIT.NPF) repair(guest, vmcb);
    }
    turn++;
  }
  return told;
}

function repair(guest: SmallGuest, { exitInfo2, nestedPageTable }: Vmcb): void {
  const frame = Number(exitInfo2 >> 12n);
  assert.ok(TOUCHED.includes(frame), `NPF at ${exitInfo2.toString(16)}`);
  const [pfn] = [guest.page(frame)];
  // The shared page belongs to the host.
  if (frame === 0x1f) giveToHost(guest, frame);
  nptMap(nestedPageTable, gfn(frame), { pfn, writable: true, size2M: false, reserved: false });
}

function giveToHost(guest: SmallGuest, frame: number): void {
  const { rmp } = guest.machine;
  writeEntry(rmp, guest.page(frame), {
    ...readEntry(rmp, guest.page(frame)),
    assigned: false,
    asid: 0,
    validated: false,
  });
}

/** Everything that may differ. */
function state({ guest, vmcbs }: World): unknown {
  const { memory, rmp } = guest.machine;
  return {
    pages: [...memory.pages].map(([frame, { content, key }]) => [
      frame,
      key,
      Buffer.from(content.bytes).toString('base64'),
    ]),
    rmp: [...rmp.chunks].map(([index, chunk]) => [index, Buffer.from(chunk.buffer).toString('base64')]),
    vmcbs: vmcbs.map(({ exitCode, exitInfo1, exitInfo2, exitIntInfo, ghcb }) =>
      [exitCode, exitInfo1, exitInfo2, exitIntInfo, ghcb].join(),
    ),
    retired: retired(guest.machine),
  };
}

describe('slices and breakpoints', () => {
  const whole = createWorld();
  const wholeTold = play(whole, () => {});
  const wholeState = state(whole);

  it('the run that is cut has all that it should have', () => {
    const kinds = new Set(wholeTold.map((entry) => (Array.isArray(entry) ? String(entry[0]) : '')));
    assert.ok(
      ['0', '1', 'exception', 'instruction'].every((kind) => kinds.has(kind)),
      [...kinds].join(),
    );
    assert.ok(wholeTold.length > 100);
  });

  it('change nothing in registers, memory, RMP and events', () => {
    const rips = fc.array(
      fc.nat(CODE.length).map((n) => BigInt(CODE_AT + n)),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }),
        rips,
        fc.boolean(),
        (slices, breakpoints, late) => {
          const world = createWorld();
          const { guestControl } = world.guest.machine;
          let n = 0;
          const next = (): void => {
            guestControl.slice = slices[n++ % slices.length] ?? 1;
            // Breakpoints come and go while it runs.
            const now = !late || n % 7 < 4 ? breakpoints : [];
            guestControl.breakpoints = new Set(now);
          };
          next();
          const told = play(world, next);
          assert.deepEqual(told, wholeTold);
          assert.deepEqual(state(world), wholeState);
        },
      ),
      { numRuns: 25, seed: 11 },
    );
  });

  it('a breakpoint stops each vCPU each time that it comes there, also right after an exit', () => {
    const world = createWorld();
    const { guestControl } = world.guest.machine;
    // Behind CPUID: the handler's IRET leads there. And behind VMGEXIT in the handler.
    const behind = BigInt(0x6000 + 16 * 29 + 4);
    guestControl.breakpoints = new Set([behind]);
    const stops: bigint[] = [];
    const told = play(world, (event) => {
      if (event.kind === 'control' && event.reason === 'breakpoint') stops.push(event.rip);
    });
    const exits = told.filter((entry) => Array.isArray(entry) && entry[1] === EXIT.VMGEXIT).length;
    assert.ok(exits > 10);
    // The last one may not have been entered again.
    assert.ok(stops.length === exits || stops.length === exits - 1, `${stops.length} stops, ${exits} exits`);
    assert.ok(stops.every((rip) => rip === behind));
  });
});
