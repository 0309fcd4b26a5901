import { hex } from '../../engine/address.js';
import { firmwarePolicyFaults } from '../../engine/asp/policy-checks.js';
import { type Fault, faultDefinitions } from '../../engine/fault.js';
import { kvmPolicyFaults } from '../../engine/kvm/policy-checks.js';
import { nearest } from '../../engine/launch/grammar/suggest.js';
import { describePolicy } from '../../engine/launch/policy/fields.js';
import { ERRNO, type ErrnoName, errnoName } from '../../engine/spec/errno.js';
import { decodeExitCode, type ExitClass } from '../../engine/spec/exit-code.js';
import {
  FIRMWARE_STATUS,
  type FirmwareStatusName,
  firmwareStatusName,
  SEV_RET_NO_FW_CALL,
} from '../../engine/spec/firmware-status.js';
import { FIRMWARE_STATUS_TEXT } from '../../engine/spec/firmware-status-text.js';
import { decodeGhcbMsr } from '../../engine/spec/ghcb-msr.js';
import { KVM_EXIT_REASONS } from '../../engine/spec/kvm-exit-reason.js';
import { decodeNpfError } from '../../engine/spec/npf-error.js';
import { firmwareProfile, KVM_PROFILES, KVM_RELEASES, PROCESSOR_PROFILES } from '../../engine/spec/versions.js';
// For their checks, which are listed below the codes that they return.
import '../../engine/vmm/launch.js';
import type { ExitStatus } from '../exit-status.js';
import type { Output } from '../output.js';
import { parseCommand, parseInteger, UsageError } from '../usage.js';

export const explainHelp = `Usage: sev-snp explain KIND VALUE

Decodes a number from a log. KIND is one of:
  policy    guest policy, bit by bit, and who accepts it     sev-snp explain policy 0x30000
  fw-error  status of an SNP firmware command (fw_error=…)   sev-snp explain fw-error 22
  errno     error of a KVM ioctl (ret=…)                     sev-snp explain errno -22
  ghcb-msr  value of the GHCB MSR                            sev-snp explain ghcb-msr 0x1100
  npf       EXITINFO1 of a nested page fault                 sev-snp explain npf 0x500000004
  exit      SVM exit code, #VC error code, GHCB event, or    sev-snp explain exit 0x403
            exit reason of KVM_RUN

VALUE is decimal or 0x hex; fw-error and errno take names too (INVALID_PARAM, EINVAL).

Options:
  -h, --help  show this help

Exit status: 0 explained, 1 nothing defines this value, 2 wrong usage.
`;

/** Lines of the explanation, or undefined when nothing defines the value. */
type Explain = (text: string) => readonly string[] | undefined;

const KINDS: Readonly<Record<string, Explain>> = {
  policy: (text) => explainPolicy(unsigned64('policy', text)),
  'fw-error': explainFirmwareStatus,
  errno: explainErrno,
  'ghcb-msr': (text) => explainGhcbMsr(unsigned64('ghcb-msr', text)),
  npf: (text) => explainNpf(unsigned64('npf', text)),
  exit: (text) => explainExit(number('exit', text)),
};

export function explain(args: readonly string[], output: Output): ExitStatus {
  // A negative number is a value here, not an option.
  const valueAt = args.findIndex((arg) => /^-(\d|E[A-Z])/.test(arg));
  const guarded = valueAt < 0 || args.includes('--') ? args : [...args.slice(0, valueAt), '--', ...args.slice(valueAt)];
  const { positionals } = parseCommand('explain', guarded, {});
  const [kind, text, extra] = positionals;
  const names = Object.keys(KINDS).join(', ');
  if (kind === undefined) throw new UsageError(`say what the value is: ${names}`, 'explain');
  const decode = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  if (!decode) {
    const meant = nearest(kind, Object.keys(KINDS));
    throw new UsageError(`'${kind}' is none of ${names}${meant ? `; did you mean ${meant}?` : ''}`, 'explain');
  }
  if (text === undefined) throw new UsageError(`no value to explain as ${kind}`, 'explain');
  if (extra !== undefined) throw new UsageError(`one value at a time: '${extra}' is too much`, 'explain');
  const lines = decode(text);
  if (!lines) {
    output.err(`sev-snp: nothing defines ${text} as ${kind}${elsewhere(kind, text)}\n`);
    return 1;
  }
  output.out(`${lines.join('\n')}\n`);
  return 0;
}

