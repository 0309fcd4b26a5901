import { type Spa, spa } from '../../address.js';
import { copyBytes, view } from '../../bytes.js';
import type { FirmwareMachine } from '../command.js';

/** A command buffer as the firmware reads it; offsets in bytes. */
export interface CommandBuffer {
  readonly u8: (offset: number) => number;
  readonly u16: (offset: number) => number;
  readonly u32: (offset: number) => number;
  readonly u64: (offset: number) => bigint;
  /** A system physical address without the C-bit that a host with SME sets. */
  readonly address: (offset: number) => Spa;
  readonly bit: (offset: number, bit: number) => boolean;
  readonly bytes: (offset: number, size: number) => Uint8Array;
}

export function commandBuffer({ processor }: Pick<FirmwareMachine, 'processor'>, bytes: Uint8Array): CommandBuffer {
  const v = view(bytes);
  const cBit = 1n << BigInt(processor.cBit);
  return {
    u8: (offset) => v.getUint8(offset),
    u16: (offset) => v.getUint16(offset, true),
    u32: (offset) => v.getUint32(offset, true),
    u64: (offset) => v.getBigUint64(offset, true),
    address: (offset) => spa(Number(v.getBigUint64(offset, true) & ~cBit)),
    bit: (offset, bit) => ((v.getUint32(offset, true) >>> bit) & 1) === 1,
    bytes: (offset, size) => copyBytes(bytes, offset, offset + size),
  };
}
