import type { Gfn } from '../../address.js';
import { hex, isPageAligned } from '../../address.js';
import { type Fault, makeFault } from '../../fault.js';
import { GHCB_FIELD, type GhcbFieldName, isValid, NAE, VMGEXIT, validBit } from '../../spec/ghcb-layout.js';
import type { Op } from '../../timeline/event.js';
import { isPrivate } from '../ioctl/kvm-set-memory-attributes.js';
import type { ExitHandling } from '../run/kvm-exit.js';
import { type GhcbExit, isSnpGuest } from '../state.js';
import { exitName } from './describe.js';
import {
  GHCB_EVENT,
  GHCB_MISSING_INPUT,
  GHCB_PRIVATE,
  GHCB_REQUEST_PAGES,
  GHCB_SNP_ONLY,
  GHCB_USAGE_INVALID,
} from './ghcb-faults.js';
import { readUsage } from './ghcb-page.js';
import { badInputFault, type Vmgexit, vcpuUnimpl } from './vmgexit.js';

/** A field that an event needs, and what for. */
type Need = readonly [field: GhcbFieldName, use: string];

const STRING_IO: Need = ['SW_SCRATCH', 'where the data of a string instruction lies'];
const SCRATCH: Need = ['SW_SCRATCH', 'where the data lies'];

/** Events that need an SNP guest. */
const SNP_ONLY = new Set<bigint>([VMGEXIT.PSC, VMGEXIT.GUEST_REQUEST, VMGEXIT.EXT_GUEST_REQUEST, VMGEXIT.AP_CREATION]);

const FIXED: ReadonlyMap<bigint, readonly Need[]> = new Map<bigint, readonly Need[]>([
  [NAE.READ_DR7, []],
  [NAE.WRITE_DR7, [['RAX', 'the new value of DR7']]],
  [NAE.RDTSC, []],
  [NAE.RDPMC, [['RCX', 'number of the counter']]],
  [NAE.INVD, []],
  [
    NAE.VMMCALL,
    [
      ['RAX', 'number of the hypercall'],
      ['CPL', 'who calls'],
    ],
  ],
  [NAE.RDTSCP, []],
  [NAE.WBINVD, []],
  [
    NAE.MONITOR,
    [
      ['RAX', 'the address'],
      ['RCX', 'extensions'],
      ['RDX', 'hints'],
    ],
  ],
  [
    NAE.MWAIT,
    [
      ['RAX', 'hints'],
      ['RCX', 'extensions'],
    ],
  ],
  [VMGEXIT.MMIO_READ, [SCRATCH]],
  [VMGEXIT.MMIO_WRITE, [SCRATCH]],
  [VMGEXIT.NMI_COMPLETE, []],
  [VMGEXIT.AP_HLT_LOOP, []],
  [VMGEXIT.AP_JUMP_TABLE, []],
  [VMGEXIT.PSC, [['SW_SCRATCH', 'where the list of pages lies']]],
  [VMGEXIT.GUEST_REQUEST, []],
  [VMGEXIT.HV_FEATURES, []],
  [VMGEXIT.TERM_REQUEST, []],
  [VMGEXIT.UNSUPPORTED_EVENT, []],
]);

/** What an event needs beside the three SW_EXIT fields; undefined for one that KVM does not know. */
function needsOf(exit: GhcbExit, pagesChecked: boolean): readonly Need[] | undefined {
  switch (exit.exitCode) {
    case NAE.CPUID:
      return [
        ['RAX', 'the function'],
        ['RCX', 'the index'],
        ...(exit.rax === 0xdn ? [['XCR0', 'the size that function 0xD returns depends on it'] as const] : []),
      ];
    case NAE.IOIO:
      if ((exit.exitInfo1 & 4n) !== 0n) return [STRING_IO];
      return (exit.exitInfo1 & 1n) !== 0n ? [] : [['RAX', 'the value to write']];
    case NAE.MSR: {
      const value: readonly Need[] = [
        ['RAX', 'lower half of the value'],
        ['RDX', 'upper half of the value'],
      ];
      return [['RCX', 'number of the MSR'], ...(exit.exitInfo1 === 0n ? [] : value)];
    }
    case VMGEXIT.EXT_GUEST_REQUEST:
      return pagesChecked
        ? []
        : [
            ['RAX', 'where the certificates go'],
            ['RBX', 'number of pages for them'],
          ];
    case VMGEXIT.AP_CREATION:
      return (exit.exitInfo1 & 0xffff_ffffn) === 2n ? [] : [['RAX', 'SEV_FEATURES of the new VMSA']];
    default:
      return FIXED.get(exit.exitCode);
  }
}

