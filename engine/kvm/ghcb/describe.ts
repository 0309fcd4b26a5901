import { gpa, hex } from '../../address.js';
import { view } from '../../bytes.js';
import { decodeExitCode } from '../../spec/exit-code.js';
import {
  decodeIoio,
  GHCB_FIELDS,
  GHCB_PROTOCOL_VERSION,
  GHCB_SIZE,
  GHCB_USAGE,
  ghcbErrorName,
  isValid,
  NAE,
  PSC_RESULT,
  type PscResultName,
  VMGEXIT,
} from '../../spec/ghcb-layout.js';
import { bitField, HYPERVISOR_FEATURES } from '../../spec/ghcb-msr.js';
import { decodeTermination } from '../../spec/guest-termination.js';
import type { GhcbExit } from '../state.js';
import { ghcbField, ghcbValidBitmap } from './ghcb-page.js';
import { decodeGhcbExit } from './sev-es-sync-from-ghcb.js';

/** A GHCB in words, for trace and debugger. */

export interface GhcbFieldValue {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly value: bigint;
  /** Its bit in the valid bitmap; undefined for fields that have none. */
  readonly valid: boolean | undefined;
  readonly doc: string;
}

/** Field by field, in the order of the page. `page` has 4096 bytes. */
export function describeGhcb(page: Uint8Array): readonly GhcbFieldValue[] {
  if (page.length !== GHCB_SIZE) throw new RangeError(`a GHCB has ${GHCB_SIZE} bytes`);
  const bitmap = ghcbValidBitmap(page);
  const fields = GHCB_FIELDS.map(({ name, offset, size, doc }) => {
    return { name, offset, size, value: ghcbField(page, name), valid: isValid(bitmap, name), doc };
  });
  const v = view(page);
  const version = BigInt(v.getUint16(GHCB_PROTOCOL_VERSION, true));
  const usage = BigInt(v.getUint32(GHCB_USAGE, true));
  return [
    ...fields,
    {
      name: 'VALID_BITMAP',
      offset: 0x3f0,
      size: 16,
      value: bitmap,
      valid: undefined,
      doc: 'Bit n: bytes 8n to 8n+7 are valid.',
    },
    {
      name: 'PROTOCOL_VERSION',
      offset: GHCB_PROTOCOL_VERSION,
      size: 2,
      value: version,
      valid: undefined,
      doc: '2 for SNP guests.',
    },
    {
      name: 'GHCB_USAGE',
      offset: GHCB_USAGE,
      size: 4,
      value: usage,
      valid: undefined,
      doc: 'Format of the page; 0 is this one.',
    },
  ];
}

/** What the guest asks for: `OUT of 1 byte to port 0x3f8`. From a GHCB page, or from KVM's copy of one. */
export function describeVmgexit(request: GhcbExit | Uint8Array): string {
  const exit = request instanceof Uint8Array ? decodeGhcbExit(gpa(0), request) : request;
  const { exitCode, exitInfo1: info1, exitInfo2: info2 } = exit;
  switch (exitCode) {
    case NAE.IOIO:
      return ioioText(exit);
    case NAE.MSR:
      return info1 === 0n
        ? `RDMSR ${hex(exit.rcx)}`
        : `WRMSR ${hex(exit.rcx)} with ${hex((exit.rdx << 32n) | (exit.rax & 0xffff_ffffn))}`;
    case NAE.CPUID:
      return `CPUID function ${hex(exit.rax)} index ${hex(exit.rcx)}`;
    case NAE.VMMCALL:
      return `hypercall ${exit.rax}`;
    case NAE.RDPMC:
      return `RDPMC of counter ${hex(exit.rcx)}`;
    case VMGEXIT.MMIO_READ:
      return `read of ${info2} bytes of MMIO at ${hex(info1)}`;
    case VMGEXIT.MMIO_WRITE:
      return `write of ${info2} bytes of MMIO at ${hex(info1)}`;
    case VMGEXIT.NMI_COMPLETE:
      return 'NMI handled';
    case VMGEXIT.AP_HLT_LOOP:
      return 'wait for INIT and SIPI';
    case VMGEXIT.AP_JUMP_TABLE:
      return info1 === 0n ? `set AP jump table to ${hex(info2)}` : 'get AP jump table';
    case VMGEXIT.PSC:
      return `page state changes, list at ${hex(exit.scratch)}`;
    case VMGEXIT.GUEST_REQUEST:
      return `message to the SNP firmware at ${hex(info1)}, answer to ${hex(info2)}`;
    case VMGEXIT.EXT_GUEST_REQUEST:
      return `message to the SNP firmware at ${hex(info1)}, answer to ${hex(info2)}, certificates to ${exit.rbx} pages at ${hex(exit.rax)}`;
    case VMGEXIT.AP_CREATION:
      return apCreationText(info1, info2);
    case VMGEXIT.HV_FEATURES:
      return 'which features has the hypervisor?';
    case VMGEXIT.TERM_REQUEST:
      return `terminate: ${terminationText(Number(info1 & 0xfn), Number((info1 >> 4n) & 0xffn))}`;
    case VMGEXIT.UNSUPPORTED_EVENT:
      return `the #VC handler of the guest does not know ${exitName(info1)}`;
    default:
      return exitName(exitCode);
  }
}