/** Vendor codes of the GHCB MSR (debug output of Hyper-V, 0xf03) appear in logs without their kind. */
function elsewhere(kind: string, text: string): string {
  const value = parseInteger(text) ?? 0n;
  return kind === 'exit' && value >= 0xf00n && value <= 0xfffn ? `; as ghcb-msr it is in the vendor range` : '';
}

function number(kind: string, text: string): bigint {
  const value = parseInteger(text);
  if (value === undefined) throw new UsageError(`${kind} wants a number, not '${text}'`, 'explain');
  return value;
}

function unsigned64(kind: string, text: string): bigint {
  const value = number(kind, text);
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new UsageError(`${kind} wants a number of 64 bits, not '${text}'`, 'explain');
  }
  return value;
}

function explainPolicy(policy: bigint): string[] {
  const rows = describePolicy(policy).map((r) => [r.bits, r.name, r.value, r.meaning]);
  const processor = PROCESSOR_PROFILES.milan;
  const firmware = firmwareProfile(55);
  const groups: { who: string[]; readonly checks: string; faults: readonly Fault[] }[] = [];
  for (const release of KVM_RELEASES) {
    const faults = kvmPolicyFaults(policy, KVM_PROFILES[release], firmware);
    const checks = faults.map((fault) => fault.check).join(' ');
    const group = groups.find((g) => g.checks === checks);
    if (group) {
      group.who.push(release);
      group.faults = faults;
    } else groups.push({ who: [release], checks, faults });
  }
  return [
    `guest policy ${hex(policy)}`,
    ...table(rows),
    '',
    ...verdict(
      `SNP firmware of ABI ${firmware.major}.${firmware.minor} on ${processor.name}`,
      firmwarePolicyFaults(policy, firmware, processor),
    ),
    ...groups.flatMap(({ who, faults }) => verdict(`KVM ${who.join(', ')}`, faults)),
  ];
}

function verdict(who: string, faults: readonly Fault[]): string[] {
  if (faults.length === 0) return [`${who}: accepted`];
  return [`${who}: refused`, ...faults.map((f) => `  ${f.message} [${f.check}]\n    to fix: ${f.hint}`)];
}

function explainFirmwareStatus(text: string): string[] | undefined {
  const named = Object.hasOwn(FIRMWARE_STATUS, text.toUpperCase())
    ? FIRMWARE_STATUS[text.toUpperCase() as FirmwareStatusName]
    : undefined;
  const value = named ?? Number(number('fw-error', text));
  if (value === SEV_RET_NO_FW_CALL || value === -1) {
    return [`fw_error ${hex(SEV_RET_NO_FW_CALL)}: the command never reached the firmware; Linux returned an errno.`];
  }
  const name = firmwareStatusName(value);
  if (!name) return undefined;
  const lines = [`fw_error ${value} (${hex(value)}): ${name}`, `  ${FIRMWARE_STATUS_TEXT[name]}`];
  if (name === 'SUCCESS') {
    lines.push('  With a negative ret= beside it, KVM refused the call itself: look at the errno.');
  } else lines.push('  Linux returns -EIO (-5) to the VMM for it.');
  lines.push(...checksThat('firmware', name));
  return lines;
}

const ERRNO_TEXT: Readonly<Record<ErrnoName, string>> = {
  EPERM: 'The operation is not permitted.',
  ENOENT: 'There is no such thing.',
  EINTR: 'A signal interrupted the call.',
  EIO: 'The SNP firmware refused a command, and fw_error says why; with fw_error=0, LAUNCH_UPDATE failed before it.',
  E2BIG: 'The list is too long.',
  EBADF: 'A file descriptor is not what the call needs.',
  EAGAIN: 'Not now: the call has to be repeated.',
  ENOMEM: 'Out of memory.',
  EFAULT: 'An address of the VMM cannot be read or written, or a page is private where it should be shared.',
  EBUSY: 'The resource is in use.',
  EEXIST: 'It exists already: a memory slot, a vCPU, or a page that is launched twice.',
  ENODEV: 'The host has no such device or feature.',
  EINVAL: 'A parameter, a state or a combination of both is not what the call needs.',
  ENOTTY: 'KVM does not know the command, or the VM is not an SNP guest; QEMU and kernel may be of different series.',
  ENOSPC: 'No space: the certificate buffer is too small, or no ASID is free.',
  EOPNOTSUPP: 'KVM does not support this here.',
  ETIMEDOUT: 'The secure processor did not answer in time.',
};

