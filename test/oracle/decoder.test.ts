import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { toHex } from '../../engine/bytes.js';
import { decode } from '../../engine/cpu/decoder/decode.js';
import { type CodeSize, createInstruction } from '../../engine/cpu/decoder/instruction.js';
import { icedDecode, sameMnemonic } from './iced.js';
import { oracleOptions, Random } from './random.js';

const { seed, cases } = oracleOptions(20_000);
const FIRMWARE = '/usr/share/ovmf/OVMF.fd';

/** Bytes that reach all maps: most random bytes alone would rarely follow 0F 38. */
function randomBytes(random: Random): Uint8Array {
  const bytes = Uint8Array.from({ length: 15 }, () => random.u32() >>> 8);
  const prefix = random.pick([0x66, 0xf2, 0xf3, 0x48, 0x41, 0x67, 0xf0]);
  switch (random.below(6)) {
    case 0:
      bytes.set([0x0f]);
      break;
    case 1:
      bytes.set([prefix, 0x0f]);
      break;
    case 2:
      bytes.set([prefix, 0x0f, random.pick([0x38, 0x3a])]);
      break;
    case 3:
      bytes.set([prefix]);
      break;
  }
  return bytes;
}

function disagreement(bytes: Uint8Array, codeSize: CodeSize): string | undefined {
  const ours = createInstruction();
  const status = decode(bytes, 0, bytes.length, codeSize, ours);
  const iced = icedDecode(bytes, codeSize);
  const where = `${codeSize}-bit ${toHex(bytes)}`;
  if (status !== 'ok') {
    return iced.claimed ? `${where}: ${status}, iced has ${iced.mnemonic}` : undefined;
  }
  const row = ours.encoding;
  // x87 rows say only that an escape opcode has ModRM; which of them exist is the x87 unit's business.
  if (row?.mnemonic === 'ESC' && !iced.valid) return undefined;
  if (!iced.valid) return `${where}: ${row?.text}, iced says invalid`;
  if (row?.mnemonic === 'ESC' && iced.length === ours.length + 1) return undefined;
  if (iced.length !== ours.length) return `${where}: ${row?.text} has ${ours.length} bytes, iced ${iced.length}`;
  if (!sameMnemonic(row?.mnemonic ?? '', iced.mnemonic)) return `${where}: ${row?.text}, iced has ${iced.mnemonic}`;
  return undefined;
}

describe('decoder against iced-x86', function () {
  this.timeout(0);

  for (const codeSize of [64, 32, 16] as const) {
    it(`agrees in length and name on ${cases} random byte strings, ${codeSize}-bit (seed ${seed})`, () => {
      const random = new Random(seed * 3 + codeSize);
      const wrong: string[] = [];
      for (let i = 0; i < cases && wrong.length < 10; i++) {
        const found = disagreement(randomBytes(random), codeSize);
        if (found) wrong.push(found);
      }
      assert.deepEqual(wrong, []);
    });
  }

  it('agrees at every offset of code in a firmware image', function () {
    if (!existsSync(FIRMWARE)) this.skip();
    const image = readFileSync(FIRMWARE);
    // The last 64 KiB hold the reset vector in three modes and the uncompressed SEC code.
    const start = image.length - 0x10000;
    const step = Math.max(1, Math.floor(0x10000 / cases));
    const wrong: string[] = [];
    for (let at = start; at + 15 <= image.length && wrong.length < 10; at += step) {
      for (const codeSize of [64, 32, 16] as const) {
        const found = disagreement(Uint8Array.from(image.subarray(at, at + 15)), codeSize);
        if (found) wrong.push(found);
      }
    }
    assert.deepEqual(wrong, []);
  });
});
