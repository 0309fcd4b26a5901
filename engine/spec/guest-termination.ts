import { terminationReason } from './ghcb-msr.js';

/** Reason set of the sample guests (samples/guests/lib/end.h). Sets 0 and 1 are in ghcb-msr.ts. */
export const SAMPLE_REASON_SET = 0xf;

const SAMPLE_REASONS: readonly string[] = [
  'the sample guest finished',
  'its #VC handler met an exit that it does not know',
  'it used a private page that was never validated (#VC 0x404)',
  'it met an exception of the processor that it does not handle',
  'SEV_STATUS has a feature that the sample guests do not support',
  'CPUID names no usable C-bit, or memory does not keep its content through it',
  'the host does not speak version 2 of the GHCB protocol',
  'the host lacks a feature that the guest needs: SNP or AP creation',
  'the host answered a request of the GHCB MSR protocol with another code',
  'the host refused the GHCB page',
  'an exit needed the GHCB page, and there was none yet',
  'the host does not see what the guest writes into the GHCB: the page is not shared',
  'the host refused a request (SW_EXITINFO1 2)',
  'the host asked the guest to raise an exception (SW_EXITINFO1 1)',
  'a page state change failed',
  'PVALIDATE returned an error',
  'PVALIDATE returned FAIL_SIZEMISMATCH, and nobody handles it',
  'PVALIDATE set CF: the page was in the requested state before',
  'RMPADJUST failed: the guest does not run at VMPL 0',
  'the guest request for a report failed',
  'the answer to the guest request is not authentic, or not what was asked for',
  'the second vCPU could not be started, or is silent',
  'a step of the guest failed; its lines on the console say which',
];

export interface Termination {
  readonly set: number;
  readonly code: number;
  readonly meaning: string;
  /** The guest ended because it had done its work. */
  readonly orderly: boolean;
}

/** A termination request, from the value of the GHCB MSR: bits 15:12 reason set, 23:16 reason. */
export function decodeTermination(ghcb: bigint): Termination {
  const set = Number((ghcb >> 12n) & 0xfn);
  const code = Number((ghcb >> 16n) & 0xffn);
  const known = set === SAMPLE_REASON_SET ? SAMPLE_REASONS[code] : terminationReason(ghcb);
  return { set, code, meaning: known ?? 'no public meaning', orderly: set === SAMPLE_REASON_SET && code === 0 };
}