function explainErrno(text: string): string[] | undefined {
  const upper = text.toUpperCase().replace(/^-/, '');
  if (/^E[A-Z0-9]+$/.test(upper) && !Object.hasOwn(ERRNO, upper)) return undefined;
  const value = Object.hasOwn(ERRNO, upper) ? -ERRNO[upper as ErrnoName] : Number(number('errno', text));
  const name = errnoName(value);
  if (!name) return undefined;
  return [
    `errno ${ERRNO[name]}: ${name} (calls return -${ERRNO[name]})`,
    `  ${ERRNO_TEXT[name]}`,
    ...checksThat('errno', name),
  ];
}

/** The checks of the emulated machine that end with this code: the possible causes. */
function checksThat(kind: 'errno' | 'firmware', name: string): string[] {
  const found = faultDefinitions().filter((d) => d.code.kind === kind && d.code.name === name);
  if (found.length === 0) return [];
  const rows = found
    .sort((a, b) => (a.command < b.command ? -1 : a.command > b.command ? 1 : 0))
    .map((d) => [d.command, d.title, `[${d.check}]`]);
  return ['', 'Checks that end with it:', ...table(rows)];
}

function explainGhcbMsr(value: bigint): string[] {
  const { code, name, direction, fields, defined } = decodeGhcbMsr(value);
  const kind = direction === 'value' ? name : `${name} ${direction}`;
  return [
    `GHCB MSR ${hex(value)}: ${defined ? `${kind}${code === 0 ? '' : `, code ${hex(code)}`}` : `code ${hex(code)}, ${name}`}`,
    ...table(fields.map((f) => [f.name, hex(f.value), f.meaning ?? decimal(f.name, f.value)])),
  ];
}

/** Everybody says "C-bit 51", not "0x33". */
function decimal(name: string, value: bigint): string {
  return /version|position/.test(name) && value > 9n ? String(value) : '';
}

function explainNpf(value: bigint): string[] {
  const { fields, unknown, reading } = decodeNpfError(value);
  const rows = fields.map((f) => [`${f.bit}`, f.name, f.value ? '1' : '0', (f.value ? f.set : f.clear) ?? '']);
  if (unknown !== 0n) rows.push(['', 'unknown', hex(unknown), 'bits that the manual does not define']);
  return [`nested page fault, EXITINFO1 ${hex(value)}`, ...table(rows), '', reading];
}

const EXIT_CLASSES: Readonly<Record<ExitClass, string>> = {
  automatic: 'automatic exit: the state is saved to the VMSA and the host gets control',
  'non-automatic': 'non-automatic exit: the guest gets #VC with this error code and asks the host through its GHCB',
  failure: 'VMRUN failed; QEMU shows KVM_EXIT_FAIL_ENTRY or all-zero registers',
  ghcb: 'not an exit of the processor: event code that a guest puts into its GHCB',
};

/** #VC that the processor raises by itself: the host is not concerned. */
const VC_ONLY: ReadonlySet<string> = new Set(['PAGE_NOT_VALIDATED', 'NOT_RESTARTABLE']);

function explainExit(value: bigint): string[] | undefined {
  const lines: string[] = [];
  const svm = decodeExitCode(value);
  if (svm) {
    const label = svm.class === 'ghcb' ? 'GHCB event' : 'SVM exit code';
    lines.push(
      `${label} ${value < 0n ? value : hex(value)}: ${svm.name}`,
      `  ${svm.meaning}`,
      `  ${VC_ONLY.has(svm.name) ? 'no exit: the guest gets #VC with this error code and handles it itself' : EXIT_CLASSES[svm.class]}`,
    );
  }
  const reason = value >= 0n && value < 256n ? KVM_EXIT_REASONS[Number(value)] : undefined;
  if (reason) {
    if (svm) lines.push('');
    lines.push(`exit reason of KVM_RUN ${value}: KVM_EXIT_${reason[0]}`, `  ${reason[1]}`);
  }
  return lines.length > 0 ? lines : undefined;
}

/** Aligned columns, two blanks between. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd());
}
