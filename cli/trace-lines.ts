import type { EngineEvent } from '../engine/timeline/event.js';

/** Frames that stand around every exit of a guest and say nothing that the exit does not. */
const SURROUNDINGS: ReadonlySet<string> = new Set(['kvm_cpu_exec', 'KVM_RUN', 'sev_handle_vmgexit']);

/**
 * Which events `--trace` prints. During the launch all of them; while the guest runs, where there are thousands of
 * exits, neither the frames around each exit nor returns that succeeded. `--json` has everything.
 */
export function createTraceFilter(): (event: EngineEvent) => boolean {
  let running = false;
  return (event) => {
    if (event.kind === 'enter' && event.frame.layer === 'launch') running = event.frame.name === 'guest';
    if (!running) return true;
    switch (event.kind) {
      case 'enter':
        return event.frame.layer !== 'guest' && !SURROUNDINGS.has(event.frame.name);
      case 'leave':
        return event.fault !== undefined || event.frame.layer === 'firmware' || event.frame.layer === 'launch';
      default:
        return true;
    }
  };
}
