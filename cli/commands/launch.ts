import { hex } from '../../engine/address.js';
import { toHex } from '../../engine/bytes.js';
import { retired } from '../../engine/cpu/svm/vmrun.js';
import { vmsaOfVcpu, vmsaRegisters } from '../../engine/cpu/svm/vmsa-registers.js';
import { type Fault, makeFault } from '../../engine/fault.js';
import { unexpectedDigest } from '../../engine/launch/expected-digest.js';
import { parseManifest } from '../../engine/launch/manifest/parse.js';
import type { LaunchPlan } from '../../engine/launch/plan.js';
import { resolvePlan } from '../../engine/launch/resolve.js';
import type { Machine } from '../../engine/machine.js';
import type { EngineEvent } from '../../engine/timeline/event.js';
import { eventJson, faultJson, formatEvent, type JsonObject } from '../../engine/timeline/format.js';
import { guestExitJson, guestExitText, isOrderly } from '../../engine/timeline/guest-exit.js';
import { nextEvent } from '../../engine/timeline/run.js';
import { launch } from '../../engine/vmm/launch.js';
import { createFileSource } from '../../platform/file-source.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { autoFirmware } from '../auto-firmware.js';
import { createConsoleLines } from '../console-lines.js';
import { displayPath, MANIFEST_UNREADABLE } from '../document.js';
import type { ExitStatus } from '../exit-status.js';
import { readLaunch } from '../launch-document.js';
import type { Output } from '../output.js';
import { faultText, printable } from '../report/text.js';
import { createSources } from '../sources.js';
import { createTraceFilter } from '../trace-lines.js';
import { parseCommand, parseCount, UsageError } from '../usage.js';

/** A guest that spins for ever must not keep a terminal or a CI job for ever. */
const DEFAULT_LIMIT = 20_000_000_000;

export const launchHelp = `Usage: sev-snp launch FILE [--trace] [--json] [--max-instructions N]

Runs the launch of a manifest on the emulated machine, from the boot of the host to SNP_LAUNCH_FINISH, prints the
launch digest, or which check refused the launch, in which layer, and what to change; then runs the guest, prints
what it writes to its serial port and debug console, and how it ends. FILE is a launch manifest, a file with a QEMU
command line, or a libvirt domain description.

Options:
  --trace               print every event: ioctls, firmware commands, RMP changes, digest steps, exits of the guest
                        and its exceptions
  --json                print every event as one JSON object a line; the last one is {"event":"end",…} with the
                        registers of each vCPU, also when the manifest is wrong or cannot be read
  --max-instructions N  stop the guest after N instructions, 0 before its first; ${DEFAULT_LIMIT.toLocaleString('en-US')} if not given
  -h, --help            show this help

Exit status: 0 the launch is complete and the guest ended as it meant to or reached the limit, 1 the manifest is
wrong, the launch failed, its digest is not the expected one, or the guest failed, 2 wrong usage.
`;

/** The value of `exit` in the last line of --json where no guest has run. */
type Refused = { readonly reason: 'fault'; readonly fault: JsonObject } | { readonly reason: 'not-started' };

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
  const most =
    limit === undefined ? DEFAULT_LIMIT : parseCount(limit, '--max-instructions', 'launch', Number.MAX_SAFE_INTEGER);
  const json = values.json ?? false;

  const files = createFileSource();
  const document = readLaunch(name, files);
  if (!document.ok) {
    output.err(`sev-snp: ${displayPath(document.path)} ${document.message}\n`);
    const fault = makeFault(MANIFEST_UNREADABLE, { path: document.path, problem: document.message });
    if (json) output.out(endLine(refusedExit(fault)));
    return 1;
  }
  const sources = createSources(files, [document]);
  const report = (fault: Fault): void => output.err(`${faultText(fault, sources)}\n`);

  const parsed = parseManifest(document.manifest, document.path);
  const resolved = resolvePlan(parsed, files, nativeCrypto);
  const before = [...document.faults, ...[...parsed.problems, ...resolved.faults].map(document.place)];
  for (const fault of before) report(fault);
  const firstError = before.find((fault) => fault.severity === 'error');
  if (!resolved.plan) {
    if (json) output.out(endLine(refusedExit(firstError)));
    else output.err('The launch was not started.\n');
    return 1;
  }

  const write = json
    ? (event: EngineEvent) => output.out(`${JSON.stringify(eventJson(event))}\n`)
    : values.trace
      ? tracer(output)
      : progress(output);
  const image = autoFirmware(parsed, resolved.plan);
  if (image !== undefined) output.err(`sev-snp: note: firmware: auto is ${image}\n`);
  // What would run with an input that is wrong is not the guest that the manifest means.
  const { outcome, machine, console } = runLaunch(resolved.plan, write, firstError ? undefined : most);
  const { digest } = outcome;
  const refused = outcome.fault && document.place(outcome.fault);
  const fault = refused ?? firstError;
  if (refused) report(refused);
  const unexpected = digest && digestFault(resolved.plan, digest, measuredPages(machine));
  if (unexpected) report(unexpected);
  const exit = fault ? undefined : outcome.exit;
  if (exit && 'fault' in exit && exit.fault) report(exit.fault);
  if (json)
    output.out(endLine(exit ? guestExitJson(exit) : refusedExit(fault), fault ? undefined : digest, machine, console));
  else if (digest && !fault)
    output.out(`launch digest ${toHex(digest)}\n${exit ? `end: ${guestExitText(exit)}\n` : ''}`);
  return fault || unexpected || !exit || !isOrderly(exit) ? 1 : 0;
}

