import { gpa, hex, type Pfn, spa } from '../../engine/address.js';
import { plainPage, readPage } from '../../engine/memory/system-memory.js';
import { isCovered } from '../../engine/rmp/table.js';
import { readNumber, translate, virtualSpace } from '../guest/guest-memory.js';
import { type VcpuImage, vcpuImage } from '../guest/vcpu-image.js';
import { hostReference, physicalReference, plainReference, virtualReference } from '../memory-reference.js';
import { backingOf, frameOfSpa } from '../variables/machine-state.js';
import { pageView } from '../variables/page.js';
import { rmpView } from '../variables/rmp-entry.js';
import { dumpView, flagView, hexView, member, type View } from '../variables/view.js';
import { ExpressionError } from './lexer.js';
import type { Environment } from './names.js';
import { numberOf } from './operators.js';

export interface ExpressionFunction {
  readonly name: string;
  readonly usage: string;
  readonly detail: string;
  readonly call: (environment: Environment, args: readonly View[]) => View;
}

/** Functions of the expression language; each takes a guest address, or a system address written `spa:…`. */
export const FUNCTIONS: readonly ExpressionFunction[] = [
  {
    name: 'rmp',
    usage: 'rmp(gpa), rmp(spa:0x…)',
    detail: 'the RMP entry of a page',
    call: (environment, args) => rmpView(environment.machine, frameOf(environment, 'rmp', args)),
  },
  {
    name: 'page',
    usage: 'page(gpa), page(spa:0x…)',
    detail: 'a page: RMP entry, contents as the host and as the guest see them',
    call: (environment, args) => pageView(environment.machine, environment.track, frameOf(environment, 'page', args)),
  },
  {
    name: 'mem',
    usage: 'mem(gpa), mem(spa:0x…)',
    detail: 'contents of a page as the host reads them: ciphertext if it is private',
    call: (environment, args) => {
      const frame = frameOf(environment, 'mem', args);
      return dumpView(readPage(environment.machine.memory, frame), hostReference(frame));
    },
  },
  {
    name: 'plain',
    usage: 'plain(gpa), plain(spa:0x…)',
    detail: 'contents of a page as its owner reads them; not visible on real hardware',
    call: (environment, args) => {
      const frame = frameOf(environment, 'plain', args);
      return dumpView(plainPage(environment.machine.memory, frame).content.bytes, plainReference(frame));
    },
  },
  {
    name: 'spa',
    usage: 'spa(gpa)',
    detail: 'the system physical address behind a guest address',
    call: (environment, args) => hexView(frameOf(environment, 'spa', args) * 4096),
  },
  {
    name: 'gpa',
    usage: 'gpa(gva)',
    detail: 'the guest physical address behind a virtual one, and whether the guest uses it as private',
    call: (environment, args) => translationView(environment, args),
  },
  ...([1, 2, 4, 8] as const).map((size) => ({
    name: `u${size * 8}`,
    usage: `u${size * 8}(gva)`,
    detail: `a number of ${size * 8} bits in the virtual memory of the vCPU`,
    call: (environment: Environment, args: readonly View[]) => numberAt(environment, `u${size * 8}`, args, size),
  })),
];

function imageOf({ machine, vcpu }: Environment, name: string): VcpuImage {
  const image = vcpu === undefined ? undefined : vcpuImage(machine, vcpu);
  if (!image) throw new ExpressionError(`${name} needs a guest that runs.`);
  return image;
}

function addressOf(name: string, args: readonly View[]): bigint {
  const address = args[0];
  if (!address || args.length !== 1) throw new ExpressionError(`${name} takes one address: ${name}(rsp).`);
  return BigInt.asUintN(64, numberOf(address, name));
}

function translationView(environment: Environment, args: readonly View[]): View {
  const image = imageOf(environment, 'gpa');
  const linear = addressOf('gpa', args);
  const found = translate(environment.machine, image, linear);
  if (!found.ok) throw new ExpressionError(`No page is behind ${hex(linear)}: ${found.why}.`);
  const { gpa: address, isPrivate } = found.value;
  return {
    text: `${hex(address)}, ${isPrivate ? 'private' : 'shared'}`,
    type: 'number',
    scalar: BigInt(address),
    memory: physicalReference(BigInt(address), isPrivate),
    members: () => [member('gpa', hexView(address)), member('private', flagView(isPrivate))],
  };
}

function numberAt(environment: Environment, name: string, args: readonly View[], size: 1 | 2 | 4 | 8): View {
  const image = imageOf(environment, name);
  const address = addressOf(name, args);
  const value = readNumber(virtualSpace(environment.machine, image), address, size);
  if (value === undefined) throw new ExpressionError(`The ${size} bytes at ${hex(address)} cannot be read.`);
  return { ...hexView(value), memory: virtualReference(image.index, address) };
}

function frameOf({ machine }: Environment, name: string, args: readonly View[]): Pfn {
  const address = args[0];
  if (!address || args.length !== 1)
    throw new ExpressionError(`${name} takes one address: ${name}(0x800000) or ${name}(spa:0x800000).`);
  const value = Number(numberOf(address, name));
  if (address.type === 'spa') {
    const frame = frameOfSpa(machine, spa(value));
    if (frame !== undefined && isCovered(machine.rmp, frame)) return frame;
    throw new ExpressionError(`SPA ${hex(Math.max(0, value))} lies outside the host's memory.`);
  }
  if (value < 0) throw new ExpressionError('An address is not negative.');
  const backing = backingOf(machine, gpa(value));
  if (!backing.found) throw new ExpressionError(`No page is behind GPA ${hex(value)}: ${backing.why}.`);
  return backing.pfn;
}
