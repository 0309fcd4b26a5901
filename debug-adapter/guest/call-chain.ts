import type { Machine } from '../../engine/machine.js';
import { decodeOne } from './disassembler.js';
import { type AddressSpace, readNumber, readSpace, virtualSpace } from './guest-memory.js';
import { type CodeBits, codeBits, imageField, instructionAddress, type VcpuImage } from './vcpu-image.js';

const MAX_FRAMES = 64;
/** Frames farther apart than this are none. */
const MAX_FRAME_SIZE = 1n << 20n;
/** Lengths of CALL. */
const CALL_LENGTHS = [5, 2, 3, 6, 7];

/**
 * Linear addresses of the code that is active in the guest, innermost first: RIP, then the return addresses along
 * the chain of saved RBPs as far as it makes sense, that is: it goes upwards, and each address follows a CALL.
 */
export function callChain(machine: Machine, image: VcpuImage): readonly bigint[] {
  const chain = [instructionAddress(image)];
  const bits = codeBits(image);
  // Real-mode code keeps no frames, and its addresses are offsets in segments.
  if (bits === 16) return chain;
  const size = bits / 8;
  const space = virtualSpace(machine, image);
  let floor = imageField(image, 'rsp');
  let frame = imageField(image, 'rbp');
  while (chain.length < MAX_FRAMES && isFrame(frame, floor, size)) {
    const caller = readNumber(space, frame + BigInt(size), size);
    const saved = readNumber(space, frame, size);
    if (caller === undefined || saved === undefined || !followsCall(space, caller, bits)) break;
    chain.push(caller);
    floor = frame + BigInt(2 * size);
    frame = saved;
  }
  return chain;
}

function isFrame(frame: bigint, floor: bigint, size: number): boolean {
  return frame !== 0n && frame >= floor && frame - floor < MAX_FRAME_SIZE && frame % BigInt(size) === 0n;
}

function followsCall(space: AddressSpace, address: bigint, bits: CodeBits): boolean {
  return CALL_LENGTHS.some((length) => {
    if (address < BigInt(length)) return false;
    const start = address - BigInt(length);
    const decoded = decodeOne(readSpace(space, start, length), bits, start);
    return decoded?.valid === true && decoded.flow === 'call' && decoded.length === length;
  });
}
