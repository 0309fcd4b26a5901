import { hex, PAGE_SIZE, type Spa, spa } from '../../address.js';
import { view } from '../../bytes.js';
import { defineFault } from '../../fault.js';
import type { Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, refuse, status } from '../command.js';
import { snpActivate } from '../commands/snp-activate.js';
import { snpActivateEx } from '../commands/snp-activate-ex.js';
import { snpCommit } from '../commands/snp-commit.js';
import { snpConfig } from '../commands/snp-config.js';
import { snpDbgDecrypt } from '../commands/snp-dbg-decrypt.js';
import { snpDbgEncrypt } from '../commands/snp-dbg-encrypt.js';
import { snpDecommission } from '../commands/snp-decommission.js';
import { snpDfFlush } from '../commands/snp-df-flush.js';
import { snpDownloadFirmwareEx } from '../commands/snp-download-firmware-ex.js';
import { snpFeatureInfo } from '../commands/snp-feature-info.js';
import { snpGctxCreate } from '../commands/snp-gctx-create.js';
import { snpGuestRequest } from '../commands/snp-guest-request.js';
import { snpGuestStatus } from '../commands/snp-guest-status.js';
import { type FixedRange, snpInit, snpInitEx } from '../commands/snp-init.js';
import { snpLaunchFinish } from '../commands/snp-launch-finish.js';
import { snpLaunchStart } from '../commands/snp-launch-start.js';
import { snpLaunchUpdate } from '../commands/snp-launch-update.js';
import { snpPageMdInit } from '../commands/snp-page-md-init.js';
import { snpPageMove } from '../commands/snp-page-move.js';
import { snpPageReclaim } from '../commands/snp-page-reclaim.js';
import { snpPageSetState } from '../commands/snp-page-set-state.js';
import { snpPageSwapIn } from '../commands/snp-page-swap-in.js';
import { snpPageSwapOut } from '../commands/snp-page-swap-out.js';
import { snpPageUnsmash } from '../commands/snp-page-unsmash.js';
import { snpPlatformStatus } from '../commands/snp-platform-status.js';
import { snpShutdownEx } from '../commands/snp-shutdown.js';
import { snpVerifyMitigation } from '../commands/snp-verify-mitigation.js';
import { snpVlekLoad } from '../commands/snp-vlek-load.js';
import { bufferRefusal } from '../common-checks.js';
import { readBytes } from '../page-io.js';
import type { CommandBuffer } from './buffer.js';
import type { SnpCommandName } from './command-id.js';

/** Layouts of the command buffers. Linux include/linux/psp-sev.h; AMDESE/sev-tool src/sevapi.h. */

export interface MailboxCommand {
  /** Bytes of the buffer; 0: none. */
  readonly size: number;
  /** Bits that must be zero: offset of a 32-bit word and mask. */
  readonly reserved: readonly (readonly [offset: number, mask: number])[];
  /** Runs the command, or refuses what a list that its buffer points to says. */
  readonly run: (machine: FirmwareMachine, buffer: CommandBuffer) => Op<FirmwareResult> | FirmwareResult;
}

const ALL = 0xffff_ffff;

/** All words of a part of the buffer. */
function words(start: number, end: number): readonly (readonly [number, number])[] {
  return Array.from({ length: (end - start) / 4 }, (_, i) => [start + 4 * i, ALL] as const);
}

export const COMMAND_LIST = defineFault<{ command: string; entries: number; problem: string }>({
  check: 'fw-command-list',
  layer: 'firmware',
  command: 'SNP_*',
  code: status('INVALID_PARAM'),
  title: 'List of a command is not valid',
  message: (o) => `The list of ${o.command} with ${o.entries} entries ${o.problem}.`,
  why: 'A command that works on many things points to a list in memory, which is one page.',
  hint: 'Split a longer list, and clear it before its fields are written.',
  reference: 'AMD pub. 56860, command buffers; Linux include/linux/psp-sev.h struct sev_data_range_list',
  confirmed: false,
});

type ListResult<T> = { readonly list: readonly T[] } | { readonly refusal: FirmwareResult };

