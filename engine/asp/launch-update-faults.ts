import { defineFault } from '../fault.js';
import { status } from './command.js';

/** The checks of SNP_LAUNCH_UPDATE on its operands and on the page. AMD pub. 56860, SNP_LAUNCH_UPDATE. */

const NAME = 'SNP_LAUNCH_UPDATE';
const LAUNCH_UPDATE = 'AMD pub. 56860, SNP_LAUNCH_UPDATE';

export const UPDATE_INACTIVE = defineFault<{ gctx: string }>({
  check: 'fw-launch-update-inactive',
  layer: 'firmware',
  command: NAME,
  code: status('INACTIVE'),
  title: 'Guest has no ASID',
  message: (o) => `The guest with context ${o.gctx} has not been activated.`,
  why: 'The page must belong to the guest’s ASID in the RMP, and an inactive guest has none.',
  hint: 'Run SNP_ACTIVATE after SNP_LAUNCH_START, as KVM does.',
  reference: LAUNCH_UPDATE,
  confirmed: false,
});

export const UPDATE_TYPE = defineFault<{ type: number }>({
  check: 'fw-launch-update-page-type',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Reserved page type',
  message: (o) => `PAGE_TYPE ${o.type} is reserved; types are 1 NORMAL to 6 CPUID.`,
  why: 'The type decides how the page is filled and measured, and is part of the measurement itself.',
  hint: 'Use 1 NORMAL, 2 VMSA, 3 ZERO, 4 UNMEASURED, 5 SECRETS or 6 CPUID.',
  reference: LAUNCH_UPDATE,
  confirmed: true,
});

export const UPDATE_IMI = defineFault<{ gctx: string }>({
  check: 'fw-launch-update-imi',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Page of a migration image without IMI_PAGE',
  message: () => 'The launch was started with IMI_EN, so every page must have IMI_PAGE set.',
  why: 'Such a launch loads only the incoming migration image; the guest itself arrives later from the other host. Every page must therefore be in the image’s own digest.',
  hint: 'Set IMI_PAGE for this page, or start the launch without IMI_EN.',
  reference: LAUNCH_UPDATE,
  confirmed: false,
});

export const UPDATE_SIZE = defineFault<{ page: string; size: string; entry: string }>({
  check: 'fw-launch-update-page-size',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PAGE_SIZE'),
  title: 'Page size differs from the RMP entry',
  message: (o) => `PAGE_SIZE is ${o.size}, but the RMP entry of the page at ${o.page} is ${o.entry}.`,
  why: 'The firmware takes a page as the RMP knows it; a part of a 2 MiB page cannot change its state alone.',
  hint: 'Pass the page size that RMPUPDATE gave the page. KVM uses 4 KiB only.',
  reference: LAUNCH_UPDATE,
  confirmed: false,
});

export const UPDATE_TYPE_SIZE = defineFault<{ type: string }>({
  check: 'fw-launch-update-type-size',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PAGE_SIZE'),
  title: 'Special page must be 4 KiB',
  message: (o) => `A ${o.type} page must be 4 KiB, not 2 MiB.`,
  why: 'VMSA, SECRETS and CPUID pages are single pages with a layout of 4096 bytes.',
  hint: 'Use a 4 KiB page.',
  reference: LAUNCH_UPDATE,
  confirmed: false,
});

export const UPDATE_STATE = defineFault<{ page: string; state: string }>({
  check: 'fw-launch-update-page-state',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PAGE_STATE'),
  title: 'Page not in state Pre-Guest',
  message: (o) => `The page at ${o.page} is in state ${o.state}; SNP_LAUNCH_UPDATE takes Pre-Guest pages.`,
  why: 'Pre-Guest means assigned to the guest, immutable and not validated: neither host nor guest can change the page while the firmware measures it.',
  hint: 'RMPUPDATE the page with Assigned, Immutable, the guest’s ASID and GPA before the command.',
  reference: LAUNCH_UPDATE,
  confirmed: true,
});

export const UPDATE_OWNER = defineFault<{ page: string; asid: number; owner: number }>({
  check: 'fw-launch-update-page-owner',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PAGE_OWNER'),
  title: 'Page belongs to another guest',
  message: (o) => `The page at ${o.page} is assigned to ASID ${o.owner}, but the guest has ASID ${o.asid}.`,
  why: 'A guest is built from its own pages only.',
  hint: 'RMPUPDATE the page with the ASID of this guest.',
  reference: LAUNCH_UPDATE,
  confirmed: false,
});

export const UPDATE_MASKS = defineFault<{ vmpl: number; mask: string; allowed: string }>({
  check: 'fw-launch-update-vmpl-mask',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Permission mask has reserved bits',
  message: (o) => `The permission mask ${o.mask} of VMPL${o.vmpl} has bits outside of ${o.allowed}.`,
  why: 'Bits 3:0 of a mask are read, write, user and supervisor execute; bit 4 is the supervisor shadow stack on processors that have VmplSSS.',
  hint: 'Clear the other bits.',
  reference: `${LAUNCH_UPDATE}; AMD64 APM vol. 2, 15.36.7`,
  confirmed: false,
});
