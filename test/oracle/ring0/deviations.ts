import { PLACE, STATUS } from './layout.js';
import type { Difference, Result } from './results.js';
import type { Ring0Case } from './ring0-case.js';

/** Where QEMU and the processor that we emulate are known to differ. */
export interface Deviation {
  readonly name: string;
  readonly why: string;
  /** Does it explain this difference? */
  excuses(d: Difference, c: Ring0Case, ours: Result, theirs: Result): boolean;
}

const RF = 0x1_0000n;
/** Of a dword, and of one that is aligned to words only. */
const RF_AT = [RF, 1n];
const ACCESSED = 0x20n;
const RSVD = 8n;
/** Bytes of a repeated instruction, in a dword that begins with RIP and in one that ends with it. */
const STRING_LENGTHS = [2n, 0x2_0000n];

const PF = 14;

export const DEVIATIONS: readonly Deviation[] = [
  {
    name: 'error code of #PF',
    why: 'A read-modify-write instruction faults as a write (the native oracle agrees); TCG reads first, so that the error code lacks W. With RSVD it lacks P.',
    excuses: ({ what, ours, theirs }, _, a, b) =>
      what === 'memory' &&
      a.vector === PF &&
      b.vector === PF &&
      ours !== undefined &&
      ours < 0x20n &&
      (ours === ((theirs ?? 0n) | 2n) || ((ours & RSVD) !== 0n && (ours & ~3n) === ((theirs ?? 0n) & ~3n))),
  },
  {
    name: 'QEMU aborts',
    why: 'An assertion of QEMU 7.2 fails in accel/tcg/translator.c.',
    excuses: ({ what, theirs }) => what === 'status' && theirs === BigInt(STATUS.crash),
  },
  {
    name: 'resume flag of faults',
    why: 'A fault pushes RFLAGS with RF set (APM volume 2, section 8.9.5, "Returning From Interrupt Procedures", and 13.1.2); TCG pushes RF as it was: target/i386/tcg/seg_helper.c do_interrupt64().',
    excuses: ({ what, ours, theirs }) =>
      what === 'memory' && ours !== undefined && theirs !== undefined && RF_AT.includes(ours ^ theirs),
  },
  {
    name: 'LAR and LSL',
    why: 'LAR gives bits 19:16 as they are (APM volume 3, LAR: mask 00FF_FF00h), TCG clears them; TCG also accepts 16-bit and task-gate descriptors in long mode (APM volume 3, tables of valid descriptor types).',
    excuses: (_, c, ours, theirs) => {
      if (!c.name.startsWith('LAR')) return false;
      const [a, b] = [ours.values['rcx'] ?? 0n, theirs.values['rcx'] ?? 0n];
      const ZF = 0x40n;
      const refused =
        c.kind === 'long' && ((ours.values['flags'] ?? 0n) & ZF) === 0n && ((theirs.values['flags'] ?? 0n) & ZF) !== 0n;
      return (a & ~0xf_0000n) === (b & ~0xf_0000n) || refused;
    },
  },
  {
    name: 'accessed bit of code and stack segments',
    why: 'Every load of a segment register sets the accessed bit (APM volume 2, section 4.7.1), and also if a far transfer then fails for its stack or offset; TCG sets it only in MOV, POP and their like: target/i386/tcg/seg_helper.c helper_ljmp_protected(), helper_ret_protected().',
    excuses: ({ what, at, ours }) =>
      what === 'memory' && at < PLACE.tss && (at & 4) !== 0 && ours !== undefined && (ours & 0x100n) !== 0n,
  },
  {
    name: 'status flags after SYSCALL',
    why: 'SYSCALL clears the flags of SFMASK only; TCG loses all status flags: target/i386/tcg/seg_helper.c helper_syscall().',
    excuses: ({ what, ours, theirs }, c) =>
      c.name.startsWith('system call') &&
      (what === 'flags' || what === 'memory' || what === 'r11') &&
      ours !== undefined &&
      theirs !== undefined &&
      ((ours ^ theirs) & ~0x8d5n) === 0n &&
      (theirs & 0x8d5n) === 0n,
  },
  {
    name: 'x87 stack after an unmasked error',
    why: 'An instruction with an unmasked error leaves its operands and the stack alone (APM volume 1, section 6.8.1); TCG pops.',
    excuses: ({ what, ours, theirs }, c) =>
      what === 'fsw' &&
      ours !== undefined &&
      theirs !== undefined &&
      c.name.startsWith('units') &&
      ((ours ^ theirs) & ~0x7f00n) === 0n,
  },
  {
    name: 'trap in the last iteration',
    why: 'After the last iteration a repeated instruction is done, and the trap is reported behind it; TCG reports it at the instruction, with a count of zero.',
    excuses: ({ what, ours, theirs }, c, a, b) =>
      what === 'memory' &&
      c.name.startsWith('debug') &&
      a.vector === 1 &&
      b.vector === 1 &&
      a.values['rcx'] === b.values['rcx'] &&
      ours !== undefined &&
      theirs !== undefined &&
      STRING_LENGTHS.includes(ours - theirs),
  },
  {
    name: 'undefined flags',
    why: 'The manual leaves them undefined; the table of encodings says which.',
    excuses: ({ what, ours, theirs }, c) => {
      const mask = BigInt(c.undefinedFlags ?? 0);
      if (mask === 0n || (what !== 'flags' && what !== 'memory') || ours === undefined || theirs === undefined)
        return false;
      const differ = ours ^ theirs;
      return (differ & ~mask) === 0n || (differ & ~(mask << 16n)) === 0n;
    },
  },
  {
    name: 'several matches at once',
    why: 'DR6 has a bit for each breakpoint that matches (APM volume 2, section 13.1.1.3); TCG tells one of them, and one of the next instruction.',
    excuses: ({ what, ours, theirs }) =>
      what === 'dr6' &&
      ours !== undefined &&
      theirs !== undefined &&
      ((ours ^ theirs) & ~0xfn) === 0n &&
      (ours & theirs & 0xfn) !== 0n,
  },
  {
    name: 'accessed bits before a fault',
    why: 'TCG sets A in each entry as it walks, this engine when the translation succeeds, as KVM does (arch/x86/kvm/mmu/paging_tmpl.h walk_addr_generic()); the manual allows both. CMPS reads its operands in another order there.',
    excuses: ({ what, at, ours, theirs }) =>
      what === 'memory' &&
      at >= PLACE.root &&
      at < PLACE.guard &&
      (((theirs ?? ACCESSED) & (ours ?? ACCESSED) & ACCESSED) !== 0n ||
        (ours !== undefined && theirs !== undefined && (ours ^ theirs) === ACCESSED)),
  },
  {
    name: 'upper half of ESP on a 16-bit stack',
    why: 'ESP is loaded from the task state segment as a whole, and only SP counts after it; TCG keeps the upper half of the old ESP.',
    excuses: ({ what, ours, theirs }, c) =>
      (what === 'rsp' || what === 'memory') &&
      c.kind === 'legacy' &&
      ours !== undefined &&
      theirs !== undefined &&
      (ours & 0xffffn) === (theirs & 0xffffn) &&
      ours >= 0xa000n,
  },
  {
    name: 'code segment limit of a far transfer',
    why: 'An offset beyond the limit is #GP(0) (APM volume 3, JMP and CALL far); TCG gives the selector as error code.',
    excuses: ({ what, ours, theirs }, _, a, b) =>
      what === 'memory' &&
      a.vector === 13 &&
      b.vector === 13 &&
      ours === undefined &&
      theirs !== undefined &&
      theirs < 0x1_0000n,
  },
  {
    name: 'error code of what cannot be delivered',
    why: 'The error code holds the vector in its index field, whatever the size of a gate (APM volume 2, section 8.4.1), and EXT; TCG has twice the vector in long mode and never EXT: target/i386/tcg/seg_helper.c do_interrupt64().',
    excuses: ({ what, ours, theirs }, c, a, b) => {
      if (what !== 'memory' || a.vector !== b.vector || ours === undefined || ours >= 0x1_0000n) return false;
      const plain = ours & ~1n;
      return (
        plain === (theirs ?? 0n) || (c.kind === 'long' && (plain & 6n) === 2n && (plain >> 3n) * 16n + 2n === theirs)
      );
    },
  },
  {
    name: 'SS after a switch to an interrupt stack',
    why: 'SS becomes null only if the privilege changes (APM volume 2, section 8.9.3); TCG also makes it null for an interrupt stack (IST) within one privilege.',
    excuses: ({ what, ours, theirs }, c) =>
      (what === 'ss' || what === 'memory') &&
      c.kind === 'long' &&
      ours === BigInt(c.ss) &&
      theirs !== undefined &&
      theirs < 4n,
  },
  {
    name: 'accessed bit of PAE pointers',
    why: 'An entry of the page-directory-pointer table of PAE paging has no accessed bit, bit 5 is reserved (APM volume 2, figure 5-17); TCG sets it: target/i386/tcg/sysemu/excp_helper.c mmu_translate().',
    excuses: ({ what, at, theirs }, c, ours) =>
      what === 'memory' &&
      at >= PLACE.root &&
      at < PLACE.root + 0x20 &&
      (c.cr4 & 0x20) !== 0 &&
      !ours.memory.has(at) &&
      theirs !== undefined &&
      (theirs & ACCESSED) !== 0n,
  },
];

export function excused(c: Ring0Case, ours: Result, theirs: Result, all: readonly Difference[]) {
  const by = new Set<Deviation>();
  const found = all.filter((difference) => {
    const deviation = DEVIATIONS.find((d) => d.excuses(difference, c, ours, theirs));
    if (deviation) by.add(deviation);
    return !deviation;
  });
  return { found, by };
}
