import { explainFault, type Fault, rootFault } from '../engine/fault.js';
import type { LaunchEntry, LaunchPlan } from '../engine/launch/plan.js';
import type { Places } from './places.js';

/** Texts of the Debug Console. Each ends with a line break. */
export function headline(plan: LaunchPlan): string {
  const { host, vm } = plan;
  const cpus = `${vm.vcpus} ${vm.vcpus === 1 ? 'vCPU' : 'vCPUs'} ${vm.cpu}`;
  return (
    `Launch of ${plan.file}\n` +
    `Host: ${host.processor.name}, SNP firmware ${host.firmware.major}.${host.firmware.minor}, ` +
    `KVM ${host.kvm.release}; VM: ${vm.vmm}, ${cpus}\n`
  );
}

export function completion(digest: string): string {
  return (
    `Launch complete. Launch digest:\n${digest}\n` +
    'Running the guest is not part of this version: the session ends where the first VMRUN would begin.\n'
  );
}

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

/** The complete explanation of a fault, with its place. */
export function faultReport(fault: Fault, places: Places): string {
  return `${placeText(fault, places)}${faultTitle(fault)}\n${explainFault(fault)}\n`;
}

/** `guest.snp.yaml:12:5: ` with numbers from 1, or nothing. */
export function placeText(fault: Fault, places: Places): string {
  if (!fault.at) return '';
  const place = places.of(fault.at);
  return `${place.path}:${place.line + 1}:${place.character + 1}: `;
}

/** One line for a problem of the manifest. */
export function problemLine(fault: Fault, places: Places): string {
  return `${placeText(fault, places)}${fault.severity}: ${fault.message} ${fault.hint} [${fault.check}]\n`;
}
