import { hex, type Pfn, spaOf } from '../address.js';
import { defineFault, type Fault, type FaultCode, makeFault } from '../fault.js';
import type { GuestAccess } from './access-check.js';
import { ownerText, vmplMaskText, vmplMaskWords } from './describe.js';
import type { RmpEntry } from './entry.js';
import { pageState } from './page-state.js';

/** The checks by name: AMD64 APM vol. 2, 15.36.10, table 15-38. */
export type AccessRule =
  | 'hypervisor-owned'
  | 'covered'
  | 'guest-owned'
  | 'reverse-map'
  | 'mutable'
  | 'page-size'
  | 'validated'
  | 'vmpl';

/** What a fault of an access tells; everything as it was at the access. */
export interface AccessFacts {
  readonly access: GuestAccess;
  readonly frame: Pfn;
  /** The page whose entry fails the check: another one than `frame` only for writes through a 2 MiB mapping. */
  readonly cause: Pfn;
  /** The entry that governs `cause`. */
  readonly entry: RmpEntry;
  readonly initialised: boolean;
  readonly coveredBytes: number;
}

const COMMAND = 'RMP check';
const APM = 'AMD64 APM vol. 2, 15.36.10, tables 15-38 and 15-39';
/** The value is the exit code; EXITINFO1 is among the operands. */
export const VMEXIT_NPF: FaultCode = { kind: 'exception', name: '#VMEXIT(NPF)', value: 0x400 };
export const VC_NOT_VALIDATED: FaultCode = { kind: 'exception', name: '#VC', value: 0x404 };

type Operands = {
  /** `Write`, `Instruction fetch`, … */
  readonly access: string;
  readonly gpa: string;
  readonly spa: string;
  readonly asid: number;
  readonly vmpl: number;
  readonly state: string;
  readonly owner: string;
  readonly nptSize: string;
  readonly rmpSize: string;
};

export const ACCESS_HYPERVISOR_OWNED = defineFault<
  Operands & { readonly assignedSpa: string; readonly assignedGpa: string; readonly own: boolean }
>({
  check: 'hw-access-hypervisor-owned',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'Shared write to a page that is assigned',
  message: (o) =>
    `${o.access} at GPA ${o.gpa} with C-bit 0 goes to the page at SPA ${o.spa}` +
    (o.assignedSpa === o.spa ? ', ' : `, mapped with 2 MiB; in that region the page at SPA ${o.assignedSpa} `) +
    `${o.assignedSpa === o.spa ? 'which is' : 'is'} ${o.owner} as GPA ${o.assignedGpa} (state ${o.state}). A shared ` +
    'write is for pages of the hypervisor only.',
  why: 'A write without the guest’s key would put bytes into a private page that decrypt to noise, so the RMP refuses every shared write to an assigned page, by a guest as by the host. Reads are not refused: they only see ciphertext. KVM takes this exit for an implicit request to make the page shared.',
  hint: (o) =>
    o.assignedSpa !== o.spa
      ? 'The host has to map the shared pages with 4 KiB, because the check covers the whole 2 MiB mapping.'
      : o.own
        ? 'Rescind the validation of the page (PVALIDATE 0), ask the host for a page state change to shared, and only then write to it through C-bit 0; or, if the page is to stay private, set the C-bit in the guest’s page table.'
        : 'The host backs a shared page with memory that it gave away: it has to map a page of its own there.',
  reference: `${APM}; Linux arch/x86/kvm/svm/sev.c sev_handle_rmp_fault()`,
  confirmed: true,
});

export const ACCESS_COVERED = defineFault<Operands & { readonly covered: string }>({
  check: 'hw-access-covered',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'Private access to memory without RMP entries',
  message: (o) =>
    `${o.access} at GPA ${o.gpa} is private, and the nested page table leads to SPA ${o.spa}, which has no RMP ` +
    `entry: the table covers memory below ${o.covered}.`,
  why: 'Private memory needs an entry that names its guest and its guest address. Memory above RMP_END has none and can never be private.',
  hint: 'The host has to back private guest memory with pages that the RMP covers, or to reserve a larger RMP.',
  reference: APM,
  confirmed: true,
});

