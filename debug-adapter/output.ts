import { basename, dirname, relative } from 'node:path';
import { type Fault, formatCode, rootFault, type SourceLocation } from '../engine/fault.js';
import type { LaunchEntry, LaunchPlan } from '../engine/launch/plan.js';
import type { Place, Places } from './places.js';

/** Texts of the Debug Console. Each ends with a line break. */
export function headline(plan: LaunchPlan): string {
  const { host, vm } = plan;
  const cpus = `${vm.vcpus} ${vm.vcpus === 1 ? 'vCPU' : 'vCPUs'} ${vm.cpu}`;
  return (
    `Launch of ${basename(plan.file)}\n` +
    `Host: ${host.processor.name}, SNP firmware ${host.firmware.major}.${host.firmware.minor}, ` +
    `KVM ${host.kvm.release}; VM: ${vm.vmm}, ${cpus}\n`
  );
}

/** The end of a launch, piece by piece: the digest is one of its own, so that it can be copied alone. */
export function completion(
  digest: string,
  plan: LaunchPlan,
  fault: Fault | undefined,
  runsGuest: boolean,
): readonly string[] {
  const heading = 'Launch complete. Launch digest:\n';
  if (fault) return [heading, `${digest}\n`];
  const next = plan.expect.digest
    ? 'It is the expected digest.\n'
    : `To have it checked from now on, write it as digest below expect in ${basename(plan.file)}.\n`;
  return [heading, `${digest}\n`, next, runsGuest ? GUEST_RUNS : NO_GUEST];
}

const NO_GUEST = 'The guest is not run ("runGuest" is false): the session ends where the first VMRUN would begin.\n';
const GUEST_RUNS = 'The guest runs. Lines without a name in front come from its serial port.\n';

/** The end of a launch that failed: what to do next. */
export function failed(fault: Fault, places: Places): string {
  const place = fault.at && places.of(fault.at);
  const where = place ? `line ${place.line + 1} of ${basename(place.path)}` : 'the manifest';
  return `Launch failed. Change ${where} as described above, and start the launch again.\n`;
}

/** The same for a guest that made a mistake. */
export const GUEST_FAILED = 'The guest failed. Change it as described above, and start the launch again.\n';

/** `[3/8] start` */
export function entryLine(entry: LaunchEntry, index: number, count: number): string {
  return `[${index + 1}/${count}] ${entry.label}\n`;
}

/** What failed outermost, and the check behind it. */
export function faultTitle(fault: Fault): string {
  const root = rootFault(fault);
  return root === fault ? fault.title : `${fault.title}: ${root.title}`;
}

/** All that the VMM says about the fault, which is all that one has without the emulator. */
export function realMessages(messages: readonly string[]): string {
  return `On a real machine one sees only:\n${messages.map((text) => `  ${text}\n`).join('')}`;
}

/** The explanation of a fault, with its place. */
export function faultReport(fault: Fault, places: Places): string {
  return `${placeText(fault, places)}${faultTitle(fault)}\n${explanation(fault)}\n`;
}

/**
 * What failed, why below, what to change: one line for each layer. Operands are in the sentences already; all of
 * them are in the view of the fault.
 */
export function explanation(fault: Fault): string {
  const lines: string[] = [];
  let confirmed = true;
  for (let f: Fault | undefined = fault; f; f = f.cause) {
    const code = formatCode(f.code);
    confirmed &&= f.confirmed;
    // The end of a guest tells the whole story in one paragraph.
    const isTold = f !== fault && fault.message.includes(f.message);
    if (isTold) continue;
    lines.push(`${f === fault ? '' : 'because '}${f.layer}: ${f.command}${code ? ` → ${code}` : ''}: ${f.message}`);
  }
  const root = rootFault(fault);
  lines.push(`To fix: ${root.hint}`);
  lines.push(`Check: ${root.check} (${root.reference})${confirmed ? '' : '. Not confirmed on real hardware'}`);
  return lines.join('\n');
}

/** `guest.snp.yaml:12:5: ` with numbers from 1, or nothing. */
export function placeText(fault: Fault, places: Places): string {
  if (!fault.at) return '';
  const { text, place } = placeOf(fault.at, places);
  return `${text}:${place.character + 1}: `;
}

/** One line for a problem of the manifest. */
export function problemLine(fault: Fault, places: Places): string {
  return `${placeText(fault, places)}${fault.severity}: ${fault.message} ${fault.hint} [${fault.check}]\n`;
}

/** For a message box: no column, no id. */
export function problemSentence(fault: Fault, places: Places): string {
  const where = fault.at ? placeOf(fault.at, places) : undefined;
  const prefix = where ? `${basename(where.place.path)}, line ${where.place.line + 1}: ` : '';
  return `${prefix}${fault.message} ${fault.hint}`;
}

/** A path as short as it is still clear to the reader of the manifest. */
export function shortPath(path: string, manifest: string): string {
  const way = relative(dirname(manifest), path);
  return way === '' || way.startsWith('..') ? basename(path) : way;
}

function placeOf(at: SourceLocation, places: Places): { text: string; place: Place } {
  const place = places.of(at);
  return { place, text: `${basename(place.path)}:${place.line + 1}` };
}
