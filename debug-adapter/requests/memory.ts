import { hex } from '../../engine/address.js';
import { integer, flag as optionalFlag, optionalInteger, type RawArguments, text } from '../arguments.js';
import { userErrors } from '../errors.js';
import {
  type AddressSpace,
  physicalSpace,
  readSpace,
  systemSpace,
  virtualSpace,
  writeSpace,
} from '../guest/guest-memory.js';
import { type ListedInstruction, listInstructions } from '../guest/listing.js';
import { codeView } from '../guest/look.js';
import { type VcpuImage, vcpuImage } from '../guest/vcpu-image.js';
import { type MemoryReference, parseReference } from '../memory-reference.js';
import type { Session } from '../session.js';
import type { Handler } from './handler.js';

/** Most bytes of one answer; the client asks again for the rest. */
const MAX_READ = 1 << 20;

/** What each address space shows is said in memory-reference.ts. */
export const readMemory: Handler = ({ session }, args) => {
  const { space, start } = placeOf(session, args);
  const count = Math.max(0, integer(args, 'count'));
  const wanted = Math.min(count, MAX_READ);
  const first = start < 0n ? 0n : start;
  const skipped = start < 0n ? Math.min(wanted, Number(-start)) : 0;
  const bytes = readSpace(space, first, wanted - skipped);
  const missing = count - bytes.length;
  const isEnd = bytes.length < wanted - skipped || skipped > 0;
  return {
    address: hex(first),
    data: Buffer.from(bytes).toString('base64'),
    ...(missing > 0 && isEnd ? { unreadableBytes: missing } : {}),
  };
};

/** Writes as a debugger: no access right is asked, and the RMP does not change. */
export const writeMemory: Handler = ({ session, dialect, sendLater }, args) => {
  session.needStopped();
  const { space, start, name } = placeOf(session, args);
  const bytes = Buffer.from(text(args, 'data'), 'base64');
  const written = start < 0n ? 0 : writeSpace(space, start, bytes);
  const isPartial = optionalFlag(args, 'allowPartial', false);
  if (written < bytes.length && (!isPartial || written === 0))
    throw userErrors.unwritable(hex(start + BigInt(written)));
  if (dialect.invalidated) sendLater('invalidated', { areas: ['variables'] });
  if (dialect.memoryEvents) {
    sendLater('memory', { memoryReference: name, offset: optionalInteger(args, 'offset') ?? 0, count: written });
  }
  return { bytesWritten: written };
};

export const disassemble: Handler = ({ session }, args) => {
  session.needStopped();
  const name = text(args, 'memoryReference');
  const reference = parseReference(name);
  if (!reference) throw userErrors.badMemoryReference(name);
  const image = imageOf(session, reference);
  const { machine } = session.current.run;
  const code = codeView(machine, image);
  const view = reference.space === 'gva' ? code : { ...code, space: spaceOf(session, reference) };
  const start = BigInt.asUintN(64, reference.address + BigInt(optionalInteger(args, 'offset') ?? 0));
  const offset = optionalInteger(args, 'instructionOffset') ?? 0;
  const lines = listInstructions(view, start, offset, integer(args, 'instructionCount'));
  return { instructions: lines.map(lineAnswer) };
};

function lineAnswer({ address, bytes, text: instruction, valid }: ListedInstruction): object {
  return {
    address: address < 0n ? '-1' : hex(address),
    instruction,
    ...(bytes.length > 0 ? { instructionBytes: [...bytes].map((b) => b.toString(16).padStart(2, '0')).join(' ') } : {}),
    ...(valid ? {} : { presentationHint: 'invalid' }),
  };
}

function placeOf(session: Session, args: RawArguments): { space: AddressSpace; start: bigint; name: string } {
  const name = text(args, 'memoryReference');
  const reference = parseReference(name);
  if (!reference) throw userErrors.badMemoryReference(name);
  const start = reference.address + BigInt(optionalInteger(args, 'offset') ?? 0);
  return { space: spaceOf(session, reference), start, name };
}

function spaceOf(session: Session, reference: MemoryReference): AddressSpace {
  const { machine } = session.current.run;
  switch (reference.space) {
    case 'host':
    case 'plain':
      return systemSpace(machine, reference.space);
    case 'gpa':
    case 'gpa-shared':
      return physicalSpace(machine, reference.space === 'gpa');
    case 'gva':
      return virtualSpace(machine, imageOf(session, reference));
  }
}

function imageOf(session: Session, reference: MemoryReference): VcpuImage {
  const { run, track } = session.current;
  const index = reference.space === 'gva' ? reference.vcpu : track.guest.vcpu;
  const image = vcpuImage(run.machine, index);
  if (!image) throw userErrors.noVcpu(index);
  return image;
}
