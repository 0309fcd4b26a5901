import { gpa, hex, type Pfn, spa } from '../../engine/address.js';
import { plainPage, readPage } from '../../engine/memory/system-memory.js';
import { isCovered } from '../../engine/rmp/table.js';
import { hostReference, plainReference } from '../memory-reference.js';
import { backingOf, frameOfSpa } from '../variables/machine-state.js';
import { pageView } from '../variables/page.js';
import { rmpView } from '../variables/rmp-entry.js';
import { dumpView, hexView, type View } from '../variables/view.js';
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
];

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
