import { fromBase64 } from '../../base64.js';
import { cpuModel } from '../../spec/cpu-models.js';
import * as faults from './faults.js';
import { type Given, type ImportContext, keep, refuse } from './machine.js';
import { DEFAULT_CPU } from './to-manifest.js';
import { attribute, childOf, textOf, type XmlElement, type XmlParser } from './xml.js';

/** Sizes of libvirt’s unit attribute; KiB without one. libvirt src/util/virutil.c virScaleInteger(). */
const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1000,
  k: 1024,
  K: 1024,
  KiB: 1024,
  MB: 1e6,
  M: 2 ** 20,
  MiB: 2 ** 20,
  GB: 1e9,
  G: 2 ** 30,
  GiB: 2 ** 30,
  TB: 1e12,
  T: 2 ** 40,
  TiB: 2 ** 40,
};

/** Elements of a domain that are read here; the others change nothing of the launch. */
const READ = new Set(['memory', 'currentMemory', 'vcpu', 'os', 'cpu', 'launchSecurity', 'name', 'uuid']);

export function looksLikeDomain(text: string): boolean {
  return /^\s*(<\?xml[^>]*\?>\s*)?(<!--[\s\S]*?-->\s*|<!DOCTYPE[^>]*>\s*)*<[A-Za-z]/.test(text.replace(/^\ufeff/, ''));
}

/** Reads a libvirt domain description. libvirt, domain XML format; src/conf/domain_conf.c. */
export function importLibvirt(context: ImportContext, text: string, parseXml: XmlParser): void {
  const parsed = parseXml(text);
  if (parsed.problem) {
    refuse(context, faults.LIBVIRT_XML, { problem: parsed.problem.text }, parsed.problem.range);
    return;
  }
  const root = parsed.root;
  const domain = root?.name === 'domain' ? root : childOf(root, 'domain');
  if (!domain) {
    const range = root?.range ?? { start: 0, end: Math.min(text.length, 1) };
    refuse(context, faults.LIBVIRT_NOT_SNP, { problem: 'the root element is not `domain`' }, range);
    return;
  }
  readMemory(context, childOf(domain, 'memory'));
  readVcpus(context, childOf(domain, 'vcpu'));
  readCpu(context, childOf(domain, 'cpu'), domain);
  readOs(context, childOf(domain, 'os'), domain);
  readSecurity(context, childOf(domain, 'launchSecurity'), domain);
  for (const { name } of domain.children) if (!READ.has(name)) keep(context, `<${name}>`);
}

function readMemory(context: ImportContext, memory: XmlElement | undefined): void {
  if (!memory) return;
  const unit = attribute(memory, 'unit')?.value ?? 'KiB';
  const { value, range } = textOf(memory);
  const size = Number(value) * (UNITS[unit] ?? Number.NaN);
  if (/^\d+$/.test(value) && Number.isSafeInteger(size)) context.machine.memory = { value: size, range };
  else wrong(context, 'memory', { value: `${value} ${unit}`, range }, 'a whole number with a unit');
}

/** The vCPUs with which the domain starts: only they are measured. */
function readVcpus(context: ImportContext, vcpu: XmlElement | undefined): void {
  if (!vcpu) return;
  const current = attribute(vcpu, 'current');
  const given = current ?? textOf(vcpu);
  if (current) keep(context, `<vcpu>${textOf(vcpu).value}</vcpu>`);
  const value = Number(given.value);
  if (/^\d+$/.test(given.value) && value > 0 && value <= 0xffff) context.machine.vcpus = { value, range: given.range };
  else wrong(context, 'vcpu', given, 'a number of vCPUs');
}

function readCpu(context: ImportContext, cpu: XmlElement | undefined, domain: XmlElement): void {
  const model = childOf(cpu, 'model');
  const given = model && textOf(model);
  const mode = cpu && attribute(cpu, 'mode')?.value;
  for (const { name } of cpu?.children ?? []) if (name !== 'model') keep(context, `<cpu><${name}>`);
  if (given && (mode === undefined || mode === 'custom')) {
    if (cpuModel(given.value)) context.machine.cpu = given;
    else wrong(context, 'cpu model', given, 'a CPU model of QEMU for EPYC processors');
    return;
  }
  const text = cpu ? `The CPU mode ${mode ?? 'without a model'} depends on the host` : 'The domain names no CPU model';
  refuse(context, faults.QEMU_CPU_HOST, { given: text, taken: DEFAULT_CPU }, (cpu ?? domain).range);
}

