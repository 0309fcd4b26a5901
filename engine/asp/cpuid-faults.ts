import { hex } from '../address.js';
import { defineFault, type Fault, makeFault, type Operands } from '../fault.js';
import { status } from './command.js';
import type { CpuidMismatch, CpuidPageProblem } from './cpuid-policy.js';

const NAME = 'SNP_LAUNCH_UPDATE';
const PAGE = 'AMD pub. 56860, SNP_LAUNCH_UPDATE, CPUID page';

export const CPUID_COUNT = defineFault<{ count: number }>({
  check: 'fw-launch-update-cpuid-count',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'CPUID page has too many entries',
  message: (o) => `The CPUID page says that it has ${o.count} entries; it can hold 64.`,
  why: 'COUNT is the first word of the page, and 64 entries of 48 bytes are the most. A huge number usually means that the page is no CPUID table.',
  hint: 'Leave out functions that the guest does not need, and check the layout of the page.',
  reference: PAGE,
  confirmed: true,
});

export const CPUID_RESERVED = defineFault<{ offset: string }>({
  check: 'fw-launch-update-cpuid-reserved',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Reserved bytes of the CPUID page are not zero',
  message: (o) => `The byte at offset ${o.offset} of the CPUID page is reserved and must be zero.`,
  why: 'Bytes 4 … 15 of the page and the last 8 bytes of each entry are reserved.',
  hint: 'Clear the page before the entries are written.',
  reference: PAGE,
  confirmed: false,
});

export const CPUID_DUPLICATE = defineFault<{ entry: number; function: string; index: string }>({
  check: 'fw-launch-update-cpuid-duplicate',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'CPUID page has the same function twice',
  message: (o) => `Entry ${o.entry} repeats function ${o.function} index ${o.index} with the same XCR0_IN and XSS_IN.`,
  why: 'The guest looks a function up by its inputs; two entries could give two answers.',
  hint: 'Keep one of the entries.',
  reference: PAGE,
  confirmed: false,
});

/** What QEMU's older EPYC models report of the L3 cache (NVIDIA/nvtrust issue 91). */
const COMPLEX_INDEXING = '0x8000001d.3 edx';

export const CPUID_POLICY = defineFault({
  check: 'fw-launch-update-cpuid-policy',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'CPUID page offers what the processor does not have',
  message: (o: Operands) => `CPUID validation failed for ${o['registers']} register(s). First: ${o['first']}.`,
  why: 'A guest decides by CPUID which instructions and states it uses. The firmware lets the host hide features but not invent them, and corrects each wrong register in the page, which stays unencrypted so that the VMM can see the difference.',
  hint: (o: Operands) =>
    o[COMPLEX_INDEXING] === undefined
      ? 'Take over the expected values, or use a CPU model that the processor can offer. The rule for each function is this emulator’s choice: AMD’s own table is not public.'
      : 'Use a CPU model without complex cache indexing: EPYC-v4, EPYC-Rome-v3, EPYC-Milan-v2, EPYC-Genoa or newer; or set edx of function 0x8000001d index 3 to 2.',
  reference:
    'AMD Processor Programming Reference, CPUID Policy Enforcement; QEMU target/i386/sev.c sev_snp_cpuid_report_mismatches()',
  confirmed: true,
});

/** Operand name of a register: `0x8000001d.3 edx`. */
export function cpuidRegisterName(mismatch: Pick<CpuidMismatch, 'function' | 'index' | 'register'>): string {
  return `${hex(mismatch.function)}.${mismatch.index} ${mismatch.register}`;
}

/** One operand for each register, as QEMU prints them: provided and expected. */
export function cpuidPolicyFault(mismatches: readonly CpuidMismatch[]): Fault {
  const operands: Record<string, string | number> = { registers: mismatches.length };
  const [first] = mismatches;
  if (first) {
    operands['first'] =
      `function ${hex(first.function)}, index ${hex(first.index)}, provided ${first.register} ${hex(first.provided)}, expected ${hex(first.expected)} (${first.rule})`;
  }
  for (const mismatch of mismatches) {
    operands[cpuidRegisterName(mismatch)] = `provided ${hex(mismatch.provided)} expected ${hex(mismatch.expected)}`;
  }
  return makeFault(CPUID_POLICY, operands);
}

export function cpuidProblemFault(problem: CpuidPageProblem): Fault {
  switch (problem.kind) {
    case 'count':
      return makeFault(CPUID_COUNT, { count: problem.count });
    case 'reserved':
      return makeFault(CPUID_RESERVED, { offset: hex(problem.offset) });
    case 'duplicate':
      return makeFault(CPUID_DUPLICATE, {
        entry: problem.entry,
        function: hex(problem.function),
        index: hex(problem.index),
      });
  }
}