const RANGE_SIZE = 16;
const RANGE_HEADER = 8;

/** Count, reserved word, then base, pages and a reserved word for each range. */
function rangeList(machine: FirmwareMachine, command: SnpCommandName, address: Spa): ListResult<FixedRange> {
  const outside = bufferRefusal(machine, command, 'LIST_PADDR', address, RANGE_HEADER);
  if (outside) return { refusal: outside };
  const entries = view(readBytes(machine.memory, address, RANGE_HEADER)).getUint32(0, true);
  const size = RANGE_HEADER + entries * RANGE_SIZE;
  const problem = (text: string): ListResult<FixedRange> => ({
    refusal: refuse(COMMAND_LIST, { command, entries, problem: text }, command),
  });
  if (size > PAGE_SIZE) return problem('does not fit into a page');
  const cut = bufferRefusal(machine, command, 'LIST_PADDR', address, size);
  if (cut) return { refusal: cut };
  const v = view(readBytes(machine.memory, address, size));
  const list: FixedRange[] = [];
  if (v.getUint32(4, true) !== 0) return problem('has a reserved bit set');
  for (let at = RANGE_HEADER; at < size; at += RANGE_SIZE) {
    if (v.getUint32(at + 12, true) !== 0) return problem('has a reserved bit set');
    list.push({ base: spa(Number(v.getBigUint64(at, true))), pages: v.getUint32(at + 8, true) });
  }
  return { list };
}

function apicIds(machine: FirmwareMachine, address: Spa, entries: number): ListResult<number> {
  const command = 'SNP_ACTIVATE_EX';
  if (entries * 4 > PAGE_SIZE) {
    return { refusal: refuse(COMMAND_LIST, { command, entries, problem: 'does not fit into a page' }, command) };
  }
  const outside = bufferRefusal(machine, command, 'APIC_ID_PADDR', address, entries * 4);
  if (outside) return { refusal: outside };
  const v = view(readBytes(machine.memory, address, entries * 4));
  return { list: Array.from({ length: entries }, (_, i) => v.getUint32(4 * i, true)) };
}

const byte = (word: number, n: number): number => (word >>> (8 * n)) & 0xff;

