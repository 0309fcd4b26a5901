import { PAGE_SIZE, pfn } from '../../engine/address.js';
import { integer, text } from '../arguments.js';
import { userErrors } from '../errors.js';
import { rmpPages as pagesOf } from '../views/rmp-pages.js';
import { rmpRanges as rangesOf } from '../views/rmp-ranges.js';
import type { Handler } from './handler.js';

export const rmpRanges: Handler = ({ session }) => {
  const { run, track, target } = session.current;
  return rangesOf(run.machine, track, target.places, run.position);
};

export const rmpPages: Handler = ({ session }, args) => {
  const { run, track, target } = session.current;
  const start = text(args, 'start');
  if (!/^0x[0-9a-f]{1,13}$/i.test(start)) throw userErrors.badArgument('start', 'an address in hex');
  const count = integer(args, 'count');
  if (count < 0) throw userErrors.badArgument('count', 'a number of pages');
  return pagesOf(run.machine, track, target.places, pfn(Math.floor(Number(start) / PAGE_SIZE)), count);
};
