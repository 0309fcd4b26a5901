import assert from 'node:assert/strict';
import { firmwarePolicyFaults } from '../../../engine/asp/policy-checks.js';
import { firmwareProfile, PROCESSOR_PROFILES } from '../../../engine/spec/versions.js';

const { milan, genoa } = PROCESSOR_PROFILES;

describe('policy checks of the firmware', () => {
  const cases: [string, bigint, number, typeof milan, string[]][] = [
    ['the usual policy', 0x3_0000n, 55, milan, []],
    ['the exact ABI', 0x3_0137n, 55, milan, []],
    ['an older major with a higher minor', 0x3_00ffn, 55, milan, []],
    ['a newer ABI', 0x3_0138n, 55, milan, ['abi']],
    ['debug, single socket, migration agent', 0x1f_0000n, 55, milan, []],
    ['nothing', 0n, 55, milan, ['reserved-one', 'smt']],
    ['no SMT where it is off', 0x2_0000n, 55, { ...milan, smt: false }, []],
    ['one zero too many', 0x30_0000n, 55, milan, ['reserved-one', 'smt']],
    ['one zero too many on an old ABI', 0x30_0000n, 51, milan, ['reserved-one', 'reserved-bits', 'smt']],
    ['XTS on Genoa', 0x43_0000n, 55, genoa, []],
    ['XTS on Milan', 0x43_0000n, 55, milan, ['aes-256-xts']],
    ['XTS before the firmware knew it', 0x43_0000n, 54, genoa, ['reserved-bits']],
    ['RAPL and ciphertext hiding', 0x183_0000n, 55, genoa, ['rapl', 'ciphertext-hiding']],
    ['page swap', 0x203_0000n, 58, genoa, []],
    ['page swap on 1.55', 0x203_0000n, 55, genoa, ['reserved-bits']],
    ['everything', 2n ** 64n - 1n, 55, milan, ['reserved-bits', 'abi', 'aes-256-xts', 'rapl', 'ciphertext-hiding']],
  ];
  for (const [name, policy, minor, processor, expected] of cases) {
    it(`${name} (0x${policy.toString(16)}, 1.${minor}, ${processor.name}): ${expected.join(', ') || 'fine'}`, () => {
      const faults = firmwarePolicyFaults(policy, firmwareProfile(minor), processor);
      assert.deepEqual(
        faults.map((f) => f.check),
        expected.map((name_) => `fw-policy-${name_}`),
      );
    });
  }

  it('asks for what SNP_INIT_EX switched on', () => {
    const on = { raplDisabled: true, ciphertextHiding: true };
    assert.deepEqual(firmwarePolicyFaults(0x183_0000n, firmwareProfile(55), genoa, on), []);
  });

  it('says what was probably meant', () => {
    const [fault] = firmwarePolicyFaults(0x30_0000n, firmwareProfile(55), milan);
    assert.match(fault?.hint ?? '', /0x30000\?/);
  });

  it('names the bits', () => {
    const [fault] = firmwarePolicyFaults(0x3_0000n | (1n << 26n) | (1n << 63n), firmwareProfile(55), milan);
    assert.match(fault?.message ?? '', /bits 26 and 63,/);
  });
});
