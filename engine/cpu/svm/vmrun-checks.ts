import { hex, isPageAligned, pfnOf, type Spa } from '../../address.js';
import { view } from '../../bytes.js';
import { defineFault, type Fault, type FaultDefinition, makeFault, type Operands } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { plainPage } from '../../memory/system-memory.js';
import { ownerText } from '../../rmp/describe.js';
import { pageState } from '../../rmp/page-state.js';
import { effectiveEntry, isCovered } from '../../rmp/table.js';
import { VMSA_SEGMENTS } from '../../spec/vmsa-layout.js';
import { EFER } from '../system/system-state.js';
import { illegalEvent } from './event.js';
import { EXIT, type Vmcb } from './vmcb.js';
import { VMSA_AT } from './vmsa-state.js';

/**
 * What VMRUN checks of an SNP guest before it enters: VMCB fields, the RMP entry of the VMSA page, the state in it.
 * AMD APM volume 2, 15.35.2, 15.36.12; the order beyond the tables is not confirmed.
 */

const REFERENCE = 'AMD64 APM volume 2, 15.36.12 and 15.35.2';
const invalid = { kind: 'exception', name: 'VMEXIT_INVALID', value: -1 } as const;

function define<O extends Operands>(
  definition: Pick<FaultDefinition<O>, 'check' | 'title' | 'message' | 'why' | 'hint'> & { confirmed?: boolean },
): FaultDefinition<O> {
  return defineFault<O>({
    layer: 'hardware',
    command: 'VMRUN',
    code: invalid,
    reference: REFERENCE,
    confirmed: true,
    ...definition,
  });
}

export const NO_VMSA = define({
  check: 'hw-vmrun-no-vmsa',
  title: 'VMRUN without a VMSA',
  message: () => 'The VMSA pointer of the VMCB is invalid.',
  why: 'The registers of a guest with encrypted state are loaded from its VMSA page; KVM sets the pointer at LAUNCH_FINISH or when the guest creates an AP.',
  hint: 'Start the vCPU only after its VMSA has been launched or created.',
});

export const VMSA_RMP = define<{ spa: string; rule: string; entry: string }>({
  check: 'hw-vmrun-vmsa-rmp',
  title: 'The VMSA page fails its RMP check',
  message: (o) => `VMRUN refused the VMSA at SPA ${o.spa}: ${o.rule}. The RMP entry: ${o.entry}.`,
  why: 'Only a page that belongs to the guest and that its VMPL0, or the firmware at launch, marked as a VMSA may hold the registers of a vCPU; otherwise the host could make up the state of a guest.',
  hint: 'Create the page as an AP’s VMSA with RMPADJUST and the VMSA bit (RDX[16]) before AP creation, and leave its RMP entry alone afterwards.',
});

export const VMSA_KEY = define<{ spa: string }>({
  check: 'hw-vmrun-vmsa-checksum',
  title: 'The VMSA does not decrypt to what was saved',
  message: (o) => `The VMSA at SPA ${o.spa} was not written with the key of this guest.`,
  why: 'The state is encrypted with the guest’s key and has an integrity checksum.',
  hint: 'Do not change or replace the page after launch.',
});

export const VMSA_SVME = define<{ efer: string }>({
  check: 'hw-vmrun-efer-svme',
  title: 'EFER.SVME is clear in the VMSA',
  message: (o) => `EFER in the VMSA is ${o.efer}: bit 12 (SVME) is clear.`,
  why: 'VMRUN wants SVME set in the guest’s EFER. An SVSM clears it on purpose, to keep a vCPU from running.',
  hint: 'Set bit 12 of EFER in the VMSA; AP creation code copies the value 0x1000.',
});

export const VMSA_STATE = define<{ rule: string; cr0: string; cr4: string; efer: string }>({
  check: 'hw-vmrun-illegal-state',
  title: 'Illegal register state in the VMSA',
  message: (o) => `${o.rule} (CR0 ${o.cr0}, CR4 ${o.cr4}, EFER ${o.efer}).`,
  why: 'VMRUN checks the same combinations that a MOV to the register would refuse.',
  hint: 'Compare the VMSA with that of a running vCPU, or start from the values of a reset.',
});

export const VMSA_FEATURES = define<{ features: string; rule: string }>({
  check: 'hw-vmrun-sev-features',
  title: 'SEV_FEATURES that cannot be run',
  message: (o) => `SEV_FEATURES is ${o.features}: ${o.rule}.`,
  why: 'Some features exclude each other, and an SNP guest must have SNPActive set.',
  hint: 'Copy SEV_FEATURES from the vCPU that runs (SEV_STATUS >> 2).',
});

