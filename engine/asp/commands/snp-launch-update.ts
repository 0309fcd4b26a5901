import { type Gpa, gfnOf, gpa, hex, PAGE_SIZE, type Pfn, pfn, pfnOf, type Spa } from '../../address.js';
import { copyBytes, isZero } from '../../bytes.js';
import { type PageBytes, pageDigest, ZERO_PAGE } from '../../memory/page-bytes.js';
import { plainPage, readPage, writePage } from '../../memory/system-memory.js';
import { type RmpEntry, VMPL_ALL } from '../../rmp/entry.js';
import { pageState } from '../../rmp/page-state.js';
import { writeEntry } from '../../rmp/table.js';
import { PAGE_TYPE, type PageType, pageTypeName } from '../../spec/page-type.js';
import { PLATFORM_FEATURES } from '../../spec/platform-features.js';
import { type EngineEvent, type FrameOptions, logEvent, type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, refused, SUCCESS } from '../command.js';
import { addressRefusal, entryAt, findGuest, framesOf } from '../common-checks.js';
import { cpuidPolicyFault, cpuidProblemFault } from '../cpuid-faults.js';
import { checkCpuidPage } from '../cpuid-policy.js';
import { extendDigest, VMSA_TSC_FIELDS, zeroDigest } from '../launch-digest.js';
import {
  UPDATE_IMI,
  UPDATE_INACTIVE,
  UPDATE_MASKS,
  UPDATE_OWNER,
  UPDATE_SIZE,
  UPDATE_STATE,
  UPDATE_TYPE,
  UPDATE_TYPE_SIZE,
} from '../launch-update-faults.js';
import { buildSecretsPage } from '../secrets-page.js';
import type { GuestContext } from '../state.js';

const NAME = 'SNP_LAUNCH_UPDATE';

export interface LaunchUpdateParams {
  readonly gctx: Spa;
  readonly page: Spa;
  readonly pageSize2M: boolean;
  /** Any number: reserved types are refused. */
  readonly pageType: number;
  /** Permission masks of VMPL1, VMPL2, VMPL3. */
  readonly vmplMasks: readonly [number, number, number];
  /** The page also extends the digest of the incoming migration image. */
  readonly imiPage: boolean;
}

interface Accepted {
  readonly type: PageType;
  readonly entry: RmpEntry;
  readonly frame: Pfn;
}

const NO_CONTENTS = zeroDigest();

const is4KOnly = (type: PageType): boolean =>
  type === PAGE_TYPE.VMSA || type === PAGE_TYPE.SECRETS || type === PAGE_TYPE.CPUID;

/** The checks that do not need the page's contents, in order; partly unconfirmed. */
function accept(
  machine: FirmwareMachine,
  guest: GuestContext,
  params: LaunchUpdateParams,
): Accepted | { readonly refusal: FirmwareResult } {
  const no = (refusal: FirmwareResult) => ({ refusal });
  const { pageSize2M, page } = params;
  if (guest.asid === 0) return no(refuse(UPDATE_INACTIVE, { gctx: hex(params.gctx) }));
  const typeName = pageTypeName(params.pageType);
  if (!typeName) return no(refuse(UPDATE_TYPE, { type: params.pageType }));
  const type = PAGE_TYPE[typeName];
  if (guest.imiEnabled && !params.imiPage) return no(refuse(UPDATE_IMI, { gctx: hex(params.gctx) }));
  const badAddress = addressRefusal(machine, NAME, 'PAGE_PADDR', page, pageSize2M);
  if (badAddress) return no(badAddress);
  const frame = pfnOf(page);
  const entry = entryAt(machine, frame);
  if (entry.pageSize2M !== pageSize2M) {
    return no(
      refuse(UPDATE_SIZE, {
        page: hex(page),
        size: pageSize2M ? '2M' : '4K',
        entry: entry.pageSize2M ? '2M' : '4K',
      }),
    );
  }
  if (pageSize2M && is4KOnly(type)) return no(refuse(UPDATE_TYPE_SIZE, { type: typeName }));
  const state = pageState(entry, machine.rmp.initialised);
  if (state !== 'Pre-Guest') return no(refuse(UPDATE_STATE, { page: hex(page), state }));
  if (entry.asid !== guest.asid) {
    return no(refuse(UPDATE_OWNER, { page: hex(page), asid: guest.asid, owner: entry.asid }));
  }
  const allowed = PLATFORM_FEATURES[machine.processor.name].vmplSss ? 0x1f : 0x0f;
  for (const [i, mask] of params.vmplMasks.entries()) {
    if ((mask & ~allowed) !== 0 || mask < 0) {
      return no(refuse(UPDATE_MASKS, { vmpl: i + 1, mask: hex(mask), allowed: hex(allowed) }));
    }
  }
  return { type, entry, frame };
}

/** What lies in DRAM: the firmware reads without a key. */
function contentOf(machine: FirmwareMachine, frame: Pfn): PageBytes {
  const page = plainPage(machine.memory, frame);
  return page.key === 0 ? page.content : { bytes: readPage(machine.memory, frame), frozen: false };
}

/** GUEST_TSC_SCALE and GUEST_TSC_OFFSET belong to the firmware: zero in the page and in the measurement. */
function vmsaContent(content: PageBytes): PageBytes {
  const { offset, size } = VMSA_TSC_FIELDS;
  if (isZero(content.bytes.subarray(offset, offset + size))) return content;
  const bytes = copyBytes(content.bytes);
  bytes.fill(0, offset, offset + size);
  return { bytes, frozen: false };
}

