import type { TextRange } from '../../fault.js';
import { type CheckContext, report } from '../grammar/check.js';
import { booleanOf, bytesOf, type Checked, childOf, integerOf, itemsOf, numberOf, textOf } from '../grammar/checked.js';
import { foldPolicy, policyFieldsOf } from '../policy/fold.js';
import * as faults from './faults.js';
import type { CpuidLeafTree, Field, FinishTree, ManifestTree, PolicyValue, UpdateTree } from './tree.js';

/** Gives the checked values their types, and reports what a schema cannot say: which keys go together. */
export function buildTree(context: CheckContext, root: Checked | undefined): ManifestTree {
  const host = childOf(root, 'host');
  const vm = childOf(root, 'vm');
  const expect = childOf(root, 'expect');
  return {
    ...optional('snp', numberOf(childOf(root, 'snp'))),
    host: {
      ...placeOf(host),
      ...optional('processor', textOf(childOf(host, 'processor'))),
      ...optional('firmware', textOf(childOf(host, 'firmware'))),
      ...optional('kvm', textOf(childOf(host, 'kvm'))),
      ...optional('memory', numberOf(childOf(host, 'memory'))),
      ...optional('sevSnp', booleanOf(childOf(host, 'sev-snp'))),
      ...optional('hugePages', booleanOf(childOf(host, 'huge-pages'))),
      ...optional('attack', textOf(childOf(host, 'attack'))),
      ...optional('attackPage', numberOf(childOf(host, 'attack-page'))),
    },
    vm: {
      ...placeOf(vm),
      ...optional('vmm', textOf(childOf(vm, 'vmm'))),
      ...optional('vcpus', numberOf(childOf(vm, 'vcpus'))),
      ...optional('cpu', textOf(childOf(vm, 'cpu'))),
      ...optional('memory', numberOf(childOf(vm, 'memory'))),
      ...optional('vmsaFeatures', integerOf(childOf(vm, 'vmsa-features'))),
    },
    ...optional('launch', launchOf(context, childOf(root, 'launch'))),
    expect: {
      ...placeOf(expect),
      ...optional('digest', bytesOf(childOf(expect, 'digest'))),
    },
  };
}

function launchOf(context: CheckContext, node: Checked | undefined): ManifestTree['launch'] {
  if (!node) return undefined;
  const update = childOf(node, 'update');
  const finish = childOf(node, 'finish');
  return {
    range: node.range,
    key: node.key ?? node.range,
    ...optional('policy', policyOf(context, childOf(node, 'policy'))),
    ...optional('gosvw', bytesOf(childOf(node, 'gosvw'))),
    update: itemsOf(update).flatMap((item) => updateOf(context, item) ?? []),
    ...optional('updateKey', update?.key),
    ...optional('finish', finish && finishOf(finish)),
  };
}

function policyOf(context: CheckContext, node: Checked | undefined): Field<PolicyValue> | undefined {
  if (!node) return undefined;
  const { value } = node;
  switch (value.kind) {
    case 'integer':
      return { ...place(node), value: { kind: 'number', value: value.value } };
    case 'text':
      return { ...place(node), value: { kind: 'file', path: value.value } };
    case 'map': {
      const fields = policyFieldsOf(context, node);
      return { ...place(node), value: { kind: 'fields', value: foldPolicy(fields), fields } };
    }
    default:
      return undefined;
  }
}

function updateOf(context: CheckContext, item: Checked): UpdateTree | undefined {
  if (item.value.kind !== 'map') return undefined;
  const base = { index: item.index ?? 0, range: item.range };
  switch (item.value.shape) {
    case 'firmware': {
      const path = textOf(childOf(item, 'firmware'));
      if (!path) return undefined;
      return {
        kind: 'firmware',
        ...base,
        path,
        ...optional('kernel', textOf(childOf(item, 'kernel'))),
        ...optional('initrd', textOf(childOf(item, 'initrd'))),
        ...optional('append', textOf(childOf(item, 'append'))),
        ...optional('kernelHashes', booleanOf(childOf(item, 'kernel-hashes'))),
      };
    }
    case 'igvm': {
      const path = textOf(childOf(item, 'igvm'));
      return path && { kind: 'igvm', ...base, path, ...optional('zeroPages', textOf(childOf(item, 'zero-pages'))) };
    }
    case 'vmsa':
      return vmsaOf(context, item, base);
    case 'pages':
      return pagesOf(context, item, base);
    default:
      return undefined;
  }
}

type Base = { readonly index: number; readonly range: TextRange };

function vmsaOf(context: CheckContext, item: Checked, base: Base): UpdateTree {
  const file = childOf(item, 'file');
  const registers = childOf(item, 'registers');
  if (file && registers) report(context, faults.MANIFEST_VMSA_BOTH, {}, file.key ?? file.range);
  if (!hasKey(item, 'file') && !hasKey(item, 'registers')) report(context, faults.MANIFEST_VMSA_EMPTY, {}, item.range);
  return {
    kind: 'vmsa',
    ...base,
    ...optional('vcpu', numberOf(childOf(item, 'vcpu'))),
    ...optional('registers', registers && { ...place(registers), value: registersOf(registers, '') }),
    ...optional('file', textOf(file)),
  };
}

type Register = { readonly name: Field<string>; readonly value: Field<bigint> };

