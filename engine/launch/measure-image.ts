import { hex, PAGE_SIZE } from '../address.js';
import { zeroDigest } from '../asp/launch-digest.js';
import { type Crypto, portableCrypto } from '../crypto.js';
import { defineFault, type Fault, fail, makeFault, ok, type Result } from '../fault.js';
import { CPU_MODELS, cpuModel } from '../spec/cpu-models.js';
import { nearest } from './grammar/suggest.js';
import { type KernelFiles, kernelHashPage } from './kernel-hashes.js';
import { createDigestChain, measurePages, measureVmsas } from './measurer.js';
import * as faults from './ovmf/faults.js';
import { checkImageSize, type OvmfImage, parseOvmf } from './ovmf/image.js';
import { SECTION_TYPE } from './ovmf/metadata.js';
import { recogniseFile } from './ovmf/recognise.js';
import { firmwareUpdates, hashTableOffset, isKnownSection, sectionFaults } from './ovmf/updates.js';
import type { VmmName } from './plan.js';
import { BSP_EIP, buildVmsa } from './vmsa/build.js';

export const UNKNOWN_CPU_MODEL = defineFault<{ name: string; suggestion: string; known: string }>({
  check: 'vmm-unknown-cpu-model',
  layer: 'vmm',
  command: '-cpu',
  code: { kind: 'input' },
  title: 'Unknown CPU model',
  message: (o) =>
    `There is no CPU model \`${o.name}\`.${o.suggestion ? ` Did you mean \`${o.suggestion}\`?` : ''} Known: ${o.known}.`,
  why: 'RDX of the initial VMSA holds the CPUID signature of the model that the VMM gives its guest, not that of the physical processor; it is a part of the digest.',
  hint: (o) => (o.suggestion ? `Write \`${o.suggestion}\`.` : 'Use the name that the VMM’s `-cpu` option has.'),
  reference: 'QEMU target/i386/cpu.c builtin_x86_defs; virtee/sev-snp-measure vcpu_types.py',
  confirmed: true,
});

/** KVM_MAX_VCPUS. Linux arch/x86/include/asm/kvm_host.h. */
const MAX_VCPUS = 4096;

export const VCPU_COUNT = defineFault<{ vcpus: number; limit: number }>({
  check: 'vmm-vcpu-count',
  layer: 'vmm',
  command: '-smp',
  code: { kind: 'input' },
  title: 'Impossible number of vCPUs',
  message: (o) => `${o.vcpus} is not a number of vCPUs; it must be a whole number up to ${o.limit}.`,
  why: 'Each vCPU has a VMSA that is measured, and KVM creates at most 4096 vCPUs for one virtual machine.',
  hint: 'Give the number of vCPUs with which the virtual machine is launched.',
  reference: 'Linux arch/x86/include/asm/kvm_host.h KVM_MAX_VCPUS',
  confirmed: true,
});

/** The options of sev-snp-measure. */
export interface ImageOptions {
  readonly ovmf: Uint8Array;
  /** For messages. */
  readonly ovmfPath?: string;
  readonly vcpus: number;
  /** A name of CPU_MODELS; not needed with `signature`. */
  readonly vcpuType?: string;
  /** CPUID signature, instead of a model. */
  readonly signature?: number;
  readonly guestFeatures: bigint;
  readonly vmmType: VmmName;
  readonly kernel?: Uint8Array;
  readonly initrd?: Uint8Array;
  readonly append?: string;
}

/**
 * The digest of an OVMF launch as sev-snp-measure computes it, with the same refusals in the same order. An image
 * without SEV metadata is measured without sections, although QEMU would not launch it: see `imageWarnings`.
 */
