import type { Fault } from '../../fault.js';
import type { Op } from '../../timeline/event.js';
import type { IoctlResult } from '../result.js';

/** `struct kvm_run` after KVM_RUN: why userspace is asked. Linux include/uapi/linux/kvm.h. */
export type KvmExit =
  | {
      readonly reason: 'KVM_EXIT_IO';
      readonly direction: 'in' | 'out';
      /** Bytes of an element: 1, 2 or 4. */
      readonly size: number;
      readonly port: number;
      /** Elements; more than 1 for string instructions. */
      readonly count: number;
      /** `size * count` bytes; userspace fills them for `in`. */
      readonly data: Uint8Array;
    }
  | {
      readonly reason: 'KVM_EXIT_MMIO';
      readonly gpa: number;
      readonly length: number;
      readonly isWrite: boolean;
      /** `length` bytes; userspace fills them for a read. */
      readonly data: Uint8Array;
    }
  /** nr 12 is KVM_HC_MAP_GPA_RANGE: args gpa, pages, attributes (bit 4 encrypted, bits 3:0 page size). */
  | {
      readonly reason: 'KVM_EXIT_HYPERCALL';
      readonly nr: number;
      readonly args: readonly bigint[];
      ret: bigint;
      /** Not in the struct: the exit is a mistake of KVM. */
      readonly fault?: Fault;
    }
  /** KVM_RUN itself returns -EFAULT. flags: bit 3 PRIVATE. */
  | {
      readonly reason: 'KVM_EXIT_MEMORY_FAULT';
      readonly flags: number;
      readonly gpa: number;
      readonly size: number;
      /** In words. */
      readonly fault?: Fault;
    }
  /** type 6 KVM_SYSTEM_EVENT_SEV_TERM: data[0] is the GHCB MSR. */
  | {
      readonly reason: 'KVM_EXIT_SYSTEM_EVENT';
      readonly type: number;
      readonly data: readonly bigint[];
      /** Not in the struct: what the guest gave as reason, if it asked for its end; a GHCB page hides it from data[0]. */
      readonly termination?: { readonly set: number; readonly code: number };
      /** Not in the struct: why KVM ended the guest by itself. */
      readonly fault?: Fault;
    }
  | { readonly reason: 'KVM_EXIT_SHUTDOWN'; readonly fault?: Fault }
  | { readonly reason: 'KVM_EXIT_FAIL_ENTRY'; readonly hardwareEntryFailureReason: bigint; readonly fault?: Fault }
  | { readonly reason: 'KVM_EXIT_INTERNAL_ERROR'; readonly suberror: number; readonly fault?: Fault }
  /** v15 only: KVM_USER_VMGEXIT_REQ_CERTS. */
  | {
      readonly reason: 'KVM_EXIT_VMGEXIT';
      readonly type: 1;
      readonly dataGpa: number;
      dataNpages: number;
      ret: number;
      flags: number;
      readonly status: number;
    }
  /** The quantum of the vCPU is over: the emulator's scheduler goes on with another one (a signal, on Linux). */
  | { readonly reason: 'KVM_EXIT_INTR' }
  /** No exit at all: the emulated processor lacks something that the guest needs. */
  | { readonly reason: 'emulator'; readonly fault: Fault }
  /** Not an exit on Linux, where the thread sleeps in kvm_vcpu_block(): nothing wakes this vCPU now. */
  | { readonly reason: 'blocked' };

/**
 * As in Linux: `ret` 1 goes on with the guest, 0 returns to userspace with `vcpu.run.exit`, negative is -errno of
 * KVM_RUN.
 */
export type ExitHandling = IoctlResult;
export const RESUME: ExitHandling = { ret: 1, fwError: 0 };
export const TO_USERSPACE: ExitHandling = { ret: 0, fwError: 0 };

/** The part of `struct kvm_vcpu` and `struct kvm_run` around an exit. */
export interface KvmRunState {
  exit?: KvmExit;
  /** vcpu->arch.complete_userspace_io: done first when KVM_RUN is entered again. */
  complete?: () => Op<ExitHandling>;
}
