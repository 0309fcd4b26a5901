import { view } from '../../bytes.js';
import { VMSA_FIELD_BY_NAME, VMSA_SEGMENTS, VMSA_SIZE, type VmsaSegment } from '../../spec/vmsa-layout.js';
import type { VmmName } from '../plan.js';
import { vmsaProfile } from './profile.js';

/** Where a vCPU starts after reset: the reset vector. */
export const BSP_EIP = 0xffff_fff0;

export interface VmsaParameters {
  readonly vmm: VmmName;
  /** Physical address of the first instruction. */
  readonly eip: number;
  /** CPUID signature of the CPU model; QEMU puts it into RDX. */
  readonly signature: number;
  /** SEV_FEATURES. */
  readonly features: bigint;
  /** Laid over the profile; names of VMSA_FIELD_BY_NAME, unknown ones are ignored. */
  readonly registers?: readonly { readonly name: string; readonly value: bigint }[];
}

/** The initial VMSA of one vCPU: 4096 bytes. KVM `sev_es_sync_vmsa` writes it from the registers of the VMM. */
export function buildVmsa(parameters: VmsaParameters): Uint8Array {
  const page = new Uint8Array(VMSA_SIZE);
  const profile = vmsaProfile(parameters);
  const v = view(page);
  for (const name of Object.keys(VMSA_SEGMENTS) as VmsaSegment[]) {
    const at = VMSA_SEGMENTS[name];
    const segment = profile.segments[name];
    v.setUint16(at, segment.selector, true);
    v.setUint16(at + 2, segment.attrib, true);
    v.setUint32(at + 4, segment.limit, true);
    v.setBigUint64(at + 8, BigInt(segment.base), true);
  }
  for (const [name, value] of profile.registers) setVmsaField(page, name, value);
  for (const { name, value } of parameters.registers ?? []) setVmsaField(page, name, value);
  return page;
}

/** False for an unknown name. The value is cut to the field's width. */
export function setVmsaField(page: Uint8Array, name: string, value: bigint): boolean {
  const field = VMSA_FIELD_BY_NAME.get(name);
  if (!field) return false;
  for (let i = 0; i < field.size; i++) page[field.offset + i] = Number((value >> BigInt(i * 8)) & 0xffn);
  return true;
}

export function vmsaField(page: Uint8Array, name: string): bigint | undefined {
  const field = VMSA_FIELD_BY_NAME.get(name);
  if (!field || page.length < VMSA_SIZE) return undefined;
  let value = 0n;
  for (let i = field.size - 1; i >= 0; i--) value = (value << 8n) | BigInt(page[field.offset + i] ?? 0);
  return value;
}
