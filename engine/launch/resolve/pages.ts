import { gpa, hex, PAGE_SIZE } from '../../address.js';
import { CPUID_MAX_COUNT, encodeCpuidPage } from '../../asp/cpuid-table.js';
import { PAGE_TYPE, type PageType } from '../../spec/page-type.js';
import type { UpdateTree } from '../manifest/tree.js';
import type { PlanUpdate } from '../plan.js';
import { locate, type ResolveContext, readFile, refuse } from './context.js';
import * as faults from './faults.js';

type PagesTree = Extract<UpdateTree, { kind: 'pages' }>;

const TYPES: Readonly<Record<PagesTree['type']['value'], PageType>> = {
  normal: PAGE_TYPE.NORMAL,
  zero: PAGE_TYPE.ZERO,
  unmeasured: PAGE_TYPE.UNMEASURED,
  secrets: PAGE_TYPE.SECRETS,
  cpuid: PAGE_TYPE.CPUID,
};

export function resolvePages(
  context: ResolveContext,
  tree: PagesTree,
  cpuidPage: () => Uint8Array,
): Omit<PlanUpdate, 'entry'> | undefined {
  const type = tree.type.value;
  const content = contentOf(context, tree, cpuidPage);
  if (!tree.gpa || content === 'none') {
    // The missing key is a problem of the grammar; without it nothing can be loaded.
    context.blocked = true;
    return undefined;
  }
  return {
    type: TYPES[type],
    gpa: gpa(tree.gpa.value),
    length: content.length,
    label: tree.file ? `${type} ${tree.file.value}` : `${type} pages`,
    at: locate(context, tree.range),
    ...(content.source ? { source: content.source } : {}),
  };
}

interface Content {
  readonly length: number;
  readonly source?: PlanUpdate['source'];
}

function contentOf(context: ResolveContext, tree: PagesTree, cpuidPage: () => Uint8Array): Content | 'none' {
  const type = tree.type.value;
  switch (type) {
    case 'zero':
    case 'secrets':
      return { length: tree.length?.value ?? PAGE_SIZE };
    case 'cpuid': {
      const bytes = tree.leaves ? leavesPage(context, tree.leaves) : cpuidPage();
      return { length: tree.length?.value ?? PAGE_SIZE, source: { path: 'CPUID page', bytes } };
    }
    case 'normal':
    case 'unmeasured':
      return fileContent(context, tree);
  }
}

function fileContent(context: ResolveContext, tree: PagesTree): Content | 'none' {
  if (!tree.file) return 'none';
  const file = readFile(context, tree.file.value, tree.file.range);
  if (!file) return 'none';
  const offset = tree.offset?.value ?? 0;
  const available = file.bytes.length - offset;
  if (available < 0 || (available === 0 && offset > 0)) {
    const operands = { path: file.path, offset: hex(offset), size: hex(file.bytes.length) };
    refuse(context, faults.MANIFEST_OFFSET_BEYOND_FILE, operands, tree.offset?.range ?? tree.file.range);
    context.blocked = true;
    return 'none';
  }
  const length = tree.length?.value ?? Math.ceil(available / PAGE_SIZE) * PAGE_SIZE;
  if (tree.length && length > Math.ceil(available / PAGE_SIZE) * PAGE_SIZE) {
    const operands = { path: file.path, length: hex(length), available: hex(available) };
    refuse(context, faults.MANIFEST_LENGTH_BEYOND_FILE, operands, tree.length.range);
  }
  return { length, source: { path: file.path, bytes: partOf(file.bytes, offset, Math.min(length, available)) } };
}

const parts = new WeakMap<Uint8Array, Map<string, Uint8Array>>();

/** The same view each time, so that page digests are remembered. */
function partOf(bytes: Uint8Array, offset: number, length: number): Uint8Array {
  if (offset === 0 && length === bytes.length) return bytes;
  let views = parts.get(bytes);
  if (!views) {
    views = new Map();
    parts.set(bytes, views);
  }
  const key = `${offset}+${length}`;
  let part = views.get(key);
  if (!part) {
    part = bytes.subarray(offset, offset + length);
    views.set(key, part);
  }
  return part;
}

function leavesPage(context: ResolveContext, leaves: NonNullable<PagesTree['leaves']>): Uint8Array {
  if (leaves.value.length > CPUID_MAX_COUNT)
    refuse(context, faults.MANIFEST_CPUID_TOO_MANY, { count: leaves.value.length }, leaves.key ?? leaves.range);
  return encodeCpuidPage(
    leaves.value.slice(0, CPUID_MAX_COUNT).map(({ leaf, subleaf, xcr0, xss, eax, ebx, ecx, edx }) => {
      return { eaxIn: leaf, ecxIn: subleaf, xcr0In: xcr0, xssIn: xss, eax, ebx, ecx, edx };
    }),
  );
}
