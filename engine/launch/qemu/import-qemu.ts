import { cpuModel } from '../../spec/cpu-models.js';
import { type QemuObject, type QemuOption, readObject, readOptions } from './command-line.js';
import * as faults from './faults.js';
import { type KeyValue, parseKeyValues } from './keyval.js';
import { type Given, type ImportContext, keep, refuse } from './machine.js';
import { quoteShell, type ShellWord } from './shell-words.js';
import { readSnpObject } from './snp-object.js';
import { DEFAULT_CPU } from './to-manifest.js';
import { parseSize, parseSwitch, parseUnsigned } from './values.js';

/** What the options say, until all of them are read. */
interface QemuMachine {
  readonly context: ImportContext;
  readonly machine: Map<string, Given<string>>;
  readonly objects: Map<string, QemuObject>;
  readonly flash: Given<string>[];
  /** -m as it is written, for messages. */
  memory?: Given<number>;
}

const MIB = 2 ** 20;
/** QEMU hw/core/machine.c default_ram_size. */
const DEFAULT_MEMORY = 128 * MIB;

/** Reads a QEMU command line into the context; false if the text holds none. */
export function importQemu(context: ImportContext, text: string): boolean {
  const options = readOptions(context, text);
  if (!options) return false;
  const qemu: QemuMachine = { context, machine: new Map(), objects: new Map(), flash: [] };
  for (const option of options) readOption(qemu, option);
  readMachine(qemu, options[0]?.word);
  return true;
}

function readOption(qemu: QemuMachine, option: QemuOption): void {
  const { context } = qemu;
  const { name, argument } = option;
  if (!argument) {
    if (name !== 'enable-kvm') keepOption(context, option);
    return;
  }
  const given: Given<string> = { value: argument.text, range: argument.range };
  switch (name) {
    case 'machine':
    case 'M':
      for (const { key, value, valueRange } of parseKeyValues(argument, 'type'))
        qemu.machine.set(key, { value, range: valueRange });
      return;
    case 'accel':
      if (!/^kvm(,|$)/.test(argument.text)) keepOption(context, option);
      return;
    case 'object':
      addObject(qemu, option, readObject(context, argument));
      return;
    case 'cpu':
      readCpu(context, argument);
      return;
    case 'smp':
      readSmp(context, argument);
      return;
    case 'm':
      readMemory(qemu, argument);
      return;
    case 'bios':
      context.machine.firmware = given;
      return;
    case 'kernel':
      context.machine.kernel = given;
      return;
    case 'initrd':
      context.machine.initrd = given;
      return;
    case 'append':
      context.machine.append = given;
      return;
    case 'pflash':
      keepOption(context, option);
      qemu.flash.push(given);
      return;
    case 'drive':
      readDrive(qemu, option, argument);
      return;
    default:
      keepOption(context, option);
  }
}

function keepOption(context: ImportContext, { name, argument }: QemuOption): void {
  keep(context, `-${name}${argument ? ` ${quoteShell(argument.text)}` : ''}`);
}

function addObject(qemu: QemuMachine, option: QemuOption, object: QemuObject | undefined): void {
  if (!object) return;
  if (qemu.objects.has(object.id)) {
    const text = `Duplicate ID '${object.id}' for object`;
    refuse(qemu.context, faults.QEMU_PARAMETER, { option: '-object', text }, object.range);
    return;
  }
  qemu.objects.set(object.id, object);
  if (!/^(sev-|tdx-|igvm-cfg$|memory-backend-)/.test(object.type)) keepOption(qemu.context, option);
}

/** QEMU takes features behind the model; they are not a part of the measurement. */
function readCpu(context: ImportContext, argument: ShellWord): void {
  const [model = '', ...features] = argument.text.split(',');
  const { range } = argument;
  if (features.length > 0) {
    keep(context, `-cpu ${quoteShell(argument.text)}`);
    refuse(context, faults.QEMU_CPU_FEATURES, { features: features.join(',') }, range);
  }
  if (['host', 'max', 'base'].includes(model)) {
    if (features.length === 0) keep(context, `-cpu ${model}`);
    refuse(
      context,
      faults.QEMU_CPU_HOST,
      { given: `The CPU model ${model} is that of the host`, taken: DEFAULT_CPU },
      range,
    );
    context.machine.cpu = { value: DEFAULT_CPU, range };
    return;
  }
  if (!cpuModel(model)) {
    const text = `unable to find CPU model '${model}'`;
    refuse(context, faults.QEMU_PARAMETER, { option: '-cpu', text }, range);
    return;
  }
  context.machine.cpu = { value: model, range };
}

