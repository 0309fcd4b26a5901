/** QEMU firmware descriptors. QEMU docs/interop/firmware.json (type Firmware and its header). */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface FirmwareDescriptor {
  /** Absolute path of the descriptor. */
  readonly file: string;
  /** Absolute path of the image, as the descriptor has it. */
  readonly image: string;
  /** `raw` or `qcow2`. */
  readonly format: string;
  /** It lists the feature amd-sev-snp. */
  readonly snp: boolean;
}

/** Lowest priority first: a file in a later folder hides one of the same name in an earlier folder. */
export function descriptorFolders(root: string, configHome: string): string[] {
  return [join(root, '/usr/share/qemu/firmware'), join(root, '/etc/qemu/firmware'), join(configHome, 'qemu/firmware')];
}

/**
 * Descriptors of x86-64 UEFI images in the order of their file names, whatever folder they lie in. An empty
 * file hides its namesakes and is otherwise ignored.
 */
export function readDescriptors(folders: readonly string[]): {
  readonly descriptors: readonly FirmwareDescriptor[];
  readonly problems: readonly { readonly path: string; readonly outcome: string }[];
} {
  const files = new Map<string, string>();
  for (const folder of folders) {
    for (const name of namesIn(folder)) if (name.endsWith('.json')) files.set(name, join(folder, name));
  }
  const descriptors: FirmwareDescriptor[] = [];
  const problems: { path: string; outcome: string }[] = [];
  for (const [, file] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    try {
      const text = readFileSync(file, 'utf8');
      if (text.trim() === '') continue;
      const descriptor = decode(file, JSON.parse(text));
      if (descriptor) descriptors.push(descriptor);
    } catch (error) {
      problems.push({ path: file, outcome: `this firmware descriptor is ignored: ${(error as Error).message}` });
    }
  }
  return { descriptors, problems };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function decode(file: string, json: unknown): FirmwareDescriptor | undefined {
  const interfaces = array(field(json, 'interface-types'));
  const targets = array(field(json, 'targets'));
  if (!interfaces.includes('uefi')) return undefined;
  if (!targets.some((target) => field(target, 'architecture') === 'x86_64')) return undefined;
  const mapping = field(json, 'mapping');
  const executable = field(mapping, 'executable');
  // Device `memory` names the image itself, device `flash` an executable with a format.
  const image = field(mapping, 'filename') ?? field(executable, 'filename');
  if (typeof image !== 'string') return undefined;
  const format = field(executable, 'format');
  return {
    file,
    image,
    format: typeof format === 'string' ? format : 'raw',
    snp: array(field(json, 'features')).includes('amd-sev-snp'),
  };
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function array(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
