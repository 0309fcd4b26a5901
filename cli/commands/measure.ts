import { toHex } from '../../engine/bytes.js';
import type { Fault } from '../../engine/fault.js';
import { nearest } from '../../engine/launch/grammar/suggest.js';
import { parseManifest } from '../../engine/launch/manifest/parse.js';
import { type ImageOptions, imageWarnings, measureImage, measurePlan } from '../../engine/launch/measure.js';
import { VMM_NAMES, type VmmName } from '../../engine/launch/plan.js';
import { resolvePlan } from '../../engine/launch/resolve.js';
import { CPU_MODELS, cpuModel, cpuSignature } from '../../engine/spec/cpu-models.js';
import { createFileSource } from '../../platform/file-source.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { autoFirmware } from '../auto-firmware.js';
import { displayPath } from '../document.js';
import type { ExitStatus } from '../exit-status.js';
import { readLaunch } from '../launch-document.js';
import type { Output } from '../output.js';
import { faultText } from '../report/text.js';
import { createSources } from '../sources.js';
import { parseCommand, parseCount, parseInteger, UsageError } from '../usage.js';

export const measureHelp = `Usage: sev-snp measure FILE
       sev-snp measure --ovmf FILE [--vcpus N] [--vcpu-type TYPE] [--guest-features MASK] [--vmm-type VMM]
                       [--kernel FILE [--initrd FILE] [--append TEXT]]

Prints the launch digest of FILE, which is a manifest, a file with a QEMU command line, or a libvirt domain
description, or of an OVMF image with the flags of sev-snp-measure: 96 hex digits and nothing else. What is wrong or
doubtful goes to standard error; that is also where a digest that differs from expect.digest of the manifest is
reported, as a warning. To fail on it, use lint or launch.

Options:
  --ovmf FILE            firmware image
  --vcpus N              number of vCPUs, 1 by default; each one's VMSA is measured
  --vcpu-type TYPE       QEMU's CPU model, EPYC-Milan-v2 by default: its signature is in the VMSA
  --vcpu-sig VALUE       CPUID signature instead of a model; or its parts:
  --vcpu-family N, --vcpu-model N, --vcpu-stepping N
  --guest-features MASK  SEV_FEATURES of the VMSA, 0x1 by default; 0x21 for kernels that enable DebugSwap
  --vmm-type VMM         QEMU (default), ec2 or gce: they set up the VMSA in different ways
  --kernel FILE          kernel whose hash goes into the kernel-hashes page
  --initrd FILE          its initial ramdisk
  --append TEXT          its command line
  --mode snp             accepted for compatibility; there is no other mode
  -h, --help             show this help

Exit status: 0 the digest was printed (whatever the manifest expects), 1 the input is wrong, 2 wrong usage.
`;

const DEFAULT_CPU = 'EPYC-Milan-v2';

const IMAGE_OPTIONS = [
  'ovmf',
  'vcpus',
  'vcpu-type',
  'vcpu-sig',
  'vcpu-family',
  'vcpu-model',
  'vcpu-stepping',
  'guest-features',
  'vmm-type',
  'kernel',
  'initrd',
  'append',
  'mode',
] as const;

type ImageValues = { readonly [name in (typeof IMAGE_OPTIONS)[number]]?: string };

export function measure(args: readonly string[], output: Output): ExitStatus {
  const { values, positionals } = parseCommand('measure', args, {
    ovmf: { type: 'string' },
    vcpus: { type: 'string' },
    'vcpu-type': { type: 'string' },
    'vcpu-sig': { type: 'string' },
    'vcpu-family': { type: 'string' },
    'vcpu-model': { type: 'string' },
    'vcpu-stepping': { type: 'string' },
    'guest-features': { type: 'string' },
    'vmm-type': { type: 'string' },
    kernel: { type: 'string' },
    initrd: { type: 'string' },
    append: { type: 'string' },
    mode: { type: 'string' },
  });
  const flags: ImageValues = values;
  const [manifest, extra] = positionals;
  if (extra !== undefined) throw new UsageError(`one manifest at a time: '${extra}' is too much`, 'measure');
  if (manifest !== undefined) {
    const flag = IMAGE_OPTIONS.find((name) => flags[name] !== undefined);
    if (flag) throw new UsageError(`--${flag} does not go with a manifest, which says it itself`, 'measure');
    return measureManifest(manifest, output);
  }
  if (flags.ovmf === undefined) throw new UsageError('give a manifest or --ovmf FILE', 'measure');
  return measureFlags(flags.ovmf, flags, output);
}

