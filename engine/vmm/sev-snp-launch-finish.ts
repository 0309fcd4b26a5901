import { ID_AUTH_SIZE } from '../asp/id-block.js';
import { defineFault, faultAt, makeFault } from '../fault.js';
import { encodeSnpLaunchFinish } from '../kvm/uapi/sev-structs.js';
import { parseOvmf } from '../launch/ovmf/image.js';
import type { OvmfSection } from '../launch/ovmf/metadata.js';
import type { PlanFinish } from '../launch/plan.js';
import { mapUserAt, reserveUser } from '../memory/user-memory.js';
import { attackFinish } from './attack/launch-attacks.js';
import { inVmm, report, sevIoctl, type Vmm, type VmmStep } from './context.js';
import { firmwareAt } from './firmware-location.js';
import { fwErrorToStr } from './sev-fw-errlist.js';
import { noMemory, regionOf } from './sev-snp-launch-update.js';

export const NO_METADATA = defineFault<{ path: string }>({
  check: 'vmm-sev-metadata',
  layer: 'vmm',
  command: 'sev_snp_launch_finish',
  code: { kind: 'input' },
  title: 'Failed to locate SEV metadata header',
  message: (o) => `QEMU finds no SEV metadata in the firmware ${o.path}.`,
  why: 'The metadata says which memory the firmware expects to be validated, and where the secrets and CPUID pages go. Without it an SNP guest cannot start. Images that were built without SNP support have none.',
  hint: 'Use an OVMF image with SNP support (OvmfPkg/AmdSev, or OvmfPkg of 2022 or later).',
  reference: 'QEMU target/i386/sev.c sev_snp_launch_finish()',
  confirmed: true,
});

/** QEMU snp_metadata_initialized: what sev_snp_launch_finish() asks for before it launches the first page. */
export function* checkMetadata(vmm: Vmm): VmmStep {
  const { firmware } = vmm.plan;
  if (!firmware) return undefined;
  const { sections } = parseOvmf(firmware.bytes, firmware.path).image;
  if (sections) return yield* snpPopulateMetadataPages(vmm, sections);
  yield report(vmm, 'sev_snp_launch_finish: Failed to locate SEV metadata header');
  const at = firmwareAt(vmm.plan);
  const fault = makeFault(NO_METADATA, { path: firmware.path });
  return at ? faultAt(fault, at) : fault;
}

/** QEMU snp_populate_metadata_pages(): memory for every section is looked up before the first page is launched. */
function* snpPopulateMetadataPages(vmm: Vmm, sections: readonly OvmfSection[]): VmmStep {
  for (const { base, size } of sections) {
    if (regionOf(vmm.regions, base, size)) continue;
    const update = vmm.plan.updates.find(({ gpa, length }) => gpa === base && length === size);
    if (!update) continue;
    yield report(
      vmm,
      `snp_populate_metadata_pages: Failed to get HVA for GPA 0x${base.toString(16)} sz 0x${size.toString(16)}`,
    );
    return noMemory(vmm, update);
  }
  return undefined;
}

/** QEMU sev_snp_launch_finish(), after the updates. */
export function* sevSnpLaunchFinish(vmm: Vmm): VmmStep {
  return yield* launchFinish(vmm, yield* attackFinish(vmm, vmm.plan.finish));
}

function launchFinish(vmm: Vmm, { idBlock, idAuth, authorKey, vcekDisabled, hostData }: PlanFinish): VmmStep {
  const args = { id_block: idBlock !== undefined, author_key: authorKey, vcek_disabled: vcekDisabled };
  return inVmm(vmm, 'sev_snp_launch_finish', args, function* () {
    const finish = encodeSnpLaunchFinish({
      idBlockUaddr: map(vmm, 'id-block', idBlock, 0),
      idAuthUaddr: map(vmm, 'id-auth', idAuth, ID_AUTH_SIZE),
      idBlockEn: idBlock !== undefined,
      authKeyEn: authorKey,
      vcekDisabled,
      hostData,
      flags: 0,
    });
    const { ret, fwError, fault } = yield* sevIoctl(vmm, 'KVM_SEV_SNP_LAUNCH_FINISH', finish);
    if (fault) {
      yield report(vmm, `SNP_LAUNCH_FINISH ret=${ret} fw_error=${fwError} '${fwErrorToStr(fwError)}'`);
    }
    return fault;
  });
}

/** The address of a property's bytes, at least `length` long; 0 if it is not set. */
function map(vmm: Vmm, label: string, bytes: Uint8Array | undefined, length: number): number {
  if (!bytes) return 0;
  const { user } = vmm.machine;
  const size = Math.max(bytes.length, length);
  const address = reserveUser(user, size);
  mapUserAt(user, address, label, bytes, size);
  return address;
}