/**
 * sev_es_validate_vmgexit(): undefined, or the answer that refuses the request. Only what the checks of the event
 * need is looked at; whether the values make sense is the handler's business.
 */
export function* sevEsValidateVmgexit(v: Vmgexit): Op<ExitHandling | undefined> {
  const fault = vmgexitFault(v);
  if (!fault) return undefined;
  const code = hex(v.exit.exitCode);
  const text =
    fault.check === GHCB_USAGE_INVALID.check
      ? `vmgexit: ghcb usage ${String(fault.operands.usage)} is not valid`
      : fault.check === GHCB_EVENT.check
        ? `vmgexit: exit code ${code} is not valid`
        : `vmgexit: exit code ${code} input is not valid`;
  yield* vcpuUnimpl(v.machine, v.vcpu, text);
  return badInputFault(v, fault);
}

function vmgexitFault(v: Vmgexit): Fault | undefined {
  const { machine, vm, exit } = v;
  const usage = readUsage(machine, vm, exit.gpa);
  if (usage !== 0) return makeFault(GHCB_USAGE_INVALID, { usage: hex(usage) });

  const always: readonly Need[] = [
    ['SW_EXITCODE', 'what the guest asks for'],
    ['SW_EXITINFO1', 'first operand, even if it is 0'],
    ['SW_EXITINFO2', 'second operand, even if it is 0'],
  ];
  const incomplete = missing(v, always);
  if (incomplete) return incomplete;

  const { guestRequestPagesChecked } = machine.kvmProfile;
  const needs = needsOf(exit, guestRequestPagesChecked);
  if (!needs) {
    const name = exitName(exit.exitCode);
    return makeFault(GHCB_EVENT, { code: hex(exit.exitCode), name: name.startsWith('0x') ? '' : ` (${name})` });
  }
  if (SNP_ONLY.has(exit.exitCode) && !isSnpGuest(vm)) {
    return makeFault(GHCB_SNP_ONLY, { event: exitName(exit.exitCode) });
  }
  const isRequest = exit.exitCode === VMGEXIT.GUEST_REQUEST || exit.exitCode === VMGEXIT.EXT_GUEST_REQUEST;
  if (isRequest && guestRequestPagesChecked) {
    const problem = pagesProblem(exit);
    if (problem) {
      const pages = { request: hex(exit.exitInfo1), response: hex(exit.exitInfo2) };
      return makeFault(GHCB_REQUEST_PAGES, { ...pages, problem });
    }
  }
  return missing(v, needs);
}

function pagesProblem({ exitInfo1, exitInfo2 }: GhcbExit): string | undefined {
  if (!isPageAligned(exitInfo1)) return 'the request page is not aligned to 4 KiB';
  if (!isPageAligned(exitInfo2)) return 'the response page is not aligned to 4 KiB';
  return exitInfo1 === exitInfo2 ? 'both are the same page' : undefined;
}

function missing({ vm, exit }: Vmgexit, needs: readonly Need[]): Fault | undefined {
  for (const [field, use] of needs) {
    if (isValid(exit.validBitmap, field)) continue;
    const event = exit.exitCode === 0n && field.startsWith('SW_EXIT') ? 'A request' : exitName(exit.exitCode);
    const bit = validBit(field);
    const frame = (exit.gpa / 4096) as Gfn;
    if (isPrivate(vm, frame, (frame + 1) as Gfn)) {
      const seen = exit.validBitmap === 0n ? 'no valid field' : event;
      return makeFault(GHCB_PRIVATE, { gpa: hex(exit.gpa), event: seen, field, bit });
    }
    return makeFault(GHCB_MISSING_INPUT, { event, field, offset: hex(GHCB_FIELD[field].offset), bit, use });
  }
  return undefined;
}