export const VMCB_ASID = define<{ asid: number; max: number }>({
  check: 'hw-vmrun-asid',
  title: 'VMRUN with an ASID that cannot be used',
  message: (o) => `The ASID is ${o.asid}; SNP guests use 1 to ${o.max}, and the firmware must have activated it.`,
  why: 'The ASID selects the guest’s memory encryption key.',
  hint: 'Run the guest after SNP_ACTIVATE.',
});

export const VMCB_EVENT = define<{ event: string; rule: string }>({
  check: 'hw-vmrun-event',
  title: 'VMRUN with an event that cannot be injected',
  message: (o) => `EVENTINJ is ${o.event}: ${o.rule}.`,
  why: 'The host may inject interrupts and exceptions into a guest with encrypted state, but not events that belong to an instruction: it could not know where the guest goes on.',
  hint: 'The guest executes the instruction itself; inject nothing.',
});

export const VMSA_BUSY = defineFault({
  check: 'hw-vmrun-busy',
  layer: 'hardware',
  command: 'VMRUN',
  code: { kind: 'exception', name: 'VMEXIT_BUSY', value: -2 },
  title: 'The VMSA is busy',
  message: () => 'VINTR_CTRL.BUSY is set in the VMSA.',
  why: 'Software at a more privileged VMPL has marked the VMSA as in use while it changes it.',
  hint: 'Run the vCPU again after the bit has been cleared.',
  reference: 'AMD64 APM volume 2, 15.36.16',
  confirmed: true,
});

export interface VmrunRefusal {
  readonly exitCode: bigint;
  readonly fault: Fault;
}

/** Undefined: the guest may be entered. `unchanged`: the VMSA is as the last exit has left it, and so its state legal. */
export function vmrunRefusal(machine: Machine, vmcb: Vmcb, unchanged: boolean): VmrunRefusal | undefined {
  const fault = invalidFault(machine, vmcb, unchanged);
  if (fault) return { exitCode: EXIT.INVALID, fault };
  if (unchanged) return undefined;
  const vmsa = plainPage(machine.memory, pfnOf(vmcb.vmsa as Spa)).content.bytes;
  const busy = view(vmsa).getBigUint64(VMSA_AT.vintrCtrl, true) >> 63n !== 0n;
  return busy ? { exitCode: EXIT.BUSY, fault: makeFault(VMSA_BUSY, {}) } : undefined;
}

function invalidFault(machine: Machine, vmcb: Vmcb, unchanged: boolean): Fault | undefined {
  const { asid, vmsa } = vmcb;
  const context = machine.asp.activeAsids.get(asid);
  const guest = context === undefined ? undefined : machine.asp.guests.get(context);
  const { maxAsid } = machine.processor;
  if (asid < 1 || asid > maxAsid || !guest) return makeFault(VMCB_ASID, { asid, max: maxAsid });
  if (vmsa === undefined || !isPageAligned(vmsa)) return makeFault(NO_VMSA, {});
  const rule = vmsaRmpRule(machine, vmsa, asid);
  const frame = pfnOf(vmsa);
  if (rule) {
    const entry = effectiveEntry(machine.rmp, frame);
    const text = `${pageState(entry)}, ${ownerText(entry, asid)}, VMSA bit ${entry.vmsa ? 'set' : 'clear'}`;
    return makeFault(VMSA_RMP, { spa: hex(vmsa), rule, entry: text });
  }
  const page = plainPage(machine.memory, frame);
  if (page.key !== guest.vek) return makeFault(VMSA_KEY, { spa: hex(vmsa) });
  return (unchanged ? undefined : illegalState(machine, page.content.bytes)) ?? illegalInjection(vmcb.eventInj);
}

function illegalInjection(event: bigint): Fault | undefined {
  const rule = illegalEvent(event);
  return rule === undefined ? undefined : makeFault(VMCB_EVENT, { event: hex(event), rule });
}

/** Covered, guest-owned, mutable, VMSA=1; the size counts as 4 KiB. VMRUN knows no GPA to compare. */
function vmsaRmpRule(machine: Machine, vmsa: Spa, asid: number): string | undefined {
  const { rmp } = machine;
  const frame = pfnOf(vmsa);
  if (!isCovered(rmp, frame)) return 'the RMP does not cover the page';
  const entry = effectiveEntry(rmp, frame);
  if (!entry.assigned || entry.asid !== asid) return 'the page does not belong to the guest';
  if (entry.immutable) return 'the page is immutable';
  if (!entry.vmsa) return 'the VMSA bit is clear';
  return undefined;
}

