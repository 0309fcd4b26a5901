import { gpa, hex, hva } from '../address.js';
import { view } from '../bytes.js';
import { defineFault, type Fault, faultAt, makeFault } from '../fault.js';
import { kvmCreateVcpu } from '../kvm/ioctl/kvm-create-vcpu.js';
import { kvmSetSregs } from '../kvm/ioctl/kvm-set-sregs.js';
import { lowMemory } from '../launch/q35-memory.js';
import { mapAnonymous } from '../memory/user-memory.js';
import { inVmm, report, type Vmm, type VmmStep, vmOf } from './context.js';
import { firmwareAt } from './firmware-location.js';
import { kvmArchInitVcpu } from './kvm-arch-init-vcpu.js';
import { kvmSetPhysMem, ramBlockAdd } from './kvm-set-phys-mem.js';
import { qigvmProcessFile } from './qigvm-process-file.js';

const FOUR_GIB = 0x1_0000_0000;

export const FIRMWARE_SIZE = defineFault<{ path: string; size: string }>({
  check: 'vmm-firmware-size',
  layer: 'vmm',
  command: '-bios',
  code: { kind: 'input' },
  title: 'Firmware is not a multiple of 64 KiB',
  message: (o) => `The firmware ${o.path} has ${o.size} bytes, which is not a positive multiple of 64 KiB.`,
  why: 'QEMU maps the image so that it ends at 4 GiB and takes only whole 64 KiB blocks: a truncated image would put the reset vector in the wrong place.',
  hint: 'Use an unmodified OVMF image, the combined one or CODE; not VARS, and not one that was cut or packed.',
  reference: 'QEMU hw/i386/x86-common.c x86_bios_rom_init()',
  confirmed: true,
});

export const RESET_VECTOR = defineFault<{ path: string; zero: boolean }>({
  check: 'vmm-reset-vector',
  layer: 'vmm',
  command: '-bios',
  code: { kind: 'input' },
  title: 'No SEV-ES reset block in the firmware',
  message: (o) =>
    o.zero
      ? `The SEV-ES reset block in ${o.path} holds address 0, so QEMU does not know where the other vCPUs start.`
      : `QEMU finds no SEV-ES reset block in ${o.path}, so it does not know where the other vCPUs start.`,
  why: 'The initial registers of a vCPU of an encrypted guest are measured, so the start address of the application processors has to be known beforehand. OVMF publishes it in its GUIDed table. QEMU asks for it even with one vCPU.',
  hint: 'Use an OVMF image that was built with SEV-ES and SNP support.',
  reference:
    'QEMU target/i386/sev.c sev_es_save_reset_vector(), sev_es_find_reset_vector(); hw/i386/pc_sysfw.c x86_firmware_configure()',
  confirmed: true,
});

/** Physical address bits of a CPU model of QEMU on KVM, unless host-phys-bits is on (TCG_PHYS_ADDR_BITS). */
const PHYS_BITS = 40;
/** Q35_PCI_HOST_HOLE64_SIZE_DEFAULT: addresses kept for 64-bit PCI BARs behind the memory. */
const PCI_HOLE64 = 2 ** 35;
/** Reserved for HyperTransport up to 1 TiB; memory that would reach it moves to 1 TiB. */
const AMD_HT_START = 0xfd_0000_0000;
const AMD_ABOVE_1TB = 2 ** 40;
const GIB = 2 ** 30;

