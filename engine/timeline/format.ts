import { gpaOf, hex, spaOf } from '../address.js';
import { toHex } from '../bytes.js';
import { type Fault, formatCode, formatOperand, type Operand, type Operands } from '../fault.js';
import type { RmpEntry } from '../rmp/entry.js';
import { pageState } from '../rmp/page-state.js';
import type { RmpChange } from '../rmp/table.js';
import { pageTypeName } from '../spec/page-type.js';
import type { EngineEvent, Frame } from './event.js';
import { guestEventJson, guestEventText } from './format-guest.js';

/** One readable line for an event, indented by its depth. */
export function formatEvent(event: EngineEvent): string {
  return '  '.repeat(event.depth) + eventText(event);
}

/** The same line without indentation. */
export function eventText(event: EngineEvent): string {
  switch (event.kind) {
    case 'enter':
      return frameText(event.frame);
    case 'leave':
      return `= ${event.frame.name}: ${event.result}${event.fault ? ` [${event.fault.check}]` : ''}`;
    case 'rmp':
      return `rmp ${rmpText(event.change)} (${event.cause})`;
    case 'digest': {
      const { pageType, gpa, after } = event.update;
      return `digest ${pageTypeName(pageType) ?? pageType} gpa=${hex(gpa)} ld=${toHex(after)}`;
    }
    case 'log':
      return `${LOG_SOURCE[event.source]}: ${event.text}`;
    default:
      return guestEventText(event);
  }
}

const LOG_SOURCE = { vmm: 'qemu', kvm: 'kernel', firmware: 'firmware' } as const;

function frameText(frame: Frame): string {
  const args = Object.entries(frame.args).map(([name, value]) => `${name}=${formatOperand(value)}`);
  return [frame.layer === 'launch' ? `== ${frame.name}` : `${frame.layer} ${frame.name}`, ...args].join(' ');
}

/** `pfn=0x4200 Hypervisor → Pre-Guest gpa=0xffc00000 asid=1`. */
export function rmpText(change: RmpChange): string {
  const { before, after } = change;
  const words = [`pfn=${hex(change.pfn)}`, `${pageState(before)} → ${pageState(after)}`];
  const shown = after.assigned ? after : before;
  if (shown.gpa > 0 || shown.asid > 0) words.push(`gpa=${hex(shown.gpa)}`);
  if (shown.asid > 0) words.push(`asid=${shown.asid}`);
  if (after.pageSize2M) words.push('2M');
  if (after.vmsa) words.push('vmsa');
  return words.join(' ');
}

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/** The event as a plain object: addresses, digests and bit masks are hex text. */
export function eventJson(event: EngineEvent): JsonObject {
  switch (event.kind) {
    case 'enter':
      return { event: 'enter', depth: event.depth, ...frameJson(event.frame), args: operandsJson(event.frame.args) };
    case 'leave':
      return {
        event: 'leave',
        depth: event.depth,
        ...frameJson(event.frame),
        result: event.result,
        ...(event.fault ? { fault: faultJson(event.fault) } : {}),
      };
    case 'rmp':
      return {
        event: 'rmp',
        depth: event.depth,
        cause: event.cause,
        pfn: hex(event.change.pfn),
        spa: hex(spaOf(event.change.pfn)),
        before: rmpEntryJson(event.change.before),
        after: rmpEntryJson(event.change.after),
      };
    case 'digest': {
      const { pageType, gpa, contents, before, after } = event.update;
      return {
        event: 'digest',
        depth: event.depth,
        type: pageTypeName(pageType) ?? pageType,
        gpa: hex(gpa),
        contents: toHex(contents),
        before: toHex(before),
        after: toHex(after),
      };
    }
    case 'log':
      return { event: 'log', depth: event.depth, source: event.source, text: event.text };
    default:
      return guestEventJson(event);
  }
}

function frameJson(frame: Frame): JsonObject {
  return {
    id: frame.id,
    layer: frame.layer,
    name: frame.name,
    ...(frame.entry === undefined ? {} : { entry: frame.entry }),
    ...(frame.page
      ? {
          gpa: hex(gpaOf(frame.page.gfn)),
          ...(frame.page.pfn === undefined ? {} : { pfn: hex(frame.page.pfn) }),
        }
      : {}),
  };
}

export function rmpEntryJson(entry: RmpEntry): JsonObject {
  return {
    state: pageState(entry),
    assigned: entry.assigned,
    pageSize: entry.pageSize2M ? '2M' : '4K',
    immutable: entry.immutable,
    gpa: hex(entry.gpa),
    asid: entry.asid,
    vmsa: entry.vmsa,
    validated: entry.validated,
    lock: entry.lock,
    subPageCount: entry.subPageCount,
    vmpl: entry.vmpl.map((mask) => hex(mask)),
  };
}

/** A fault as a plain object, its causes inside. */
export function faultJson(fault: Fault): JsonObject {
  return {
    check: fault.check,
    layer: fault.layer,
    command: fault.command,
    code: formatCode(fault.code),
    severity: fault.severity,
    title: fault.title,
    message: fault.message,
    hint: fault.hint,
    reference: fault.reference,
    confirmed: fault.confirmed,
    operands: operandsJson(fault.operands),
    ...(fault.at ? { file: fault.at.file, range: { start: fault.at.range.start, end: fault.at.range.end } } : {}),
    ...(fault.cause ? { cause: faultJson(fault.cause) } : {}),
  };
}

export function operandsJson(operands: Operands): JsonObject {
  const out: { [key: string]: JsonValue } = {};
  for (const [name, value] of Object.entries(operands)) out[name] = operandJson(value);
  return out;
}

function operandJson(value: Operand): JsonValue {
  return typeof value === 'bigint' ? hex(value) : value;
}
