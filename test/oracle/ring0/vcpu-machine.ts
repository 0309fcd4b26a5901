import type { Instruction } from '../../../engine/cpu/decoder/instruction.js';
import { createSystemState } from '../../../engine/cpu/system/system-state.js';
import { Vcpu } from '../../../engine/cpu/system/vcpu.js';
import { explainFault, type Fault } from '../../../engine/fault.js';
import { CONTROL, RAM_SIZE, RESULT, RESULT_SIZE, RESULTS, RUNNER, STATUS } from './layout.js';

/** Runs an image in our Vcpu on plain memory, with what QEMU does around it: a reset after a shutdown. */

const SLICE = 400_000;
const ABSENT = 0xffff_ffff;

export interface VcpuRun {
  readonly ram: Uint8Array;
  /** Faults for what is missing, by number of the case. */
  readonly missing: ReadonlyMap<number, string>;
}

export interface VcpuRunOptions {
  /** Called for every instruction that TypeScript executes. */
  readonly executed?: (instruction: Instruction) => void;
  /** Follows the instructions of a case: called before each. */
  readonly trace?: (vcpu: Vcpu) => void;
}

/** The operand that says what is missing. */
const wordsOf = (fault: Fault): string =>
  /(?:behaviour|instruction)=(.*?), (?:rip|bytes)=/.exec(explainFault(fault))?.[1] ?? explainFault(fault);

function reset(vcpu: Vcpu): void {
  const { registers } = vcpu;
  const { debug, msrs, ...state } = createSystemState();
  Object.assign(vcpu.state, state);
  vcpu.state.debug.splice(0, 8, ...debug);
  vcpu.state.msrs.clear();
  for (const [number, value] of msrs) vcpu.state.msrs.set(number, value);
  for (let n = 0; n < 8; n++) {
    const attributes = n === 1 ? 0x9b : n === 6 ? 0x82 : n === 7 ? 0x8b : 0x93;
    registers.setSegment(n, { selector: 0, attributes, limit: 0xffff, base: 0n });
  }
  registers.flags = 2;
  registers.rip = BigInt(RUNNER);
  vcpu.modeChanged();
  vcpu.cpu.flushTlb();
}

export function runVcpu(image: Uint8Array, options: VcpuRunOptions = {}): VcpuRun {
  const { executed, trace } = options;
  const vcpu: Vcpu = new Vcpu(
    {
      guestBytes: RAM_SIZE + 4096,
      physicalBits: 40,
      cpuid: () => [0, 0, 0, 0],
      ports: { read: (_, bytes) => ABSENT >>> (32 - 8 * bytes), write: () => {} },
      ...(executed && {
        intercept: (_: Vcpu, instruction: Instruction): boolean => {
          executed(instruction);
          return false;
        },
      }),
    },
    {
      page: ({ address, kind }) => {
        const page = Math.min(address, RAM_SIZE);
        // Beyond the memory reads give zeros and writes go nowhere.
        if (page === RAM_SIZE) vcpu.cpu.bytes.fill(0, start + RAM_SIZE, start + RAM_SIZE + 4096);
        return { page: (start + page) / 4096, writable: page !== RAM_SIZE || kind === 'write' };
      },
    },
  );
  const start = vcpu.cpu.guestStart;
  vcpu.cpu.bytes.set(image, start);
  const missing = new Map<number, string>();
  const word = (at: number): number => vcpu.cpu.view.getUint32(start + at, true);
  const setWord = (at: number, value: number): void => vcpu.cpu.view.setUint32(start + at, value, true);
  const give = (status: number): void => {
    const index = word(CONTROL.index);
    setWord(RESULTS + RESULT_SIZE * index + RESULT.status, status);
    const next = word(CONTROL.next);
    setWord(CONTROL.next, next + word(next));
    setWord(CONTROL.index, index + 1);
    setWord(CONTROL.running, 0);
  };
  reset(vcpu);
  while (word(CONTROL.done) === 0) {
    const before = word(CONTROL.index);
    if (trace && word(CONTROL.running)) trace(vcpu);
    const end = vcpu.cpu.run(trace ? 1 : SLICE);
    if (end.reason === 'exception') reset(vcpu);
    else if (end.reason === 'fault') {
      missing.set(word(CONTROL.index), wordsOf(end.fault));
      give(STATUS.missing);
      reset(vcpu);
    } else if (end.reason === 'halt' && word(CONTROL.done) === 0) {
      give(STATUS.hang);
      reset(vcpu);
    } else if (!trace && end.reason === 'limit' && word(CONTROL.index) === before) {
      give(STATUS.hang);
      reset(vcpu);
    }
  }
  return { ram: vcpu.cpu.bytes.slice(start, start + RAM_SIZE), missing };
}
