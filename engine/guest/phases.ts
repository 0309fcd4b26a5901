import { EXIT } from '../cpu/svm/vmcb.js';
import { ghcbField, readGhcb } from '../kvm/ghcb/ghcb-page.js';
import { kvmReadGuest } from '../kvm/mmu/kvm-read-guest.js';
import type { KvmVm } from '../kvm/state.js';
import type { Machine } from '../machine.js';
import { decodeIoio, GHCB_SHARED_BUFFER, NAE, PSC_OPERATION, VMGEXIT } from '../spec/ghcb-layout.js';
import type { EngineEvent } from '../timeline/event.js';

/**
 * Places in the boot of OVMF that the host can see without symbols, in the order in which they are usually passed. A
 * phase is passed once.
 */
export const OVMF_PHASES = {
  'ovmf.reset': 'first instruction, from the measured VMSA',
  'ovmf.flat32': 'reset vector: protected mode',
  'ovmf.sev-cpuid': 'reset vector: first CPUID, answered from the CPUID page',
  'ovmf.paging-on': 'reset vector: paging with the C-bit',
  'ovmf.ghcb-info': 'SEC: GHCB protocol version',
  'ovmf.hv-features': 'SEC: features of the hypervisor',
  'ovmf.ghcb-register': 'SEC: the GHCB page is registered',
  'ovmf.ghcb-live': 'SEC: first request in the GHCB page',
  'ovmf.vmpl0-check': 'SEC: RMPADJUST, which only VMPL0 may do',
  'ovmf.accept-sec': 'SEC: memory for PEI and DXE is accepted',
  'ovmf.pic-mask': 'SEC: interrupt controllers masked',
  'ovmf.apic-timer': 'SEC: timer of the local APIC',
  'ovmf.pei-platform': 'PEI: first PCI configuration access',
  'ovmf.hv-features-nae': 'PEI: features of the hypervisor, by the GHCB page',
  'ovmf.accept-low': 'PEI: memory below 4 GiB is accepted',
  'ovmf.ghcb-percpu': 'PEI: a GHCB for each CPU is shared',
  'ovmf.ghcb-switch': 'PEI: another GHCB is registered',
  'ovmf.sec-ghcb-private': 'PEI: the GHCB of SEC becomes private again',
  'ovmf.mp-first-wake': 'INIT to the other CPUs',
  'ovmf.mp-ap-create': 'DXE: a vCPU is created',
  'ovmf.acpi': 'DXE: ACPI tables are read',
  'ovmf.fwcfg-kernel': 'BDS: the kernel is read',
  'guest.terminate': 'the guest asks for its end',
} as const;

export type OvmfPhase = keyof typeof OVMF_PHASES;

/** Which phases a run has passed, with the count of instructions at each. */
export interface PhaseTracker {
  readonly passed: Map<OvmfPhase, number>;
  /** The GHCB that was registered first. */
  firstGhcb?: bigint;
}

export function createPhaseTracker(): PhaseTracker {
  return { passed: new Map() };
}

const FIRMWARE_VOLUME = [0x5f, 0x46, 0x56, 0x48];
const VOLUME_SIGNATURE = 0x28;

/** A firmware volume begins at some page of the image: it is a UEFI firmware. */
export function isUefiFirmware(image: Uint8Array): boolean {
  for (let at = VOLUME_SIGNATURE; at + 4 <= image.length; at += 4096) {
    if (FIRMWARE_VOLUME.every((byte, i) => image[at + i] === byte)) return true;
  }
  return false;
}

const VC = 29;
const CR0_PE = 1n;
const CR0_PG = 1n << 31n;
/** Requests of the GHCB MSR protocol, by the low 12 bits. */
const MSR_PHASES = new Map<bigint, OvmfPhase>([
  [0x002n, 'ovmf.ghcb-info'],
  [0x080n, 'ovmf.hv-features'],
  [0x100n, 'guest.terminate'],
]);
const MSR_REGISTER = 0x012n;

/** The phase that begins with an event; undefined: none, or it was passed before. */
export function phaseOf(tracker: PhaseTracker, machine: Machine, vm: KvmVm, event: EngineEvent): OvmfPhase | undefined {
  const phase = candidate(tracker, machine, vm, event);
  if (!phase || tracker.passed.has(phase) || !('instructions' in event)) return undefined;
  tracker.passed.set(phase, event.instructions);
  return phase;
}

function candidate(tracker: PhaseTracker, machine: Machine, vm: KvmVm, event: EngineEvent): OvmfPhase | undefined {
  switch (event.kind) {
    case 'exception':
      return event.vector === VC && event.errorCode === Number(NAE.CPUID) ? 'ovmf.sev-cpuid' : undefined;
    case 'instruction':
      return event.name === 'RMPADJUST' ? 'ovmf.vmpl0-check' : undefined;
    case 'exit':
      if (event.exitCode === EXIT.CR0_WRITE_TRAP) {
        if ((event.exitInfo1 & CR0_PG) !== 0n) return 'ovmf.paging-on';
        return (event.exitInfo1 & CR0_PE) !== 0n ? 'ovmf.flat32' : undefined;
      }
      return event.exitCode === EXIT.VMGEXIT ? vmgexitPhase(tracker, machine, vm, event.ghcb) : undefined;
    default:
      return undefined;
  }
}