/** QEMU hw/core/machine-smp.c machine_parse_smp_config(). */
function readSmp(context: ImportContext, argument: ShellWord): undefined {
  const numbers = new Map<string, number>();
  const wrong = (text: string): undefined =>
    refuse(context, faults.QEMU_PARAMETER, { option: '-smp', text }, argument.range);
  for (const { key, value } of parseKeyValues(argument, 'cpus')) {
    const number = parseUnsigned(value);
    if (!SMP_KEYS.includes(key)) return wrong(`Invalid parameter '${key}'`);
    if (number === undefined || number > 0xffff_ffffn) return wrong(`Parameter '${key}' expects a number`);
    numbers.set(key, Number(number));
  }
  const product = ['sockets', 'dies', 'clusters', 'modules', 'cores', 'threads', 'drawers', 'books'].reduce(
    (all, key) => all * Math.max(1, numbers.get(key) ?? 1),
    1,
  );
  const max = numbers.get('maxcpus');
  const cpus = numbers.get('cpus') ?? max ?? product;
  if (max !== undefined && max < cpus)
    return wrong(
      `Invalid CPU topology: maxcpus must be equal to or greater than smp: maxcpus (${max}) < smp_cpus (${cpus})`,
    );
  if (cpus === 0) return wrong('Invalid CPU topology: CPU topology parameters must be greater than zero');
  if ([...numbers.keys()].some((key) => key !== 'cpus')) keep(context, `-smp ${argument.text}`);
  context.machine.vcpus = { value: cpus, range: argument.range };
}

const SMP_KEYS: readonly string[] = 'cpus sockets dies clusters modules cores threads maxcpus drawers books'.split(' ');

function readMemory(qemu: QemuMachine, argument: ShellWord): void {
  const { context } = qemu;
  const pairs = parseKeyValues(argument, 'size');
  const size = pairs.filter(({ key }) => key === 'size').at(-1);
  if (pairs.some(({ key }) => key !== 'size')) keep(context, `-m ${argument.text}`);
  if (!size) return;
  const value = parseSize(size.value, 'M');
  if (value === undefined) {
    const text = "Parameter 'size' expects a non-negative number below 2^64";
    refuse(context, faults.QEMU_PARAMETER, { option: `-m ${argument.text}`, text }, argument.range);
  } else qemu.memory = { value: value === 0 ? DEFAULT_MEMORY : value, range: size.valueRange };
}

function readDrive(qemu: QemuMachine, option: QemuOption, argument: ShellWord): void {
  const pairs = parseKeyValues(argument);
  const value = (key: string): KeyValue | undefined => pairs.filter((pair) => pair.key === key).at(-1);
  const file = value('file');
  keepOption(qemu.context, option);
  if (value('if')?.value !== 'pflash' || !file) return;
  const unit = Number(value('unit')?.value ?? value('index')?.value ?? qemu.flash.length);
  const given = { value: file.value, range: file.valueRange };
  if (unit === 0) qemu.flash.unshift(given);
  else qemu.flash.push(given);
}

/** What depends on several options, in the order in which QEMU gets to it. */
function readMachine(qemu: QemuMachine, first: ShellWord | undefined): void {
  const { context, machine } = qemu;
  const start = first?.range ?? { start: 0, end: 0 };
  keepMachine(qemu);
  readGuest(qemu, start);
  readBackend(qemu);
  const { smm, irqchip } = { smm: machine.get('smm'), irqchip: machine.get('kernel-irqchip') };
  if (irqchip && parseSwitch(irqchip.value) === false) refuse(context, faults.SNP_IRQCHIP, {}, irqchip.range);
  if (smm && parseSwitch(smm.value)) refuse(context, faults.SNP_SMM, {}, smm.range);
  readFirmware(qemu, start);
  const { kernel, initrd, append, kernelHashes, cpu } = context.machine;
  for (const [name, given] of [['-initrd', initrd] as const, ['-append', append] as const]) {
    if (!given || kernel) continue;
    const text = `${name} only allowed with -kernel option`;
    refuse(context, faults.QEMU_PARAMETER, { option: 'qemu-system-x86_64', text }, given.range);
  }
  if (kernelHashes?.value && !kernel) refuse(context, faults.SNP_HASHES_WITHOUT_KERNEL, {}, kernelHashes.range);
  if (!cpu) {
    const given = 'Without -cpu QEMU takes qemu64, a model without SNP';
    refuse(context, faults.QEMU_CPU_HOST, { given, taken: DEFAULT_CPU }, start);
  }
}