/** The page as the guest will find it, and the SHA-384 that is measured of it, if any. */
function transform(
  machine: FirmwareMachine,
  guest: GuestContext,
  type: PageType,
  frame: Pfn,
): { content: PageBytes; contents?: Uint8Array } {
  switch (type) {
    case PAGE_TYPE.NORMAL: {
      const content = contentOf(machine, frame);
      return { content, contents: pageDigest(content, machine.crypto) };
    }
    case PAGE_TYPE.VMSA: {
      const content = vmsaContent(contentOf(machine, frame));
      return { content, contents: pageDigest(content, machine.crypto) };
    }
    case PAGE_TYPE.ZERO:
      return { content: ZERO_PAGE };
    case PAGE_TYPE.SECRETS:
      return { content: { bytes: buildSecretsPage(guest, machine.processor), frozen: false } };
    case PAGE_TYPE.UNMEASURED:
    case PAGE_TYPE.CPUID:
      return { content: contentOf(machine, frame) };
  }
}

/** Checks a CPUID page; on a mismatch the acceptable values are written into the page, which stays plain. */
function cpuidRefusal(machine: FirmwareMachine, frame: Pfn): FirmwareResult | undefined {
  const check = checkCpuidPage(contentOf(machine, frame).bytes, machine.processor);
  if (check.problem) return refused(cpuidProblemFault(check.problem));
  if (check.mismatches.length === 0) return undefined;
  writePage(machine.memory, frame, { bytes: check.corrected, frozen: false });
  return refused(cpuidPolicyFault(check.mismatches));
}

/** LD := SHA-384(PAGE_INFO), and IMD likewise for a page of the migration image. */
function measure(
  machine: FirmwareMachine,
  guest: GuestContext,
  params: LaunchUpdateParams,
  type: PageType,
  address: Gpa,
  contents: Uint8Array | undefined,
): EngineEvent {
  const info = { contents, pageType: type, gpa: address, imiPage: params.imiPage, vmplMasks: params.vmplMasks };
  const before = guest.ld;
  guest.ld = extendDigest(before, info, machine.crypto);
  if (params.imiPage) guest.imd = extendDigest(guest.imd, info, machine.crypto);
  return {
    kind: 'digest',
    depth: machine.stack.frames.length,
    update: { before, after: guest.ld, contents: contents ?? NO_CONTENTS, pageType: type, gpa: address },
  };
}

/**
 * SNP_LAUNCH_UPDATE (0x0A1): fills, measures and encrypts one page, 4 KiB or 2 MiB; Pre-Guest → Guest-Valid. A 2 MiB
 * page is measured as 512 pages. AMD pub. 56860, SNP_LAUNCH_UPDATE.
 */
export function snpLaunchUpdate(machine: FirmwareMachine, params: LaunchUpdateParams): Op<FirmwareResult> {
  const args = {
    gctx: hex(params.gctx),
    page: hex(params.page),
    size: params.pageSize2M ? '2M' : '4K',
    type: pageTypeName(params.pageType) ?? params.pageType,
  };
  return inCommand(machine, NAME, { args, page: pageAtHand(machine, params.page) }, () => update(machine, params));
}

function* update(machine: FirmwareMachine, params: LaunchUpdateParams): Op<FirmwareResult> {
  const found = findGuest(machine, NAME, params.gctx, ['LAUNCH']);
  if ('refusal' in found) return found.refusal;
  const { guest } = found;
  const accepted = accept(machine, guest, params);
  if ('refusal' in accepted) return accepted.refusal;
  const { type, entry, frame } = accepted;
  if (type === PAGE_TYPE.CPUID) {
    const wrong = cpuidRefusal(machine, frame);
    if (wrong) return wrong;
  }
  yield* warnWriteOnly(machine, params.vmplMasks);
  for (let i = 0; i < framesOf(params.pageSize2M); i++) {
    const page = pfn(frame + i);
    const address = gpa(entry.gpa + i * PAGE_SIZE);
    const { content, contents } = transform(machine, guest, type, page);
    writePage(machine.memory, page, content, guest.vek);
    guest.measured.push({ pfn: page, type, gpa: address });
    yield measure(machine, guest, params, type, address, contents);
  }
  const after: RmpEntry = {
    ...entry,
    validated: true,
    immutable: false,
    vmsa: type === PAGE_TYPE.VMSA,
    vmpl: [VMPL_ALL, ...params.vmplMasks],
  };
  yield rmpEvent(machine.stack, NAME, writeEntry(machine.rmp, frame, after));
  return SUCCESS;
}

/** For views: which guest page the command works on, if the page has one. */
function pageAtHand(machine: FirmwareMachine, page: Spa): FrameOptions['page'] {
  const frame = pfnOf(page);
  const entry = entryAt(machine, frame);
  return entry.asid === 0 ? undefined : { gfn: gfnOf(entry.gpa), pfn: frame };
}

/** Legal for the firmware, but useless: the hardware refuses every data access (AMD64 APM vol. 2, 15.36.7). */
function* warnWriteOnly(machine: FirmwareMachine, masks: readonly number[]): Op<void> {
  for (const [i, mask] of masks.entries()) {
    if ((mask & 3) !== 2) continue;
    yield logEvent(
      machine.stack,
      'firmware',
      `VMPL${i + 1} gets write without read: every data access from there ends in #VMEXIT(NPF)`,
    );
  }
}
