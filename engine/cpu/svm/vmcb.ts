import type { Spa } from '../../address.js';
import type { Fault } from '../../fault.js';
import type { NestedPageTable } from './nested-page-table.js';

/**
 * The VMCB of a guest with encrypted state: what the host sets before VMRUN and reads after #VMEXIT. Intercepts are
 * those of KVM for SEV-ES guests (see intercepts.ts). AMD APM volume 2, appendix B; Linux arch/x86/include/asm/svm.h.
 */
export interface Vmcb {
  /** 0x058. */
  asid: number;
  /** 0x108, system physical; undefined is INVALID_PAGE. */
  vmsa: Spa | undefined;
  /** 0x0B0, nCR3. */
  readonly nestedPageTable: NestedPageTable;
  /** 0x0A0, the GHCB MSR C001_0130: loaded at VMRUN, saved at #VMEXIT. */
  ghcb: bigint;
  /** 0x0A8: 7:0 vector, 10:8 type, 11 error code valid, 31 valid, 63:32 error code. Cleared by VMRUN. */
  eventInj: bigint;
  /** 0x068, written at #VMEXIT: bit 0 interrupt shadow, bit 1 RFLAGS.IF of the guest (GUEST_INTERRUPT_MASK). */
  intState: bigint;
  /** Written at #VMEXIT; see engine/spec/exit-code.ts. Unsigned 64 bits. */
  exitCode: bigint;
  exitInfo1: bigint;
  exitInfo2: bigint;
  /** The exception or injected event whose delivery the exit has cut off, in the format of EVENTINJ. */
  exitIntInfo: bigint;
  /** Not architectural: why the exit happened, for an RMP fault or a VMRUN that failed. */
  exitFault?: Fault;
  /** Set instead of an exit where the emulated processor cannot go on: an instruction or mechanism that is missing. */
  emulatorFault?: Fault;
}

export function createVmcb(nestedPageTable: NestedPageTable): Vmcb {
  return {
    asid: 0,
    vmsa: undefined,
    nestedPageTable,
    ghcb: 0n,
    eventInj: 0n,
    intState: 0n,
    exitCode: 0n,
    exitInfo1: 0n,
    exitInfo2: 0n,
    exitIntInfo: 0n,
  };
}

/** Exit codes that the engine names. Linux arch/x86/include/uapi/asm/svm.h SVM_EXIT_*. */
export const EXIT = {
  INTR: 0x60n,
  VINTR: 0x64n,
  PAUSE: 0x77n,
  HLT: 0x78n,
  SHUTDOWN: 0x7fn,
  EFER_WRITE_TRAP: 0x8fn,
  CR0_WRITE_TRAP: 0x90n,
  CR4_WRITE_TRAP: 0x94n,
  CR8_WRITE_TRAP: 0x98n,
  NPF: 0x400n,
  VMGEXIT: 0x403n,
  /** VMRUN failed. */
  INVALID: 0xffff_ffff_ffff_ffffn,
  BUSY: 0xffff_ffff_ffff_fffen,
} as const;