function readOs(context: ImportContext, os: XmlElement | undefined, domain: XmlElement): void {
  const { machine } = context;
  const loader = childOf(os, 'loader');
  const path = loader && textOf(loader);
  for (const name of ['kernel', 'initrd'] as const) {
    const element = childOf(os, name);
    if (element) machine[name] = textOf(element);
  }
  const cmdline = childOf(os, 'cmdline');
  if (cmdline) machine.append = textOf(cmdline);
  for (const { name } of os?.children ?? []) {
    if (!['loader', 'kernel', 'initrd', 'cmdline', 'type'].includes(name)) keep(context, `<os><${name}>`);
  }
  if (path && path.value !== '') {
    machine.firmware = path;
    if (loader && attribute(loader, 'type')?.value === 'pflash')
      refuse(context, faults.SNP_PFLASH_ONLY, { file: path.value }, path.range);
  } else if (!os || !attribute(os, 'firmware')) refuse(context, faults.SNP_NO_FIRMWARE, {}, (os ?? domain).range);
}

const LENGTHS = { guestVisibleWorkarounds: 16, idBlock: 96, idAuth: 4096, hostData: 32 } as const;
const FIELDS = {
  guestVisibleWorkarounds: 'gosvw',
  idBlock: 'idBlock',
  idAuth: 'idAuth',
  hostData: 'hostData',
} as const;

function readSecurity(context: ImportContext, security: XmlElement | undefined, domain: XmlElement): void {
  if (!security) {
    refuse(context, faults.LIBVIRT_NOT_SNP, { problem: 'it has no element launchSecurity' }, domain.range);
    return;
  }
  const type = attribute(security, 'type');
  if (type?.value !== 'sev-snp') {
    const problem = `its launchSecurity is of type ${type?.value ?? '(none)'}`;
    refuse(context, faults.LIBVIRT_NOT_SNP, { problem }, type?.range ?? security.range);
    return;
  }
  const { machine } = context;
  const hashes = yesNo(context, security, 'kernelHashes');
  if (hashes) machine.kernelHashes = hashes;
  const author = yesNo(context, security, 'authorKey');
  if (author) machine.authorKey = author;
  const vcek = yesNo(context, security, 'vcek');
  if (vcek) machine.vcekDisabled = { value: !vcek.value, range: vcek.range };
  if (machine.kernelHashes?.value && !machine.kernel)
    refuse(context, faults.SNP_HASHES_WITHOUT_KERNEL, {}, machine.kernelHashes.range);
  readPolicy(context, security);
  for (const [name, field] of [
    ['cbitpos', 'cbitpos'],
    ['reducedPhysBits', 'reducedPhysBits'],
  ] as const) {
    const element = childOf(security, name);
    if (!element) continue;
    const given = textOf(element);
    const value = Number(given.value);
    if (/^\d+$/.test(given.value) && value <= 0xffff_ffff) machine[field] = { value, range: given.range };
    else wrong(context, name, given, 'an unsigned number');
  }
  for (const name of Object.keys(LENGTHS) as (keyof typeof LENGTHS)[]) {
    const element = childOf(security, name);
    if (!element) continue;
    const given = textOf(element);
    const bytes = fromBase64(given.value.replace(/\s/g, ''));
    if (bytes?.length === LENGTHS[name]) machine[FIELDS[name]] = { value: bytes, range: given.range };
    else wrong(context, name, given, `base64 of ${LENGTHS[name]} bytes`);
  }
  const known = new Set<string>(['cbitpos', 'reducedPhysBits', 'policy', ...Object.keys(LENGTHS)]);
  for (const { name, range } of security.children)
    if (!known.has(name)) wrong(context, 'launchSecurity', { value: `<${name}>`, range }, 'without this element');
}

/** Required; hexadecimal with or without 0x. */
function readPolicy(context: ImportContext, security: XmlElement): void {
  const element = childOf(security, 'policy');
  if (!element) {
    wrong(context, 'policy', { value: '', range: security.range }, 'given: launch security sev-snp needs a policy');
    return;
  }
  const { value, range } = textOf(element);
  const digits = value.replace(/^0x/i, '');
  if (/^[0-9a-f]{1,16}$/i.test(digits)) context.machine.policy = { value: BigInt(`0x${digits}`), range };
  else wrong(context, 'policy', { value, range }, 'a hexadecimal number of 64 bits');
}

function yesNo(context: ImportContext, element: XmlElement, name: string): Given<boolean> | undefined {
  const given = attribute(element, name);
  if (!given) return undefined;
  if (given.value === 'yes' || given.value === 'no') return { value: given.value === 'yes', range: given.range };
  return wrong(context, name, given, '`yes` or `no`');
}

function wrong(context: ImportContext, element: string, given: Given<string>, expected: string): undefined {
  const value = given.value.length <= 60 ? given.value : `${given.value.slice(0, 60)}…`;
  return refuse(context, faults.LIBVIRT_VALUE, { element, value, expected }, given.range);
}
