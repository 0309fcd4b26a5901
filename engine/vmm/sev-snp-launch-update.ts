import { hex, hva, PAGE_SIZE } from '../address.js';
import { copyBytes } from '../bytes.js';
import { defineFault, type Fault, faultAt, makeFault } from '../fault.js';
import { decodeSnpLaunchUpdate, encodeSnpLaunchUpdate, SNP_LAUNCH_UPDATE_SIZE } from '../kvm/uapi/sev-structs.js';
import type { PlanUpdate } from '../launch/plan.js';
import { mapUserAt, readUser } from '../memory/user-memory.js';
import { ERRNO } from '../spec/errno.js';
import { PAGE_TYPE, pageTypeName } from '../spec/page-type.js';
import { attackUpdate } from './attack/launch-attacks.js';
import { inVmm, type RamRegion, report, sevIoctl, takeStruct, type Vmm, type VmmStep } from './context.js';
import { cpuidMismatchReport } from './cpuid-report.js';
import { setPrivate } from './kvm-set-phys-mem.js';
import { fwErrorToStr } from './sev-fw-errlist.js';

const COMMAND = 'sev_snp_launch_update';

export const UPDATE_NO_MEMORY = defineFault<{ what: string; gpa: string; length: string; regions: string }>({
  check: 'vmm-update-no-memory',
  layer: 'vmm',
  command: COMMAND,
  code: { kind: 'input' },
  title: 'No guest memory at this address',
  message: (o) => `No guest memory for ${o.what} (${o.length} bytes at ${o.gpa}): guest memory is ${o.regions}.`,
  why: 'The VMM copies the content into guest memory before it asks KVM to launch it; there is no memory at this address, or not enough of it.',
  hint: 'Choose an address inside guest memory, or make vm.memory larger.',
  reference: 'QEMU monitor/hmp-cmds.c gpa2hva(), used by target/i386/sev.c snp_populate_metadata_pages()',
  confirmed: true,
});

export const UPDATE_EMPTY = defineFault<{ what: string; gpa: string }>({
  check: 'vmm-update-empty',
  layer: 'vmm',
  command: COMMAND,
  code: { kind: 'input' },
  title: 'Update of length 0',
  message: (o) => `Nothing to load: the length of ${o.what} at ${o.gpa} is 0.`,
  why: 'QEMU refuses an update without an address or without a length, because nothing would be launched.',
  hint: 'Give a length of at least 4 KiB, or remove the entry.',
  reference: 'QEMU target/i386/sev.c sev_snp_launch_update()',
  confirmed: true,
});

const NO_BYTES = new Uint8Array();

/** QEMU sev_snp_launch_update(): one queue element. Repeats the ioctl until its length is 0. */
export function* sevSnpLaunchUpdate(vmm: Vmm, update: PlanUpdate): VmmStep {
  return yield* launchUpdate(vmm, yield* attackUpdate(vmm, update));
}

function launchUpdate(vmm: Vmm, update: PlanUpdate): VmmStep {
  const { type, gpa, length, source } = update;
  const name = pageTypeName(type) ?? type;
  const args = { gpa: hex(gpa), len: hex(length), type: name, what: update.label };
  return inVmm(vmm, COMMAND, args, function* () {
    const { user } = vmm.machine;
    const region = regionOf(vmm.regions, gpa, length);
    if (!region) {
      yield report(vmm, noMemoryText(vmm.regions, gpa, length));
      return noMemory(vmm, update);
    }
    const address = hva(region.hva + (gpa - region.gpa));
    if (length === 0) {
      yield report(vmm, `SNP_LAUNCH_UPDATE called with invalid address / length: ${hex(address)} / 0`);
      return faultAt(makeFault(UPDATE_EMPTY, { what: update.label, gpa: hex(gpa) }), update.at);
    }
    if (type !== PAGE_TYPE.ZERO) mapUserAt(user, address, update.label, source?.bytes ?? NO_BYTES, length);
    const provided = type === PAGE_TYPE.CPUID ? readUser(user, address, length) : undefined;
    const before = provided && copyBytes(provided);

    const attributes = yield* setPrivate(vmm, gpa, length);
    if (attributes.fault) {
      yield report(vmm, 'SEV-SNP: failed to configure initial private guest memory');
      return faultAt(attributes.fault, update.at);
    }
    let params = {
      gfnStart: BigInt(Math.floor(gpa / PAGE_SIZE)),
      uaddr: BigInt(address),
      len: BigInt(length),
      type,
      flags: 0,
    };
    for (;;) {
      const { ret, fwError, fault } = yield* sevIoctl(vmm, 'KVM_SEV_SNP_LAUNCH_UPDATE', encodeSnpLaunchUpdate(params));
      if (fault && ret !== -ERRNO.EAGAIN) {
        yield report(vmm, `SNP_LAUNCH_UPDATE ret=${ret} fw_error=${fwError} '${fwErrorToStr(fwError)}'`);
        if (before) {
          const after = readUser(user, address, length);
          for (const line of after ? cpuidMismatchReport(before, after) : []) yield report(vmm, line);
          yield report(vmm, 'SEV-SNP: failed update CPUID page');
        }
        return faultAt(fault, update.at);
      }
      params = { ...decodeSnpLaunchUpdate(takeStruct(vmm, SNP_LAUNCH_UPDATE_SIZE)), type };
      if (params.len === 0n) return undefined;
    }
  });
}

/** The memory that holds the whole range; undefined: there is none. */
export function regionOf(regions: readonly RamRegion[], gpa: number, length: number): RamRegion | undefined {
  return regions.find((r) => gpa >= r.gpa && gpa + length <= r.gpa + r.size);
}

export function noMemory(vmm: Vmm, { label, gpa, length, at }: PlanUpdate): Fault {
  const regions = vmm.regions.map((r) => `${hex(r.gpa)}..${hex(r.gpa + r.size - 1)}`).join(', ');
  return faultAt(makeFault(UPDATE_NO_MEMORY, { what: label, gpa: hex(gpa), length: hex(length), regions }), at);
}

/** What QEMU's gpa2hva() says. */
function noMemoryText(regions: readonly RamRegion[], gpa: number, length: number): string {
  const start = regions.find((r) => gpa >= r.gpa && gpa < r.gpa + r.size);
  return start
    ? `Size of memory region at ${hex(gpa)} exceeded: ${hex(length)}`
    : `No memory is mapped at address ${hex(gpa)}`;
}
