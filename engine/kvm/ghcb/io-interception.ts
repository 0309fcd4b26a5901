import { hex } from '../../address.js';
import { defineFault } from '../../fault.js';
import { errno } from '../../spec/errno.js';
import { decodeIoio } from '../../spec/ghcb-layout.js';
import type { Op } from '../../timeline/event.js';
import { type ExitHandling, type KvmExit, RESUME, TO_USERSPACE } from '../run/kvm-exit.js';
import { readScratch, setupVmgexitScratch, writeScratch } from './setup-vmgexit-scratch.js';
import { failRun, type Vmgexit } from './vmgexit.js';

const INT_MAX = 0x7fff_ffffn;
const PAGE = 4096;

export const STRING_IO_COUNT = defineFault<{ count: string; size: number }>({
  check: 'kvm-ghcb-string-io-count',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: errno('EINVAL'),
  title: 'String I/O too long',
  message: (o) => `SW_EXITINFO2 asks for ${o.count} elements of ${o.size} bytes, which is beyond what KVM can count.`,
  why: 'SW_EXITINFO2 holds the number of elements of an INS or OUTS. KVM takes the product of count and size as a signed 32-bit number; more ends the guest with EINVAL.',
  hint: 'Split the instruction into parts whose data fit into the shared buffer of the GHCB (2032 bytes).',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_es_string_io()',
  confirmed: true,
});

/** io_interception(): port I/O, which no device in the kernel takes here, goes to the VMM as KVM_EXIT_IO. */
export function* ioInterception(v: Vmgexit): Op<ExitHandling> {
  const { isIn, isString, size, port } = decodeIoio(v.exit.exitInfo1);
  if (isString) return yield* sevEsStringIo(v, size, port, isIn);
  if (size === 0) return RESUME;
  return isIn ? kvmFastPioIn(v, size, port) : kvmFastPioOut(v, size, port);
}

/** kvm_fast_pio_out(). */
function kvmFastPioOut(v: Vmgexit, size: number, port: number): ExitHandling {
  const data = new Uint8Array(size);
  for (let i = 0; i < size; i++) data[i] = Number((v.map.rax >> BigInt(8 * i)) & 0xffn);
  v.arch.exit = { reason: 'KVM_EXIT_IO', direction: 'out', size, port, count: 1, data };
  v.arch.complete = resume;
  return TO_USERSPACE;
}

/** kvm_fast_pio_in(), complete_fast_pio_in(): up to two bytes are merged into RAX, four are zero-extended. */
function kvmFastPioIn(v: Vmgexit, size: number, port: number): ExitHandling {
  const exit = ioExit('in', size, port, 1, new Uint8Array(size));
  v.arch.exit = exit;
  const complete = (): ExitHandling => {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(exit.data[i] ?? 0);
    const mask = (1n << BigInt(8 * size)) - 1n;
    v.map.rax = size < 4 ? (v.map.rax & ~mask) | value : value;
    return RESUME;
  };
  v.arch.complete = () => completed(complete);
  return TO_USERSPACE;
}

/** sev_es_string_io(): INS and OUTS; the data lies in the scratch area, SW_EXITINFO2 counts the elements. */
function* sevEsStringIo(v: Vmgexit, size: number, port: number, isIn: boolean): Op<ExitHandling> {
  const count = v.exit.exitInfo2;
  const bytes = count * BigInt(size);
  if (count > INT_MAX || bytes > INT_MAX) return failRun(STRING_IO_COUNT, { count: hex(count), size });
  if (bytes === 0n) return RESUME;
  const refused = yield* setupVmgexitScratch(v, isIn, bytes);
  if (refused) return refused;
  return isIn ? insChunk(v, size, port, Number(count), 0) : outsChunk(v, size, port, Number(count), 0);
}

/** kvm_sev_es_outs(): at most a page of data in one exit. */
function outsChunk(v: Vmgexit, size: number, port: number, left: number, offset: number): ExitHandling {
  const count = Math.min(left, Math.floor(PAGE / size));
  const data = readScratch(v, offset, count * size) ?? new Uint8Array(count * size);
  v.arch.exit = ioExit('out', size, port, count, data);
  const next = (): ExitHandling => outsChunk(v, size, port, left - count, offset + count * size);
  v.arch.complete = left === count ? resume : () => completed(next);
  return TO_USERSPACE;
}

/** kvm_sev_es_ins(). */
function insChunk(v: Vmgexit, size: number, port: number, left: number, offset: number): ExitHandling {
  const count = Math.min(left, Math.floor(PAGE / size));
  const exit = ioExit('in', size, port, count, new Uint8Array(count * size));
  v.arch.exit = exit;
  const complete = (): ExitHandling => {
    writeScratch(v, offset, exit.data);
    return left === count ? RESUME : insChunk(v, size, port, left - count, offset + count * size);
  };
  v.arch.complete = () => completed(complete);
  return TO_USERSPACE;
}

type IoExit = Extract<KvmExit, { reason: 'KVM_EXIT_IO' }>;

function ioExit(direction: IoExit['direction'], size: number, port: number, count: number, data: Uint8Array): IoExit {
  return { reason: 'KVM_EXIT_IO', direction, size, port, count, data };
}

// biome-ignore lint/correctness/useYield: a handler like the others.
function* completed(complete: () => ExitHandling): Op<ExitHandling> {
  return complete();
}

/** Userspace has done it; nothing comes back. */
// biome-ignore lint/correctness/useYield: a handler like the others.
function* resume(): Op<ExitHandling> {
  return RESUME;
}
