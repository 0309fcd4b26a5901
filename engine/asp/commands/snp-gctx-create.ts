import { hex, pfnOf, type Spa } from '../../address.js';
import { defineFault } from '../../fault.js';
import { ZERO_PAGE } from '../../memory/page-bytes.js';
import { writePage } from '../../memory/system-memory.js';
import { readEntry, writeEntry } from '../../rmp/table.js';
import { type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { addressRefusal, entryAt, needInit, stateAt } from '../common-checks.js';
import { zeroDigest } from '../launch-digest.js';
import type { GuestContext } from '../state.js';

const NAME = 'SNP_GCTX_CREATE';

export const GCTX_PAGE_SIZE = defineFault<{ page: string }>({
  check: 'fw-gctx-create-page-size',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PAGE_SIZE'),
  title: 'Context page is part of a 2 MiB page',
  message: (o) => `The page at ${o.page} is governed by a 2 MiB RMP entry.`,
  why: 'A guest context is one 4 KiB page; its state cannot be changed without that of its 511 neighbours.',
  hint: 'Use a page with a 4 KiB RMP entry.',
  reference: 'AMD pub. 56860, SNP_GCTX_CREATE',
  confirmed: false,
});

export const GCTX_PAGE_STATE = defineFault<{ page: string; state: string }>({
  check: 'fw-gctx-create-page-state',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PAGE_STATE'),
  title: 'Context page not in state Firmware',
  message: (o) => `The page at ${o.page} is in state ${o.state}; a context needs a page in state Firmware.`,
  why: 'The context holds the keys of the guest. It is made only in a page that the host gave away and can no longer write.',
  hint: 'RMPUPDATE the page with Assigned = 1, Immutable = 1, ASID 0 first; Linux does so in snp_alloc_firmware_page().',
  reference: 'AMD pub. 56860, SNP_GCTX_CREATE',
  confirmed: true,
});

export const GCTX_LIMIT = defineFault<{ guests: number }>({
  check: 'fw-gctx-create-limit',
  layer: 'firmware',
  command: NAME,
  code: status('RESOURCE_LIMIT'),
  title: 'Too many guest contexts',
  message: (o) => `There are ${o.guests} guest contexts already, as many as the emulated firmware keeps.`,
  why: 'The firmware keeps a bounded list of guests. The true limit is not documented; here it is the number of ASIDs.',
  hint: 'Decommission guests that are no longer needed.',
  reference: 'AMD pub. 56860, SNP_GCTX_CREATE',
  confirmed: false,
});

function refusal(machine: FirmwareMachine, page: Spa): FirmwareResult | undefined {
  const wrong = needInit(machine, NAME) ?? addressRefusal(machine, NAME, 'GCTX_PADDR', page);
  if (wrong) return wrong;
  const frame = pfnOf(page);
  const entry = entryAt(machine, frame);
  const state = stateAt(machine, frame);
  if (state !== 'Firmware') return refuse(GCTX_PAGE_STATE, { page: hex(page), state });
  if (entry.lock) return refuse(GCTX_PAGE_STATE, { page: hex(page), state: 'Firmware (the RMP itself)' });
  if (entry.pageSize2M) return refuse(GCTX_PAGE_SIZE, { page: hex(page) });
  const guests = machine.asp.guests.size;
  return guests >= machine.processor.maxAsid ? refuse(GCTX_LIMIT, { guests }) : undefined;
}

function newContext(machine: FirmwareMachine, address: Spa): GuestContext {
  const { random } = machine;
  return {
    address,
    state: 'INIT',
    asid: 0,
    policy: 0n,
    vek: 0,
    ld: zeroDigest(),
    imd: zeroDigest(),
    imiEnabled: false,
    gosvw: new Uint8Array(16),
    vmpck: [
      random.bytes('VMPCK0', 32),
      random.bytes('VMPCK1', 32),
      random.bytes('VMPCK2', 32),
      random.bytes('VMPCK3', 32),
    ],
    messageCount: [0n, 0n, 0n, 0n],
    launchTcb: 0n,
    launchMitigations: 0n,
    oek: new Uint8Array(32),
    oekIvCount: 0n,
    reportId: random.bytes('REPORT_ID', 32),
    reportIdMa: new Uint8Array(32).fill(0xff),
    hostData: new Uint8Array(32),
    idKeyDigest: zeroDigest(),
    authorKeyDigest: zeroDigest(),
    authorKeyEnabled: false,
    vcekDisabled: false,
    desiredTscKhz: 0,
    measured: [],
  };
}

/** SNP_GCTX_CREATE (0x093): Firmware → Context. AMD pub. 56860, SNP_GCTX_CREATE. */
export function snpGctxCreate(machine: FirmwareMachine, params: { readonly page: Spa }): Op<FirmwareResult> {
  return inCommand(machine, NAME, { args: { page: hex(params.page) } }, function* () {
    const wrong = refusal(machine, params.page);
    if (wrong) return wrong;
    const { asp, rmp, memory, stack } = machine;
    const frame = pfnOf(params.page);
    asp.guests.set(params.page, newContext(machine, params.page));
    writePage(memory, frame, ZERO_PAGE, asp.firmwareKey);
    yield rmpEvent(stack, NAME, writeEntry(rmp, frame, { ...readEntry(rmp, frame), vmsa: true }));
    return SUCCESS;
  });
}
