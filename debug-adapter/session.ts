import { toHex } from '../engine/bytes.js';
import type { Fault } from '../engine/fault.js';
import { unexpectedDigest } from '../engine/launch/expected-digest.js';
import type { EngineEvent } from '../engine/timeline/event.js';
import type { LaunchOutcome } from '../engine/timeline/run.js';
import type { StopPredicate } from '../engine/timeline/step.js';
import { launch } from '../engine/vmm/launch.js';
import { nativeCrypto } from '../platform/native-crypto.js';
import { warmUpSignatures } from '../platform/warm-up.js';
import { bindLines, createBreakpointStore, rearm } from './breakpoints/store.js';
import { userErrors } from './errors.js';
import type { Environment } from './evaluate/names.js';
import { breakpointRips } from './guest/breakpoint-rips.js';
import { endingFault, endingText } from './guest/ending.js';
import { createPatience, impatience, waitFrom } from './guest/patience.js';
import { noteSlice, runFreely, steer } from './guest/steering.js';
import { hitsOfEvent, noteStop, troubleOf } from './guest/stops.js';
import { vcpuCount } from './guest/vcpu-image.js';
import { type LaunchTarget, loadTarget } from './launch-target.js';
import { isTracepoint, narrate, narrateRest, tellFault, tellProblem } from './narration.js';
import {
  completion,
  failed,
  faultReport,
  faultTitle,
  GUEST_FAILED,
  headline,
  problemSentence,
  realMessages,
} from './output.js';
import type { SnpLaunchArguments } from './protocol.js';
import { type Current, environmentIn } from './run/current.js';
import { type Decision, Execution } from './run/execution.js';
import { entryGoal, NO_GOAL, type Step, threadGoal } from './run/goals.js';
import { freshRefusal, lookAhead, type Outlook } from './run/outlook.js';
import { beginStretch, createTrack, trackEvent } from './run/track.js';
import type { SessionListener, StopReason } from './session-listener.js';
import { createHandles, dropHandles } from './variables/handles.js';
import { theContext } from './variables/machine-state.js';

export type Phase = 'idle' | 'loaded' | 'running' | 'stopped' | 'ended';

const HIT_REASON = {
  line: 'breakpoint',
  function: 'function breakpoint',
  instruction: 'instruction breakpoint',
} as const;

/** Milliseconds in which a client has asked all that it wants to know of a stop. */
const AFTER_STOP = 300;

/** A debug session: holds a launch, decides where it stops. Knows nothing of messages. */
export class Session {
  readonly breakpoints = createBreakpointStore();
  readonly handles = createHandles();
  /** Ids of the active exception filters with their conditions. */
  filters: ReadonlyMap<string, string> = new Map([['fault', '']]);
  phase: Phase = 'idle';
  private configured = false;
  private pausing = false;
  /** Steps asked for while another one ran: done right after it, without a stop in between. */
  private readonly pressed: { readonly step: Step; readonly vcpu: number }[] = [];
  private goal: StopPredicate = NO_GOAL;
  private goalReason: StopReason = 'step';
  private args: SnpLaunchArguments | undefined;
  private state: Current | undefined;
  private readonly patience = createPatience();
  private warming: NodeJS.Timeout | undefined;

  constructor(private readonly listener: SessionListener) {}

  /** The loaded launch. Throws a UserError if there is none. */
  get current(): Current {
    if (!this.state) throw userErrors.notLaunched();
    return this.state;
  }

  get target(): LaunchTarget | undefined {
    return this.state?.target;
  }

  /** The vCPU at work; 0 before the guest runs. */
  get currentVcpu(): number {
    return this.state?.track.guest.vcpu ?? 0;
  }

  /** One for the launch; a vCPU each from the first VMRUN on. */
  threadNames(): readonly string[] {
    const { state } = this;
    if (!state?.track.guest.started) return ['Launch'];
    return Array.from({ length: vcpuCount(state.run.machine) }, (_, index) => `vCPU ${index}`);
  }

  warn(text: string): void {
    this.listener.output('console', `${text}\n`);
  }

