import { hex } from '../../address.js';
import { toBase64 } from '../../base64.js';
import { isZero } from '../../bytes.js';
import { type Fault, type FaultDefinition, makeFault, type Operands, type TextRange } from '../../fault.js';
import { SNP_ACTIVE } from '../../spec/vmsa-layout.js';
import type { ParsedManifest } from '../manifest/parse.js';
import type { UpdateTree } from '../manifest/tree.js';
import type { LaunchPlan } from '../plan.js';
import { EXPORT_DIFFERS, EXPORT_NOT_POSSIBLE } from './faults.js';
import { escapeCommas } from './keyval.js';
import { quoteShell } from './shell-words.js';
import { formatSize } from './values.js';

export interface ExportedLaunch {
  /** Options with their arguments, in order; the shell has not seen them. */
  readonly options: readonly (readonly [name: string, argument: string])[];
  /** What the command line cannot say. */
  readonly faults: readonly Fault[];
}

type FirmwareTree = Extract<UpdateTree, { kind: 'firmware' }>;

/** The command line with which QEMU launches what a manifest describes. Paths stay as they are written. */
export function exportQemu(parsed: ParsedManifest, plan: LaunchPlan): ExportedLaunch {
  const faults: Fault[] = [];
  const say = <O extends Operands>(definition: FaultDefinition<O>, operands: O, range?: TextRange): void => {
    const at = range ? { at: { file: parsed.file, range } } : {};
    faults.push(makeFault(definition, operands, at));
  };
  const { tree } = parsed;
  const updates = tree.launch?.update ?? [];
  for (const update of updates) {
    if (update.kind === 'firmware' || update.kind === 'igvm') continue;
    const what = update.kind === 'vmsa' ? 'the VMSA of a vCPU' : 'single pages';
    say(EXPORT_NOT_POSSIBLE, { what, reason: 'they come from firmware or IGVM file alone' }, update.range);
  }
  const igvm = updates.find((update) => update.kind === 'igvm');
  const firmware = updates.find((update): update is FirmwareTree => update.kind === 'firmware');
  if (!igvm && !firmware) {
    say(EXPORT_NOT_POSSIBLE, { what: 'a launch without firmware', reason: 'a machine has one' }, tree.launch?.key);
  }
  const { vm } = tree;
  if (vm.vmm && plan.vm.vmm !== 'qemu')
    say(EXPORT_DIFFERS, { what: `vmm: ${plan.vm.vmm}`, reason: 'it is QEMU’s' }, vm.vmm.range);
  if (vm.vmsaFeatures && !igvm && plan.vm.vmsaFeatures !== SNP_ACTIVE) {
    const reason = 'QEMU asks KVM for no features beside SNPActive';
    say(EXPORT_DIFFERS, { what: `vmsa-features: ${hex(plan.vm.vmsaFeatures)}`, reason }, vm.vmsaFeatures.range);
  }
  if (igvm?.zeroPages?.value === 'zero') {
    const reason = 'QEMU launches pages without content as NORMAL pages';
    say(EXPORT_DIFFERS, { what: 'zero-pages: zero', reason }, igvm.zeroPages.range);
  }
  return { options: optionsOf(plan, firmware, igvm?.path.value), faults };
}

function optionsOf(
  plan: LaunchPlan,
  firmware: FirmwareTree | undefined,
  igvm: string | undefined,
): readonly (readonly [string, string])[] {
  const { vm } = plan;
  const memory = formatSize(vm.memory);
  const machine = ['q35', 'confidential-guest-support=sev0', 'memory-backend=ram1'];
  if (igvm !== undefined) machine.push('igvm-cfg=igvm0');
  const options: [string, string][] = [
    ['-accel', 'kvm'],
    ['-machine', machine.join(',')],
    ['-cpu', vm.cpu],
    ['-smp', `${vm.vcpus}`],
    ['-m', memory],
    ['-object', `memory-backend-memfd,id=ram1,size=${memory},share=true,reserve=false`],
    ['-object', snpObject(plan, firmware)],
  ];
  if (igvm !== undefined) options.push(['-object', `igvm-cfg,id=igvm0,file=${escapeCommas(igvm)}`]);
  else if (firmware) {
    const auto = firmware.path.value === 'auto';
    options.push(['-bios', auto ? (plan.firmware?.path ?? 'OVMF.fd') : firmware.path.value]);
    const { kernel, initrd, append } = firmware;
    if (kernel) {
      options.push(['-kernel', kernel.value]);
      if (initrd) options.push(['-initrd', initrd.value]);
      if (append) options.push(['-append', append.value]);
    }
  }
  return options;
}

function snpObject(plan: LaunchPlan, firmware: FirmwareTree | undefined): string {
  const { host, start, finish } = plan;
  const { cBit, reducedPhysBits } = host.processor;
  const properties = ['sev-snp-guest', 'id=sev0', `cbitpos=${cBit}`, `reduced-phys-bits=${reducedPhysBits}`];
  // With an IGVM file they come from the file.
  if (!plan.igvm) properties.push(`policy=${hex(start.policy)}`);
  if (!isZero(start.gosvw)) properties.push(`guest-visible-workarounds=${toBase64(start.gosvw)}`);
  if (firmware?.kernel && firmware.kernelHashes?.value !== false) properties.push('kernel-hashes=on');
  if (!plan.igvm) {
    const { idBlock, idAuth, authorKey } = finish;
    if (idBlock) properties.push(`id-block=${toBase64(idBlock)}`);
    if (idAuth) properties.push(`id-auth=${toBase64(idAuth)}`);
    if (authorKey) properties.push('author-key-enabled=on');
  }
  if (finish.vcekDisabled) properties.push('vcek-disabled=on');
  if (!isZero(finish.hostData)) properties.push(`host-data=${toBase64(finish.hostData)}`);
  return properties.join(',');
}

/** The command line for a shell, one option on a line. */
export function formatCommandLine({ options }: ExportedLaunch): string {
  const lines = options.map(([name, argument]) => `  ${name} ${argument === '' ? "''" : quoteShell(argument)}`);
  return `${['qemu-system-x86_64', ...lines].join(' \\\n')}\n`;
}
