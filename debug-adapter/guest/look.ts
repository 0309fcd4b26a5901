import type { Machine } from '../../engine/machine.js';
import { decodeOne, MAX_INSTRUCTION } from './disassembler.js';
import type { Standing } from './goals.js';
import { readSpace, virtualSpace } from './guest-memory.js';
import type { CodeView } from './listing.js';
import { codeBase, codeBits, imageField, linearOf, type VcpuImage, vcpuImage } from './vcpu-image.js';

const NOWHERE: Standing = { rip: 0n, rsp: 0n, length: 0, flow: 'next', instructions: 0 };

/** Where a vCPU stands now; `at` is the RIP of another instruction. */
export function standing(machine: Machine, vcpu: number, at?: bigint): Standing {
  const image = vcpuImage(machine, vcpu);
  const instructions = machine.core?.vcpu.cpu.instructions ?? 0;
  if (!image) return NOWHERE;
  const rip = at ?? imageField(image, 'rip');
  const bytes = readSpace(virtualSpace(machine, image), linearOf(image, rip), MAX_INSTRUCTION);
  const decoded = decodeOne(bytes, codeBits(image), rip);
  const rsp = imageField(image, 'rsp');
  if (!decoded?.valid) return { ...NOWHERE, rip, rsp, instructions };
  return { rip, rsp, length: decoded.length, flow: decoded.flow, instructions };
}

/** The code of a vCPU in its present mode. */
export function codeView(machine: Machine, image: VcpuImage): CodeView {
  return { space: virtualSpace(machine, image), bits: codeBits(image), base: codeBase(image) };
}
