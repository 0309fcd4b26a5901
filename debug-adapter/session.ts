import { toHex } from '../engine/bytes.js';
import type { Fault } from '../engine/fault.js';
import { unexpectedDigest } from '../engine/launch/expected-digest.js';
import type { EngineEvent } from '../engine/timeline/event.js';
import { eventText } from '../engine/timeline/format.js';
import type { LaunchOutcome, LaunchRun } from '../engine/timeline/run.js';
import type { StopPredicate } from '../engine/timeline/step.js';
import { launch } from '../engine/vmm/launch.js';
import { nativeCrypto } from '../platform/native-crypto.js';
import { bindLines, createBreakpointStore, hitsOf, rearm } from './breakpoints/store.js';
import { userErrors } from './errors.js';
import type { Environment } from './evaluate/names.js';
import { type LaunchTarget, loadTarget } from './launch-target.js';
import {
  completion,
  entryLine,
  failed,
  faultReport,
  faultTitle,
  headline,
  problemLine,
  problemSentence,
  realMessages,
} from './output.js';
import type { Places } from './places.js';
import type { SnpLaunchArguments } from './protocol.js';
import { type Decision, Execution } from './run/execution.js';
import { entryGoal, NO_GOAL, type Step, stepGoal } from './run/goals.js';
import { freshRefusal, lookAhead, type Outlook, type RefusalWatch } from './run/outlook.js';
import { beginStretch, createTrack, type Track, trackEvent } from './run/track.js';
import { faultView } from './variables/fault.js';
import { createHandles, dropHandles } from './variables/handles.js';
import { theContext } from './variables/machine-state.js';

export const THREAD_ID = 1;

export type StopReason = 'entry' | 'step' | 'breakpoint' | 'function breakpoint' | 'pause' | 'exception';
/** `stdout` is what happens, `stderr` what fails, `console` what the debugger has to say; VS Code colours them. */
export type OutputCategory = 'console' | 'stdout' | 'stderr';

/** What the session tells its client, before it is put into messages. Lines are those of places: from 0. */
export interface SessionListener {
  stopped(reason: StopReason, text: string | undefined, breakpoints: readonly number[]): void;
  output(category: OutputCategory, text: string, at?: { readonly path: string; readonly line: number }): void;
  breakpointsChanged(): void;
  ended(exitCode: number): void;
}

/** One run of a launch with everything that is remembered about it. */
interface Current {
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
  /** The fault that ends the launch has been shown. */
  fatalShown: boolean;
}

export type Phase = 'idle' | 'loaded' | 'running' | 'stopped' | 'ended';

/** A debug session: holds a launch, decides where it stops. Knows nothing of messages. */
export class Session {
  readonly breakpoints = createBreakpointStore();
  readonly handles = createHandles();
  /** Ids of the active exception filters. */
  filters: ReadonlySet<string> = new Set(['fault']);
  phase: Phase = 'idle';
  private configured = false;
  private pausing = false;
  /** Steps asked for while another one ran: done right after it, without a stop in between. */
  private readonly pressed: Step[] = [];
  private goal: StopPredicate = NO_GOAL;
  private goalReason: StopReason = 'step';
  private args: SnpLaunchArguments | undefined;
  private state: Current | undefined;

  constructor(private readonly listener: SessionListener) {}

  /** The loaded launch. Throws a UserError if there is none. */
  get current(): Current {
    if (!this.state) throw userErrors.notLaunched();
    return this.state;
  }

  get target(): LaunchTarget | undefined {
    return this.state?.target;
  }

  warn(text: string): void {
    this.listener.output('console', `${text}\n`);
  }

  /** Reads the manifest. Throws a UserError, after having written all problems to the console. */
  load(args: SnpLaunchArguments): void {
    const loaded = loadTarget(args);
    if (!loaded.ok) {
      for (const fault of loaded.faults) this.problem(fault, loaded.places);
      const first = loaded.faults[0];
      const at = first?.at && loaded.places.of(first.at);
      const place = at && { path: at.path, line: at.line + 1 };
      throw userErrors.unresolvable(
        first ? problemSentence(first, loaded.places) : 'The manifest describes no launch.',
        Math.max(0, loaded.faults.length - 1),
        place,
        args.clientShowsProblems,
      );
    }
    this.cancel();
    this.args = args;
    this.state = this.create(loaded.target);
    this.phase = 'loaded';
    rearm(this.breakpoints, (text) => this.warn(text));
    bindLines(this.breakpoints, loaded.target);
    this.listener.breakpointsChanged();
  }

  /** Starts when the manifest is loaded and the client has sent its breakpoints, whichever comes last. */
  configure(): void {
    this.configured = true;
    this.startIfReady();
  }

