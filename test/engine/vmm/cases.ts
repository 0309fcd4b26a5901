import type { SourceLocation } from '../../../engine/fault.js';
import type { LaunchPlan } from '../../../engine/launch/plan.js';
import { PAGE_TYPE } from '../../../engine/spec/page-type.js';
import { firmwarePlan, place, testPlan, testVmsas } from '../../support/plans.js';
import { tinyOvmf } from '../../support/tiny-ovmf.js';

/** What the VMM refuses before KVM sees it. */
export interface VmmCase {
  readonly name: string;
  readonly check: string;
  readonly plan: LaunchPlan;
  readonly at: SourceLocation;
  /** The line that QEMU prints. */
  readonly log: string;
}

/** The image with one GUID of its table spoilt. */
function withoutEntry(image: Uint8Array, guid: readonly number[]): Uint8Array {
  const bytes = image.slice();
  const at = bytes.findIndex((_, i) => guid.every((b, j) => bytes[i + j] === b));
  if (at < 0) throw new Error('no such entry');
  bytes.fill(0xee, at, at + 16);
  return bytes;
}

function withResetAddress(plan: LaunchPlan, resetEip: number): LaunchPlan {
  if (!plan.firmware) throw new Error('a plan without firmware');
  return { ...plan, firmware: { ...plan.firmware, resetEip } };
}

/** First bytes of the GUIDs of the SEV-ES reset block and of the SEV metadata. */
const RESET_BLOCK = [0xde, 0x71, 0xf7, 0x00];
const METADATA = [0x66, 0x65, 0x88, 0xdc];

const bytes = (length: number): Uint8Array => new Uint8Array(length);

