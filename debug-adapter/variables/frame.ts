import { gpaOf, hex } from '../../engine/address.js';
import { formatOperand, type Operand } from '../../engine/fault.js';
import type { Frame } from '../../engine/timeline/event.js';
import { flagView, groupView, hexView, type Member, member, numberView, textView, type View } from './view.js';

/** Arguments of one operation, as the caller gave them. */
export function argumentMembers(frame: Frame): readonly Member[] {
  const page = frame.page;
  return [
    ...Object.entries(frame.args).map(([name, value]) => member(name, operandView(value))),
    ...(page && frame.args['gfn'] === undefined && frame.args['gpa'] === undefined
      ? [member('page_gpa', hexView(gpaOf(page.gfn)))]
      : []),
    ...(page?.pfn !== undefined && frame.args['pfn'] === undefined && frame.args['spa'] === undefined
      ? [member('page_spa', hexView(page.pfn * 4096))]
      : []),
  ];
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
const TELLING = ['type', 'gpa', 'policy', 'gfn_start', 'gfn', 'page', 'vcpu', 'id', 'cap', 'region', 'address'];
const MAX_TELLING = 2;

/** `NORMAL gpa=0x1000`: the few arguments that tell one call from the next. */
export function tellingArguments(frame: Frame): string {
  const args: Readonly<Record<string, Operand>> = {
    ...frame.args,
    ...(frame.page ? { gpa: hex(gpaOf(frame.page.gfn)) } : {}),
  };
  return TELLING.filter((name) => args[name] !== undefined && !(name.startsWith('gfn') && args['gpa'] !== undefined))
    .slice(0, MAX_TELLING)
    .map((name) => (name === 'type' ? '' : `${name}=`) + formatOperand(args[name] ?? ''))
    .join(' ');
}

/** `type=NORMAL, gfn=0x800` */
export function argumentText(frame: Frame): string {
  const args = Object.entries(frame.args).map(([name, value]) => `${name}=${formatOperand(value)}`);
  if (frame.page && frame.args['gfn'] === undefined && frame.args['gpa'] === undefined) {
    args.push(`gpa=${hex(gpaOf(frame.page.gfn))}`);
  }
  return args.join(', ');
}
