import assert from 'node:assert/strict';
import { decode } from '../../../../engine/cpu/decoder/decode.js';
import { type CodeSize, createInstruction } from '../../../../engine/cpu/decoder/instruction.js';
import { staticKey, staticNumber } from '../../../../engine/cpu/interpreter/form.js';
import { Random } from '../../../oracle/random.js';

describe('forms of instructions', () => {
  it('have the same text wherever encoding and number are the same', () => {
    const random = new Random(1);
    const keys = new Map<string, string>();
    const i = createInstruction();
    const bytes = new Uint8Array(24);
    let met = 0;
    for (let n = 0; n < 200_000; n++) {
      for (let k = 0; k < bytes.length; k++) bytes[k] = random.u32();
      if (random.chance(2)) bytes[0] = random.pick([0x0f, 0x66, 0xf2, 0xf3, 0x48, 0x64]);
      if (random.chance(3)) bytes[1] = 0x0f;
      const codeSize = random.pick<CodeSize>([16, 32, 64]);
      if (decode(bytes, 0, bytes.length, codeSize, i) !== 'ok') continue;
      const stackSize = codeSize === 64 ? 64 : random.pick<CodeSize>([16, 32]);
      const number = `${i.encoding?.id} ${staticNumber(i, stackSize)}`;
      const key = staticKey(i, stackSize);
      const known = keys.get(number);
      if (known !== undefined) met++;
      assert.equal(known ?? key, key);
      keys.set(number, key);
    }
    assert.ok(met > 50_000 && keys.size > 5000, `${met} ${keys.size}`);
  });
});