export const VMM_CASES: readonly VmmCase[] = [
  {
    name: 'gosvw of 15 bytes',
    check: 'vmm-gosvw-length',
    plan: testPlan({ gosvw: bytes(15) }),
    at: place(3),
    log: 'parameter length of 15 not equal to 16',
  },
  {
    name: 'ID block of 95 bytes',
    check: 'vmm-id-block-length',
    plan: testPlan({ finish: { idBlock: bytes(95) } }),
    at: place(99),
    log: 'parameter length of 95 not equal to 96',
  },
  {
    name: 'ID auth of 4097 bytes',
    check: 'vmm-id-auth-length',
    plan: testPlan({ finish: { idAuth: bytes(4097) } }),
    at: place(99),
    log: 'parameter length of 4097 exceeds max of 4096',
  },
  {
    name: 'host data of 31 bytes',
    check: 'vmm-host-data-length',
    plan: testPlan({ finish: { hostData: bytes(31) } }),
    at: place(99),
    log: 'parameter length of 31 not equal to 32',
  },
  {
    name: 'firmware of 68 KiB',
    check: 'vmm-firmware-size',
    plan: firmwarePlan(tinyOvmf({ size: 0x1_1000 })),
    at: place(10),
    log: "could not load PC BIOS 'OVMF.fd'",
  },
  {
    name: 'an empty firmware',
    check: 'vmm-firmware-size',
    plan: firmwarePlan(bytes(0)),
    at: place(10),
    log: "could not load PC BIOS 'OVMF.fd'",
  },
  {
    name: 'firmware without reset block',
    check: 'vmm-reset-vector',
    plan: firmwarePlan(withoutEntry(tinyOvmf(), RESET_BLOCK)),
    at: place(10),
    log: 'SEV information block/Firmware GUID Table block not found in pflash rom',
  },
  {
    name: 'firmware without SEV metadata',
    check: 'vmm-sev-metadata',
    plan: firmwarePlan(withoutEntry(tinyOvmf(), METADATA)),
    at: place(10),
    log: 'sev_snp_launch_finish: Failed to locate SEV metadata header',
  },
  {
    name: 'firmware whose reset block holds 0',
    check: 'vmm-reset-vector',
    plan: withResetAddress(firmwarePlan(tinyOvmf()), 0),
    at: place(10),
    log: 'SEV-ES reset address is zero',
  },
  {
    name: 'more vCPUs than KVM has',
    check: 'vmm-vcpu-limit',
    plan: testPlan({ vcpus: 1025 }),
    at: place(2),
    log: 'Number of SMP cpus requested (1025) exceeds the maximum cpus supported by KVM (1024)',
  },
  {
    name: 'more memory than 40 bits address',
    check: 'vmm-phys-bits',
    plan: testPlan({ memory: 978 * 2 ** 30 + 4096 }),
    at: place(4),
    log: 'Address space limit 0xffffffffff < 0x1fc3fffffff phys-bits too low (40)',
  },
  {
    name: 'a VMSA with other features',
    check: 'vmm-vmsa-features',
    plan: testPlan({ vmsas: testVmsas('qemu', 1, 0x21n) }),
    at: place(4),
    log: 'VMSA of vCPU 0 contains unsupported sev_features: 0x21',
  },
  {
    name: 'SEV metadata above guest memory',
    check: 'vmm-update-no-memory',
    plan: firmwarePlan(tinyOvmf(), { memory: 0x80_0000 }),
    at: place(11),
    log: 'snp_populate_metadata_pages: Failed to get HVA for GPA 0x800000 sz 0x2000',
  },
  {
    name: 'an update above guest memory',
    check: 'vmm-update-no-memory',
    plan: testPlan({ updates: [{ type: PAGE_TYPE.ZERO, gpa: 0x2000_0000 }] }),
    at: place(10),
    log: 'No memory is mapped at address 0x20000000',
  },
  {
    name: 'an update over the end of guest memory',
    check: 'vmm-update-no-memory',
    plan: testPlan({ updates: [{ type: PAGE_TYPE.ZERO, gpa: 0x1fff_f000, length: 0x2000 }] }),
    at: place(10),
    log: 'Size of memory region at 0x1ffff000 exceeded: 0x2000',
  },
  {
    name: 'more pages than the machine in memory takes',
    check: 'vmm-launch-too-large',
    plan: testPlan({
      memory: 16 * 2 ** 30,
      updates: [
        { type: PAGE_TYPE.ZERO, gpa: 0, length: 2 ** 30 },
        { type: PAGE_TYPE.ZERO, gpa: 2 ** 32, length: 3 * 2 ** 30 + 4096 },
      ],
    }),
    at: place(11),
    log: '',
  },
  {
    name: 'an update of length 0',
    check: 'vmm-update-empty',
    plan: testPlan({ updates: [{ type: PAGE_TYPE.ZERO, gpa: 0x1000, length: 0 }] }),
    at: place(10),
    log: 'SNP_LAUNCH_UPDATE called with invalid address / length: 0x7f0000004000 / 0',
  },
];

/** Refusals of KVM that a plan alone brings about. */
export const PLAN_CASES: readonly VmmCase[] = [
  {
    name: 'an unaligned update',
    check: 'kvm-attributes-range',
    plan: testPlan({ updates: [{ type: PAGE_TYPE.ZERO, gpa: 0x1800 }] }),
    at: place(10),
    log: 'SEV-SNP: failed to configure initial private guest memory',
  },
  {
    name: 'an update of half a page',
    check: 'kvm-attributes-range',
    plan: testPlan({ updates: [{ type: PAGE_TYPE.ZERO, gpa: 0x1000, length: 0x1800 }] }),
    at: place(10),
    log: 'SEV-SNP: failed to configure initial private guest memory',
  },
  {
    name: 'guest memory that is not whole pages',
    check: 'kvm-gmem-size',
    plan: testPlan({ memory: 0x100_0001 }),
    at: place(4),
    log: 'failed to create guest_memfd: error -22',
  },
  {
    name: 'DebugSwap on Milan',
    check: 'kvm-init2-vmsa-features',
    plan: testPlan({ vmsaFeatures: 0x21n }),
    at: place(2),
    log: "sev_common_kvm_init: failed to initialize ret=-22 fw_error=0 ''",
  },
  {
    name: 'ID block without ID auth',
    check: 'kvm-id-blob-missing',
    plan: testPlan({ finish: { idBlock: bytes(96) } }),
    at: place(99),
    log: "SNP_LAUNCH_FINISH ret=-22 fw_error=0 ''",
  },
];