  startIfReady(): void {
    if (!this.configured || this.phase !== 'loaded') return;
    const { target, run } = this.current;
    this.listener.output('stdout', headline(target.plan));
    for (const fault of target.faults) this.problem(fault, target.places);
    const stopOnEntry = this.args?.stopOnEntry === true && this.args.noDebug !== true;
    this.resume(stopOnEntry ? entryGoal(run) : NO_GOAL, 'entry');
  }

  /** Reads the manifest again and starts over. */
  restart(args: SnpLaunchArguments | undefined): void {
    const next = args ?? this.args;
    if (!next) throw userErrors.notLaunched();
    this.load(next);
    this.startIfReady();
  }

  /**
   * A key pressed again before the client has heard of the last stop is meant as one more step. While the launch
   * runs freely, or when it has ended meanwhile, there is nothing to step: an error would only be in the way.
   */
  step(step: Step): void {
    if (this.state && this.phase === 'ended') return;
    if (this.phase === 'running') {
      if (this.goal !== NO_GOAL) this.pressed.push(step);
      return;
    }
    this.resume(stepGoal(step, this.needStopped().run), 'step');
  }

  /** Of a launch that runs already: the step under way is not to stop any more. */
  continue(): void {
    if (this.state && this.phase === 'ended') return;
    if (this.phase === 'running') {
      this.pressed.length = 0;
      this.goal = NO_GOAL;
      return;
    }
    this.needStopped();
    this.resume(NO_GOAL, 'step');
  }

  /** Of a launch that stands already, or has ended meanwhile: nothing to do. */
  pause(): void {
    if (!this.state) throw userErrors.notLaunched();
    this.pressed.length = 0;
    this.pausing = this.phase === 'running';
  }

  /** Stops for good, without an exit code of the launch. */
  terminate(): void {
    this.cancel();
    if (this.phase !== 'idle') this.phase = 'ended';
  }

  /** The launch while it stands still. Throws a UserError if it does not. */
  needStopped(): Current {
    const current = this.current;
    if (this.phase === 'stopped') return current;
    throw this.phase === 'ended'
      ? userErrors.ended()
      : this.phase === 'running'
        ? userErrors.running()
        : userErrors.notLaunched();
  }

  /** What expressions see, from the frame with this id or from the innermost one. */
  environment(frameId?: number): Environment {
    const { run, target, track, fault } = this.current;
    const frames = run.machine.stack.frames;
    const frame = frames.find((f) => f.id === frameId) ?? frames[frames.length - 1];
    return {
      machine: run.machine,
      plan: target.plan,
      track,
      position: run.position,
      frame,
      fault: fault && faultView(fault),
    };
  }

  private create(target: LaunchTarget): Current {
    const run = launch(target.plan, { crypto: nativeCrypto });
    const execution = new Execution(run, {
      onEvent: (event) => this.onEvent(event),
      onEnd: (outcome) => this.onEnd(outcome),
      onCrash: (error) => this.onCrash(error),
    });
    return { target, run, execution, track: createTrack(), refusals: {}, fatalShown: false };
  }

  private resume(goal: StopPredicate, reason: StopReason): void {
    const current = this.current;
    dropHandles(this.handles);
    beginStretch(current.track, current.run.machine);
    current.fault = undefined;
    this.goal = goal;
    this.goalReason = reason;
    this.pausing = false;
    this.pressed.length = 0;
    this.phase = 'running';
    current.execution.resume();
  }

  private cancel(): void {
    this.state?.execution.cancel();
    this.state?.cancelLookAhead?.();
    dropHandles(this.handles);
  }

  private onEvent(event: EngineEvent): Decision {
    const { run, track, target, refusals } = this.current;
    trackEvent(track, event, run.machine, target.plan);
    this.narrate(event);
    if (this.args?.noDebug) return 'go';
    const refusal = freshRefusal(refusals, event);
    if (refusal && this.mayStopAt()) {
      return this.investigate(event, refusal);
    }
    return this.ordinaryStop(event);
  }

  private mayStopAt(): boolean {
    return !this.current.fatalShown && (this.filters.has('fault') || this.filters.has('refusal'));
  }

  /** Breakpoints first: their hits and log messages count even where a step ends. */
  private ordinaryStop(event: EngineEvent): Decision {
    if (event.kind === 'enter') {
      const hit = hitsOf(this.breakpoints, event.frame, () => this.environment());
      for (const text of hit?.logs ?? []) this.listener.output('stdout', `${text}\n`);
      if (hit && hit.ids.length > 0) {
        this.stop(hit.kind === 'line' ? 'breakpoint' : 'function breakpoint', undefined, hit.ids);
        return 'stop';
      }
    }
    if (this.pausing && event.kind !== 'log') {
      this.stop('pause');
      return 'stop';
    }
    if (!this.goal(event)) return 'go';
    const next = this.pressed.shift();
    if (next) {
      this.goal = stepGoal(next, this.current.run);
      return 'go';
    }
    this.stop(this.goalReason);
    return 'stop';
  }

