import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Vcpu } from '../../../../engine/cpu/system/vcpu.js';

const BYTES = 0x40_0000;
const LOAD_AT = 0x1000;

interface Guest {
  readonly image: Uint8Array;
  readonly log: number;
}

function assemble(): Guest | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'cpu-modes-'));
  const [object, elf, flat] = ['o', 'elf', 'bin'].map((e) => join(folder, `modes.${e}`)) as [string, string, string];
  try {
    execFileSync('as', ['--64', '-o', object, fileURLToPath(new URL('modes.S', import.meta.url))], { stdio: 'pipe' });
    execFileSync('ld', ['-Ttext=0x1000', '--omagic', '-o', elf, object], { stdio: 'pipe' });
    execFileSync('objcopy', ['-O', 'binary', elf, flat], { stdio: 'pipe' });
    const symbols = execFileSync('nm', [elf], { encoding: 'utf8' });
    const log = /^([0-9a-f]+) . log$/m.exec(symbols)?.[1] ?? '0';
    return { image: readFileSync(flat), log: Number.parseInt(log, 16) };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function boot({ image }: Guest): Vcpu {
  const vcpu: Vcpu = new Vcpu(
    { guestBytes: BYTES, physicalBits: 48, cpuid: () => [0, 0, 0, 0] },
    { page: ({ address }) => ({ page: (vcpu.cpu.guestStart + address) / 4096, writable: true }) },
  );
  vcpu.cpu.bytes.set(image, vcpu.cpu.guestStart + LOAD_AT);
  vcpu.registers.rip = BigInt(LOAD_AT);
  return vcpu;
}

function readLog(vcpu: Vcpu, { log }: Guest): string[] {
  const words: string[] = [];
  for (let at = vcpu.cpu.guestStart + log; ; at += 2) {
    const word = vcpu.cpu.view.getUint16(at, true);
    if (word === 0) return words;
    words.push(word.toString(16));
  }
}

/** Vector, error code | 0x7000, CS | 0x4000. */
const event = (vector: string, code: string, cs = '4018'): string[] => [vector, code, cs];
const EXPECTED = [
  '1121',
  '1102',
  '2206',
  '220d',
  ...event('6606', '7000'),
  ...event('6600', '7000'),
  ...event('660e', '7000'),
  ...event('660e', '7003'),
  ...event('660e', '7011'),
  ...event('660d', '7000'),
  ...event('6680', '7000'),
  '5007',
  '5027',
  '5067',
  '5518',
  '5000',
  ...event('660d', '7000', '402b'),
  '5aa5',
];

describe('guest CPU in all modes', () => {
  const guest = assemble();
  before(function () {
    if (guest) return;
    assert.ok(!process.env['CI'], 'this test needs binutils');
    this.skip();
  });

  it('goes from real mode to 64-bit user mode and back, with exceptions, paging and SYSCALL', () => {
    if (!guest) return;
    const vcpu = boot(guest);
    const end = vcpu.cpu.run(100_000);
    assert.deepEqual(readLog(vcpu, guest), EXPECTED);
    assert.equal(end.reason, 'halt');
    assert.equal(vcpu.state.cr2, 0x203000n);
  });

  it('does the same one instruction at a time', () => {
    if (!guest) return;
    const whole = boot(guest);
    whole.cpu.run(100_000);
    const stepped = boot(guest);
    let steps = 0;
    while (stepped.cpu.run(1).reason === 'limit' && steps++ < 100_000);
    assert.deepEqual(readLog(stepped, guest), EXPECTED);
    assert.equal(stepped.cpu.instructions, whole.cpu.instructions);
  });
});
