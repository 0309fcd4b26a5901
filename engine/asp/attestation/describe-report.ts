import { hex } from '../../address.js';
import { isZero, toHex } from '../../bytes.js';
import { formatTcb } from '../../spec/tcb-version.js';
import { POLICY_BIT } from '../policy-checks.js';
import {
  type FirmwareVersion,
  isUnsigned,
  type ParsedReport,
  PLATFORM_INFO,
  reportProduct,
  reportTcbLayout,
  SIGNING_KEY,
} from './report.js';

/** One line of a report, for a terminal or a list of variables. */
export interface ReportRow {
  /** As AMD names the field. */
  readonly name: string;
  readonly value: string;
}

const KEY_NAMES = new Map<number, string>(Object.entries(SIGNING_KEY).map(([name, value]) => [value, name]));

const version = (v: FirmwareVersion): string => `${v.major}.${v.minor} build ${v.build}`;

/** Names of the bits that are set; unknown ones by number. */
function bitNames(value: bigint, names: Readonly<Record<string, bigint>>): string {
  const found = Object.entries(names)
    .filter(([, bit]) => (value & bit) !== 0n)
    .map(([name]) => name);
  const rest = Object.values(names).reduce((left, bit) => left & ~bit, value);
  if (rest !== 0n) found.push(`reserved bits ${hex(rest)}`);
  return found.length === 0 ? 'none' : found.join(', ');
}

function policyText(policy: bigint): string {
  const { RESERVED_MBO, ...named } = POLICY_BIT;
  const flags = bitNames(policy & ~RESERVED_MBO & ~0xffffn, named);
  return `${hex(policy)}: firmware ${(policy >> 8n) & 0xffn}.${policy & 0xffn} or newer; ${flags}`;
}

const orNone = (bytes: Uint8Array, none: string): string => (isZero(bytes) ? `zeros (${none})` : toHex(bytes));

function signingKeyText(report: ParsedReport): string {
  const name = KEY_NAMES.get(report.signingKey) ?? `reserved (${report.signingKey})`;
  return report.chipKeyMasked ? `${name}, MASK_CHIP_KEY` : name;
}

/** Every field of the report in its order. */
export function describeReport(report: ParsedReport): readonly ReportRow[] {
  const layout = reportTcbLayout(report);
  const tcb = (value: bigint): string => formatTcb(value, layout);
  const { cpuid, mitigations } = report;
  const rows: (ReportRow | undefined)[] = [
    { name: 'VERSION', value: String(report.version) },
    { name: 'GUEST_SVN', value: String(report.guestSvn) },
    { name: 'POLICY', value: policyText(report.policy) },
    { name: 'FAMILY_ID', value: toHex(report.familyId) },
    { name: 'IMAGE_ID', value: toHex(report.imageId) },
    { name: 'VMPL', value: String(report.vmpl) },
    {
      name: 'SIGNATURE_ALGO',
      value: report.signatureAlgorithm === 1 ? 'ECDSA P-384 with SHA-384' : String(report.signatureAlgorithm),
    },
    { name: 'CURRENT_TCB', value: tcb(report.currentTcb) },
    { name: 'PLATFORM_INFO', value: bitNames(report.platformInfo, PLATFORM_INFO) },
    { name: 'AUTHOR_KEY_EN', value: report.authorKeyEnabled ? '1' : '0' },
    { name: 'SIGNING_KEY', value: signingKeyText(report) },
    { name: 'REPORT_DATA', value: toHex(report.reportData) },
    { name: 'MEASUREMENT', value: toHex(report.measurement) },
    { name: 'HOST_DATA', value: toHex(report.hostData) },
    { name: 'ID_KEY_DIGEST', value: orNone(report.idKeyDigest, 'no ID block') },
    { name: 'AUTHOR_KEY_DIGEST', value: orNone(report.authorKeyDigest, 'no author key') },
    { name: 'REPORT_ID', value: toHex(report.reportId) },
    {
      name: 'REPORT_ID_MA',
      value: report.reportIdMa.every((b) => b === 0xff) ? 'all ones (no migration agent)' : toHex(report.reportIdMa),
    },
    { name: 'REPORTED_TCB', value: tcb(report.reportedTcb) },
    cpuid && {
      name: 'CPUID',
      value: `family ${hex(cpuid.family)}, model ${hex(cpuid.model)}, stepping ${cpuid.stepping} (${reportProduct(report) ?? 'unknown product'})`,
    },
    { name: 'CHIP_ID', value: orNone(report.chipId, 'masked, or signed with a VLEK') },
    { name: 'COMMITTED_TCB', value: tcb(report.committedTcb) },
    { name: 'CURRENT_VERSION', value: version(report.currentVersion) },
    { name: 'COMMITTED_VERSION', value: version(report.committedVersion) },
    { name: 'LAUNCH_TCB', value: tcb(report.launchTcb) },
    mitigations && { name: 'LAUNCH_MIT_VECTOR', value: hex(mitigations.launch) },
    mitigations && { name: 'CURRENT_MIT_VECTOR', value: hex(mitigations.current) },
    { name: 'SIGNATURE', value: isUnsigned(report) ? 'zeros (not signed)' : signatureText(report) },
    report.reservedNonZero.length > 0
      ? { name: 'reserved bytes not zero', value: report.reservedNonZero.map((offset) => hex(offset)).join(', ') }
      : undefined,
  ];
  return rows.filter((row) => row !== undefined);
}

function signatureText({ signature }: ParsedReport): string {
  return `R ${toHex(signature.r)}, S ${toHex(signature.s)}`;
}
