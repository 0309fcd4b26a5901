/**
 * SVM exit codes. AMD APM vol. 2, appendix C and 15.35.4 to 15.35.5 (which exits are automatic in a guest with
 * encrypted state); Linux arch/x86/include/uapi/asm/svm.h, SVM_EXIT_* and SVM_VMGEXIT_*.
 */
export type ExitClass =
  /** Saves the state to the VMSA and goes to the host. */
  | 'automatic'
  /** The guest gets #VC with this error code and decides what the host may see. */
  | 'non-automatic'
  /** VMRUN itself failed. */
  | 'failure'
  /** Not an exit of the processor: an event that a guest puts into its GHCB. */
  | 'ghcb';

export interface ExitCode {
  /** Unsigned, 64 bits. */
  readonly value: bigint;
  readonly name: string;
  readonly class: ExitClass;
  readonly meaning: string;
}

const RANGES: readonly [first: number, last: number, name: (n: number) => string, meaning: (n: number) => string][] = [
  [0x000, 0x00f, (n) => `READ_CR${n}`, (n) => `read of CR${n}`],
  [0x010, 0x01f, (n) => `WRITE_CR${n}`, (n) => `write of CR${n}`],
  [0x020, 0x02f, (n) => `READ_DR${n}`, (n) => `read of DR${n}`],
  [0x030, 0x03f, (n) => `WRITE_DR${n}`, (n) => `write of DR${n}`],
  [0x040, 0x05f, (n) => `EXCP_BASE + ${n}`, (n) => `exception with vector ${n}${VECTORS[n] ? ` (${VECTORS[n]})` : ''}`],
  [0x090, 0x09f, (n) => `CR${n}_WRITE_TRAP`, (n) => `CR${n} was written; EXITINFO1 has the new value`],
];

const VECTORS: Readonly<Record<number, string>> = {
  0: '#DE',
  1: '#DB',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  8: '#DF',
  10: '#TS',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  18: '#MC',
  19: '#XF',
  21: '#CP',
  28: '#HV',
  29: '#VC',
  30: '#SX',
};

