import type { Fault } from '../../engine/fault.js';
import type { LaunchRun } from '../../engine/timeline/run.js';
import type { Environment } from '../evaluate/names.js';
import type { Trouble } from '../guest/stops.js';
import { isInGuest } from '../guest/track.js';
import type { LaunchTarget } from '../launch-target.js';
import { vcpuOfFrame } from '../stack.js';
import { faultView } from '../variables/fault.js';
import type { Execution } from './execution.js';
import type { Outlook, RefusalWatch } from './outlook.js';
import type { Track } from './track.js';

/** One run of a launch with everything that is remembered about it. */
export interface Current {
  readonly target: LaunchTarget;
  readonly run: LaunchRun;
  readonly execution: Execution;
  readonly track: Track;
  readonly refusals: RefusalWatch;
  /** Known after the first refusal. */
  outlook?: Outlook;
  cancelLookAhead?: () => void;
  /** The fault on which the launch stands. */
  fault?: Fault;
  /** The exception or exit of the guest on which it stands, which need not have a fault. */
  trouble?: Trouble;
  /** The fault that ends the launch has been shown. */
  fatalShown: boolean;
  /** The run is over, and its end has been told. */
  ended?: boolean;
  /** LAUNCH_FINISH is through and its digest is told; the fault if it is not the expected one. */
  finished?: { readonly fault?: Fault };
}

/** What expressions see, from the frame with this id or from the innermost one. */
export function environmentIn({ run, target, track, fault }: Current, frameId?: number): Environment {
  const { machine } = run;
  const frames = machine.stack.frames.filter((frame) => frame.layer !== 'guest');
  const chosen = frameId === undefined ? undefined : vcpuOfFrame(frameId);
  const isGuestCode = chosen !== undefined || (frameId === undefined && isInGuest(machine, track.last));
  const frame = isGuestCode ? undefined : (frames.find((f) => f.id === frameId) ?? frames.at(-1));
  return {
    machine,
    plan: target.plan,
    track,
    position: run.position,
    frame,
    ...(track.guest.started ? { vcpu: chosen ?? track.guest.vcpu } : {}),
    fault: fault && faultView(fault),
  };
}
