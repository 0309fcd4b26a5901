import type { SourceLocation, TextRange } from '../../fault.js';
import type { ParsedManifest } from '../manifest/parse.js';
import type { Field, UpdateTree } from '../manifest/tree.js';
import type { LaunchEntry } from '../plan.js';

/** The places where the launch can stop, in QEMU's order; what the manifest leaves out points to the key above it. */
export function entriesOf(parsed: ParsedManifest, updates: readonly UpdateTree[]): readonly LaunchEntry[] {
  const { tree, file, text } = parsed;
  const { host, vm, launch } = tree;
  const at = (range: TextRange): SourceLocation => ({ file, range });
  const first = tree.snp ? pair(tree.snp) : lineAt(text, 0);
  const launchKey = launch?.key ?? first;
  const memory = vm.memory ? pair(vm.memory) : (vm.key ?? first);
  return [
    { kind: 'host', label: 'host', at: at(block(host.key, host.range) ?? first) },
    { kind: 'vm', label: 'vm', at: at(block(vm.key, vm.range) ?? first) },
    { kind: 'start', label: 'start', at: at(launch?.policy ? pair(launch.policy) : launchKey) },
    { kind: 'memory', label: 'memory', at: at(memory) },
    ...updates.map((item): LaunchEntry => {
      const label = `update ${item.index + 1}: ${describe(item)}`;
      return { kind: 'update', label, at: at(item.range), updateIndex: item.index };
    }),
    { kind: 'finish', label: 'finish', at: at(block(launch?.finish?.key, launch?.finish?.range) ?? launchKey) },
  ];
}

function describe(item: UpdateTree): string {
  switch (item.kind) {
    case 'firmware':
      return `firmware ${item.path.value}`;
    case 'igvm':
      return `igvm ${item.path.value}`;
    case 'vmsa':
      return item.vcpu ? `vmsa of vCPU ${item.vcpu.value}` : 'vmsa';
    case 'pages': {
      const place = item.gpa ? ` at 0x${item.gpa.value.toString(16)}` : '';
      return `${item.type.value}${item.file ? ` ${item.file.value}` : ''}${place}`;
    }
  }
}

function pair(field: Field<unknown>): TextRange {
  return field.key ? { start: field.key.start, end: field.range.end } : field.range;
}

function block(key: TextRange | undefined, range: TextRange | undefined): TextRange | undefined {
  return key && range ? { start: key.start, end: range.end } : (range ?? key);
}

function lineAt(text: string, start: number): TextRange {
  const end = text.slice(start).search(/[\r\n]/);
  return { start, end: end < 0 ? text.length : start + end };
}