function vmgexitPhase(tracker: PhaseTracker, machine: Machine, vm: KvmVm, ghcb: bigint): OvmfPhase | undefined {
  const request = ghcb & 0xfffn;
  if (request === MSR_REGISTER) {
    tracker.firstGhcb ??= ghcb >> 12n;
    return ghcb >> 12n === tracker.firstGhcb ? 'ovmf.ghcb-register' : 'ovmf.ghcb-switch';
  }
  if (request !== 0n) return MSR_PHASES.get(request);
  const save = readGhcb(machine, vm, Number(ghcb));
  if (!save) return undefined;
  return tracker.passed.has('ovmf.ghcb-live') ? requestPhase(tracker, machine, vm, ghcb, save) : 'ovmf.ghcb-live';
}

function requestPhase(
  tracker: PhaseTracker,
  machine: Machine,
  vm: KvmVm,
  ghcb: bigint,
  save: Uint8Array,
): OvmfPhase | undefined {
  const info1 = ghcbField(save, 'SW_EXITINFO1');
  switch (ghcbField(save, 'SW_EXITCODE')) {
    case NAE.IOIO:
      return portPhase(tracker, machine, decodeIoio(info1).port);
    case NAE.MSR:
      return apicMsrPhase(Number(ghcbField(save, 'RCX')), Number(ghcbField(save, 'RAX') & 0xffff_ffffn));
    case VMGEXIT.MMIO_READ:
    case VMGEXIT.MMIO_WRITE:
      return apicPhase(machine, vm, Number(info1), ghcb);
    case VMGEXIT.HV_FEATURES:
      return 'ovmf.hv-features-nae';
    case VMGEXIT.PSC:
      return conversionPhase(tracker, machine, vm, ghcb);
    case VMGEXIT.AP_CREATION:
      return 'ovmf.mp-ap-create';
    case VMGEXIT.TERM_REQUEST:
      return 'guest.terminate';
    default:
      return undefined;
  }
}

const KERNEL_ITEMS = [0x11, 0x12, 0x15, 0x17, 0x18];

function portPhase(tracker: PhaseTracker, { board }: Machine, port: number): OvmfPhase | undefined {
  if (port === 0x21) return 'ovmf.pic-mask';
  if (port === 0xcf8 && tracker.passed.has('ovmf.pic-mask')) return 'ovmf.pei-platform';
  // The item selected by the access before this one.
  const key = board?.fwCfg.key ?? 0;
  if (board?.fwCfg.names.get(key) === 'etc/table-loader') return 'ovmf.acpi';
  const length = KERNEL_ITEMS.includes(key) ? (board?.fwCfg.items.get(key)?.length ?? 0) : 0;
  return length > 0 && tracker.passed.has('ovmf.acpi') ? 'ovmf.fwcfg-kernel' : undefined;
}

const APIC = 0xfee0_0000;
const ICR = 0x300;
const X2APIC_ICR = 0x830;
const DELIVERY_MODE = 0x700;
const INIT = 0x500;

function apicMsrPhase(number: number, value: number): OvmfPhase | undefined {
  if (number < 0x800 || number > 0x83f) return undefined;
  return number === X2APIC_ICR && (value & DELIVERY_MODE) === INIT ? 'ovmf.mp-first-wake' : 'ovmf.apic-timer';
}

function apicPhase(machine: Machine, vm: KvmVm, address: number, ghcb: bigint): OvmfPhase | undefined {
  if (address < APIC || address >= APIC + 4096) return undefined;
  const [, mode = 0] = address === APIC + ICR ? (shared(machine, vm, ghcb, 0, 4) ?? []) : [];
  return ((mode << 8) & DELIVERY_MODE) === INIT ? 'ovmf.mp-first-wake' : 'ovmf.apic-timer';
}

function shared(machine: Machine, vm: KvmVm, ghcb: bigint, offset: number, length: number): Uint8Array | undefined {
  return kvmReadGuest(machine, vm, Number(ghcb) + GHCB_SHARED_BUFFER + offset, length);
}

/** By the first entry of the list: frame in bits 51:12, operation in bits 55:52. What SEC accepts comes first. */
function conversionPhase(tracker: PhaseTracker, machine: Machine, vm: KvmVm, ghcb: bigint): OvmfPhase | undefined {
  const bytes = shared(machine, vm, ghcb, 8, 8);
  if (!bytes) return undefined;
  const entry = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  const frame = Number((entry >> 12n) & 0xff_ffff_ffffn);
  const operation = Number((entry >> 52n) & 15n);
  if (operation === PSC_OPERATION.SHARED) {
    return tracker.passed.has('ovmf.accept-low') ? 'ovmf.ghcb-percpu' : undefined;
  }
  if (operation !== PSC_OPERATION.PRIVATE) return undefined;
  if (!tracker.passed.has('ovmf.pic-mask')) return 'ovmf.accept-sec';
  return tracker.firstGhcb === BigInt(frame) ? 'ovmf.sec-ghcb-private' : 'ovmf.accept-low';
}