export const MAILBOX_COMMANDS: Readonly<Record<SnpCommandName, MailboxCommand>> = {
  SNP_INIT: { size: 0, reserved: [], run: (m) => snpInit(m) },
  SNP_SHUTDOWN: { size: 0, reserved: [], run: (m) => snpShutdownEx(m) },
  SNP_DF_FLUSH: { size: 0, reserved: [], run: (m) => snpDfFlush(m) },
  SNP_INIT_EX: {
    size: 0x40,
    reserved: [[0x00, ~0x1f], [0x04, ALL], [0x10, 0xffff_0000], ...words(0x14, 0x40)],
    run: (m, b) => {
      const ranges = b.bit(0, 1) ? rangeList(m, 'SNP_INIT_EX', b.address(8)) : undefined;
      if (ranges && 'refusal' in ranges) return ranges.refusal;
      return snpInitEx(m, {
        initRmp: b.bit(0, 0),
        ...(ranges ? { ranges: ranges.list } : {}),
        raplDisable: b.bit(0, 2),
        ciphertextHiding: b.bit(0, 3),
        tioEnable: b.bit(0, 4),
        maxSnpAsid: b.u16(0x10),
      });
    },
  },
  SNP_SHUTDOWN_EX: {
    size: 8,
    reserved: [[4, ~3]],
    run: (m, b) => snpShutdownEx(m, { length: b.u32(0), iommuShutdown: b.bit(4, 0), x86Shutdown: b.bit(4, 1) }),
  },
  SNP_PLATFORM_STATUS: { size: 8, reserved: [], run: (m, b) => snpPlatformStatus(m, { status: b.address(0) }) },
  SNP_DECOMMISSION: { size: 8, reserved: [], run: (m, b) => snpDecommission(m, { gctx: b.address(0) }) },
  SNP_ACTIVATE: {
    size: 0xc,
    reserved: [],
    run: (m, b) => snpActivate(m, { gctx: b.address(0), asid: b.u32(8) }),
  },
  SNP_GUEST_STATUS: {
    size: 0x10,
    reserved: [],
    run: (m, b) => snpGuestStatus(m, { gctx: b.address(0), status: b.address(8) }),
  },
  SNP_GCTX_CREATE: { size: 8, reserved: [], run: (m, b) => snpGctxCreate(m, { page: b.address(0) }) },
  SNP_GUEST_REQUEST: {
    size: 0x18,
    reserved: [],
    run: (m, b) => snpGuestRequest(m, { gctx: b.address(0), request: b.address(8), response: b.address(0x10) }),
  },
  SNP_ACTIVATE_EX: {
    size: 0x20,
    reserved: [[4, ALL]],
    run: (m, b) => {
      const ids = apicIds(m, b.address(0x18), b.u32(0x14));
      if ('refusal' in ids) return ids.refusal;
      return snpActivateEx(m, { length: b.u32(0), gctx: b.address(8), asid: b.u32(0x10), apicIds: ids.list });
    },
  },
  SNP_LAUNCH_START: {
    size: 0x30,
    reserved: [[0x18, ~3]],
    run: (m, b) =>
      snpLaunchStart(m, {
        gctx: b.address(0),
        policy: b.u64(8),
        maGctx: b.address(0x10),
        maEnabled: b.bit(0x18, 0),
        imiEnabled: b.bit(0x18, 1),
        desiredTscKhz: b.u32(0x1c),
        gosvw: b.bytes(0x20, 16),
      }),
  },
  SNP_LAUNCH_UPDATE: {
    size: 0x20,
    reserved: [
      [0x08, ~0x1f],
      [0x0c, ALL],
      [0x18, 0xff],
      [0x1c, ALL],
    ],
    run: (m, b) => {
      const masks = b.u32(0x18);
      return snpLaunchUpdate(m, {
        gctx: b.address(0),
        pageSize2M: b.bit(8, 0),
        pageType: (b.u32(8) >>> 1) & 7,
        imiPage: b.bit(8, 4),
        page: b.address(0x10),
        vmplMasks: [byte(masks, 1), byte(masks, 2), byte(masks, 3)],
      });
    },
  },
  SNP_LAUNCH_FINISH: {
    size: 0x40,
    reserved: [
      [0x18, ~7],
      [0x1c, ALL],
    ],
    run: (m, b) =>
      snpLaunchFinish(m, {
        gctx: b.address(0),
        idBlock: b.address(8),
        idAuth: b.address(0x10),
        idBlockEnabled: b.bit(0x18, 0),
        authKeyEnabled: b.bit(0x18, 1),
        vcekDisabled: b.bit(0x18, 2),
        hostData: b.bytes(0x20, 32),
      }),
  },
  SNP_DBG_DECRYPT: {
    size: 0x18,
    reserved: [],
    run: (m, b) => snpDbgDecrypt(m, { gctx: b.address(0), src: b.address(8), dst: b.address(0x10) }),
  },
  SNP_DBG_ENCRYPT: {
    size: 0x18,
    reserved: [],
    run: (m, b) => snpDbgEncrypt(m, { gctx: b.address(0), src: b.address(8), dst: b.address(0x10) }),
  },
  SNP_VERIFY_MITIGATION: {
    size: 0x40,
    reserved: [[0x04, 0xffff_0000], [0x10, ~3], [0x14, ALL], ...words(0x28, 0x40)],
    run: (m, b) =>
      snpVerifyMitigation(m, {
        length: b.u32(0),
        subCommand: b.u16(4),
        vector: b.u64(8),
        // SRC is for mitigations that need data, which the emulated one does not.
        ...(b.bit(0x10, 0) ? { dst: b.address(0x20) } : {}),
      }),
  },
  SNP_PAGE_SWAP_OUT: {
    size: 0x30,
    reserved: [
      [0x28, ~0x17],
      [0x2c, ALL],
    ],
    run: (m, b) =>
      snpPageSwapOut(m, {
        gctx: b.address(0),
        src: b.address(8),
        dst: b.address(0x10),
        mdata: b.address(0x18),
        softwareData: b.u64(0x20),
        pageSize2M: b.bit(0x28, 0),
        pageType: (b.u32(0x28) >>> 1) & 3,
        rootMdata: b.bit(0x28, 4),
      }),
  },
  SNP_PAGE_SWAP_IN: {
    size: 0x30,
    reserved: [
      [0x20, ALL],
      [0x24, ALL],
      [0x28, ~0x1f],
      [0x2c, ALL],
    ],
    run: (m, b) =>
      snpPageSwapIn(m, {
        gctx: b.address(0),
        src: b.address(8),
        dst: b.address(0x10),
        mdata: b.address(0x18),
        pageSize2M: b.bit(0x28, 0),
        pageType: (b.u32(0x28) >>> 1) & 3,
        inPlace: b.bit(0x28, 3),
        rootMdata: b.bit(0x28, 4),
      }),
  },
  SNP_PAGE_MOVE: {
    size: 0x20,
    reserved: [
      [0x08, ~1],
      [0x0c, ALL],
    ],
    run: (m, b) =>
      snpPageMove(m, { gctx: b.address(0), pageSize2M: b.bit(8, 0), src: b.address(0x10), dst: b.address(0x18) }),
  },
  SNP_PAGE_MD_INIT: {
    size: 0x10,
    reserved: [],
    run: (m, b) => snpPageMdInit(m, { gctx: b.address(0), page: b.address(8) }),
  },
  SNP_PAGE_SET_STATE: {
    size: 0x10,
    reserved: [[4, ALL]],
    run: (m, b) => {
      const ranges = rangeList(m, 'SNP_PAGE_SET_STATE', b.address(8));
      return 'refusal' in ranges ? ranges.refusal : snpPageSetState(m, { length: b.u32(0), ranges: ranges.list });
    },
  },
  SNP_PAGE_RECLAIM: {
    size: 8,
    reserved: [[0, 0xffe]],
    run: (m, b) => {
      const address = b.address(0);
      const pageSize2M = b.bit(0, 0);
      return snpPageReclaim(m, { page: spa(address - (pageSize2M ? 1 : 0)), pageSize2M });
    },
  },
  SNP_PAGE_UNSMASH: {
    size: 8,
    reserved: [[0, 0xffe]],
    // Linux sets bit 0, the page size, which only 2 MiB can be; a plain address is taken alike.
    run: (m, b) => snpPageUnsmash(m, { page: spa(b.address(0) - (b.bit(0, 0) ? 1 : 0)) }),
  },
  SNP_CONFIG: {
    size: 0x40,
    reserved: [[0x08, ~3], ...words(0x0c, 0x40)],
    run: (m, b) => snpConfig(m, { reportedTcb: b.u64(0), maskChipId: b.bit(8, 0), maskChipKey: b.bit(8, 1) }),
  },
  SNP_DOWNLOAD_FIRMWARE_EX: {
    size: 0x18,
    reserved: [
      [0x04, ALL],
      [0x14, ~1],
    ],
    run: (m, b) =>
      snpDownloadFirmwareEx(m, {
        length: b.u32(0),
        image: b.address(8),
        imageLength: b.u32(0x10),
        commit: b.bit(0x14, 0),
      }),
  },
  SNP_COMMIT: { size: 4, reserved: [], run: (m, b) => snpCommit(m, { length: b.u32(0) }) },
  SNP_VLEK_LOAD: {
    size: 0x10,
    reserved: [[0x04, 0xffff_ff00]],
    run: (m, b) => snpVlekLoad(m, { length: b.u32(0), wrappedVersion: b.u8(4), wrapped: b.address(8) }),
  },
  SNP_FEATURE_INFO: {
    size: 0x10,
    reserved: [],
    run: (m, b) => snpFeatureInfo(m, { length: b.u32(0), ecxIn: b.u32(4), result: b.address(8) }),
  },
};

/** Offset of the first word with a reserved bit set, as text. */
export function reservedAt({ reserved }: MailboxCommand, buffer: CommandBuffer): string | undefined {
  const found = reserved.find(([offset, mask]) => (buffer.u32(offset) & mask) !== 0);
  return found && hex(found[0]);
}
