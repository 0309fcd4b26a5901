import assert from 'node:assert/strict';
import { fromHex } from '../../../../engine/bytes.js';
import { decode } from '../../../../engine/cpu/decoder/decode.js';
import { type CodeSize, createInstruction } from '../../../../engine/cpu/decoder/instruction.js';
import { outcome, poke, smallMachine } from '../system/small-machine.js';

function decoded(codeSize: CodeSize, hex: string) {
  const bytes = fromHex(hex) ?? new Uint8Array(0);
  const instruction = createInstruction();
  return { status: decode(bytes, 0, bytes.length, codeSize, instruction), instruction };
}

describe('operand size', () => {
  const cases: readonly (readonly [string, CodeSize, string, number])[] = [
    ['LGDT in 16-bit code', 16, '0f0110', 2],
    ['LGDT in 16-bit code with 66', 16, '660f0110', 4],
    ['LGDT in 32-bit code with 66', 32, '660f0110', 2],
    ['LGDT in 64-bit code with 66', 64, '660f0110', 8],
    ['LGS', 64, '0fb507', 4],
    ['LGS with 66', 64, '660fb507', 2],
    ['LGS with REX.W', 64, '480fb507', 4],
    ['LGS with 66 and REX.W', 64, '66480fb507', 4],
    ['far CALL with REX.W, which pushes 64 bits', 64, '48ff1f', 8],
    ['INVPCID in 32-bit code', 32, '660f388200', 4],
    ['RDPID in 32-bit code', 32, 'f30fc7f8', 4],
    ['MOV from CR0 with 66', 32, '660f20c0', 4],
  ];
  for (const [name, codeSize, hex, size] of cases) {
    it(`${name}: ${size} bytes`, () => {
      const { status, instruction } = decoded(codeSize, hex);
      assert.equal(status, 'ok');
      assert.equal(instruction.operandSize, size);
    });
  }

  it('LGDT loads 24 bits of base with a 16-bit operand', () => {
    // lgdt [0x3000] in 32-bit code
    for (const [prefix, base] of [
      [[0x66], 0x34_5678n],
      [[], 0x1234_5678n],
    ] as const) {
      const vcpu = smallMachine([...prefix, 0x0f, 0x01, 0x15, 0x00, 0x30, 0x00, 0x00, 0xf4], { bits: 32 });
      poke(vcpu, 0x3000, 2, 0x27n);
      poke(vcpu, 0x3002, 4, 0x1234_5678n);
      outcome(vcpu);
      assert.deepEqual({ ...vcpu.state.gdtr }, { base, limit: 0x27 });
    }
  });
});

describe('what is no instruction', () => {
  const cases: readonly (readonly [string, CodeSize, string, string])[] = [
    ['an opcode that nobody has', 64, '0f24c0', 'invalid'],
    ['an instruction of another maker: GETSEC', 64, '0f37', 'invalid'],
    ['an empty place of a group: DB /6', 64, 'db37', 'invalid'],
    ['PUSH ES in 64-bit code', 64, '06', 'invalid'],
    ['LOCK without a memory operand', 64, 'f001c0', 'invalid'],
    ['VEX', 64, 'c5f8770f', 'unknown'],
    ['one that nothing executes: AESENC', 64, '660f38dcc1', 'ok'],
    ['sixteen bytes', 64, '66666666666666666666666666666690', 'tooLong'],
    ['the first byte of two', 64, '0f', 'incomplete'],
  ];
  for (const [name, codeSize, hex, expected] of cases) {
    it(`${name}: ${expected}`, () => assert.equal(decoded(codeSize, hex).status, expected));
  }

  it('an instruction that nothing executes ends in a Fault that names it, a free opcode in #UD', () => {
    assert.match(outcome(smallMachine([0x66, 0x0f, 0x38, 0xdc, 0xc1])), /AESENC/);
    assert.match(outcome(smallMachine([0x0f, 0x24, 0xc0])), /#6/);
  });
});