export const ACCESS_GUEST_OWNED = defineFault<Operands & { readonly assigned: boolean }>({
  check: 'hw-access-guest-owned',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'Private access to a page that is not the guest’s own',
  message: (o) =>
    `${o.access} at GPA ${o.gpa} is private, but the page at SPA ${o.spa} behind it is ${o.owner} (state ${o.state}); ` +
    `this guest has ASID ${o.asid}.`,
  why: 'A guest must get no other page than its own through the C-bit, or the hypervisor could replace private memory. Instruction fetches and page-table accesses are always private, whatever the C-bit says. KVM takes this exit for an implicit request to make the page private, if its memory attributes permit that.',
  hint: (o) =>
    !o.assigned
      ? 'Private memory: ask the host for a page state change to private and PVALIDATE the page before its first use. Shared memory (GHCB, bounce buffers): map it with C-bit 0; it can hold neither code nor page tables.'
      : 'The host maps the page of somebody else here: it has to map a page that RMPUPDATE assigned to this guest.',
  reference: `${APM}; Linux arch/x86/kvm/svm/sev.c sev_handle_rmp_fault()`,
  confirmed: true,
});

export const ACCESS_REVERSE_MAP = defineFault<Operands & { readonly entryGpa: string }>({
  check: 'hw-access-reverse-map',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'The RMP assigns the page to another guest address',
  message: (o) =>
    `${o.access} at GPA ${o.gpa}: the nested page table leads to SPA ${o.spa}, but according to the RMP that page ` +
    `backs GPA ${o.entryGpa}.`,
  why: 'The hypervisor owns the nested page table. The guest address in the RMP entry is what keeps it from swapping two pages of a guest behind its back.',
  hint: 'The host has to map the page where RMPUPDATE assigned it, or to assign it anew (which clears its validation).',
  reference: APM,
  confirmed: true,
});

export const ACCESS_MUTABLE = defineFault<Operands>({
  check: 'hw-access-mutable',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'The page is immutable',
  message: (o) =>
    `${o.access} at GPA ${o.gpa}: the page at SPA ${o.spa} is in state ${o.state}; its Immutable bit is set.`,
  why: 'An immutable page is in the hands of the firmware, which measures, swaps or moves it. The guest must not see or change it meanwhile.',
  hint: 'The host has to let the firmware finish: SNP_LAUNCH_UPDATE turns Pre-Guest into Guest-Valid, SNP_PAGE_RECLAIM gives the page back.',
  reference: APM,
  confirmed: true,
});

export const ACCESS_PAGE_SIZE = defineFault<Operands>({
  check: 'hw-access-page-size',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'Page sizes of nested page table and RMP differ',
  message: (o) =>
    `${o.access} at GPA ${o.gpa}: the nested page table maps the page with ${o.nptSize}, the RMP entry of SPA ${o.spa} is of ${o.rmpSize}.`,
  why: 'The check looks at one entry. It can stand for the whole mapping only if both are of the same size; a 1 GiB mapping counts as 2 MiB.',
  hint: (o) =>
    o.rmpSize === '2M'
      ? 'The host has to split the entry with PSMASH, or to map the region with 2 MiB. KVM does the former and runs the guest again.'
      : 'The host has to map these pages with 4 KiB. KVM drops the mapping and makes a smaller one.',
  reference: `${APM}; Linux arch/x86/kvm/svm/sev.c sev_handle_rmp_fault()`,
  confirmed: true,
});

export const ACCESS_VALIDATED = defineFault<Operands>({
  check: 'hw-access-not-validated',
  layer: 'hardware',
  command: COMMAND,
  code: VC_NOT_VALIDATED,
  title: 'Private access to a page that the guest has not validated',
  message: (o) =>
    `${o.access} at GPA ${o.gpa} (SPA ${o.spa}): the host has assigned this ${o.rmpSize} page to the guest (ASID ` +
    `${o.asid}), but its Validated bit is 0 (state ${o.state}). Either the guest never ran PVALIDATE on it, or it ` +
    'rescinded the validation, or the host took the page away and put another one in its place.',
  why: 'Only the guest can set Validated, and each RMPUPDATE that changes a page clears it. So the guest notices every page that the hypervisor exchanges. A guest that answers this #VC by validating the page again gives that protection up.',
  hint: 'PVALIDATE the page once, after the page state change to private and before its first use. Pages of SNP_LAUNCH_UPDATE are validated already. If the guest remembers having validated this page, it has to stop: the host has exchanged its memory.',
  reference: `${APM}; vol. 2, 15.36.6; Linux arch/x86/coco/sev/shared.c pvalidate_pages()`,
  confirmed: true,
});