export function measureImage(options: ImageOptions, crypto: Crypto = portableCrypto): Result<Uint8Array> {
  const signature = options.signature ?? signatureOf(options.vcpuType ?? '');
  if (typeof signature !== 'number') return fail(signature);
  if (!Number.isInteger(options.vcpus) || options.vcpus < 0 || options.vcpus > MAX_VCPUS)
    return fail(makeFault(VCPU_COUNT, { vcpus: options.vcpus, limit: MAX_VCPUS }));
  const { image, faults: malformed } = parseOvmf(options.ovmf, options.ovmfPath);
  const first = malformed[0] ?? sizeFault(image);
  if (first) return fail(first);

  const kernel = kernelOf(options);
  let hashPage: Uint8Array | undefined;
  const chain = createDigestChain(crypto);
  chain.begin();
  for (const [index, update] of firmwareUpdates(image, options.vmmType, kernel !== undefined).entries()) {
    const fault = unmeasurable(image, update.section ? update.index : undefined);
    if (fault) return fail(fault);
    let bytes: Uint8Array | undefined;
    let { length } = update;
    if (update.role === 'image') bytes = image.bytes;
    if (update.role === 'secrets' || update.role === 'cpuid') length = PAGE_SIZE;
    if (update.role === 'hashes' && kernel) {
      const offset = hashTableOffset(image);
      if (!offset.ok) return offset;
      hashPage ??= kernelHashPage(kernel, offset.value, crypto);
      bytes = hashPage;
    }
    measurePages(chain, { type: update.type, gpa: update.gpa, length, ...(bytes ? { bytes } : {}) }, index, crypto);
  }
  if (kernel && !hashPage) {
    const offset = hashTableOffset(image);
    if (!offset.ok) return offset;
  }
  if (image.resetEip === undefined) return fail(noResetBlock(image));
  const { vmmType: vmm, guestFeatures: features } = options;
  const bsp = buildVmsa({ vmm, eip: BSP_EIP, signature, features });
  const ap = buildVmsa({ vmm, eip: image.resetEip, signature, features });
  measureVmsas(
    chain,
    Array.from({ length: options.vcpus }, (_, i) => (i === 0 ? bsp : ap)),
    crypto,
  );
  return ok(chain.end().at(-1)?.digest ?? zeroDigest());
}

/** What is no error to sev-snp-measure, but makes the digest one of another launch than was meant. */
export function imageWarnings(options: ImageOptions): readonly Fault[] {
  const warnings: Fault[] = [];
  const ignored = [
    ...(options.initrd !== undefined ? ['initrd'] : []),
    ...(options.append !== undefined ? ['append'] : []),
  ];
  if (!options.kernel && ignored.length > 0)
    warnings.push(makeFault(faults.IMAGE_KERNEL_MISSING, { given: ignored.join(' and ') }));
  const { image, faults: malformed } = parseOvmf(options.ovmf, options.ovmfPath);
  if (malformed.length === 0 && image.hasFooter && !image.sections) {
    const operands = { path: image.path, recognised: recogniseFile(image.bytes) };
    warnings.push({ ...makeFault(faults.IMAGE_NO_METADATA, operands), severity: 'warning' });
  }
  return warnings;
}

/** The fault for an image without SEV-ES reset block, with the reason if the whole table is missing. */
export function noResetBlock(image: OvmfImage): Fault {
  const { path } = image;
  const cause = image.hasFooter
    ? undefined
    : makeFault(faults.IMAGE_NO_FOOTER, { path, recognised: recogniseFile(image.bytes) });
  return makeFault(faults.IMAGE_NO_RESET_BLOCK, { path }, cause ? { cause } : {});
}

export function unknownCpuModel(name: string): Fault {
  const known = CPU_MODELS.map((m) => m.name);
  return makeFault(UNKNOWN_CPU_MODEL, { name, suggestion: nearest(name, known) ?? '', known: known.join(', ') });
}

function signatureOf(name: string): number | Fault {
  return cpuModel(name)?.signature ?? unknownCpuModel(name);
}

function kernelOf(options: ImageOptions): KernelFiles | undefined {
  const { kernel, initrd, append } = options;
  return kernel && { kernel, ...(initrd ? { initrd } : {}), ...(append !== undefined ? { append } : {}) };
}

function sizeFault(image: OvmfImage): Fault | undefined {
  return checkImageSize(image, recogniseFile(image.bytes));
}

/** Sections are checked when their turn comes, as the tool does. */
function unmeasurable(image: OvmfImage, index: number | undefined): Fault | undefined {
  const section = index === undefined ? undefined : image.sections?.[index];
  if (!section || index === undefined) return undefined;
  if (!isKnownSection(section.type)) {
    const operands = { path: image.path, index, type: hex(section.type), base: hex(section.base) };
    return makeFault(faults.IMAGE_SECTION_TYPE, operands);
  }
  // One page is measured for these two, whatever their size.
  if (section.type === SECTION_TYPE.SECRETS || section.type === SECTION_TYPE.CPUID) return undefined;
  return sectionFaults(image).find((fault) => fault.operands['index'] === index);
}