const SNP_ACTIVE = 1n;
const RESTRICTED = 1n << 3n;
const ALTERNATE = 1n << 4n;
const DEBUG_VIRTUALIZATION = 1n << 5n;
/** SNPActive, PreventHostIBS, SNPBTBIsolation and SecureTSC; not vTOM, ReflectVC, the injection modes, Secure AVIC, … */
const EMULATED_FEATURES = SNP_ACTIVE | (1n << 6n) | (1n << 7n) | (1n << 9n);

function illegalState({ processor }: Machine, vmsa: Uint8Array): Fault | undefined {
  const v = view(vmsa);
  const u64 = (offset: number): bigint => v.getBigUint64(offset, true);
  const features = u64(VMSA_AT.sevFeatures);
  const [efer, cr0, cr4] = [u64(VMSA_AT.efer), u64(VMSA_AT.cr0), u64(VMSA_AT.cr4)];
  const [dr6, dr7, cr3, csAttributes] = [
    u64(VMSA_AT.dr6),
    u64(VMSA_AT.dr7),
    u64(VMSA_AT.cr3),
    v.getUint16(CS_ATTRIBUTES, true),
  ];
  const feature = (rule: string): Fault => makeFault(VMSA_FEATURES, { features: hex(features), rule });
  if ((features & SNP_ACTIVE) === 0n) return feature('SNPActive is clear, but the page is owned by a guest');
  if ((efer & BigInt(EFER.SVME)) === 0n) return makeFault(VMSA_SVME, { efer: hex(efer) });
  const rule = illegalRule({ cr0, cr4, efer, cr3, dr6, dr7, csAttributes, vmpl: vmsa[VMSA_AT.vmpl] ?? 0 });
  if (rule) return makeFault(VMSA_STATE, { rule, cr0: hex(cr0), cr4: hex(cr4), efer: hex(efer) });
  if ((features & RESTRICTED) !== 0n && (features & ALTERNATE) !== 0n) {
    return feature('restricted and alternate injection exclude each other');
  }
  const missing = features & ~EMULATED_FEATURES & ~(processor.debugSwap ? DEBUG_VIRTUALIZATION : 0n);
  if (missing !== 0n) return feature(`the emulated processor does not have ${hex(missing)} of it`);
  return undefined;
}

/** Selector and attributes of CS in the VMSA. */
const CS_ATTRIBUTES = VMSA_SEGMENTS.cs + 2;

interface CheckedState {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
  readonly dr6: bigint;
  readonly dr7: bigint;
  readonly csAttributes: number;
  readonly vmpl: number;
}

const bit = (value: bigint, n: bigint): boolean => ((value >> n) & 1n) !== 0n;
/** What processors of these generations have: SCE, LME, LMA, NXE, SVME, FFXSR, TCE, MCOMMIT, INTWB, UAIE, AIBRSE. */
const EFER_BITS = 0x0036_dd01n;
/** All but VMXE, SMXE and bits that nothing defines. */
const CR4_BITS = 0x00f7_1fffn;

/** Consistency checks of VMRUN: APM volume 2, 15.5.1. */
function illegalRule({ cr0, cr3, cr4, efer, dr6, dr7, csAttributes, vmpl }: CheckedState): string | undefined {
  const isLong = bit(efer, 8n) && bit(cr0, 31n);
  if (!bit(cr0, 30n) && bit(cr0, 29n)) return 'CR0.CD is zero and CR0.NW is set';
  if (cr0 >> 32n !== 0n) return 'CR0[63:32] are not zero';
  if (cr3 >> 52n !== 0n) return 'CR3[63:52] are not zero';
  if ((cr4 & ~CR4_BITS) !== 0n) return 'reserved bits of CR4 are set';
  if (dr6 >> 32n !== 0n) return 'DR6[63:32] are not zero';
  if (dr7 >> 32n !== 0n) return 'DR7[63:32] are not zero';
  if ((efer & ~EFER_BITS) !== 0n) return 'reserved bits of EFER are set';
  if (isLong && !bit(cr4, 5n)) return 'EFER.LME and CR0.PG are set, but CR4.PAE is clear';
  if (isLong && !bit(cr0, 0n)) return 'EFER.LME and CR0.PG are set, but CR0.PE is clear';
  if (isLong && (csAttributes & 0x600) === 0x600) return 'EFER.LME and CR0.PG are set, and so are CS.L and CS.D';
  if (vmpl > 3) return `VMPL${vmpl} does not exist`;
  return undefined;
}