function measureManifest(name: string, output: Output): ExitStatus {
  const files = createFileSource();
  const document = readLaunch(name, files);
  if (!document.ok) {
    output.err(`sev-snp: ${displayPath(document.path)} ${document.message}\n`);
    return 1;
  }
  const sources = createSources(files, [document]);
  const report = (fault: Fault): void => output.err(`${faultText(fault, sources)}\n`);
  const parsed = parseManifest(document.manifest, document.path);
  const { plan, faults } = resolvePlan(parsed, files, nativeCrypto);
  const found = [...document.faults, ...[...parsed.problems, ...faults].map(document.place)];
  for (const fault of found) report(fault);
  // A digest of something else than what is meant would be worse than none.
  if (!plan || found.some((fault) => fault.severity === 'error')) return 1;
  const measured = measurePlan(plan, nativeCrypto);
  if (!measured.ok) {
    report(document.place(measured.fault));
    return 1;
  }
  const image = autoFirmware(parsed, plan);
  if (image !== undefined) output.err(`sev-snp: note: firmware: auto is ${image}\n`);
  const digest = toHex(measured.value.digest);
  const expected = plan.expect.digest && toHex(plan.expect.digest);
  if (expected !== undefined && expected !== digest) {
    output.err(`sev-snp: warning: expect.digest of the manifest is another one: ${expected}\n`);
  }
  output.out(`${digest}\n`);
  return 0;
}

function measureFlags(ovmf: string, flags: ImageValues, output: Output): ExitStatus {
  if (flags.mode !== undefined && flags.mode !== 'snp') {
    throw new UsageError(`--mode ${flags.mode} is not supported: only snp is measured`, 'measure');
  }
  const vcpus = flags.vcpus === undefined ? 1 : parseCount(flags.vcpus, '--vcpus', 'measure', 4096);
  if (vcpus === 0) throw new UsageError('--vcpus wants at least 1', 'measure');
  const guestFeatures = parseMask(flags['guest-features'] ?? '0x1');
  const vmmType = parseVmm(flags['vmm-type'] ?? 'qemu');
  const cpu = parseCpu(flags, vmmType, output);
  const { kernel, initrd, append } = flags;

  const files = createFileSource();
  const load = (path: string | undefined): Uint8Array | undefined | 'failed' => {
    if (path === undefined) return undefined;
    const read = files.read(path, `${process.cwd()}/-`);
    if (read.ok) return read.file.bytes;
    output.err(`sev-snp: ${path} cannot be read: ${read.detail}\n`);
    return 'failed';
  };
  const ovmfBytes = load(ovmf);
  const kernelBytes = load(kernel);
  const initrdBytes = load(initrd);
  if (ovmfBytes === undefined || ovmfBytes === 'failed') return 1;
  if (kernelBytes === 'failed' || initrdBytes === 'failed') return 1;

  const options: ImageOptions = {
    ovmf: ovmfBytes,
    ovmfPath: ovmf,
    vcpus,
    ...cpu,
    guestFeatures,
    vmmType,
    kernel: kernelBytes,
    initrd: initrdBytes,
    append,
  };
  const report = (fault: Fault): void => output.err(`${faultText(fault, () => undefined)}\n`);
  const measured = measureImage(options, nativeCrypto);
  if (!measured.ok) {
    report(measured.fault);
    return 1;
  }
  for (const warning of imageWarnings(options)) report(warning);
  output.out(`${toHex(measured.value)}\n`);
  return 0;
}

function parseMask(text: string): bigint {
  const value = parseInteger(text);
  if (value === undefined || value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new UsageError(`--guest-features wants a number of 64 bits, not '${text}'`, 'measure');
  }
  return value;
}

function parseVmm(text: string): VmmName {
  const vmm = VMM_NAMES.find((name) => name === text.toLowerCase());
  if (!vmm) throw new UsageError(`--vmm-type wants QEMU, ec2 or gce, not '${text}'`, 'measure');
  return vmm;
}

/** The signature itself, its parts, or the model that has it: one of them. */
function parseCpu(flags: ImageValues, vmm: VmmName, output: Output): Pick<ImageOptions, 'vcpuType' | 'signature'> {
  const type = flags['vcpu-type'];
  const signature = flags['vcpu-sig'];
  const parts = [flags['vcpu-family'], flags['vcpu-model'], flags['vcpu-stepping']] as const;
  const ways = [type, signature, parts.find((part) => part !== undefined)].filter((way) => way !== undefined);
  if (ways.length > 1) {
    throw new UsageError('give one of --vcpu-type, --vcpu-sig, and --vcpu-family with model and stepping', 'measure');
  }
  if (signature !== undefined) return { signature: parseCount(signature, '--vcpu-sig', 'measure', 0xffff_ffff) };
  if (parts.some((part) => part !== undefined)) {
    const [family, model, stepping] = parts.map((part, i) => {
      const option = ['--vcpu-family', '--vcpu-model', '--vcpu-stepping'][i] ?? '';
      if (part === undefined) throw new UsageError(`${option} is missing`, 'measure');
      return parseCount(part, option, 'measure', [0x10e, 0xff, 0xf][i] ?? 0);
    });
    return { signature: cpuSignature(family ?? 0, model ?? 0, stepping ?? 0) };
  }
  if (type === undefined) {
    // EC2 and GCE put no signature into the VMSA.
    if (vmm === 'qemu') output.err(`sev-snp: note: --vcpu-type is not given, ${DEFAULT_CPU} is taken\n`);
    return { vcpuType: DEFAULT_CPU };
  }
  if (cpuModel(type)) return { vcpuType: type };
  const names = CPU_MODELS.map((model) => model.name);
  const meant = nearest(type, names);
  throw new UsageError(
    `there is no CPU model '${type}'${meant ? `; did you mean ${meant}?` : '.'} Known are ${names.join(', ')}`,
    'measure',
  );
}
