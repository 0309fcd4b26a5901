/** The words of the RMP view; also what a screen reader says. Pure. */
import type { PageState, RmpRange, RmpRangesResponse } from '../../../debug-adapter/protocol.js';
import { PAGE_SIZE, PAGES_AT_A_TIME, type RmpNode } from './nodes.js';

/** What each state means, for tooltips. */
export const STATE_MEANING: Readonly<Record<PageState, string>> = {
  Default: 'SNP is not initialised; the entry has no effect yet.',
  Hypervisor: 'Owned by the host: ordinary memory.',
  'HV-Fixed': 'Owned by the host, and fixed: it can never be assigned to a guest.',
  Firmware: 'Owned by the SNP firmware; no software may write it.',
  Reclaim: 'Given back by the firmware; the host may take it with RMPUPDATE.',
  Context: 'A guest context page of the firmware.',
  Metadata: 'Metadata of swapped pages, kept by the firmware.',
  'Pre-Guest': 'Assigned to a guest and immutable: waits for SNP_LAUNCH_UPDATE.',
  'Pre-Swap': 'Immutable and validated: about to be swapped by the firmware.',
  'Guest-Invalid': 'Owned by a guest which has not validated it yet.',
  'Guest-Valid': 'Owned by a guest and validated: the guest may use it as private memory.',
};

/** Beside the title of the view: what the last step changed, and how far the launch is. */
export function viewDescription({ position, ranges }: RmpRangesResponse): string {
  const changed = stateChanges(ranges);
  const events = `after ${position.toLocaleString('en')} events`;
  return changed === 0 ? events : `${pageCount(changed)} changed · ${events}`;
}

export function nodeLabel(node: RmpNode): string {
  switch (node.kind) {
    case 'state':
      return node.state;
    case 'range':
      return node.grouped ? addresses(node.range) : node.range.state;
    case 'page':
      return node.page.gpa ? `GPA ${node.page.gpa}` : node.page.spa;
    case 'more':
      return `${Math.min(PAGES_AT_A_TIME, node.range.pages - node.shown)} more…`;
    case 'field':
      return node.name;
  }
}

/** The dimmed text behind the label. A change also has a badge, which stays visible in a narrow sidebar. */
export function nodeDescription(node: RmpNode): string {
  switch (node.kind) {
    case 'state':
      return pageCount(statePages(node.ranges)) + changeText(stateChanges(node.ranges), statePages(node.ranges));
    case 'range':
      return rangeDescription(node.range, node.grouped);
    case 'page':
      return join([node.page.gpa ? `SPA ${node.page.spa}` : '', node.page.changed ? 'changed' : '']);
    case 'more':
      return `of ${pageCount(node.range.pages)}, ${node.shown.toLocaleString('en')} shown`;
    case 'field':
      return node.value;
  }
}

/** What tells ranges apart comes first: guests know their pages by GPA, the host by SPA. */
function rangeDescription(range: RmpRange, grouped: boolean): string {
  return join([
    range.gpa ? `GPA ${range.gpa}` : grouped ? '' : addresses(range),
    pageCount(range.pages) + changeText(range.changed, range.pages),
    range.label,
    range.asid > 0 ? `ASID ${range.asid}` : '',
    range.gpa && !grouped ? `SPA ${addresses(range)}` : '',
  ]);
}

/** Spoken by screen readers instead of label and description. */
export function nodeSpoken(node: RmpNode): string {
  switch (node.kind) {
    case 'state':
      return `${node.state}, ${pageCount(statePages(node.ranges))}${spokenChange(stateChanges(node.ranges))}`;
    case 'range': {
      const { range } = node;
      const guest = range.gpa ? `, guest address ${range.gpa}` : '';
      const made = range.label ? `, made by ${range.label}` : '';
      return `${range.state}, ${pageCount(range.pages)} from ${range.start}${guest}${made}${spokenChange(range.changed)}`;
    }
    case 'page': {
      const { page } = node;
      const guest = page.gpa ? `, guest address ${page.gpa}` : '';
      const made = page.label ? `, made by ${page.label}` : '';
      return `page ${page.spa}, ${page.state}${guest}${made}${page.changed ? ', changed by the last step' : ''}`;
    }
    case 'more':
      return `show ${nodeLabel(node)}`;
    case 'field':
      return `${node.name} ${node.value}`;
  }
}

/** Lines of a tooltip, Markdown. */
export function nodeTooltip(node: RmpNode): string | undefined {
  switch (node.kind) {
    case 'state':
      return `**${node.state}**: ${STATE_MEANING[node.state]}`;
    case 'range': {
      const { range } = node;
      return lines([
        `**${range.state}**: ${STATE_MEANING[range.state]}`,
        `System physical addresses \`${range.start}\` to \`${lastByte(range)}\`, ${pageCount(range.pages)}`,
        range.asid > 0 ? `ASID ${range.asid}` : '',
        range.gpa ? `First guest physical address \`${range.gpa}\`` : '',
        range.label ? `Made by ${range.label}` : '',
        range.changed > 0 ? `${pageCount(range.changed)} changed since the last stop` : '',
      ]);
    }
    case 'page':
      return lines([
        `**${node.page.state}**: ${STATE_MEANING[node.page.state]}`,
        `RMP entry \`${node.page.raw}\``,
        node.page.label ? `Made by ${node.page.label}` : '',
        node.page.changed ? 'Changed since the last stop' : '',
      ]);
    case 'more':
    case 'field':
      return undefined;
  }
}

/** Pages that changed since the last stop. */
export function nodeChanges(node: RmpNode): number {
  switch (node.kind) {
    case 'state':
      return stateChanges(node.ranges);
    case 'range':
      return node.range.changed;
    case 'page':
      return node.page.changed ? 1 : 0;
    case 'more':
    case 'field':
      return 0;
  }
}

export function pageCount(pages: number): string {
  return pages === 1 ? '1 page' : `${pages.toLocaleString('en')} pages`;
}

function stateChanges(ranges: readonly RmpRange[]): number {
  return ranges.reduce((sum, range) => sum + range.changed, 0);
}

function statePages(ranges: readonly RmpRange[]): number {
  return ranges.reduce((sum, range) => sum + range.pages, 0);
}

function addresses(range: RmpRange): string {
  return range.pages === 1 ? range.start : `${range.start}–${lastByte(range)}`;
}

function lastByte(range: RmpRange): string {
  return `0x${(BigInt(range.start) + BigInt(range.pages) * PAGE_SIZE - 1n).toString(16)}`;
}

function changeText(changed: number, pages: number): string {
  if (changed === 0) return '';
  if (changed < pages) return `, ${changed.toLocaleString('en')} changed`;
  return pages === 1 ? ', changed' : ', all changed';
}

function spokenChange(changed: number): string {
  return changed === 0 ? '' : `, ${pageCount(changed)} changed by the last step`;
}

function join(parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== '').join(' · ');
}

function lines(parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('\n\n');
}
