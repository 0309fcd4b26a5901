import assert from 'node:assert/strict';
import { ENCODINGS } from '../../engine/cpu/encodings/table.js';
import { firmwareImages } from '../support/firmware.js';
import { compareFirmware } from './compare-firmware.js';
import { compareRandom, compareRows } from './compare-random.js';
import { oracleOptions } from './random.js';

const { seed, cases } = oracleOptions(20_000);

describe('decoder against iced-x86', function () {
  this.timeout(0);

  for (const codeSize of [64, 32, 16] as const) {
    it(`agrees in length and text on ${cases} random byte strings, ${codeSize}-bit (seed ${seed})`, () => {
      const { wrong, instructions } = compareRandom(seed * 3 + codeSize, cases, [codeSize]);
      assert.deepEqual(wrong, []);
      assert.ok(instructions > cases / 2, `only ${instructions} were instructions`);
    });
  }

  it('agrees on strings for each row of the table, and every row occurs', () => {
    const { wrong, rows } = compareRows(seed, 40);
    assert.deepEqual(wrong, []);
    const never = ENCODINGS.filter((row) => !rows.has(row.id));
    assert.deepEqual(
      never.map((row) => row.text),
      [],
    );
  });

  it('agrees on all code in an OVMF image', function () {
    // All images, and every offset: node scripts/cpu-decoder.mjs.
    const [image] = firmwareImages();
    if (!image) this.skip();
    const { wrong, instructions, modules } = compareFirmware([image]);
    assert.deepEqual(wrong, []);
    assert.ok(modules > 50 && instructions > 500_000, `${modules} modules, ${instructions} instructions`);
  });
});