export const PHYS_BITS_TOO_LOW = defineFault<{ memory: string; bits: number; limit: string; used: string }>({
  check: 'vmm-phys-bits',
  layer: 'vmm',
  command: '-m',
  code: { kind: 'input' },
  title: 'Guest memory beyond the address bits of the CPU model',
  message: (o) =>
    `With ${o.memory} bytes of memory, guest physical addresses reach ${o.used}; the CPU model has ${o.bits} bits, up to ${o.limit}.`,
  why: 'CPU models of QEMU have 40 physical address bits unless they take over those of the host. Memory, the 32 GiB for PCI behind it, and on AMD models the 12 GiB below 1 TiB that HyperTransport keeps have to fit: about 978 GiB of memory is the most.',
  hint: 'Give the guest less memory; with QEMU itself, `host-phys-bits=on` behind the CPU model lifts the limit.',
  reference: 'QEMU hw/i386/pc.c pc_memory_init(), pc_max_used_gpa()',
  confirmed: true,
});

export const VMSA_FEATURES = defineFault<{ vcpu: number; features: string; vm: string }>({
  check: 'vmm-vmsa-features',
  layer: 'vmm',
  command: 'kvm_arch_put_registers',
  code: { kind: 'input' },
  title: 'VMSA with other SEV features than the VM',
  message: (o) => `SEV_FEATURES in the VMSA of vCPU ${o.vcpu} is ${o.features}, but the VM has ${o.vm}.`,
  why: 'KVM writes the features of KVM_SEV_INIT2 into the VMSA of every vCPU; a VMSA with other features cannot be launched, and its measurement would be another one.',
  hint: 'Set vm.vmsa-features to the value in the VMSA.',
  reference: 'QEMU target/i386/sev.c check_sev_features(); Linux arch/x86/kvm/svm/sev.c sev_es_sync_vmsa()',
  confirmed: true,
});

/** vCPUs, guest memory, firmware, registers: in the order of QEMU's q35 board. */
export function* boardInit(vmm: Vmm): VmmStep {
  return (
    (yield* x86CpusInit(vmm)) ??
    (yield* pcMemoryInit(vmm)) ??
    (yield* x86BiosRomInit(vmm)) ??
    (yield* qigvmProcessFile(vmm)) ??
    (yield* putRegisters(vmm))
  );
}

function x86CpusInit(vmm: Vmm): VmmStep {
  const { vcpus, cpu } = vmm.plan.vm;
  return inVmm(vmm, 'x86_cpus_init', { vcpus, cpu }, function* () {
    for (let id = 0; id < vcpus; id++) {
      const { ret, fault } = yield* kvmCreateVcpu(vmm.machine, vmOf(vmm), id);
      const vcpu = vmOf(vmm).vcpus[id];
      if (!fault && vcpu) kvmArchInitVcpu(vcpu, cpu, vmm.plan.host.processor, vcpus);
      if (!fault) continue;
      yield report(vmm, `kvm_init_vcpu: kvm_get_vcpu failed (${id}): error ${ret}`);
      return fault;
    }
    return undefined;
  });
}

/** One guest_memfd for all RAM, and a slot for the part below and for the part above 4 GiB. */
function pcMemoryInit(vmm: Vmm): VmmStep {
  const { memory } = vmm.plan.vm;
  return inVmm(vmm, 'pc_memory_init', { ram_size: hex(memory) }, function* () {
    const below = lowMemory(memory);
    const used = maxUsedGpa(memory - below);
    const limit = 2 ** PHYS_BITS - 1;
    if (vmm.plan.vm.vmm === 'qemu' && used > limit) {
      yield report(vmm, `Address space limit ${hex(limit)} < ${hex(used)} phys-bits too low (${PHYS_BITS})`);
      return makeFault(PHYS_BITS_TOO_LOW, { memory: hex(memory), bits: PHYS_BITS, limit: hex(limit), used: hex(used) });
    }
    const memfd = yield* ramBlockAdd(vmm, memory);
    if (memfd.fault) return memfd.fault;
    const base = mapAnonymous(vmm.machine.user, vmm.machine, 'pc.ram', memory);
    const low = yield* kvmSetPhysMem(vmm, { name: 'ram-below-4g', gpa: gpa(0), size: below, hva: base }, memfd.ret, 0);
    if (low || memory <= below) return low;
    const above = { name: 'ram-above-4g', gpa: gpa(FOUR_GIB), size: memory - below, hva: hva(base + below) };
    return yield* kvmSetPhysMem(vmm, above, memfd.ret, below);
  });
}

