import { hex } from '../../address.js';
import { type Fault, faultAt, makeFault, type TextRange } from '../../fault.js';
import { type KernelFiles, kernelHashPage } from '../kernel-hashes.js';
import type { UpdateTree } from '../manifest/tree.js';
import { noResetBlock } from '../measure-image.js';
import * as image from '../ovmf/faults.js';
import { checkImageSize, type OvmfImage, parseOvmf } from '../ovmf/image.js';
import { recogniseFile } from '../ovmf/recognise.js';
import { firmwareUpdates, hashTableOffset, isKnownSection, sectionFaults } from '../ovmf/updates.js';
import type { PlanFirmware, PlanUpdate, VmmName } from '../plan.js';
import { locate, type ResolveContext, readFile, refuse } from './context.js';
import { MANIFEST_NO_FIRMWARE_FOUND } from './faults.js';

type FirmwareTree = Extract<UpdateTree, { kind: 'firmware' }>;

export interface ResolvedFirmware {
  readonly firmware: PlanFirmware;
  readonly updates: readonly Omit<PlanUpdate, 'entry'>[];
}

const BIOS_ALIGNMENT = 0x1_0000;

/** The image, its metadata sections and the kernel-hashes page, in the VMM's order. */
export function resolveFirmware(
  context: ResolveContext,
  tree: FirmwareTree,
  vm: { readonly vmm: VmmName },
  cpuidPage: () => Uint8Array,
): ResolvedFirmware | undefined {
  const { range } = tree.path;
  const path = tree.path.value === 'auto' ? findFirmware(context, range) : tree.path.value;
  const kernel = kernelOf(context, tree);
  const file = path === undefined ? undefined : readFile(context, path, range);
  if (!file) return undefined;

  const { image: ovmf, faults: malformed } = parseOvmf(file.bytes, file.path);
  const at = locate(context, range);
  for (const fault of [...malformed, ...imageFaults(ovmf, malformed.length > 0, vm)])
    context.faults.push(faultAt(fault, at));
  const hashed = tree.kernelHashes?.value ?? true;
  const hashPage = kernel && hashed ? hashPageOf(context, tree, ovmf, kernel) : undefined;

  const updates = firmwareUpdates(ovmf, vm.vmm, hashPage !== undefined).map((update) => {
    const { type, gpa, length, label } = update;
    const source =
      update.role === 'image'
        ? { path: file.path, bytes: file.bytes }
        : update.role === 'cpuid'
          ? { path: 'CPUID page', bytes: cpuidPage() }
          : update.role === 'hashes' && hashPage
            ? { path: 'kernel hashes', bytes: hashPage }
            : undefined;
    return { type, gpa, length, label, at, ...(source ? { source } : {}) };
  });
  const firmware: PlanFirmware = {
    path: file.path,
    bytes: file.bytes,
    base: ovmf.base,
    ...(ovmf.resetEip === undefined ? {} : { resetEip: ovmf.resetEip }),
    ...(kernel ? { kernel } : {}),
  };
  return { firmware, updates };
}

function findFirmware(context: ResolveContext, range: TextRange): string | undefined {
  const search = context.files.findFirmware();
  if (search.path !== undefined) return search.path;
  context.blocked = true;
  const tried = search.tried.map((t) => `${t.path} (${t.outcome})`).join('; ') || 'no place is known on this system';
  return refuse(context, MANIFEST_NO_FIRMWARE_FOUND, { tried }, range);
}

/** What an SNP launch needs from the image and does not find. `malformed`: its reason is already known. */
function imageFaults(ovmf: OvmfImage, malformed: boolean, vm: { readonly vmm: VmmName }): readonly Fault[] {
  const { path, bytes } = ovmf;
  const recognised = recogniseFile(bytes);
  const found: Fault[] = [];
  const size = checkImageSize(ovmf, recognised);
  if (size) found.push(size);
  else if (vm.vmm === 'qemu' && (bytes.length % BIOS_ALIGNMENT !== 0 || bytes.length === 0))
    found.push(makeFault(image.IMAGE_BIOS_SIZE, { path, length: hex(bytes.length) }));
  if (!ovmf.hasFooter) found.push(makeFault(image.IMAGE_NO_FOOTER, { path, recognised }));
  else if (!malformed) {
    if (!ovmf.sections) found.push(makeFault(image.IMAGE_NO_METADATA, { path, recognised }));
    // QEMU demands it for a single vCPU, too.
    if (ovmf.resetEip === undefined) found.push(noResetBlock(ovmf));
  }
  found.push(...sectionFaults(ovmf));
  (ovmf.sections ?? []).forEach((section, index) => {
    if (isKnownSection(section.type)) return;
    const operands = { path, index, type: hex(section.type), base: hex(section.base) };
    found.push(makeFault(image.IMAGE_SECTION_TYPE_ZERO, operands));
  });
  return found;
}

function kernelOf(context: ResolveContext, tree: FirmwareTree): KernelFiles | undefined {
  const { kernel, initrd, append } = tree;
  if (!kernel) {
    const given = [...(initrd ? ['initrd'] : []), ...(append ? ['append'] : [])].join(' and ');
    const place = initrd ?? append;
    if (place) refuse(context, image.IMAGE_KERNEL_MISSING, { given }, place.key ?? place.range);
    return undefined;
  }
  const kernelFile = readFile(context, kernel.value, kernel.range);
  const initrdFile = initrd && readFile(context, initrd.value, initrd.range);
  if (!kernelFile || (initrd && !initrdFile)) return undefined;
  return {
    kernel: kernelFile.bytes,
    ...(initrdFile ? { initrd: initrdFile.bytes } : {}),
    ...(append ? { append: append.value } : {}),
  };
}

const pages = new WeakMap<
  Uint8Array,
  { readonly key: string; readonly initrd?: Uint8Array; readonly page: Uint8Array }
>();

function hashPageOf(
  context: ResolveContext,
  tree: FirmwareTree,
  ovmf: OvmfImage,
  kernel: KernelFiles,
): Uint8Array | undefined {
  const offset = hashTableOffset(ovmf);
  if (!offset.ok) {
    context.faults.push(faultAt(offset.fault, locate(context, tree.kernel?.key ?? tree.path.range)));
    return undefined;
  }
  // The same page object for the same kernel, so that its digest is remembered.
  const key = `${offset.value} ${kernel.append ?? ''}`;
  const known = pages.get(kernel.kernel);
  if (known && known.key === key && known.initrd === kernel.initrd) return known.page;
  const page = kernelHashPage(kernel, offset.value, context.crypto);
  pages.set(kernel.kernel, { key, page, ...(kernel.initrd ? { initrd: kernel.initrd } : {}) });
  return page;
}
