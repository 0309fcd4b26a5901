/**
 * The halves of a pflash setup in an SNP launch. Distributions split OVMF into CODE and VARS; SNP loads one image
 * with `-bios`, and KVM cannot give a flash device private memory. A variable store that is measured as pages of
 * its own freezes the variables into the digest, and two images cannot both end at 4 GiB.
 */
import { defineFault, type Fault, makeFault } from '../../engine/fault.js';
import { isVariableStore } from '../../engine/launch/ovmf/recognise.js';
import { firmwareEntries, pageEntries } from './page-entries.js';
import type { ManifestContext, Rule } from './rule.js';

const IMAGE = { layer: 'manifest', command: 'launch.update', code: { kind: 'input' }, confirmed: true } as const;

export const VARIABLE_STORE_MEASURED = defineFault<{ path: string }>({
  ...IMAGE,
  check: 'lint-variable-store-measured',
  severity: 'warning',
  title: 'UEFI variable store would be measured',
  message: (o) => `${o.path} is a UEFI variable store, and this entry measures its content.`,
  why: 'With pflash the variable store lies below the firmware in shared, unmeasured memory, and QEMU does not load it into the guest. Measured, each changed variable gives another digest, and the launch is not the one that QEMU makes.',
  hint: 'Remove this entry; an AmdSev build brings its variable store inside the image.',
  reference: 'QEMU hw/i386/pc_sysfw.c; edk2 OvmfPkg/AmdSev',
});

export const FIRMWARE_TWICE = defineFault<{ first: string; second: string }>({
  ...IMAGE,
  check: 'lint-firmware-twice',
  title: 'Two firmware images',
  message: (o) => `${o.second} and ${o.first} are both loaded so that they end at 4 GiB.`,
  why: 'A machine has one reset vector. Two `firmware:` entries are often the CODE and VARS halves of a pflash setup, which SNP does not use: KVM cannot give a flash device private memory.',
  hint: 'Keep one `firmware:` entry with the combined image.',
  reference: 'QEMU hw/i386/x86-common.c, x86_bios_rom_init',
});

export const firmwareVariables: Rule = {
  name: 'firmware-variables',
  manifest: check,
  covers: [
    { check: FIRMWARE_TWICE.check, engine: 'kvm-populate-exists' },
    { check: FIRMWARE_TWICE.check, engine: 'kvm-page-assigned' },
  ],
};

function check({ path, parsed, files }: ManifestContext): readonly Fault[] {
  const faults: Fault[] = [];
  const firmware = firmwareEntries(parsed.tree);
  const store = (name: string): boolean => {
    const read = files.read(name, path);
    return read.ok && isVariableStore(read.file.bytes);
  };
  for (const entry of pageEntries(parsed.tree)) {
    if (entry.type.value !== 'normal' || !entry.file || !store(entry.file.value)) continue;
    const at = { file: path, range: entry.file.range };
    faults.push(makeFault(VARIABLE_STORE_MEASURED, { path: entry.file.value }, { at }));
  }
  const [first, second] = firmware;
  if (first && second) {
    const at = { file: path, range: second.path.range };
    faults.push(makeFault(FIRMWARE_TWICE, { first: first.path.value, second: second.path.value }, { at }));
  }
  return faults;
}
