import { readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import type { FileRead, FirmwareSearch } from '../engine/launch/file-source.js';
import { descriptorFolders, readDescriptors } from './firmware-descriptors.js';
import { judgeFirmware } from './judge-firmware.js';

export interface FirmwareSearchOptions {
  readonly read: (path: string) => FileRead;
  /** Default process.env. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Prefix of the system's folders; for tests. */
  readonly systemRoot?: string;
}

/** Folders of images that are searched before everything else, separated as PATH is. */
export const FIRMWARE_DIRS_VARIABLE = 'SEV_SNP_FIRMWARE_DIRS';

/** Builds of AmdSevX64.dsc first: only they can check a kernel's hashes. */
const USUAL_PATHS = [
  // Debian 13, Ubuntu 24.04 (packages ovmf and ovmf-amdsev)
  '/usr/share/ovmf/OVMF.amdsev.fd',
  '/usr/share/OVMF/OVMF.amdsev.fd',
  // Fedora, CentOS Stream, RHEL (edk2-ovmf)
  '/usr/share/edk2/ovmf/OVMF.amdsev.fd',
  // openSUSE, SLES (qemu-ovmf-x86_64)
  '/usr/share/qemu/ovmf-x86_64-sev.bin',
  // General builds
  '/usr/share/ovmf/OVMF.fd',
  '/usr/share/OVMF/OVMF_CODE_4M.fd',
  '/usr/share/OVMF/OVMF_CODE.fd',
  '/usr/share/edk2/ovmf/OVMF_CODE.fd',
  '/usr/share/edk2/ovmf/OVMF_CODE_4M.fd',
  // Arch Linux (edk2-ovmf)
  '/usr/share/edk2/x64/OVMF.4m.fd',
  '/usr/share/edk2/x64/OVMF_CODE.4m.fd',
  '/usr/share/edk2-ovmf/x64/OVMF.fd',
  '/usr/share/edk2-ovmf/x64/OVMF_CODE.fd',
  '/usr/share/qemu/ovmf-x86_64-4m.bin',
  '/usr/share/qemu/ovmf-x86_64-4m-code.bin',
  '/usr/share/qemu/ovmf-x86_64.bin',
  '/usr/share/qemu/ovmf-x86_64-code.bin',
] as const;

const INSTALL_ADVICE =
  'install OVMF with SEV-SNP support (Debian, Ubuntu: apt install ovmf; Fedora: dnf install edk2-ovmf; ' +
  'Arch Linux: pacman -S edk2-ovmf; openSUSE: zypper install qemu-ovmf-x86_64), or set ' +
  `${FIRMWARE_DIRS_VARIABLE} to a folder that holds an image`;

/**
 * The SNP-capable OVMF for `firmware: auto`: the user's own folders, then QEMU's firmware descriptors as
 * docs/interop/firmware.json orders them (those with feature amd-sev-snp first), then the usual paths of the
 * distributions. The first image with SEV metadata is taken; `tried` tells about all that were looked at.
 */
export function findFirmware(options: FirmwareSearchOptions): FirmwareSearch {
  const environment = options.environment ?? process.env;
  const root = options.systemRoot ?? '';
  const tried: { path: string; outcome: string }[] = [];
  const seen = new Set<string>();

  /** True if the search is over. */
  function take(path: string, origin: string): boolean {
    if (seen.has(path)) return false;
    seen.add(path);
    const judgement = judgeFirmware(options.read(path));
    tried.push({ path, outcome: `${judgement.outcome}${origin}` });
    return judgement.usable;
  }

  for (const folder of ownFolders(environment)) {
    const images = imagesOf(folder);
    if (typeof images === 'string') tried.push({ path: folder, outcome: `${images} (${FIRMWARE_DIRS_VARIABLE})` });
    else for (const image of images) if (take(image, ` (${FIRMWARE_DIRS_VARIABLE})`)) return { path: image, tried };
  }

  const config = environment['XDG_CONFIG_HOME'] || join(environment['HOME'] || homedir(), '.config');
  const { descriptors, problems } = readDescriptors(descriptorFolders(root, config));
  tried.push(...problems);
  const ordered = [...descriptors.filter((d) => d.snp), ...descriptors.filter((d) => !d.snp)];
  for (const descriptor of ordered) {
    const image = join(root, descriptor.image);
    if (descriptor.format !== 'raw') {
      if (!seen.has(image)) tried.push({ path: image, outcome: `its format is ${descriptor.format}, not raw` });
      seen.add(image);
    } else if (take(image, ` (described by ${descriptor.file})`)) return { path: image, tried };
  }

  for (const usual of USUAL_PATHS) {
    const image = join(root, usual);
    if (take(image, '')) return { path: image, tried };
  }
  return { tried, advice: INSTALL_ADVICE };
}

function ownFolders(environment: NodeJS.ProcessEnv): string[] {
  return (environment[FIRMWARE_DIRS_VARIABLE] ?? '').split(delimiter).filter((folder) => folder !== '');
}

/** The images in a folder by name, or why there are none. */
function imagesOf(folder: string): string[] | string {
  if (!isAbsolute(folder)) return 'it is not an absolute path';
  try {
    const names = readdirSync(folder).filter((name) => /\.(fd|bin)$/i.test(name));
    return names.length > 0 ? names.sort().map((name) => join(folder, name)) : 'no *.fd or *.bin file in it';
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? 'no such folder' : `cannot be listed (${code ?? String(error)})`;
  }
}
