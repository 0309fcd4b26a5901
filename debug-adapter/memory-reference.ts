import { hex, type Pfn } from '../engine/address.js';

/**
 * A place in some address space. `host:0x…` reads system memory as the host does (ciphertext of private pages),
 * `plain:0x…` reads what the owner of the page would; `gpa:0x…` is guest physical memory through private mappings,
 * `gpa-shared:0x…` through shared ones; `gva0:0x…` is virtual memory of vCPU 0.
 */
export type MemoryReference =
  | { readonly space: 'host' | 'plain' | 'gpa' | 'gpa-shared'; readonly address: bigint }
  | { readonly space: 'gva'; readonly vcpu: number; readonly address: bigint };

export function hostReference(frame: Pfn): string {
  return `host:${hex(frame * 4096)}`;
}

export function plainReference(frame: Pfn): string {
  return `plain:${hex(frame * 4096)}`;
}

/** `address`: linear. */
export function virtualReference(vcpu: number, address: bigint): string {
  return `gva${vcpu}:${hex(BigInt.asUintN(64, address))}`;
}

export function physicalReference(address: bigint, isPrivate: boolean): string {
  return `${isPrivate ? 'gpa' : 'gpa-shared'}:${hex(address)}`;
}

/** A number alone is an address of vCPU 0, for clients in which one can be typed. */
export function parseReference(text: string): MemoryReference | undefined {
  const match = /^(?:(host|plain|gpa|gpa-shared|gva)(\d{0,4}):)?0x([0-9a-f]{1,16})$/i.exec(text.trim());
  if (!match) return undefined;
  const address = BigInt(`0x${match[3] ?? '0'}`);
  const space = match[1]?.toLowerCase() ?? 'gva';
  if (space === 'gva') return { space, vcpu: Number(match[2] || 0), address };
  if (match[2]) return undefined;
  if (space !== 'host' && space !== 'plain' && space !== 'gpa' && space !== 'gpa-shared') return undefined;
  return { space, address };
}
