import { decodeEvent, isValidEvent } from '../../cpu/svm/event.js';
import type { Vmcb } from '../../cpu/svm/vmcb.js';

const VC = 29;

/**
 * svm_complete_interrupts(): an event whose delivery an exit has cut off is injected again, but never #VC, which comes
 * by itself when the guest executes the instruction again. Linux arch/x86/kvm/svm/svm.c.
 */
export function svmCompleteInterrupts(vmcb: Vmcb): void {
  const { exitIntInfo } = vmcb;
  if (!isValidEvent(exitIntInfo)) return;
  const { vector, exception } = decodeEvent(exitIntInfo);
  if (!exception || vector !== VC) vmcb.eventInj = exitIntInfo;
}