const KNOWN_MACHINE = new Set(
  'type confidential-guest-support memory-encryption memory-backend smm kernel-irqchip igvm-cfg accel'.split(' '),
);

function keepMachine({ context, machine }: QemuMachine): void {
  const type = machine.get('type')?.value;
  if (type !== undefined && !/^(q35|pc-q35-[\w.]+)$/.test(type)) keep(context, `-machine ${type}`);
  for (const [key, { value }] of machine) if (!KNOWN_MACHINE.has(key)) keep(context, `-machine ${key}=${value}`);
}

function readGuest({ context, machine, objects }: QemuMachine, start: ShellWord['range']): void {
  const support = machine.get('confidential-guest-support') ?? machine.get('memory-encryption');
  const candidates = [...objects.values()].filter(({ type }) => type === 'sev-snp-guest');
  const object = support ? objects.get(support.value) : candidates[0];
  const place = support?.range ?? candidates[0]?.range ?? start;
  if (!support) {
    const text = candidates[0]
      ? `no machine option names the object ${candidates[0].id}`
      : 'it has neither confidential-guest-support nor an object sev-snp-guest';
    refuse(context, faults.QEMU_NOT_SNP, { text }, place);
  } else if (!object) {
    refuse(context, faults.QEMU_PARAMETER, { option: '-machine', text: `Device '${support.value}' not found` }, place);
  } else if (object.type !== 'sev-snp-guest') {
    refuse(context, faults.QEMU_NOT_SNP, { text: `${object.id} is an object of type ${object.type}` }, object.range);
  }
  if (object?.type === 'sev-snp-guest') readSnpObject(context, object);
  for (const other of objects.values()) {
    if (other !== object && /^(sev|tdx)-/.test(other.type)) keep(context, `-object ${other.type},id=${other.id}`);
  }
}

/** QEMU hw/core/machine.c machine_run_board_init(): without -m the backend is as large as the memory. */
function readBackend(qemu: QemuMachine): void {
  const { context, machine, objects, memory } = qemu;
  const named = machine.get('memory-backend');
  const backend = named && objects.get(named.value);
  if (named && !backend) {
    const text = `Memory backend '${named.value}' not found`;
    refuse(context, faults.QEMU_PARAMETER, { option: '-machine', text }, named.range);
  }
  for (const object of objects.values()) {
    if (object.type.startsWith('memory-backend-') && object !== backend)
      keep(context, `-object ${object.type},id=${object.id}`);
  }
  const size = backend?.properties.get('size');
  const value = size && parseSize(size.value, 'B');
  if (backend && value === undefined) {
    const text = size ? "Parameter 'size' expects a size" : "Parameter 'size' is missing";
    refuse(context, faults.QEMU_PARAMETER, { option: `-object ${backend.type}`, text }, size?.range ?? backend.range);
  }
  if (size && value !== undefined && memory && memory.value !== value) {
    const operands = { memory: `${memory.value} bytes`, backend: `${value} bytes` };
    refuse(context, faults.QEMU_MEMORY_SIZE, operands, memory.range);
  }
  if (size && value !== undefined) context.machine.memory = { value, range: size.range };
  else context.machine.memory = memory ?? { value: DEFAULT_MEMORY, range: { start: 0, end: 0 } };
}

function readFirmware({ context, machine, objects, flash }: QemuMachine, start: ShellWord['range']): void {
  const config = machine.get('igvm-cfg');
  const igvm = config && objects.get(config.value);
  const file = igvm?.type === 'igvm-cfg' ? igvm.properties.get('file') : undefined;
  if (config && !file) {
    const text = igvm ? "Parameter 'file' is missing" : `Device '${config.value}' not found`;
    refuse(context, faults.QEMU_PARAMETER, { option: '-machine', text }, config.range);
  }
  if (file) context.machine.igvm = file;
  for (const object of objects.values())
    if (object.type === 'igvm-cfg' && object !== igvm) keep(context, `-object igvm-cfg,id=${object.id}`);
  const [code] = flash;
  const inFlash = machine.get('pflash0');
  if (context.machine.firmware || file) {
    for (const { value, range } of flash) {
      const effect = 'the variable store below the image is not a part of the measurement, and the guest finds none';
      refuse(context, faults.QEMU_NOT_EMULATED, { option: `if=pflash,file=${value}`, effect }, range);
    }
    return;
  }
  const only = code ?? inFlash;
  if (only) {
    refuse(context, faults.SNP_PFLASH_ONLY, { file: only.value }, only.range);
    if (code) context.machine.firmware = code;
  } else refuse(context, faults.SNP_NO_FIRMWARE, {}, start);
}
