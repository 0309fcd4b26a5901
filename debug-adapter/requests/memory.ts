import { hex, PAGE_SIZE, pfn } from '../../engine/address.js';
import { plainPage, readPage } from '../../engine/memory/system-memory.js';
import { integer, optionalInteger, text } from '../arguments.js';
import { userErrors } from '../errors.js';
import { parseReference } from '../memory-reference.js';
import type { Handler } from './handler.js';

/** Most bytes of one answer; the client asks again for the rest. */
const MAX_READ = 1 << 20;

/** `host:` references read what the host would: ciphertext of private pages. `plain:` ones what the owner would. */
export const readMemory: Handler = ({ session }, args) => {
  const name = text(args, 'memoryReference');
  const reference = parseReference(name);
  if (!reference) throw userErrors.badMemoryReference(name);
  const { memory } = session.current.run.machine;
  const start = reference.address + (optionalInteger(args, 'offset') ?? 0);
  const count = Math.max(0, integer(args, 'count'));
  const from = Math.min(Math.max(0, start), memory.size);
  const to = Math.min(Math.max(from, start + Math.min(count, MAX_READ)), memory.size);
  const bytes = new Uint8Array(to - from);
  for (let at = from; at < to; ) {
    const frame = pfn(Math.floor(at / PAGE_SIZE));
    const page = reference.view === 'host' ? readPage(memory, frame) : plainPage(memory, frame).content.bytes;
    const offset = at % PAGE_SIZE;
    const part = page.subarray(offset, Math.min(PAGE_SIZE, offset + to - at));
    bytes.set(part, at - from);
    at += PAGE_SIZE - offset;
  }
  const missing = count - bytes.length;
  return {
    address: hex(Math.max(0, from)),
    data: Buffer.from(bytes).toString('base64'),
    ...(missing > 0 && to === memory.size ? { unreadableBytes: missing } : {}),
  };
};
