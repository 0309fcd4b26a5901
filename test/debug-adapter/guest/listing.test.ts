import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { AddressSpace } from '../../../debug-adapter/guest/guest-memory.js';
import { type CodeView, type ListedInstruction, listInstructions } from '../../../debug-adapter/guest/listing.js';
import type { CodeBits } from '../../../debug-adapter/guest/vcpu-image.js';

const BASE = 0x40_0000n;
const PAGE = 4096;

/** Memory that begins at BASE; what lies outside of it is not mapped. */
function codeAt(bytes: readonly number[], bits: CodeBits = 64, base = 0n): CodeView {
  const pages = new Uint8Array(Math.max(1, Math.ceil(bytes.length / PAGE)) * PAGE);
  pages.set(bytes);
  const space: AddressSpace = {
    size: 1n << 64n,
    page(address) {
      const offset = Number(address - BASE);
      if (offset < 0 || offset >= pages.length) return { ok: false, why: 'not mapped' };
      const start = offset - (offset % PAGE);
      return { ok: true, value: pages.subarray(start, start + PAGE) };
    },
    write: () => false,
  };
  return { space, bits, base };
}

const texts = (lines: readonly ListedInstruction[]): string[] => lines.map((line) => line.text);

/** push rbp; mov rbp, rsp; sub rsp, 0x20; call +0x100; leave; ret */
const FUNCTION = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20, 0xe8, 0, 1, 0, 0, 0xc9, 0xc3];
const STARTS = [0, 1, 4, 8, 13, 14];

describe('disassembly', () => {
  it('goes forward with bytes and text', () => {
    const lines = listInstructions(codeAt(FUNCTION), BASE, 0, 6);
    assert.deepEqual(texts(lines), ['push rbp', 'mov rbp, rsp', 'sub rsp, 0x20', 'call 0x40010d', 'leave', 'ret']);
    assert.deepEqual(
      lines.map((line) => Number(line.address - BASE)),
      STARTS,
    );
    assert.deepEqual([...(lines[1]?.bytes ?? [])], [0x48, 0x89, 0xe5]);
  });

  it('names the instructions of SNP', () => {
    const bytes = [0xf2, 0x0f, 0x01, 0xff, 0xf3, 0x0f, 0x01, 0xfe, 0xf3, 0x0f, 0x01, 0xd9];
    assert.deepEqual(texts(listInstructions(codeAt(bytes), BASE, 0, 3)), ['pvalidate rax', 'rmpadjust', 'vmgexit']);
  });

  it('goes backward to the starts of instructions', () => {
    const code = codeAt([...Array(64).fill(0x90), ...FUNCTION]);
    const end = BASE + 64n + 14n;
    const lines = listInstructions(code, end, -5, 6);
    assert.deepEqual(
      lines.map((line) => Number(line.address - BASE) - 64),
      STARTS,
    );
  });

  it('skips ahead, and takes an offset and a count on both sides of the address', () => {
    const code = codeAt(FUNCTION);
    assert.deepEqual(texts(listInstructions(code, BASE, 4, 2)), ['leave', 'ret']);
    assert.deepEqual(texts(listInstructions(code, BASE + 13n, -2, 1)), ['sub rsp, 0x20']);
  });

  it('fills up what is not mapped, and marks what is no instruction', () => {
    const before = listInstructions(codeAt(FUNCTION), BASE, -3, 4);
    assert.deepEqual(texts(before), ['??', '??', '??', 'push rbp']);
    assert.deepEqual(
      before.map((line) => line.valid),
      [false, false, false, true],
    );
    const nowhere = listInstructions(codeAt(FUNCTION), 0x1000n, 0, 2);
    assert.deepEqual(texts(nowhere), ['??', '??']);
    // 0x06 (PUSH ES) is none in 64-bit mode.
    assert.deepEqual(texts(listInstructions(codeAt([0x06, 0x90]), BASE, 0, 2)), ['(bad)', 'nop']);
  });

  it('decodes by the mode, with branch targets as offsets in the segment', () => {
    const jump = [0xe9, 0xfd, 0x0f];
    assert.deepEqual(texts(listInstructions(codeAt(jump, 16, 0x3f_f000n), BASE, 0, 1)), ['jmp 0x2000']);
    assert.deepEqual(texts(listInstructions(codeAt([0x06], 32), BASE, 0, 1)), ['push es']);
  });

  it('crosses pages', () => {
    const bytes: number[] = Array(PAGE - 2).fill(0x90);
    const lines = listInstructions(codeAt([...bytes, 0xe8, 0, 0, 0, 0, 0xc3]), BASE + BigInt(PAGE - 3), 0, 3);
    assert.deepEqual(texts(lines), ['nop', 'call 0x401003', 'ret']);
  });

  it('gives as many lines as asked for, without gap or overlap, whatever the bytes', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 });
    const numbers = fc.tuple(fc.integer({ min: -40, max: 40 }), fc.integer({ min: 0, max: 60 }), fc.nat(400));
    fc.assert(
      fc.property(bytes, numbers, (memory, [offset, count, at]) => {
        const lines = listInstructions(codeAt([...memory]), BASE + BigInt(at), offset, count);
        assert.equal(lines.length, count);
        for (const [n, line] of lines.entries()) {
          const next = lines[n + 1];
          const length = BigInt(Math.max(1, line.bytes.length));
          if (next) assert.equal(next.address, line.address + length);
        }
      }),
      { numRuns: 200 },
    );
  });
});
