import { FIXED, gate } from './descriptors.js';
import { ARENA, ARENA_SIZE, PLACE, SELECTOR, STACK_TOP, STUB_SIZE } from './layout.js';
import type { Kind } from './ring0-case.js';
import type { Runner } from './runner.js';

/** What the arena holds before a case's patches: working tables, INT3 in all code, numbers in data. */

const USER_GATES = [3, 4, 5, 0xfe];
const INT3 = 0xcc;

export function baseline(kind: Kind, { stubs }: Runner): Uint8Array {
  const out = new Uint8Array(ARENA_SIZE);
  const view = new DataView(out.buffer);
  const put = (at: number, value: bigint): void => view.setBigUint64(at, value, true);
  for (const [name, value] of Object.entries(FIXED)) {
    put(PLACE.gdt + SELECTOR[name as keyof typeof FIXED], value);
  }
  const tss = BigInt(ARENA + PLACE.tss);
  put(PLACE.gdt + SELECTOR.tss, 0x0000_8900_0000_01ffn | (tss << 16n));
  put(PLACE.gdt + SELECTOR.ldt, 0x0000_8200_0000_007fn | (BigInt(ARENA + PLACE.ldt) << 16n));
  const { code32, data, code64, userCode32, userData } = FIXED;
  for (const [n, value] of [0n, code32, data, code64, userCode32, userData].entries()) put(PLACE.ldt + 8 * n, value);
  // Stacks of the inner privileges; the I/O permission bitmap, which allows the upper half of its ports.
  const legacy = kind !== 'long';
  const tops = [STACK_TOP.ring0, STACK_TOP.inner1, STACK_TOP.inner2].map((top) => ARENA + top);
  for (const [n, top] of tops.entries()) {
    put(
      PLACE.tss + 4 + 8 * n,
      BigInt(top) | (legacy ? BigInt(n === 0 ? SELECTOR.data : SELECTOR.dataRing1 | 1) << 32n : 0n),
    );
  }
  if (!legacy)
    for (let n = 1; n <= 7; n++)
      put(PLACE.tss + 0x1c + 8 * n, BigInt(ARENA + (n & 1 ? STACK_TOP.ist1 : STACK_TOP.ist2)));
  view.setUint16(PLACE.tss + 0x66, 0x80, true);
  out.fill(0xff, PLACE.tss + 0x80, PLACE.tss + 0x90);
  for (let vector = 0; vector < 256; vector++) {
    const dpl = USER_GATES.includes(vector) || vector >= 0x80 ? 0x60 : 0;
    if (kind === 'real') {
      view.setUint32(PLACE.idt + 4 * vector, stubs[16] + STUB_SIZE * vector, true);
    } else if (kind === 'legacy') {
      const offset = stubs[32] + STUB_SIZE * vector;
      put(PLACE.idt + 8 * vector, gate({ selector: SELECTOR.code32, offset, access: 0x8e | dpl }));
    } else {
      const offset = stubs[64] + STUB_SIZE * vector;
      put(PLACE.idt + 16 * vector, gate({ selector: SELECTOR.code64, offset, access: 0x8e | dpl }));
    }
  }
  out.fill(INT3, PLACE.code, PLACE.data);
  for (let at: number = PLACE.data; at < ARENA_SIZE; at++) out[at] = (at * 37 + (at >> 8)) & 0xff;
  return out;
}