  private investigate(event: EngineEvent, refusal: Fault): Decision {
    const current = this.current;
    if (current.outlook) return this.judge(event, refusal, current.outlook);
    const again = launch(current.target.plan, { crypto: nativeCrypto });
    current.cancelLookAhead = lookAhead(
      again,
      (outlook) => {
        current.outlook = outlook;
        if (this.judge(event, refusal, outlook) === 'go') current.execution.resume();
      },
      (error) => this.onCrash(error),
    );
    return 'stop';
  }

  /** Stops at a refusal that ends the launch; one that its caller copes with is passed, unless all are wanted. */
  private judge(event: EngineEvent, refusal: Fault, outlook: Outlook): Decision {
    const current = this.current;
    if (outlook.fatal && outlook.position === current.run.position) {
      this.showFatal(outlook.fatal, outlook.messages);
      return 'stop';
    }
    if (this.filters.has('refusal')) {
      current.fault = refusal;
      this.listener.output(
        'console',
        `Refused, and its caller goes on: ${faultReport(refusal, current.target.places)}`,
      );
      this.stop('exception', faultTitle(refusal));
      return 'stop';
    }
    return this.ordinaryStop(event);
  }

  private showFatal(fault: Fault, messages: readonly string[]): void {
    const current = this.current;
    current.fault = fault;
    this.report(fault);
    if (messages.length > 0) this.listener.output('stderr', realMessages(messages));
    this.listener.output(
      'console',
      'Type fault below for all operands of the check, help for what else can be asked.\n',
    );
    this.stop('exception', faultTitle(fault));
  }

  private problem(fault: Fault, places: Places): void {
    const category = fault.severity === 'error' ? 'stderr' : 'console';
    this.listener.output(category, problemLine(fault, places), fault.at && places.of(fault.at));
  }

  private report(fault: Fault): void {
    const { target } = this.current;
    this.current.fatalShown = true;
    const at = fault.at && target.places.of(fault.at);
    this.listener.output('stderr', faultReport(fault, target.places), at);
  }

  private stop(reason: StopReason, text?: string, breakpoints: readonly number[] = []): void {
    this.phase = 'stopped';
    this.listener.stopped(reason, text, breakpoints);
  }

  private narrate(event: EngineEvent): void {
    const { target } = this.current;
    if (event.kind === 'log' && !this.foretold(event)) this.listener.output('stdout', `${eventText(event)}\n`);
    if (event.kind !== 'enter' || event.frame.entry === undefined || event.frame.layer !== 'launch') return;
    const entry = target.plan.entries[event.frame.entry];
    if (!entry) return;
    const text = entryLine(entry, event.frame.entry, target.plan.entries.length);
    this.listener.output('stdout', text, target.places.of(entry.at));
  }

  /** What the VMM says after the fault has been shown with the fault. */
  private foretold(event: EngineEvent & { readonly kind: 'log' }): boolean {
    const { fatalShown, outlook } = this.current;
    return fatalShown && event.source === 'vmm' && outlook?.messages.includes(event.text) === true;
  }

  private onEnd(outcome: LaunchOutcome): void {
    const { run, target, fatalShown } = this.current;
    const pages = theContext(run.machine)?.measured.length ?? 0;
    const { digest: expected, at } = target.plan.expect;
    const unexpected = expected && outcome.digest && unexpectedDigest(target.plan, expected, outcome.digest, pages, at);
    const fault = outcome.fault ?? unexpected;
    // The end is reached once more when a person goes on from a fault that was found there.
    if (outcome.digest && !fatalShown) {
      for (const piece of completion(toHex(outcome.digest), target.plan, fault)) this.listener.output('stdout', piece);
    }
    if (fault && !fatalShown) {
      this.report(fault);
      if (!this.args?.noDebug && this.filters.has('fault')) {
        this.current.fault = fault;
        this.stop('exception', faultTitle(fault));
        return;
      }
    }
    if (fault) this.listener.output('stderr', failed(fault, target.places));
    this.finish(fault ? 1 : 0);
  }

  private onCrash(error: unknown): void {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.listener.output('stderr', `${userErrors.internal(detail).message}\n`);
    this.finish(2);
  }

  private finish(exitCode: number): void {
    this.phase = 'ended';
    this.listener.ended(exitCode);
  }
}