function ioioText({ exitInfo1, exitInfo2, rax }: GhcbExit): string {
  const { isIn, isString, size, port } = decodeIoio(exitInfo1);
  const name = isString ? (isIn ? 'INS' : 'OUTS') : isIn ? 'IN' : 'OUT';
  const bytes = size === 1 ? '1 byte' : `${size} bytes`;
  const amount = isString ? `${exitInfo2} times ${bytes}` : bytes;
  if (isIn) return `${name} of ${amount} from port ${hex(port)}`;
  const value = isString ? '' : ` (${hex(BigInt.asUintN(8 * size, rax))})`;
  return `${name} of ${amount} to port ${hex(port)}${value}`;
}

const AP_REQUESTS = ['create on INIT', 'create', 'destroy'] as const;

function apCreationText(info1: bigint, info2: bigint): string {
  const request = AP_REQUESTS[Number(info1 & 0xffffn)] ?? `request ${info1 & 0xffffn}`;
  const address = request === 'destroy' ? '' : `, VMSA at ${hex(info2)}`;
  return `AP creation: ${request} vCPU with APIC ID ${bitField(info1, 63, 32)}, VMPL ${bitField(info1, 19, 16)}${address}`;
}

/** A reason of termination in words: set 0 is that of the GHCB specification, 1 Linux's. */
export function terminationText(set: number, code: number): string {
  const { meaning } = decodeTermination((BigInt(set) << 12n) | (BigInt(code) << 16n));
  return `${meaning} (set ${set}, reason ${code})`;
}

export function exitName(code: bigint): string {
  return decodeExitCode(code)?.name ?? hex(code);
}

/** What the answer in a GHCB means to the guest. */
export function describeAnswer(code: bigint, info1: bigint, info2: bigint): string {
  const response = info1 & 0xffff_ffffn;
  if (response === 2n) return `malformed request: ${ghcbErrorName(info2) ?? `reason ${info2}`}`;
  if (response === 1n) return `raise ${info2 & 0xffn}: ${(info2 & 0xffn) === 6n ? '#UD' : '#GP'}`;
  if (response !== 0n) return `response ${hex(info1)}`;
  switch (code) {
    case VMGEXIT.PSC:
      return info2 === 0n ? 'done' : pscResultText(info2);
    case VMGEXIT.GUEST_REQUEST:
    case VMGEXIT.EXT_GUEST_REQUEST:
      return info2 === 0n ? 'done' : guestRequestText(info2);
    case VMGEXIT.HV_FEATURES:
      return featureText(info2);
    case VMGEXIT.AP_HLT_LOOP:
      return info2 === 0n ? 'no SIPI' : 'SIPI';
    default:
      return 'done';
  }
}

function pscResultText(value: bigint): string {
  const name = (Object.keys(PSC_RESULT) as PscResultName[]).find((key) => PSC_RESULT[key] === value);
  return name ?? `result ${hex(value)}`;
}

const VMM_ERRORS: Readonly<Record<number, string>> = { 1: 'INVALID_LEN', 2: 'BUSY', 2147483648: 'GENERIC' };

function guestRequestText(value: bigint): string {
  const vmm = Number(value >> 32n);
  const firmware = Number(value & 0xffff_ffffn);
  const words: string[] = [];
  if (vmm !== 0) words.push(`VMM error ${VMM_ERRORS[vmm] ?? vmm}`);
  if (firmware !== 0) words.push(`firmware status ${hex(firmware)}`);
  return words.join(', ');
}

function featureText(bitmap: bigint): string {
  const names = Object.entries(HYPERVISOR_FEATURES).filter(([bit]) => ((bitmap >> BigInt(bit)) & 1n) === 1n);
  return names.length > 0 ? names.map(([, name]) => name).join(', ') : 'none';
}
