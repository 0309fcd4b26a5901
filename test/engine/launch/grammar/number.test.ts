import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseNumber } from '../../../../engine/launch/grammar/number.js';

describe('numbers of the grammar', () => {
  for (const [text, value] of [
    ['0', 0n],
    ['4096', 4096n],
    ['-1', -1n],
    ['0x1000', 0x1000n],
    ['0XfF', 255n],
    ['0xffff_ffff', 0xffff_ffffn],
    ['4KiB', 4096n],
    ['512MiB', 512n << 20n],
    ['4GiB', 4n << 30n],
    ['0x10KiB', 0x4000n],
    ['1TiB', 1n << 40n],
  ] as const)
    it(`reads ${text}`, () => assert.deepEqual(parseNumber(text, true), { ok: true, value }));

  for (const [text, reason, suggestion] of [
    ['512MB', 'unit', '512MiB'],
    ['512M', 'unit', '512MiB'],
    ['512 MiB', 'unit', '512MiB'],
    ['512mib', 'unit', '512MiB'],
    ['4k', 'unit', '4KiB'],
    ['100B', 'unit', '100'],
    ['5parsec', 'unit', undefined],
    ['1.5GiB', 'fraction', '1536MiB'],
    ['0.3GiB', 'fraction', undefined],
    ['0o17', 'octal', '0xf'],
    ['1000h', 'not-a-number', '0x1000'],
    ['0x', 'not-a-number', undefined],
    ['many', 'not-a-number', undefined],
    ['', 'not-a-number', undefined],
  ] as const)
    it(`refuses ${text || 'nothing'}${suggestion ? `, suggests ${suggestion}` : ''}`, () => {
      const got = parseNumber(text, true);
      assert.deepEqual(got, { ok: false, reason, ...(suggestion === undefined ? {} : { suggestion }) });
    });

  it('takes no unit where none belongs', () => {
    assert.deepEqual(parseNumber('4KiB', false), { ok: false, reason: 'not-a-number' });
  });

  it('reads back every u64 in decimal and hex', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, (1n << 64n) - 1n), (n) => {
        assert.deepEqual(parseNumber(n.toString(), false), { ok: true, value: n });
        assert.deepEqual(parseNumber(`0x${n.toString(16)}`, false), { ok: true, value: n });
      }),
    );
  });

  it('suggests only what it would accept', () => {
    fc.assert(
      fc.property(
        fc.nat(1_000_000),
        fc.constantFrom('k', 'KB', 'm', 'MB', 'Mib', 'g', 'gb', ' GiB', 'T', 'b'),
        (n, u) => {
          const got = parseNumber(`${n}${u}`, true);
          assert.ok(!got.ok && got.suggestion !== undefined && parseNumber(got.suggestion, true).ok);
        },
      ),
    );
  });
});