const CODES = new Map<number, readonly [name: string, meaning: string]>([
  [0x05d, ['EXCP_BASE + 29', '#VC, reflected to VMPL0: only with SEV_FEATURES.ReflectVC']],
  [0x060, ['INTR', 'physical interrupt']],
  [0x061, ['NMI', 'non-maskable interrupt']],
  [0x062, ['SMI', 'system management interrupt']],
  [0x063, ['INIT', 'INIT signal']],
  [0x064, ['VINTR', 'virtual interrupt window']],
  [0x065, ['CR0_SEL_WRITE', 'write of CR0 bits other than TS and MP']],
  [0x066, ['IDTR_READ', 'SIDT']],
  [0x067, ['GDTR_READ', 'SGDT']],
  [0x068, ['LDTR_READ', 'SLDT']],
  [0x069, ['TR_READ', 'STR']],
  [0x06a, ['IDTR_WRITE', 'LIDT']],
  [0x06b, ['GDTR_WRITE', 'LGDT']],
  [0x06c, ['LDTR_WRITE', 'LLDT']],
  [0x06d, ['TR_WRITE', 'LTR']],
  [0x06e, ['RDTSC', 'RDTSC']],
  [0x06f, ['RDPMC', 'RDPMC']],
  [0x070, ['PUSHF', 'PUSHF']],
  [0x071, ['POPF', 'POPF']],
  [0x072, ['CPUID', 'CPUID; always non-automatic in an SNP guest, which answers from its CPUID page']],
  [0x073, ['RSM', 'RSM']],
  [0x074, ['IRET', 'IRET']],
  [0x075, ['SWINT', 'INT n']],
  [0x076, ['INVD', 'INVD']],
  [0x077, ['PAUSE', 'PAUSE']],
  [0x078, ['HLT', 'HLT']],
  [0x079, ['INVLPG', 'INVLPG']],
  [0x07a, ['INVLPGA', 'INVLPGA']],
  [
    0x07b,
    ['IOIO', 'IN, OUT, INS or OUTS; EXITINFO1: bit 0 IN, 2 string, 3 REP, 6:4 size, 9:7 address size, 31:16 port'],
  ],
  [0x07c, ['MSR', 'RDMSR (EXITINFO1 0) or WRMSR (1)']],
  [0x07d, ['TASK_SWITCH', 'task switch']],
  [0x07e, ['FERR_FREEZE', 'legacy x87 error']],
  [0x07f, ['SHUTDOWN', 'triple fault: the guest could not deliver an exception']],
  [0x080, ['VMRUN', 'VMRUN']],
  [0x081, ['VMMCALL', 'hypercall']],
  [0x082, ['VMLOAD', 'VMLOAD']],
  [0x083, ['VMSAVE', 'VMSAVE']],
  [0x084, ['STGI', 'STGI']],
  [0x085, ['CLGI', 'CLGI']],
  [0x086, ['SKINIT', 'SKINIT']],
  [0x087, ['RDTSCP', 'RDTSCP']],
  [0x088, ['ICEBP', 'INT1']],
  [0x089, ['WBINVD', 'WBINVD or WBNOINVD']],
  [0x08a, ['MONITOR', 'MONITOR']],
  [0x08b, ['MWAIT', 'MWAIT']],
  [0x08c, ['MWAIT_COND', 'MWAIT with the monitor armed']],
  [0x08d, ['XSETBV', 'XSETBV']],
  [0x08e, ['RDPRU', 'RDPRU']],
  [0x08f, ['EFER_WRITE_TRAP', 'EFER was written; EXITINFO1 has the new value']],
  [0x0a0, ['INVLPGB', 'INVLPGB']],
  [0x0a1, ['INVLPGB_ILLEGAL', 'INVLPGB with an illegal operand']],
  [0x0a2, ['INVPCID', 'INVPCID']],
  [0x0a3, ['MCOMMIT', 'MCOMMIT']],
  [0x0a4, ['TLBSYNC', 'TLBSYNC']],
  [0x0a5, ['BUS_LOCK', 'bus lock threshold reached']],
  [0x0a6, ['IDLE_HLT', 'HLT without a pending interrupt']],
  [
    0x400,
    [
      'NPF',
      'nested page fault: EXITINFO1 has the reason (see `explain npf`), EXITINFO2 the guest physical address; with bit 3, RSV, it is non-automatic (MMIO)',
    ],
  ],
  [0x401, ['AVIC_INCOMPLETE_IPI', 'AVIC: an IPI could not be delivered to all targets']],
  [0x402, ['AVIC_UNACCELERATED_ACCESS', 'AVIC: access to an APIC register that the hardware does not emulate']],
  [0x403, ['VMGEXIT', 'VMGEXIT: the guest asks the host through its GHCB or the GHCB MSR']],
  [
    0x404,
    [
      'PAGE_NOT_VALIDATED',
      '#VC error code: the guest used a private page that it has not validated with PVALIDATE; CR2 has the address',
    ],
  ],
  [0x406, ['NOT_RESTARTABLE', '#VC error code: Secure AVIC used an unvalidated backing page']],
]);

/** Exits that go to the host directly; all others become #VC in the guest. */
const AUTOMATIC = new Set([0x52, 0x5d, 0x60, 0x61, 0x62, 0x63, 0x64, 0x77, 0x78, 0x7f, 0x8f, 0xa5, 0xa6, 0x400, 0x403]);

