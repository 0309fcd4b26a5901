import { toHex } from '../../engine/bytes.js';
import { type Fault, makeFault } from '../../engine/fault.js';
import { unexpectedDigest } from '../../engine/launch/expected-digest.js';
import { parseManifest } from '../../engine/launch/manifest/parse.js';
import type { LaunchPlan } from '../../engine/launch/plan.js';
import { resolvePlan } from '../../engine/launch/resolve.js';
import type { EngineEvent } from '../../engine/timeline/event.js';
import { eventJson, faultJson, formatEvent, type JsonObject } from '../../engine/timeline/format.js';
import { type LaunchOutcome, nextEvent } from '../../engine/timeline/run.js';
import { launch } from '../../engine/vmm/launch.js';
import { createFileSource } from '../../platform/file-source.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { autoFirmware } from '../auto-firmware.js';
import { displayPath, MANIFEST_UNREADABLE, readManifest } from '../document.js';
import type { ExitStatus } from '../exit-status.js';
import type { Output } from '../output.js';
import { faultText, printable } from '../report/text.js';
import { createSources } from '../sources.js';
import { parseCommand, parseCount, UsageError } from '../usage.js';

export const launchHelp = `Usage: sev-snp launch MANIFEST [--trace] [--json] [--max-instructions N]

Runs the launch of a manifest on the emulated machine, from the boot of the host to SNP_LAUNCH_FINISH, and prints
the launch digest, or which check refused the launch, in which layer, and what to change.

Options:
  --trace               print every event: ioctls, firmware commands, RMP changes, digest steps
  --json                print every event as one JSON object a line; the last one is {"event":"end",…}, also when
                        the manifest is wrong or cannot be read
  --max-instructions N  stop the guest after N instructions; this version ends where the guest would start, so
                        that the limit is never reached
  -h, --help            show this help

Exit status: 0 the launch is complete, 1 the manifest is wrong, the launch failed or its digest is not the expected
one, 2 wrong usage.
`;

/** How a launch ended; the value of `exit` in the last line of --json. */
type Exit = { readonly reason: 'launch-complete' } | { readonly reason: 'fault'; readonly fault: JsonObject };

export function launchCommand(args: readonly string[], output: Output): ExitStatus {
  const { values, positionals } = parseCommand('launch', args, {
    trace: { type: 'boolean' },
    json: { type: 'boolean' },
    'max-instructions': { type: 'string' },
  });
  const [name, extra] = positionals;
  if (name === undefined) throw new UsageError('no manifest to launch', 'launch');
  if (extra !== undefined) throw new UsageError(`one manifest at a time: '${extra}' is too much`, 'launch');
  const limit = values['max-instructions'];
  if (limit !== undefined) parseCount(limit, '--max-instructions', 'launch', Number.MAX_SAFE_INTEGER);
  const json = values.json ?? false;

  const files = createFileSource();
  const document = readManifest(name, files);
  if (!document.ok) {
    output.err(`sev-snp: ${displayPath(document.path)} ${document.message}\n`);
    if (json)
      output.out(endLine({}, makeFault(MANIFEST_UNREADABLE, { path: document.path, problem: document.message })));
    return 1;
  }
  const sources = createSources(files, [document]);
  const report = (fault: Fault): void => output.err(`${faultText(fault, sources)}\n`);

  const parsed = parseManifest(document.text, document.path);
  const resolved = resolvePlan(parsed, files, nativeCrypto);
  const before = [...parsed.problems, ...resolved.faults];
  for (const fault of before) report(fault);
  const firstError = before.find((fault) => fault.severity === 'error');
  if (!resolved.plan) {
    if (json) output.out(endLine({}, firstError));
    else output.err('The launch was not started.\n');
    return 1;
  }

  const write = json
    ? (event: EngineEvent) => output.out(`${JSON.stringify(eventJson(event))}\n`)
    : values.trace
      ? (event: EngineEvent) => output.out(`${printable(formatEvent(event))}\n`)
      : progress(output);
  const image = autoFirmware(parsed, resolved.plan);
  if (image !== undefined) output.err(`sev-snp: note: firmware: auto is ${image}\n`);
  const outcome = runLaunch(resolved.plan, write);
  if (outcome.fault) report(outcome.fault);
  const unexpected = outcome.digest && digestFault(resolved.plan, outcome.digest, outcome.pages);
  if (unexpected) report(unexpected);
  // What ran with an input that is wrong is not the launch that the manifest means.
  const failure = outcome.fault ?? firstError;
  if (json) output.out(endLine(failure ? {} : outcome, failure));
  else if (outcome.digest && !failure) output.out(`launch digest ${toHex(outcome.digest)}\n`);
  return failure || unexpected ? 1 : 0;
}

/** The fault of a launch that is complete, but not with the digest that its manifest expects. */
function digestFault(plan: LaunchPlan, digest: Uint8Array, pages: number): Fault | undefined {
  const { digest: expected, at } = plan.expect;
  return expected && unexpectedDigest(plan, expected, digest, pages, at);
}

function runLaunch(plan: LaunchPlan, write: (event: EngineEvent) => void): LaunchOutcome & { readonly pages: number } {
  const run = launch(plan, { crypto: nativeCrypto });
  for (let event = nextEvent(run); event; event = nextEvent(run)) write(event);
  const [guest] = run.machine.asp.guests.values();
  return { ...run.outcome, pages: guest?.measured.length ?? 0 };
}

/** Without --trace: the entries of the launch, and what VMM, kernel and firmware print meanwhile. */
function progress(output: Output): (event: EngineEvent) => void {
  return (event) => {
    const isEntry = (event.kind === 'enter' || event.kind === 'leave') && event.frame.layer === 'launch';
    if (event.kind === 'enter' && isEntry) output.out(`${printable(event.frame.name)}\n`);
    else if (event.kind === 'leave' && isEntry && event.fault) output.out(`  ${printable(event.result)}\n`);
    else if (event.kind === 'log') output.out(`${printable(formatEvent({ ...event, depth: 1 }))}\n`);
  };
}

function endLine(outcome: LaunchOutcome, fault: Fault | undefined): string {
  const exit: Exit = fault ? { reason: 'fault', fault: faultJson(fault) } : { reason: 'launch-complete' };
  const digest = outcome.digest ? toHex(outcome.digest) : null;
  return `${JSON.stringify({ event: 'end', digest, exit, instructions: 0, console: '', vcpus: [] })}\n`;
}
