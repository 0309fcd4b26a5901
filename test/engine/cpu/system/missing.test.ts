import assert from 'node:assert/strict';
import { descriptor, GDT, IDT, outcome, poke, type SmallMachineOptions, smallMachine, TSS } from './small-machine.js';

const RSP = 4;
const user = { cpl: 3 } as const;
const legacy = { bits: 32 } as const;
/** push with these flags; iret to 8:next */
const iret32 = (flags: number): number[] => [0x68, ...le32(flags), 0x6a, 8, 0x68, ...le32(0x2000), 0xcf];
const le32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >> 24) & 255];
/** jmp far 0x28:0 */
const FAR_JUMP = [0xea, 0, 0, 0, 0, 0x28, 0];

describe('mechanisms that are not there end in a Fault that names them', () => {
  const cases: readonly (readonly [string, readonly number[], SmallMachineOptions, RegExp])[] = [
    ['virtual-8086 mode', iret32(0x2_0002), legacy, /virtual-8086 mode/],
    // pushfd; or dword [esp], 0x4000; popfd; iret
    ['a nested task', [0x9c, 0x81, 0x0c, 0x24, 0, 0x40, 0, 0, 0x9d, 0xcf], legacy, /nested task/],
    ['virtual interrupts', [0xfa], { ...user, cr4: 2 }, /protected-mode virtual interrupts/],
  ];
  for (const [name, code, options, expected] of cases) {
    it(name, () => assert.match(outcome(smallMachine([...code, 0xf4], options)), expected));
  }

  const gates: readonly (readonly [number, string])[] = [
    [0x85, 'a task gate'],
    [0x89, 'a switch to a task'],
    [0x81, 'a switch to a 16-bit task'],
    [0x8b, '#13'],
    [0x82, '#13'],
    [0x0c, '#11'],
  ];
  for (const [access, expected] of gates) {
    it(`a far jump to a system descriptor of type ${access.toString(16)}: ${expected}`, () => {
      const vcpu = smallMachine(FAR_JUMP, legacy);
      poke(vcpu, GDT + 0x28, 8, descriptor(access, 0));
      assert.ok(outcome(vcpu).includes(expected));
    });
  }

  it('a task gate in the interrupt table', () => {
    const vcpu = smallMachine([0x0f, 0x0b], legacy);
    poke(vcpu, IDT + 8 * 6, 8, 0x8500n << 32n);
    assert.match(outcome(vcpu), /a task gate in the interrupt table/);
  });
});

describe('rules of system instructions', () => {
  const allowed = (options: SmallMachineOptions, code: readonly number[], bitmap: bigint | undefined): string => {
    const ports = { read: () => 0x5a, write: () => {} };
    const vcpu = smallMachine([...code, 0xeb, 0xfe], { ...options, ports });
    if (bitmap !== undefined) {
      poke(vcpu, TSS + 0x66, 2, 0x68n);
      poke(vcpu, TSS + 0x68, 4, bitmap);
      vcpu.registers.setSegment(7, { ...vcpu.registers.segment(7), limit: 0x6b });
    }
    return outcome(vcpu, 10);
  };

  it('user mode needs clear bits in the I/O permission bitmap, for every byte', () => {
    const in8 = [0xe4, 0x10];
    const in32 = [0xe5, 0x10];
    assert.equal(allowed({}, in8, undefined), 'limit');
    assert.equal(allowed(user, in8, undefined), '#13');
    assert.equal(allowed(user, in8, 0n), 'limit');
    assert.equal(allowed(user, in8, 0x1_0000n), '#13');
    assert.equal(allowed(user, in8, 0xfffe_ffffn), 'limit');
    assert.equal(allowed(user, in32, 0x8_0000n), '#13');
    assert.equal(allowed(user, in32, 0xf0_0000n), 'limit');
    // The second byte read for port 0x18 is the last of the segment's; for port 0x20 it is beyond.
    assert.equal(allowed(user, [0xe4, 0x18], 0n), '#13');
  });

  it('a stack or a pointer that is not canonical: #SS for the stack, #GP for others', () => {
    const at = (register: number, code: readonly number[]): string => {
      const vcpu = smallMachine(code);
      vcpu.registers.set(register, 0x8000_0000_1000n);
      vcpu.state.idtr.limit = 0x1ff;
      const end = vcpu.cpu.run(1);
      assert.equal(end.reason, 'limit');
      return `#${(Number(vcpu.registers.rip) - 0x6000) / 16}`;
    };
    const ist = (register: number, code: readonly number[]): string => {
      // Delivery needs a stack of its own.
      const vcpu = smallMachine(code);
      for (let n = 0; n < 32; n++) poke(vcpu, IDT + 16 * n + 4, 1, 1n);
      poke(vcpu, TSS + 0x24, 8, 0x3f00n);
      vcpu.registers.set(register, 0x8000_0000_1000n);
      vcpu.registers.set(0, 0x2000n);
      return outcome(vcpu);
    };
    assert.equal(at(1, [0x48, 0x8b, 0x01]), '#13');
    assert.equal(ist(RSP, [0x50]), '#12');
    assert.equal(ist(RSP, [0xff, 0x30]), '#12');
    assert.equal(ist(RSP, [0x8f, 0x00]), '#12');
    assert.equal(ist(RSP, [0x9d]), '#12');
    assert.equal(ist(RSP, [0xc3]), '#12');
  });

  it('XMM instructions are #UD without OSFXSR and with EM, #NM with TS, and work again after CLTS', () => {
    const xorps = [0x0f, 0x57, 0xc0];
    const run = (set: (v: ReturnType<typeof smallMachine>) => void, code = [...xorps, 0xf4]): string => {
      const vcpu = smallMachine(code);
      set(vcpu);
      vcpu.modeChanged();
      return outcome(vcpu);
    };
    assert.equal(
      run(() => {}),
      'halt',
    );
    assert.equal(
      run((v) => Object.assign(v.state, { cr4: 0x20 })),
      '#6',
    );
    assert.equal(
      run((v) => Object.assign(v.state, { cr0: v.state.cr0 | 4 })),
      '#6',
    );
    assert.equal(
      run((v) => Object.assign(v.state, { cr0: v.state.cr0 | 8 })),
      '#7',
    );
    assert.equal(
      run((v) => Object.assign(v.state, { cr0: v.state.cr0 | 8 }), [0x0f, 6, ...xorps, 0xf4]),
      'halt',
    );
    // xorps; mov rax, cr0; or al, 8; mov cr0, rax; xorps
    const ts = [...xorps, 0x0f, 0x20, 0xc0, 0x0c, 8, 0x0f, 0x22, 0xc0, ...xorps, 0xf4];
    assert.equal(
      run(() => {}, ts),
      '#7',
    );
  });

  it('UMIP keeps user mode from SGDT and its like', () => {
    const sgdt = [0x0f, 0x01, 0x04, 0x25, 0, 0x30, 0, 0, 0xeb, 0xfe];
    assert.equal(outcome(smallMachine(sgdt, user), 10), 'limit');
    assert.equal(outcome(smallMachine(sgdt, { ...user, cr4: 0x800 }), 10), '#13');
  });

  it('the interrupt shadow of STI lasts one instruction', () => {
    const vcpu = smallMachine([0xfb, 0x90, 0x90]);
    const seen = [0, 1, 2, 3].map((n) => {
      if (n > 0) vcpu.cpu.run(1);
      return vcpu.interruptShadow;
    });
    assert.deepEqual(seen, [false, true, false, false]);
  });
});
