import type { Machine } from '../../engine/machine.js';
import { countView, flagView, groupView, hexView, type Member, member, textView } from './view.js';

/** The processor, its RMP and the secure processor's platform state. */
export function platformMembers(machine: Machine): readonly Member[] {
  const { asp, firmware, processor, rmp, memory } = machine;
  return [
    member('state', textView(asp.platform)),
    member('firmware', textView(`${firmware.major}.${firmware.minor}`)),
    member('processor', textView(processor.name)),
    member(
      'rmpTable',
      groupView(rmp.initialised ? `initialised, ${rmp.coveredPages} pages covered` : 'not initialised', () => [
        member('initialised', flagView(rmp.initialised)),
        member('base', hexView(rmp.base)),
        member('end', hexView(rmp.end)),
        member('coveredPages', countView(rmp.coveredPages)),
        member('revision', countView(rmp.revision)),
      ]),
    ),
    member('memory', hexView(memory.size)),
    member('guests', countView(asp.guests.size)),
    member('activeAsids', textView([...asp.activeAsids.keys()].join(', ') || 'none')),
    member('asidsToFlush', textView([...asp.asidsToFlush].join(', ') || 'none')),
    member('wbinvdRequired', flagView(asp.wbinvdRequired)),
  ];
}
