import { hex } from '../../engine/address.js';
import type { GuestContext } from '../../engine/asp/state.js';
import { isZero } from '../../engine/bytes.js';
import type { Machine } from '../../engine/machine.js';
import { pageTypeName } from '../../engine/spec/page-type.js';
import { theContext } from './machine-state.js';
import { policyView } from './policy.js';
import {
  absentView,
  bytesView,
  countView,
  flagView,
  groupView,
  hexView,
  listView,
  type Member,
  member,
  numberView,
  textView,
  type View,
} from './view.js';

/** The guest context page: encrypted, readable by the firmware alone. SNP_GUEST_STATUS tells state, ASID and policy. */
export function contextView(machine: Machine): View {
  const context = theContext(machine);
  if (!context) return absentView('no guest context yet: SNP_GCTX_CREATE has not run');
  const text = `${context.state}, asid ${context.asid}, policy ${hex(context.policy)}`;
  return groupView(text, () => contextMembers(context), 'guest context');
}

export function contextMembers(context: GuestContext): readonly Member[] {
  return [
    member('state', textView(context.state)),
    member('asid', {
      ...countView(context.asid),
      text: context.asid === 0 ? '0 (not activated)' : String(context.asid),
    }),
    member('policy', policyView(context.policy)),
    member('digest', bytesView(context.ld), true),
    member('measured', measuredView(context), true),
    member('address', hexView(context.address)),
    member('vek', textView(context.vek === 0 ? 'none yet' : `key ${context.vek}`), true),
    member('gosvw', bytesView(context.gosvw), true),
    member('hostData', bytesView(context.hostData), true),
    member('vcekDisabled', flagView(context.vcekDisabled), true),
    member('idBlock', idBlockView(context), true),
    member('idKeyDigest', digestView(context.idKeyDigest, 'no ID key'), true),
    member('authorKeyDigest', digestView(context.authorKeyDigest, 'no author key'), true),
    member('reportId', bytesView(context.reportId), true),
    member(
      'vmpck',
      groupView('4 keys', () => context.vmpck.map((key, i) => member(`vmpck${i}`, bytesView(key)))),
      true,
    ),
  ];
}

function digestView(digest: Uint8Array, none: string): View {
  return isZero(digest) ? { ...bytesView(digest), text: `zeros (${none})` } : bytesView(digest);
}

function idBlockView({ idBlock }: GuestContext): View {
  if (!idBlock) return absentView('none');
  return groupView(`guest SVN ${idBlock.guestSvn}`, () => [
    member('familyId', bytesView(idBlock.familyId)),
    member('imageId', bytesView(idBlock.imageId)),
    member('guestSvn', numberView(idBlock.guestSvn)),
  ]);
}

/** Pages that SNP_LAUNCH_UPDATE took so far; can be thousands, so it is read in pages. */
function measuredView({ measured }: GuestContext): View {
  return listView(
    {
      count: measured.length,
      at: (index) => {
        const page = measured[index];
        if (!page) return member(String(index), absentView('gone'));
        const type = pageTypeName(page.type) ?? String(page.type);
        return member(
          String(index),
          groupView(`${type} at gpa ${hex(page.gpa)}`, () => [
            member('type', textView(type)),
            member('gpa', hexView(page.gpa)),
            member('spa', hexView(page.pfn * 4096)),
          ]),
        );
      },
    },
    'page',
  );
}
