import { hex, type Pfn, type Spa, spa } from '../engine/address.js';

/** `host:0x…` reads as the host does (ciphertext of private pages); `plain:0x…` reads what the guest would. */
export interface MemoryReference {
  readonly view: 'host' | 'plain';
  readonly address: Spa;
}

export function hostReference(frame: Pfn): string {
  return `host:${hex(frame * 4096)}`;
}

export function plainReference(frame: Pfn): string {
  return `plain:${hex(frame * 4096)}`;
}

export function parseReference(text: string): MemoryReference | undefined {
  const match = /^(host|plain):0x([0-9a-f]{1,13})$/i.exec(text);
  if (!match) return undefined;
  return {
    view: match[1]?.toLowerCase() === 'plain' ? 'plain' : 'host',
    address: spa(Number.parseInt(match[2] ?? '', 16)),
  };
}
