import { hex } from '../../address.js';
import { decodeIdBlock } from '../../asp/id-block.js';
import { toBase64 } from '../../base64.js';
import { isZero, toHex } from '../../bytes.js';
import type { TextRange } from '../../fault.js';
import { cpuModel } from '../../spec/cpu-models.js';
import { PROCESSOR_PROFILES, type ProcessorName } from '../../spec/versions.js';
import { isNewerThan } from '../cpuid/model-page.js';
import * as faults from './faults.js';
import { type ImportContext, type ImportedMachine, refuse } from './machine.js';

export const DEFAULT_CPU = 'EPYC-Milan-v2';
const GIB = 2 ** 30;
const DEFAULT_MEMORY = 128 * 2 ** 20;
/** Of the emulated host: without a key, and at most. */
const DEFAULT_HOST_MEMORY = 4 * GIB;
const MAX_HOST_MEMORY = 2 ** 44;

/** A line of a manifest, and the place in the imported text from which it comes. */
export interface ManifestLine {
  readonly text: string;
  readonly origin?: TextRange;
}

/** The oldest processor that has all features of a CPU model. */
function processorFor(cpu: string): ProcessorName {
  const model = cpuModel(cpu);
  const names: readonly ProcessorName[] = ['milan', 'genoa', 'turin'];
  return names.find((name) => !model || !isNewerThan(model, PROCESSOR_PROFILES[name])) ?? 'milan';
}

/** What QEMU checks against the host, before it opens /dev/sev. target/i386/sev.c sev_common_kvm_init(). */
function checkHost(context: ImportContext, processor: ProcessorName): void {
  const { cbitpos, reducedPhysBits } = context.machine;
  const host = PROCESSOR_PROFILES[processor].cBit;
  if (cbitpos && cbitpos.value !== host)
    refuse(context, faults.SNP_CBITPOS, { host, requested: cbitpos.value }, cbitpos.range);
  if (reducedPhysBits && (reducedPhysBits.value < 1 || reducedPhysBits.value > 63))
    refuse(context, faults.SNP_REDUCED_PHYS_BITS, { requested: reducedPhysBits.value }, reducedPhysBits.range);
}

/** The manifest of an imported machine, line by line. Checks against the host are made here, too. */
export function manifestLines(context: ImportContext): readonly ManifestLine[] {
  const { machine } = context;
  const cpu = machine.cpu?.value ?? DEFAULT_CPU;
  const processor = processorFor(cpu);
  checkHost(context, processor);
  const lines: ManifestLine[] = [];
  const add = (text: string, given?: { readonly range: TextRange }): void => {
    lines.push(given && given.range.end > 0 ? { text, origin: given.range } : { text });
  };
  const name = context.path.replace(/.*[\\/]/, '');
  add(`# Imported from ${comment(name)}.`);
  add('snp: 1');
  add('host:');
  add(`  processor: ${processor}`);
  const memory = machine.memory?.value ?? DEFAULT_MEMORY;
  if (memory + GIB > DEFAULT_HOST_MEMORY) add(`  memory: ${size(Math.min(powerOfTwo(memory + GIB), MAX_HOST_MEMORY))}`);
  add('vm:');
  add('  vmm: qemu');
  add(`  vcpus: ${machine.vcpus?.value ?? 1}`, machine.vcpus);
  add(`  cpu: ${cpu}`, machine.cpu);
  add(`  memory: ${size(memory)}`, machine.memory);
  add('launch:');
  // With an IGVM file the policy is that of the file.
  if (machine.policy || !machine.igvm) add(`  policy: ${hex(machine.policy?.value ?? 0x3_0000n)}`, machine.policy);
  if (machine.gosvw && !isZero(machine.gosvw.value)) add(`  gosvw: "${toHex(machine.gosvw.value)}"`, machine.gosvw);
  add('  update:');
  addUpdate(add, machine);
  addFinish(add, machine);
  if (machine.kept.length > 0) {
    add('# Not part of the launch:');
    for (const text of machine.kept) add(`#   ${comment(text)}`);
  }
  return lines;
}

type Add = (text: string, given?: { readonly range: TextRange }) => void;

function addUpdate(add: Add, machine: ImportedMachine): void {
  const { igvm, firmware, kernel, initrd, append, kernelHashes } = machine;
  if (igvm) add(`    - igvm: ${quote(igvm.value)}`, igvm);
  if (firmware || !igvm) add(`    - firmware: ${quote(firmware?.value ?? 'auto', firmware !== undefined)}`, firmware);
  if (igvm && !firmware) {
    if (kernel) add(`# kernel: ${comment(kernel.value)} is not measured: the IGVM file brings its own`, kernel);
    return;
  }
  if (kernel) add(`      kernel: ${quote(kernel.value)}`, kernel);
  if (kernel && initrd) add(`      initrd: ${quote(initrd.value)}`, initrd);
  if (kernel && append) add(`      append: ${quote(append.value)}`, append);
  if (kernel && !kernelHashes?.value) add('      kernel-hashes: false', kernelHashes ?? kernel);
}

function addFinish(add: Add, machine: ImportedMachine): void {
  const { idBlock, idAuth, authorKey, vcekDisabled, hostData } = machine;
  const has = idBlock || idAuth || authorKey?.value || vcekDisabled?.value || (hostData && !isZero(hostData.value));
  if (!has) return;
  add('  finish:');
  if (idBlock) {
    const { ld, familyId, imageId, version, guestSvn, policy } = decodeIdBlock(idBlock.value);
    add('    id-block:', idBlock);
    add(`      ld: "${toHex(ld)}"`, idBlock);
    add(`      family-id: "${toHex(familyId)}"`, idBlock);
    add(`      image-id: "${toHex(imageId)}"`, idBlock);
    add(`      version: ${version}`, idBlock);
    add(`      guest-svn: ${guestSvn}`, idBlock);
    add(`      policy: ${hex(policy)}`, idBlock);
  }
  if (idAuth) add(`    id-auth: { base64: "${toBase64(idAuth.value)}" }`, idAuth);
  if (authorKey?.value) add('    author-key: true', authorKey);
  if (vcekDisabled?.value) add('    vcek-disabled: true', vcekDisabled);
  if (hostData && !isZero(hostData.value)) add(`    host-data: "${toHex(hostData.value)}"`, hostData);
}

/** A YAML scalar; `literal`: not one of the words that have a meaning of their own. */
function quote(text: string, literal = true): string {
  if (literal && text === 'auto') return './auto';
  const plain = /^[A-Za-z./][\w./@+=-]*( [\w./@+=-]+)*$/.test(text);
  if (plain && !/^(true|false|null|yes|no|on|off|y|n|~)$/i.test(text)) return text;
  // JSON strings are YAML strings, but for two separators that JSON leaves as they are.
  return JSON.stringify(text).replace(
    /[\u0080-\u009f\u2028\u2029\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** On one line, and nothing that YAML does not print. */
function comment(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]|[\ud800-\udfff]/g, ' ');
}

function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(least));
}

function size(bytes: number): string {
  for (const [unit, scale] of [
    ['TiB', 2 ** 40],
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (bytes > 0 && bytes % scale === 0) return `${bytes / scale}${unit}`;
  }
  return `${bytes}`;
}
