import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describePolicy, POLICY_FIELDS, policyFieldText } from '../../../../engine/launch/policy/fields.js';
import { parsePolicyFile } from '../../../../engine/launch/policy/parse.js';

const parse = (body: string) => parsePolicyFile(`snp-policy: 1\n${body}`, 'a.snp-policy.yaml');

describe('policy file', () => {
  for (const [body, value] of [
    ['value: 0x30000', 0x30000n],
    ['smt: true', 0x30000n],
    ['smt: false', 0x20000n],
    ['abi: "1.55"\nsmt: true', 0x30137n],
    ['abi: 1.51', 0x20133n],
    ['debug: true\nsmt: true', 0xb0000n],
    ['migration-agent: true\nsingle-socket: true\ncxl: true', 0x36_0000n],
    ['mem-aes-256-xts: true\nrapl-disable: true', 0xc2_0000n],
    ['ciphertext-hiding: true\npage-swap-disable: true', 0x302_0000n],
    ['value: 0x30000\nsmt: true\ndebug: false\nabi: "0.0"', 0x30000n],
  ] as const)
    it(`${JSON.stringify(body)} is 0x${value.toString(16)}`, () => {
      const parsed = parse(body);
      assert.deepEqual(parsed.problems, []);
      assert.equal(parsed.value, value);
    });

  for (const [body, check, underlined] of [
    ['', 'policy-empty', 's'],
    ['value: 0x30000\ndebug: true', 'policy-value-disagrees', 'true'],
    ['value: 0x30000\nabi: "1.51"', 'policy-value-disagrees', '"1.51"'],
    ['abi: "300.1"', 'policy-abi-version', '"300.1"'],
    ['value: 0x10000000000000000', 'manifest-out-of-range', '0x10000000000000000'],
    ['SMT: true', 'manifest-unknown-key', 'SMT'],
    ['smt: 1', 'manifest-wrong-value', '1'],
  ] as const)
    it(`refuses ${JSON.stringify(body)}`, () => {
      const { problems, text } = parse(body);
      const seen = problems.map((p) => [p.check, text.slice(p.at?.range.start, p.at?.range.end)]);
      assert.deepEqual(seen, [[check, underlined]]);
    });

  it('needs its version', () => {
    assert.deepEqual(
      parsePolicyFile('smt: true', 'a').problems.map((p) => p.check),
      ['policy-missing-version'],
    );
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        parsePolicyFile(text, 'a');
      }),
    );
  });
});

describe('policy fields', () => {
  it('give back the policy that they came from', () => {
    const known = POLICY_FIELDS.reduce((mask, f) => mask | (((1n << BigInt(f.width)) - 1n) << BigInt(f.bit)), 0n);
    fc.assert(
      fc.property(fc.bigInt(0n, (1n << 26n) - 1n), (bits) => {
        const policy = (bits & known) | (1n << 17n);
        const body = POLICY_FIELDS.map((f) => `${f.name}: "${policyFieldText(policy, f)}"`);
        assert.equal(parse(body.join('\n')).value, policy);
      }),
    );
  });

  it('describes every bit of a policy', () => {
    const rows = describePolicy(0x30000n);
    assert.deepEqual(
      rows.map((r) => r.bits),
      ['15:0', '16', '17', '18', '19', '20', '21', '22', '23', '24', '25'],
    );
    assert.equal(rows[2]?.meaning, 'Reserved, must be one: it is.');
    assert.match(describePolicy(0x300000n)[2]?.meaning ?? '', /refused/);
    assert.equal(describePolicy(1n << 40n).at(-1)?.bits, '63:26');
  });
});
