import { gpa } from '../../engine/address.js';
import type { SourceLocation } from '../../engine/fault.js';
import { parseOvmf } from '../../engine/launch/ovmf/image.js';
import { firmwareUpdates } from '../../engine/launch/ovmf/updates.js';
import type { LaunchEntry, LaunchPlan, PlanFinish, PlanUpdate, VmmName } from '../../engine/launch/plan.js';
import { BSP_EIP, buildVmsa } from '../../engine/launch/vmsa/build.js';
import type { PageType } from '../../engine/spec/page-type.js';
import { PAGE_TYPE } from '../../engine/spec/page-type.js';
import {
  firmwareProfile,
  KVM_PROFILES,
  type KvmRelease,
  PROCESSOR_PROFILES,
  type ProcessorName,
} from '../../engine/spec/versions.js';

/** Plans by hand, without a manifest. Places are `line` n of the file `test.snp.yaml`. */

export function place(line: number): SourceLocation {
  return { file: 'test.snp.yaml', range: { start: line * 100, end: line * 100 + 10 } };
}

export interface TestUpdate {
  readonly type: PageType;
  readonly gpa: number;
  readonly length?: number;
  readonly bytes?: Uint8Array;
}

export interface TestPlan {
  readonly kvm?: KvmRelease;
  readonly processor?: ProcessorName;
  readonly firmwareMinor?: number;
  readonly hostMemory?: number;
  readonly vcpus?: number;
  readonly memory?: number;
  readonly vmm?: VmmName;
  readonly vmsaFeatures?: bigint;
  readonly policy?: bigint;
  readonly gosvw?: Uint8Array;
  readonly updates?: readonly TestUpdate[];
  readonly vmsas?: readonly Uint8Array[];
  readonly finish?: Partial<PlanFinish>;
  readonly firmware?: LaunchPlan['firmware'];
}

/** Each of `updates` is an entry of its own. */
export function testPlan(options: TestPlan = {}): LaunchPlan {
  const vcpus = options.vcpus ?? 1;
  const vmm = options.vmm ?? 'qemu';
  const vmsaFeatures = options.vmsaFeatures ?? 1n;
  const given = options.updates ?? [{ type: PAGE_TYPE.NORMAL, gpa: 0x1000, bytes: filled(4096, 0xf4) }];
  const entries: LaunchEntry[] = [
    { kind: 'host', label: 'host', at: place(1) },
    { kind: 'vm', label: 'vm', at: place(2) },
    { kind: 'start', label: 'start', at: place(3) },
    { kind: 'memory', label: 'memory', at: place(4) },
  ];
  const updates: PlanUpdate[] = given.map((update, i) => {
    const at = place(10 + i);
    const entry = entries.push({ kind: 'update', label: `update ${i + 1}`, at, updateIndex: i }) - 1;
    const { type, bytes } = update;
    const length = update.length ?? bytes?.length ?? 4096;
    const source = bytes ? { source: { path: `update${i}.bin`, bytes } } : {};
    return { entry, type, gpa: gpa(update.gpa), length, label: `update ${i + 1}`, at, ...source };
  });
  entries.push({ kind: 'finish', label: 'finish', at: place(99) });
  return {
    file: 'test.snp.yaml',
    host: {
      processor: PROCESSOR_PROFILES[options.processor ?? 'milan'],
      firmware: firmwareProfile(options.firmwareMinor ?? 55),
      kvm: KVM_PROFILES[options.kvm ?? '6.11'],
      memory: options.hostMemory ?? 0x1_0000_0000,
    },
    vm: { vmm, vcpus, cpu: 'EPYC-Milan-v2', memory: options.memory ?? 0x2000_0000, vmsaFeatures },
    entries,
    updates,
    start: { policy: options.policy ?? 0x3_0000n, gosvw: options.gosvw ?? new Uint8Array(16) },
    vmsas: options.vmsas ?? testVmsas(vmm, vcpus, vmsaFeatures),
    finish: {
      authorKey: false,
      vcekDisabled: false,
      hostData: new Uint8Array(32),
      ...options.finish,
    },
    ...(options.firmware ? { firmware: options.firmware } : {}),
    expect: {},
  };
}

/** A launch of a firmware image, with a CPUID page that has no entries. */
export function firmwarePlan(bytes: Uint8Array, options: TestPlan = {}): LaunchPlan {
  const { image } = parseOvmf(bytes, 'OVMF.fd');
  const updates = firmwareUpdates(image, options.vmm ?? 'qemu', false).map(({ type, gpa, length, role }) => {
    const source = role === 'image' ? bytes : role === 'cpuid' ? new Uint8Array(4096) : undefined;
    return { type, gpa, length, ...(source ? { bytes: source } : {}) };
  });
  const firmware = { path: 'OVMF.fd', bytes, base: image.base, resetEip: image.resetEip };
  return testPlan({ ...options, updates, firmware });
}

export function testVmsas(vmm: VmmName, vcpus: number, features: bigint): Uint8Array[] {
  const signature = 0x00a0_0f11;
  const bsp = buildVmsa({ vmm, eip: BSP_EIP, signature, features });
  const ap = buildVmsa({ vmm, eip: 0x80_b004, signature, features });
  return Array.from({ length: vcpus }, (_, i) => (i === 0 ? bsp : ap));
}

export function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}