/** QEMU pc_max_used_gpa(), with the memory above 4 GiB moved to 1 TiB if it would reach the HyperTransport range. */
function maxUsedGpa(above: number): number {
  const reach = (start: number): number => Math.ceil((start + above) / GIB) * GIB + PCI_HOLE64 - 1;
  return reach(FOUR_GIB) >= AMD_HT_START ? reach(AMD_ABOVE_1TB) : reach(FOUR_GIB);
}

function x86BiosRomInit(vmm: Vmm): VmmStep {
  const { firmware, vm } = vmm.plan;
  if (!firmware) return nothing();
  const { path, bytes, base, resetEip } = firmware;
  const size = bytes.length;
  return inVmm(vmm, 'x86_bios_rom_init', { bios: path, gpa: hex(base), size: hex(size) }, function* () {
    if (vm.vmm === 'qemu' && (size === 0 || size % 0x1_0000 !== 0)) {
      yield report(vmm, `could not load PC BIOS '${path}'`);
      return atFirmware(vmm, makeFault(FIRMWARE_SIZE, { path, size: hex(size) }));
    }
    const memfd = yield* ramBlockAdd(vmm, size);
    if (memfd.fault) return atFirmware(vmm, memfd.fault);
    const start = mapAnonymous(vmm.machine.user, vmm.machine, 'pc.bios', size);
    if (vm.vmm === 'qemu') {
      const lost = yield* x86FirmwareConfigure(vmm, path, resetEip);
      if (lost) return lost;
    }
    const failed = yield* kvmSetPhysMem(vmm, { name: 'pc.bios', gpa: base, size, hva: start }, memfd.ret, 0);
    return failed && atFirmware(vmm, failed);
  });
}

/** QEMU x86_firmware_configure(), before the image is mapped: an address of 0 is as good as none. */
function* x86FirmwareConfigure(vmm: Vmm, path: string, resetEip: number | undefined): VmmStep {
  if (resetEip) return undefined;
  yield report(
    vmm,
    resetEip === 0
      ? 'SEV-ES reset address is zero'
      : 'SEV information block/Firmware GUID Table block not found in pflash rom',
  );
  yield report(vmm, 'failed to locate and/or save reset vector');
  return atFirmware(vmm, makeFault(RESET_VECTOR, { path, zero: resetEip === 0 }));
}

// biome-ignore lint/correctness/useYield: a step that does nothing.
function* nothing(): VmmStep {
  return undefined;
}

function atFirmware(vmm: Vmm, fault: Fault): Fault {
  const at = firmwareAt(vmm.plan);
  return at ? faultAt(fault, at) : fault;
}

const VMSA_SEV_FEATURES = 0x3b0;

function putRegisters(vmm: Vmm): VmmStep {
  return inVmm(vmm, 'kvm_arch_put_registers', { vcpus: vmm.plan.vm.vcpus }, function* () {
    const vm = vmOf(vmm);
    for (const vcpu of vm.vcpus) {
      const vmsa = vmm.plan.vmsas[vcpu.index];
      if (!vmsa) throw new Error(`the plan has no VMSA for vCPU ${vcpu.index}`);
      const features = view(vmsa).getBigUint64(VMSA_SEV_FEATURES, true);
      if (features !== vm.vmsaFeatures) {
        yield report(vmm, `VMSA of vCPU ${vcpu.index} contains unsupported sev_features: ${hex(features)}`);
        return makeFault(VMSA_FEATURES, { vcpu: vcpu.index, features: hex(features), vm: hex(vm.vmsaFeatures) });
      }
      const { fault } = yield* kvmSetSregs(vmm.machine, vcpu, vmsa);
      if (fault) return fault;
    }
    return undefined;
  });
}