const GHCB_EVENTS = new Map<number, readonly [name: string, meaning: string]>([
  [0x0001, ['MMIO_READ', 'MMIO read: EXITINFO1 GPA, EXITINFO2 length']],
  [0x0002, ['MMIO_WRITE', 'MMIO write: EXITINFO1 GPA, EXITINFO2 length']],
  [0x0003, ['NMI_COMPLETE', 'the guest finished handling an NMI']],
  [0x0004, ['AP_HLT_LOOP', 'AP reset hold: wait for INIT and SIPI']],
  [0x0005, ['AP_JUMP_TABLE', 'set (EXITINFO1 0) or get (1) the AP jump table']],
  [0x0010, ['PSC', 'page state change: SW_SCRATCH points to the list']],
  [0x0011, ['GUEST_REQUEST', 'message to the SNP firmware: EXITINFO1 request page, EXITINFO2 response page']],
  [
    0x0012,
    ['EXT_GUEST_REQUEST', 'report request together with the host certificates: RAX data pages, RBX their number'],
  ],
  [0x0013, ['AP_CREATION', 'create (0 on INIT, 1 now) or destroy (2) a vCPU: EXITINFO1, EXITINFO2 VMSA GPA']],
  [0x0014, ['HV_DOORBELL_PAGE', 'location of the #HV doorbell page']],
  [0x0015, ['HV_IPI', 'IPI under restricted injection']],
  [0x0016, ['HV_TIMER', 'timer under restricted injection']],
  [0x0017, ['APIC_ID_LIST', 'list of APIC IDs']],
  [0x0018, ['SNP_RUN_VMPL', 'run another VMPL: EXITINFO1']],
  [0x001a, ['SAVIC', 'register the Secure AVIC backing page']],
  [0xfffd, ['HV_FEATURES', 'ask for the hypervisor features']],
  [0xfffe, ['TERM_REQUEST', 'the guest ends itself: EXITINFO1 bits 3:0 reason set, 11:4 reason']],
  [0xffff, ['UNSUPPORTED_EVENT', 'the #VC handler does not know the event: EXITINFO1 has its code']],
]);

const FAILURES: readonly (readonly [name: string, meaning: string])[] = [
  ['INVALID', 'VMRUN refused the guest state: the VMCB or the VMSA is not consistent, or the VMSA page not usable'],
  ['BUSY', 'VMRUN found VINTR_CTRL.BUSY set in the VMSA'],
  ['IDLE_REQUIRED', 'VMRUN found that the sibling thread was not idle'],
  ['INVALID_PMC', 'VMRUN found invalid performance counter state'],
];

/** `value` may be negative, as KVM prints VMRUN failures. Undefined for a code that nothing defines. */
export function decodeExitCode(value: bigint): ExitCode | undefined {
  const unsigned = BigInt.asUintN(64, value);
  // KVM keeps 32 bits of the code in places, so that -1 shows as 0xffffffff.
  const negative =
    unsigned >= 0xffff_ffff_0000_0000n
      ? BigInt.asIntN(64, unsigned)
      : unsigned >= 0xffff_fff0n && unsigned <= 0xffff_ffffn
        ? BigInt.asIntN(32, unsigned)
        : 0n;
  if (negative < 0n) {
    const failure = FAILURES[Number(-negative) - 1];
    return failure && { value: unsigned, name: failure[0], class: 'failure', meaning: failure[1] };
  }
  if (unsigned >= 0x8000_0000n && unsigned <= 0x8000_ffffn) {
    const event = GHCB_EVENTS.get(Number(unsigned - 0x8000_0000n));
    return event && { value: unsigned, name: event[0], class: 'ghcb', meaning: event[1] };
  }
  if (unsigned > 0xffffn) return undefined;
  const code = Number(unsigned);
  const found = CODES.get(code) ?? inRange(code);
  if (!found) return undefined;
  const automatic = AUTOMATIC.has(code) || (code >= 0x90 && code <= 0x9f);
  return { value: unsigned, name: found[0], class: automatic ? 'automatic' : 'non-automatic', meaning: found[1] };
}

function inRange(code: number): readonly [string, string] | undefined {
  for (const [first, last, name, meaning] of RANGES) {
    if (code >= first && code <= last) return [name(code - first), meaning(code - first)];
  }
  return undefined;
}
