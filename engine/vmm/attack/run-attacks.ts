import { gfn, gpaOf, hex, type Pfn, spaOf } from '../../address.js';
import { copyBytes, toHex } from '../../bytes.js';
import { nptLookup, nptMap } from '../../cpu/svm/nested-page-table.js';
import { makeFault } from '../../fault.js';
import { rmpMakePrivate, rmpMakeShared } from '../../kvm/rmp-helpers.js';
import { NO_MEMORY } from '../../kvm/snp-safe-alloc-page.js';
import { allocPage, readPage, writePage } from '../../memory/system-memory.js';
import { hostWrite } from '../../rmp/host-write.js';
import type { AttackName } from '../../spec/attacks.js';
import { logEvent, type Op } from '../../timeline/event.js';
import type { AttackContext, AttackStep } from './attacking-processor.js';

/** The steps of each attack at run time, in order. */
export const RUN_ATTACKS: Readonly<Partial<Record<AttackName, readonly AttackStep[]>>> = {
  remap: [remap],
  'double-map': [doubleMap],
  exchange: [exchange, exchangeBack],
  replay: [save, writeBack, takeAndWriteBack],
  'inject-vc': [(context) => inject(context, VC_OF_CPUID, '#VC with error code 0x72, the exit code of CPUID')],
  'inject-interrupt': [(context) => inject(context, INTERRUPT_80, 'interrupt 0x80')],
};

/** EVENTINJ: valid, error code valid, type 3 (exception), vector 29; error code 0x72. AMD APM volume 2, 15.20. */
const VC_OF_CPUID = (0x72n << 32n) | (1n << 31n) | (1n << 11n) | (3n << 8n) | 29n;
/** Valid, type 0 (external interrupt), vector 0x80. */
const INTERRUPT_80 = (1n << 31n) | 0x80n;

const say = ({ machine }: AttackContext, text: string) => logEvent(machine.stack, 'kvm', `attack: ${text}`);

/** The guest's page is exchanged in the nested page table only: the RMP does not know of it. */
function mapFrame({ vm, gfn: frame }: AttackContext, pfn: Pfn): void {
  if (vm.nestedPageTable) nptMap(vm.nestedPageTable, frame, { pfn, writable: true, size2M: false, reserved: false });
}

/** A page of the host, full of 0xFF. */
function hostPage({ machine }: AttackContext): Pfn | undefined {
  const page = allocPage(machine.memory, 'attack');
  if (page !== undefined) writePage(machine.memory, page, { bytes: new Uint8Array(4096).fill(0xff), frozen: false });
  return page;
}

const outOfMemory = () => makeFault(NO_MEMORY, { use: 'the page of an attack' });

function* remap(context: AttackContext) {
  const page = hostPage(context);
  if (page === undefined) return outOfMemory();
  mapFrame(context, page);
  yield say(context, `${where(context)} now leads to ${hex(spaOf(page))}, a page of the host with forged content`);
  return undefined;
}

/** The next page of the guest in the place of this one. */
function* doubleMap(context: AttackContext) {
  const next = gfn(context.gfn + 1);
  const other = context.vm.nestedPageTable && nptLookup(context.vm.nestedPageTable, next);
  if (!other) {
    yield say(context, `the guest has not used ${hex(gpaOf(next))} yet: nothing to map twice`);
    return undefined;
  }
  mapFrame(context, other.pfn);
  const spa = hex(spaOf(other.pfn));
  yield say(context, `${where(context)} now leads to ${spa}, which is the guest's page ${hex(gpaOf(next))}`);
  return undefined;
}

function* exchange(context: AttackContext) {
  const { machine, vm, state } = context;
  const page = allocPage(machine.memory, 'attack');
  if (page === undefined) return outOfMemory();
  const made = yield* rmpMakePrivate(machine, page, gpaOf(context.gfn), vm.asid, false);
  if (made.fault) return made.fault;
  state.other = page;
  mapFrame(context, page);
  yield say(context, `${where(context)} now leads to ${hex(spaOf(page))}, assigned to the guest for the same address`);
  return undefined;
}

function* exchangeBack(context: AttackContext) {
  const { original } = context.state;
  if (original === undefined) throw new Error('exchange without a first step');
  mapFrame(context, original);
  yield say(context, `${where(context)} leads to ${hex(spaOf(original))} again, with what the guest wrote there first`);
  return undefined;
}

/** Only ciphertext: what the host reads depends on the key of the guest and on the address. */
function* save(context: AttackContext) {
  const { machine, state, frame } = context;
  state.saved = copyBytes(readPage(machine.memory, frame));
  const start = toHex(state.saved.subarray(0, 16));
  yield say(context, `the host has saved ${hex(spaOf(frame))}, which reads as ${start}…: ciphertext`);
  return undefined;
}

function* writeBack(context: AttackContext) {
  const { machine, state, frame } = context;
  if (!state.saved) throw new Error('replay without a first step');
  yield say(context, `the host writes the old ciphertext to ${hex(spaOf(frame))}`);
  return hostWrite(machine, frame, 0, state.saved);
}

function* takeAndWriteBack(context: AttackContext) {
  const { machine, vm, state, frame } = context;
  if (!state.saved) throw new Error('replay without a first step');
  const taken = yield* rmpMakeShared(machine, frame);
  if (taken.fault) return taken.fault;
  const refused = hostWrite(machine, frame, 0, state.saved);
  if (refused) return refused;
  yield say(context, `the host has taken ${hex(spaOf(frame))} and written the old ciphertext to it`);
  const given = yield* rmpMakePrivate(machine, frame, gpaOf(context.gfn), vm.asid, false);
  if (given.fault) return given.fault;
  yield say(context, `${hex(spaOf(frame))} is the guest's again, for ${where(context)}: but not validated`);
  return undefined;
}

function* inject(context: AttackContext, event: bigint, what: string): Op<undefined> {
  context.vmcb.eventInj = event;
  yield say(context, `EVENTINJ is ${hex(event)}: ${what}`);
  return undefined;
}

const where = ({ gfn: frame }: AttackContext): string => `guest page ${hex(gpaOf(frame))}`;
