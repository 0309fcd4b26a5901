import { isZero } from '../bytes.js';
import { retired } from '../cpu/svm/vmrun.js';
import type { Machine } from '../machine.js';

/**
 * SHA-384 of the state of a machine, 48 bytes: memory with its keys, RMP, VMSAs (pages of memory), KVM and firmware
 * state, devices, console output. Two runs of the same plan that stand at the same place have the same hash, however
 * they were cut into slices. What is not in it: translations and decoded code, registers of a guest between VMRUN
 * and #VMEXIT, and what was only noted for views.
 */
export function stateHash(machine: Machine): Uint8Array {
  const parts: Uint8Array[] = [];
  const add = (name: string, value: unknown): void => {
    parts.push(machine.crypto.sha384(encode(`${name}:${canonical(value, machine)}`)));
  };
  const { memory, rmp, kvm, asp, board } = machine;
  for (const frame of [...memory.pages.keys()].sort((a, b) => a - b)) {
    const page = memory.pages.get(frame);
    if (page) parts.push(encode(`page ${frame} key ${page.key}`), machine.crypto.sha384(page.content.bytes));
  }
  add('keys', memory.keys);
  add('allocator', [memory.nextFree, memory.free]);
  for (const index of [...rmp.chunks.keys()].sort((a, b) => a - b)) {
    const chunk = rmp.chunks.get(index);
    const bytes = chunk && new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (bytes && !isZero(bytes)) parts.push(encode(`rmp ${index}`), machine.crypto.sha384(bytes));
  }
  add('asp', asp);
  add('kvm', kvm);
  add('user', [machine.user.frames, machine.user.discarded]);
  add('board', board);
  add('console', machine.console);
  add('instructions', retired(machine));
  add('host time', machine.hostTime);
  return machine.crypto.sha384(concat(parts));
}

/** UTF-16 code units, two bytes each. */
function encode(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 2);
  for (let i = 0; i < text.length; i++) {
    bytes[2 * i] = text.charCodeAt(i);
    bytes[2 * i + 1] = text.charCodeAt(i) >> 8;
  }
  return bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The nested page table stands in the VM; a fault is words about state that is in here otherwise. */
const LEFT_OUT = new Set(['fault', 'hostFault', 'exitFault', 'emulatorFault', 'stuck', 'refusal', 'lastExit']);

/** Text of plain data: fields in the order of their names, maps and sets in the order of their keys. */
function canonical(value: unknown, machine: Machine, inVmcb = false): string {
  const text = (v: unknown): string => canonical(v, machine, inVmcb);
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'function';
  if (typeof value !== 'object' || value === null) return String(value);
  if (value instanceof Uint8Array) return `bytes${value.length}:${[...machine.crypto.sha384(value)].join('.')}`;
  if (value instanceof Map) {
    const entries = [...value].map(([k, v]) => `${text(k)}=>${text(v)}`);
    return `{${entries.sort().join(',')}}`;
  }
  if (value instanceof Set) return `<${[...value].map(text).sort().join(',')}>`;
  if (Array.isArray(value)) return `[${value.map(text).join(',')}]`;
  const fields = Object.entries(value)
    .filter(([name, v]) => v !== undefined && !LEFT_OUT.has(name))
    .filter(([name]) => !(inVmcb && name === 'nestedPageTable'))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, v]) => `${name}:${canonical(v, machine, name === 'vmcb')}`).join(',')}}`;
}