/** The fault of a launch that is complete, but not with the digest that its manifest expects. */
function digestFault(plan: LaunchPlan, digest: Uint8Array, pages: number): Fault | undefined {
  const { digest: expected, at } = plan.expect;
  return expected && unexpectedDigest(plan, expected, digest, pages, at);
}

function measuredPages(machine: Machine): number {
  const [guest] = machine.asp.guests.values();
  return guest?.measured.length ?? 0;
}

/** Everything at once; a `limit` of undefined stops where the guest would start. */
function runLaunch(plan: LaunchPlan, write: (event: EngineEvent) => void, limit: number | undefined) {
  const run = launch(plan, { crypto: nativeCrypto, run: limit !== undefined });
  const { machine } = run;
  if (limit !== undefined) machine.guestControl.limit = limit;
  let console = '';
  const lines = createConsoleLines(write);
  for (let event = nextEvent(run); event; event = nextEvent(run)) {
    if (event.kind === 'control') continue;
    if (event.kind === 'console') {
      console += event.text;
      lines.add(event);
    } else {
      write(event);
    }
  }
  lines.flush();
  return { outcome: run.outcome ?? {}, machine, console };
}

function tracer(output: Output): (event: EngineEvent) => void {
  const shown = createTraceFilter();
  return (event) => {
    if (shown(event)) output.out(`${printable(formatEvent(event))}\n`);
  };
}

/** Without --trace: the entries of the launch, what VMM, kernel and firmware print meanwhile, and the guest's console. */
function progress(output: Output): (event: EngineEvent) => void {
  return (event) => {
    const isEntry = (event.kind === 'enter' || event.kind === 'leave') && event.frame.layer === 'launch';
    if (event.kind === 'enter' && isEntry) output.out(`${printable(event.frame.name)}\n`);
    else if (event.kind === 'leave' && isEntry && event.fault) output.out(`  ${printable(event.result)}\n`);
    else if (event.kind === 'log' && !isTrace(event)) output.out(`${printable(formatEvent({ ...event, depth: 1 }))}\n`);
    else if (event.kind === 'console')
      output.out(`  ${event.source === 'serial' ? '' : 'debugcon: '}${printable(event.text)}\n`);
  };
}

/** Trace events of the kernel are for --trace. */
function isTrace(event: EngineEvent & { readonly kind: 'log' }): boolean {
  return event.source === 'kvm' && /^kvm_\w+:?/.test(event.text);
}

function refusedExit(fault: Fault | undefined): Refused {
  return fault ? { reason: 'fault', fault: faultJson(fault) } : { reason: 'not-started' };
}

function endLine(exit: JsonObject, digest?: Uint8Array, machine?: Machine, console = ''): string {
  const end = {
    event: 'end',
    digest: digest ? toHex(digest) : null,
    exit,
    instructions: machine ? retired(machine) : 0,
    console,
    vcpus: machine && digest ? finalRegisters(machine) : [],
  };
  return `${JSON.stringify(end)}\n`;
}

/** All registers of each vCPU as its VMSA has them; no host could read them. */
function finalRegisters(machine: Machine): JsonObject[] {
  const [vm] = machine.kvm.vms.values();
  if (!vm) return [];
  return vm.vcpus.flatMap(({ index }) => {
    const vmsa = vmsaOfVcpu(machine, vm, index);
    if (!vmsa) return [];
    const registers = [...vmsaRegisters(vmsa)].map(([name, value]) => [name, hex(value)] as const);
    return [{ vcpu: index, ...Object.fromEntries(registers) }];
  });
}
