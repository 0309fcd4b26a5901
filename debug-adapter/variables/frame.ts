import { gpaOf, hex } from '../../engine/address.js';
import { formatOperand, type Operand } from '../../engine/fault.js';
import { decodeGhcbMsr } from '../../engine/spec/ghcb-msr.js';
import type { Frame } from '../../engine/timeline/event.js';
import { msrView } from './ghcb-msr.js';
import { flagView, groupView, hexView, type Member, member, numberView, textView, type View } from './view.js';

/** Arguments of one operation, as the caller gave them. */
export function argumentMembers(frame: Frame): readonly Member[] {
  const page = frame.page;
  return [
    ...Object.entries(frame.args).map(([name, value]) => member(name, argumentView(name, value))),
    ...(page && frame.args['gfn'] === undefined && frame.args['gpa'] === undefined
      ? [member('page_gpa', hexView(gpaOf(page.gfn)))]
      : []),
    ...(page?.pfn !== undefined && frame.args['pfn'] === undefined && frame.args['spa'] === undefined
      ? [member('page_spa', hexView(page.pfn * 4096))]
      : []),
  ];
}

function argumentView(name: string, value: Operand): View {
  return name === 'ghcb_msr' ? msrView(BigInt(value)) : operandView(value);
}

/** Operands carry addresses as hex text; in expressions they are numbers. */
export function operandView(value: Operand): View {
  if (typeof value === 'boolean') return flagView(value);
  if (typeof value === 'number') return Number.isSafeInteger(value) ? numberView(value) : textView(String(value));
  if (typeof value === 'bigint') return hexView(value);
  return /^0x[0-9a-f]{1,16}$/i.test(value) ? { ...hexView(BigInt(value)), text: value } : textView(value);
}

export function frameView(frame: Frame): View {
  return groupView(frame.name, () => [
    member('name', textView(frame.name)),
    member('layer', textView(frame.layer)),
    member(
      'args',
      groupView(argumentText(frame), () => argumentMembers(frame)),
    ),
  ]);
}

/** What says most about an operation, most telling first; the rest is in the Variables view. */
const TELLING = [
  'type',
  'event',
  'ghcb_msr',
  'gpa',
  'policy',
  'gfn_start',
  'gfn',
  'page',
  'vcpu',
  'id',
  'cap',
  'region',
  'address',
];
const MAX_TELLING = 2;

/** `NORMAL gpa=0x1000`: the few arguments that tell one call from the next. */
export function tellingArguments(frame: Frame): string {
  const args: Readonly<Record<string, Operand>> = {
    ...frame.args,
    ...(frame.page ? { gpa: hex(gpaOf(frame.page.gfn)) } : {}),
  };
  return TELLING.filter((name) => args[name] !== undefined && !(name.startsWith('gfn') && args['gpa'] !== undefined))
    .slice(0, MAX_TELLING)
    .map((name) => tellingText(name, args[name] ?? ''))
    .join(' ');
}

function tellingText(name: string, value: Operand): string {
  if (name === 'ghcb_msr') return `(${decodeGhcbMsr(BigInt(value)).name})`;
  const text = formatOperand(value);
  return name === 'type' || name === 'event' ? text : `${name}=${text}`;
}

/** `type=NORMAL, gfn=0x800` */
export function argumentText(frame: Frame): string {
  const args = Object.entries(frame.args).map(([name, value]) => `${name}=${formatOperand(value)}`);
  if (frame.page && frame.args['gfn'] === undefined && frame.args['gpa'] === undefined) {
    args.push(`gpa=${hex(gpaOf(frame.page.gfn))}`);
  }
  return args.join(', ');
}