  /** Reads the manifest. Throws a UserError, after having written all problems to the console. */
  load(args: SnpLaunchArguments): void {
    const loaded = loadTarget(args);
    if (!loaded.ok) {
      for (const fault of loaded.faults) tellProblem(fault, loaded.places, this.listener.output);
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
    this.state = this.create(loaded.target, args.runGuest !== false);
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
    for (const fault of target.faults) tellProblem(fault, target.places, this.listener.output);
    const stopOnEntry = this.args?.stopOnEntry === true && this.args.noDebug !== true;
    this.resume(stopOnEntry ? entryGoal(run) : NO_GOAL, 'entry');
    if (this.args?.runGuest !== false)
      this.warming ??= setTimeout(warmUpSignatures, stopOnEntry ? AFTER_STOP : 0).unref();
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
  step(step: Step, vcpu: number): void {
    if (this.state && this.phase === 'ended') return;
    if (this.phase === 'running') {
      if (this.goal !== NO_GOAL) this.pressed.push({ step, vcpu });
      return;
    }
    const { run, track } = this.needStopped();
    this.resume(threadGoal(step, run, track.guest, vcpu), 'step');
  }

  /** Of a launch that runs already: the step under way is not to stop any more. */
  continue(): void {
    if (this.state && this.phase === 'ended') return;
    if (this.phase !== 'running') {
      this.needStopped();
      this.resume(NO_GOAL, 'step');
      return;
    }
    this.pressed.length = 0;
    this.goal = NO_GOAL;
    runFreely(this.current.track.guest.steering);
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

  /** Breakpoints on instructions have changed, or the segments in which they are looked for. */
  breakpointsMoved(): void {
    if (!this.state) return;
    const { run, track } = this.state;
    const addresses = this.breakpoints.instructions.map((b) => b.request.address);
    track.guest.steering.user = breakpointRips(run.machine, addresses);
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
    return environmentIn(this.current, frameId);
  }

  private create(target: LaunchTarget, withGuest: boolean): Current {
    const run = launch(target.plan, { crypto: nativeCrypto, run: withGuest });
    const execution = new Execution(run, {
      onEvent: (event) => this.onEvent(event),
      onEnd: (outcome) => this.onEnd(outcome),
      onCrash: (error) => this.onCrash(error),
    });
    return { target, run, execution, track: createTrack(), refusals: {}, fatalShown: false };
  }

  private resume(goal: StopPredicate, reason: StopReason): void {
    const current = this.current;
    const { run, track } = current;
    dropHandles(this.handles);
    beginStretch(track, run.machine);
    current.fault = undefined;
    current.trouble = undefined;
    this.goal = goal;
    this.goalReason = reason;
    this.pausing = false;
    this.pressed.length = 0;
    this.phase = 'running';
    const { steering } = track.guest;
    if (goal === NO_GOAL) runFreely(steering);
    this.breakpointsMoved();
    steer(steering, run.machine.guestControl, track.guest.vcpu, performance.now());
    waitFrom(this.patience, performance.now());
    current.execution.resume();
  }

  private cancel(): void {
    this.state?.execution.cancel();
    this.state?.cancelLookAhead?.();
    dropHandles(this.handles);
  }

  private onEvent(event: EngineEvent): Decision {
    const { run, track, target, refusals } = this.current;
    const { steering, started } = track.guest;
    const now = performance.now();
    noteSlice(steering, event, now, run.machine.guestControl);
    if (started) this.tellPatience(now);
    trackEvent(track, event, run.machine, target.plan);
    if (track.guest.started && !started) this.guestStarts();
    const isHidden = isTracepoint(event) && this.args?.traceExits !== true;
    if (!isHidden && !this.foretold(event)) narrate(event, target, track.guest.console, this.listener.output);
    const decision = this.decide(event, freshRefusal(refusals, event));
    steer(steering, run.machine.guestControl, track.guest.vcpu, performance.now());
    return decision;
  }

  private tellPatience(now: number): void {
    const word = impatience(this.patience, now, this.current.run.machine.core?.vcpu.cpu.instructions ?? 0);
    if (word) this.listener.output('console', word);
  }

  private guestStarts(): void {
    this.breakpointsMoved();
    this.listener.threadsStarted(this.threadNames().length);
  }

  private decide(event: EngineEvent, refusal: Fault | undefined): Decision {
    const isFinish = event.kind === 'leave' && event.frame.layer === 'launch' && !event.fault;
    if (isFinish && event.frame.entry === this.current.target.plan.entries.length - 1) {
      if (this.launchFinished() === 'stop') return 'stop';
    }
    if (this.args?.noDebug) return 'go';
    if (refusal && this.mayStopAt()) {
      // What the host refuses to a running guest is the guest's to cope with: the end of the run tells more.
      return this.current.track.guest.started ? this.passed(event, refusal) : this.investigate(event, refusal);
    }
    return this.ordinaryStop(event);
  }

  /** The launch is complete: its digest, and whether it is the expected one. */
  private launchFinished(): Decision {
    const { run, target } = this.current;
    const context = theContext(run.machine);
    if (!context || this.current.finished) return 'go';
    const { digest: expected, at } = target.plan.expect;
    const fault = expected && unexpectedDigest(target.plan, expected, context.ld, context.measured.length, at);
    this.current.finished = { fault };
    const runs = this.args?.runGuest !== false;
    for (const piece of completion(toHex(context.ld), target.plan, fault, runs)) this.listener.output('stdout', piece);
    return fault ? this.showFault(fault) : 'go';
  }

  private mayStopAt(): boolean {
    return !this.current.fatalShown && (this.filters.has('fault') || this.filters.has('refusal'));
  }

  /** Breakpoints first: their hits and log messages count even where a step ends. */
  private ordinaryStop(event: EngineEvent): Decision {
    const { run, track } = this.current;
    const isFirstEntry = this.noteFirstEntry(event);
    const hit = hitsOfEvent(this.breakpoints, event, run.machine, track.guest, () => this.environment());
    for (const text of hit?.logs ?? []) this.listener.output('stdout', `${text}\n`);
    if (hit && hit.ids.length > 0) return this.stop(HIT_REASON[hit.kind], undefined, hit.ids);
    if (isFirstEntry && this.filters.has('guest-entry')) return this.stop('entry');
    const trouble = troubleOf(event, this.filters);
    if (trouble) {
      this.current.trouble = trouble;
      this.current.fault = trouble.fault;
      return this.stop('exception', trouble.title);
    }
    if (this.pausing && event.kind !== 'log' && event.kind !== 'console') return this.stop('pause');
    if (!this.goal(event)) return 'go';
    const next = this.pressed.shift();
    if (next) {
      this.goal = threadGoal(next.step, run, track.guest, next.vcpu);
      return 'go';
    }
    return this.stop(this.goalReason);
  }

  /** True before the first instruction of a vCPU. */
  private noteFirstEntry(event: EngineEvent): boolean {
    if (event.kind !== 'enter' || event.frame.layer !== 'guest') return false;
    const { entered, vcpu } = this.current.track.guest;
    if (entered.has(vcpu)) return false;
    entered.add(vcpu);
    return true;
  }

  private investigate(event: EngineEvent, refusal: Fault): Decision {
    const current = this.current;
    if (current.outlook) return this.judge(event, refusal, current.outlook);
    // The launch alone: what becomes of the guest does not matter to a refusal before it.
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
    return this.passed(event, refusal);
  }

  private passed(event: EngineEvent, refusal: Fault): Decision {
    if (!this.filters.has('refusal')) return this.ordinaryStop(event);
    const { target } = this.current;
    this.current.fault = refusal;
    this.listener.output('console', `Refused, and its caller goes on: ${faultReport(refusal, target.places)}`);
    return this.stop('exception', faultTitle(refusal));
  }

  private showFatal(fault: Fault, messages: readonly string[]): void {
    this.current.fault = fault;
    this.report(fault);
    if (messages.length > 0) this.listener.output('stderr', realMessages(messages));
    this.listener.output(
      'console',
      'Type fault below for all operands of the check, help for what else can be asked.\n',
    );
    this.stop('exception', faultTitle(fault));
  }

  private report(fault: Fault): void {
    this.current.fatalShown = true;
    tellFault(fault, this.current.target.places, this.listener.output);
  }

  /** Reports a fault where it has come to light, and stops there if faults are asked for. */
  private showFault(fault: Fault): Decision {
    this.report(fault);
    if (this.args?.noDebug || !this.filters.has('fault')) return 'go';
    this.current.fault = fault;
    return this.stop('exception', faultTitle(fault));
  }

  private stop(reason: StopReason, text?: string, breakpoints: readonly number[] = []): 'stop' {
    const { run, track } = this.current;
    const { guest } = track;
    this.phase = 'stopped';
    noteStop(run.machine, guest);
    narrateRest(guest.console, this.listener.output);
    this.listener.stopped({ reason, text, breakpoints, vcpu: guest.vcpu });
    return 'stop';
  }

  /** What the VMM says after the fault has been shown with the fault. */
  private foretold(event: EngineEvent): boolean {
    if (event.kind !== 'log') return false;
    const { fatalShown, outlook } = this.current;
    return fatalShown && event.source === 'vmm' && outlook?.messages.includes(event.text) === true;
  }

  private onEnd(outcome: LaunchOutcome): void {
    const { run, target, track, fatalShown, finished } = this.current;
    const { exit } = outcome;
    const fault = outcome.fault ?? endingFault(exit) ?? finished?.fault;
    // The end is reached once more when a person goes on from a fault that was found there.
    const isFirst = !this.current.ended;
    this.current.ended = true;
    if (exit && isFirst) {
      narrateRest(track.guest.console, this.listener.output);
      const instructions = run.machine.core?.vcpu.cpu.instructions ?? 0;
      // A fault tells it all, with its reason.
      if (!endingFault(exit)) this.listener.output('stdout', endingText(exit, instructions));
    }
    const isKnown = fatalShown && (!exit || fault === finished?.fault || !isFirst);
    if (fault && !isKnown && this.showFault(fault) === 'stop') return;
    if (fault) this.listener.output('stderr', exit ? GUEST_FAILED : failed(fault, target.places));
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