export const ACCESS_VMPL = defineFault<
  Operands & { readonly needed: string; readonly mask: string; readonly allowed: string; readonly writeOnly: boolean }
>({
  check: 'hw-access-vmpl',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'The VMPL has no permission for this access',
  message: (o) =>
    `${o.access} at GPA ${o.gpa} (SPA ${o.spa}) needs the permission ${o.needed}; the RMP entry gives VMPL${o.vmpl} ` +
    `${o.mask} (${o.allowed})${o.writeOnly ? '; write without read is no permission' : ''}.`,
  why: 'VMPLs divide a guest into levels of trust. RMPUPDATE gives a page to VMPL0 alone; each other level may do with it only what a more privileged one granted.',
  hint: (o) =>
    o.writeOnly
      ? 'Grant read together with write: write alone permits no data access at all.'
      : `Software at a VMPL below ${o.vmpl} has to grant the permission with RMPADJUST, or VMPL${o.vmpl} has to do without the page.`,
  reference: `${APM}; vol. 2, 15.36.7, table 15-36`,
  confirmed: true,
});

function accessText({ kind, walk, user }: GuestAccess): string {
  if (walk) return kind === 'write' ? 'Update of a page-table entry (A, D bits)' : 'Read of a page-table entry';
  if (kind === 'execute') return `Instruction fetch (CPL ${user ? '3' : '0 to 2'})`;
  return kind === 'write' ? 'Write' : 'Read';
}

const sizeText = (is2M: boolean): string => (is2M ? '2M' : '4K');

function neededText({ kind, walk, user }: GuestAccess): string {
  if (kind === 'write') return 'read and write';
  if (kind === 'read' || walk) return 'read';
  return `execute at ${user ? 'CPL 3' : 'CPL 0 to 2'}`;
}

/** The fault of a check that failed. `errorCode`: EXITINFO1, or the error code of #VC. */
export function accessFault(rule: AccessRule, facts: AccessFacts, errorCode: number): Fault {
  const { access, entry } = facts;
  const common = {
    access: accessText(access),
    gpa: hex(access.gpa),
    spa: hex(spaOf(facts.frame)),
    asid: access.asid,
    vmpl: access.vmpl,
    state: pageState(entry, facts.initialised),
    owner: ownerText(entry, access.asid),
    nptSize: sizeText(access.nptPageSize2M),
    rmpSize: sizeText(entry.pageSize2M),
    ...(rule === 'validated' ? { errorCode: hex(errorCode) } : { exitInfo1: hex(errorCode) }),
  };
  const entryGpa = hex(entry.gpa);
  switch (rule) {
    case 'hypervisor-owned':
      return makeFault(ACCESS_HYPERVISOR_OWNED, {
        ...common,
        assignedSpa: hex(spaOf(facts.cause)),
        assignedGpa: entryGpa,
        own: entry.asid === access.asid,
      });
    case 'covered':
      return makeFault(ACCESS_COVERED, { ...common, covered: hex(facts.coveredBytes) });
    case 'guest-owned':
      return makeFault(ACCESS_GUEST_OWNED, { ...common, assigned: entry.assigned });
    case 'reverse-map':
      return makeFault(ACCESS_REVERSE_MAP, { ...common, entryGpa });
    case 'mutable':
      return makeFault(ACCESS_MUTABLE, common);
    case 'page-size':
      return makeFault(ACCESS_PAGE_SIZE, common);
    case 'validated':
      return makeFault(ACCESS_VALIDATED, common);
    case 'vmpl': {
      const mask = entry.vmpl[access.vmpl];
      return makeFault(ACCESS_VMPL, {
        ...common,
        needed: neededText(access),
        mask: vmplMaskText(mask),
        allowed: vmplMaskWords(mask),
        writeOnly: (mask & 3) === 2 && access.kind !== 'execute',
      });
    }
  }
}