/** Nested segments become `cs.base`. */
function registersOf(node: Checked, prefix: string): Register[] {
  if (node.value.kind !== 'map') return [];
  return [...node.value.entries].flatMap(([key, child]): Register[] => {
    const name = `${prefix}${key}`;
    const value = integerOf(child);
    if (value) return [{ name: { value: name, range: child.key ?? child.range }, value }];
    return registersOf(child, `${name}.`);
  });
}

const PAGE_TYPES = ['normal', 'zero', 'unmeasured', 'secrets', 'cpuid'] as const;
type PageTypeText = (typeof PAGE_TYPES)[number];

const NO_FILE: Readonly<Record<'zero' | 'secrets' | 'cpuid', string>> = {
  zero: 'the firmware makes it zero, and KVM ignores a source',
  secrets: 'the firmware writes the content',
  cpuid: 'give the table under `leaves:`, or leave it out to take the one of `vm.cpu`',
};

function pagesOf(context: CheckContext, item: Checked, base: Base): UpdateTree | undefined {
  const typeNode = textOf(childOf(item, 'type'));
  const type = PAGE_TYPES.find((t) => t === typeNode?.value);
  if (!typeNode || !type) return undefined;
  const refuse = (key: string, reason: string): void => {
    const node = childOf(item, key);
    if (node) report(context, faults.MANIFEST_KEY_NOT_FOR_TYPE, { key, type, reason }, node.key ?? node.range);
  };
  if (type === 'zero' || type === 'secrets' || type === 'cpuid') {
    refuse('file', NO_FILE[type]);
    refuse('offset', 'it has no file');
  } else if (!hasKey(item, 'file')) report(context, faults.MANIFEST_MISSING_CONTENT, { type }, typeNode.range);
  if (type !== 'cpuid') refuse('leaves', 'only CPUID pages have a table of leaves');
  if (!hasKey(item, 'gpa')) report(context, faults.MANIFEST_MISSING_GPA, { type }, typeNode.range);
  const leaves = childOf(item, 'leaves');
  return {
    kind: 'pages',
    ...base,
    type: { ...typeNode, value: type satisfies PageTypeText },
    ...optional('gpa', numberOf(childOf(item, 'gpa'))),
    ...optional('file', textOf(childOf(item, 'file'))),
    ...optional('offset', numberOf(childOf(item, 'offset'))),
    ...optional('length', numberOf(childOf(item, 'length'))),
    ...optional('leaves', leaves && { ...place(leaves), value: itemsOf(leaves).map(leafOf) }),
  };
}

function leafOf(node: Checked): CpuidLeafTree {
  const word = (key: string): number => numberOf(childOf(node, key))?.value ?? 0;
  const long = (key: string): bigint => integerOf(childOf(node, key))?.value ?? 0n;
  return {
    range: node.range,
    leaf: word('leaf'),
    subleaf: word('subleaf'),
    xcr0: long('xcr0'),
    xss: long('xss'),
    eax: word('eax'),
    ebx: word('ebx'),
    ecx: word('ecx'),
    edx: word('edx'),
  };
}

function finishOf(node: Checked): FinishTree {
  return {
    range: node.range,
    key: node.key ?? node.range,
    ...optional('idBlock', idBlockOf(childOf(node, 'id-block'))),
    ...optional('idAuth', idAuthOf(childOf(node, 'id-auth'))),
    ...optional('authorKey', booleanOf(childOf(node, 'author-key'))),
    ...optional('vcekDisabled', booleanOf(childOf(node, 'vcek-disabled'))),
    ...optional('hostData', bytesOf(childOf(node, 'host-data'))),
  };
}

function idBlockOf(node: Checked | undefined): FinishTree['idBlock'] {
  const path = textOf(node);
  if (path) return { ...path, value: { kind: 'file', path: path.value } };
  if (node?.value.kind !== 'map') return undefined;
  return {
    ...place(node),
    value: {
      kind: 'fields',
      fields: {
        ...optional('ld', bytesOf(childOf(node, 'ld'))?.value),
        familyId: bytesOf(childOf(node, 'family-id'))?.value ?? new Uint8Array(16),
        imageId: bytesOf(childOf(node, 'image-id'))?.value ?? new Uint8Array(16),
        version: numberOf(childOf(node, 'version'))?.value ?? 1,
        guestSvn: numberOf(childOf(node, 'guest-svn'))?.value ?? 0,
        ...optional('policy', integerOf(childOf(node, 'policy'))?.value),
      },
    },
  };
}

function idAuthOf(node: Checked | undefined): FinishTree['idAuth'] {
  const path = textOf(node);
  if (path) return { ...path, value: { kind: 'file', path: path.value } };
  const base64 = textOf(childOf(node, 'base64'));
  return base64 && { ...base64, value: { kind: 'base64', text: base64.value } };
}

/** Whether a key is written, even if its value is not usable; then that is what was reported. */
function hasKey(node: Checked, key: string): boolean {
  return node.value.kind === 'map' && node.value.keys.has(key);
}

function place(node: Checked): { readonly range: TextRange; readonly key?: TextRange } {
  return { range: node.range, ...(node.key ? { key: node.key } : {}) };
}

function placeOf(node: Checked | undefined): { readonly range?: TextRange; readonly key?: TextRange } {
  return node ? place(node) : {};
}

/** `{ [key]: value }`, or nothing if there is no value. */
function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}
