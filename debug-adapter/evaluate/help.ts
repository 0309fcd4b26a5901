import { FUNCTIONS } from './functions.js';
import { NAMES } from './names.js';

/** The answer to `help` in the Debug Console. */
export function helpText(): string {
  const width = Math.max(...[...NAMES.map((n) => n.name), ...FUNCTIONS.map((f) => f.usage)].map((s) => s.length));
  const line = (left: string, right: string) => `  ${left.padEnd(width)}  ${right}`;
  return [
    'Names:',
    ...NAMES.map((n) => line(n.name, n.detail)),
    'Functions:',
    ...FUNCTIONS.map((f) => line(f.usage, f.detail)),
    'In the guest registers can be named: rax … r15, rip, rflags.ZF, cr0, cr3, efer, cs.base, xmm0.u64_0.',
    'The arguments of the operations in the stack can be named too. Fields follow a dot: gctx.state, rmp(0x800000).asid.',
    'Operators: || && == != < <= > >= | ^ & << >> + - * / % ! ~ ( ) [ ]. Numbers: 10, 0x1000, 4KiB. Texts: "LAUNCH".',
    'The same expressions serve in watches, hovers, conditions of breakpoints and log messages in braces.',
  ].join('\n');
}
