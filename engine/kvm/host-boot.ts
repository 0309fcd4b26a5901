import { hex, PAGE_SIZE, spa } from '../address.js';
import { snpDfFlush } from '../asp/commands/snp-df-flush.js';
import { snpInit, snpInitEx } from '../asp/commands/snp-init.js';
import { wbinvdOnAllCores } from '../asp/state.js';
import { defineFault, makeFault } from '../fault.js';
import type { Machine } from '../machine.js';
import { rmpSize } from '../rmp/table.js';
import { errno } from '../spec/errno.js';
import { logEvent, type Op } from '../timeline/event.js';
import { DONE, type IoctlResult, inKernel, refuse, refused } from './result.js';
import { sevDoCmd } from './sev-issue-cmd.js';

/** SNP_MIN_API_MAJOR, SNP_MIN_API_MINOR. Linux drivers/crypto/ccp/sev-dev.c. */
const MIN_API_MAJOR = 1;
const MIN_API_MINOR = 51;

export const HOST_RMP_SIZE = defineFault<{ reserved: string; needed: string; memory: string; outside: boolean }>({
  check: 'kvm-host-rmp-size',
  layer: 'kvm',
  command: 'snp_rmptable_init',
  code: errno('ENODEV'),
  title: 'RMP too small for the memory of the host',
  message: (o) => `The BIOS has reserved ${o.reserved} bytes for the RMP; ${o.needed} bytes are needed.`,
  why: 'Each 4 KiB page of memory needs a 16-byte entry, after 16 KiB of bookkeeping. If part of the memory had no entry Linux would have to keep guests away from it, so it does not enable SNP at all.',
  hint: (o) =>
    o.outside
      ? `The host has ${o.memory} bytes of memory, and the table lies behind them: give it 128 MiB or more (host.memory).`
      : 'Set SNP memory coverage in the BIOS to all memory.',
  reference: 'Linux arch/x86/virt/svm/sev.c snp_rmptable_init()',
  confirmed: true,
});

export const HOST_FIRMWARE_VERSION = defineFault<{ firmware: string; minimum: string }>({
  check: 'kvm-host-firmware-version',
  layer: 'kvm',
  command: '__sev_snp_init_locked',
  code: errno('ENODEV'),
  title: 'SNP firmware too old',
  message: (o) => `The firmware has API ${o.firmware}; Linux needs ${o.minimum} or newer and leaves SNP uninitialised.`,
  why: 'Earlier firmware lacks parts of the final interface. The driver only prints a line and goes on, so the first thing that fails visibly is KVM_SEV_SNP_LAUNCH_START.',
  hint: 'Update the BIOS or load newer firmware (amd_sev_fam19h_model0xh.sbin).',
  reference: 'Linux drivers/crypto/ccp/sev-dev.c __sev_snp_init_locked()',
  confirmed: true,
});

export const HOST_SNP_INIT = defineFault<{ command: string }>({
  check: 'kvm-host-snp-init',
  layer: 'kvm',
  command: '__sev_snp_init_locked',
  code: errno('EIO'),
  title: 'SNP_INIT failed',
  message: (o) => `The firmware refused ${o.command}, so the platform stays uninitialised.`,
  why: 'SNP_INIT checks that all cores are configured alike, builds the RMP and switches its enforcement on. Without it no guest context can be created.',
  hint: 'See the firmware’s own reason below; most often BIOS settings differ between cores, or memory is not covered.',
  reference: 'Linux drivers/crypto/ccp/sev-dev.c __sev_snp_init_locked()',
  confirmed: true,
});

export const NO_ES_ASIDS = defineFault<{ min: number }>({
  check: 'kvm-es-asids',
  layer: 'kvm',
  command: 'sev_hardware_setup',
  code: errno('ENODEV'),
  title: 'The BIOS leaves no ASIDs for SEV-ES and SNP',
  message: (o) => `Plain SEV guests have all ASIDs from ${o.min} on, so that KVM offers neither SEV-ES nor SNP.`,
  why: 'CPUID 8000_001F EDX is the lowest ASID of a plain SEV guest; those below it are for SEV-ES and SNP. With 1 there are none.',
  hint: 'Set "SEV-ES ASID Space Limit" in the BIOS to 2 or more.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_hardware_setup()',
  confirmed: true,
});

export const SNP_PARAMETER = defineFault({
  check: 'kvm-snp-parameter',
  layer: 'kvm',
  command: 'sev_hardware_setup',
  code: errno('ENODEV'),
  title: 'kvm_amd was loaded without SNP',
  message: () =>
    'The module parameter kvm_amd.sev_snp is 0: the host could run SNP guests, but KVM does not offer them.',
  why: 'The parameter is 1 by default and takes effect only if everything else that SNP needs is there; /sys/module/kvm_amd/parameters/sev_snp then shows Y. It cannot be changed while the module is loaded.',
  hint: 'Load kvm_amd with sev_snp=1 (in a manifest: host.sev-snp), or leave the parameter out.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_hardware_setup()',
  confirmed: true,
});

/** What Linux does for SNP before any VM exists: the RMP, the ccp driver, the kvm_amd module. */
export function* hostBoot(machine: Machine): Op<IoctlResult> {
  const table = yield* snpRmptableInit(machine);
  if (table.fault) machine.kvm.hostFault = table.fault;
  else {
    machine.kvm.snpEnabled = true;
    yield* sevPlatformInit(machine);
    if (machine.kvmProfile.snpNeedsInit && machine.asp.platform !== 'INIT') machine.kvm.snpEnabled = false;
  }
  if (machine.kvm.snpEnabled) sevHardwareSetup(machine);
  const { snpEnabled } = machine.kvm;
  const last = machine.processor.minSevAsid - 1;
  yield logEvent(machine.stack, 'kvm', `kvm_amd: SEV-SNP ${snpEnabled ? 'enabled' : 'disabled'} (ASIDs 1 - ${last})`);
  return machine.kvm.hostFault ? refused(machine.kvm.hostFault) : DONE;
}

/** sev_hardware_setup(): what KVM itself asks for, SEV-ES before SNP. */
function sevHardwareSetup({ kvm, processor }: Machine): void {
  const fault =
    processor.minSevAsid < 2
      ? makeFault(NO_ES_ASIDS, { min: processor.minSevAsid })
      : kvm.snpParameter
        ? undefined
        : makeFault(SNP_PARAMETER, {});
  if (!fault) return;
  kvm.snpEnabled = false;
  kvm.hostFault = fault;
}

/** The table must cover all memory. Zeroing it and setting SYSCFG on each core have no state of their own here. */
function snpRmptableInit(machine: Machine): Op<IoctlResult> {
  const { rmp, memory } = machine;
  const args = { rmp_base: hex(rmp.base), rmp_end: hex(rmp.end) };
  return inKernel(machine, 'snp_rmptable_init', args, function* () {
    const range = `[0x${rmp.base.toString(16).padStart(16, '0')} - 0x${rmp.end.toString(16).padStart(16, '0')}]`;
    yield logEvent(machine.stack, 'kvm', `SEV-SNP: RMP table physical range ${range}`);
    const reserved = rmp.end + 1 - rmp.base;
    const needed = rmpSize(Math.ceil(Math.max(memory.size, rmp.end + 1) / PAGE_SIZE));
    if (reserved < needed) {
      yield logEvent(machine.stack, 'kvm', 'SEV-SNP: Memory reserved for the RMP table does not cover full system RAM');
      const outside = rmp.end >= memory.size;
      return refuse(HOST_RMP_SIZE, { reserved: hex(reserved), needed: hex(needed), memory: hex(memory.size), outside });
    }
    return DONE;
  });
}

/**
 * sev_platform_init(), as far as SNP goes: at the probe of the ccp driver, and once more from KVM_SEV_INIT2 if
 * that failed. The caller goes on in any case, like Linux.
 */
export function* sevPlatformInit(machine: Machine): Op<void> {
  if (machine.asp.platform === 'INIT' || !machine.kvm.snpEnabled) return;
  const { fault } = yield* sevSnpInit(machine);
  machine.kvm.hostFault = fault;
}

function sevSnpInit(machine: Machine): Op<IoctlResult> {
  const { major, minor, initEx } = machine.firmware;
  const api = `${major}.${minor}`;
  return inKernel(machine, '__sev_snp_init_locked', { api }, function* () {
    if (major < MIN_API_MAJOR || (major === MIN_API_MAJOR && minor < MIN_API_MINOR)) {
      const minimum = `${MIN_API_MAJOR}.${MIN_API_MINOR}`;
      const text = `ccp: SEV-SNP support requires firmware version >= ${MIN_API_MAJOR}:${MIN_API_MINOR}`;
      yield logEvent(machine.stack, 'kvm', text);
      return refused(makeFault(HOST_FIRMWARE_VERSION, { firmware: api, minimum }));
    }
    wbinvdOnAllCores(machine.asp);
    const init = initEx ? snpInitEx(machine, { initRmp: true, ranges: fixedRanges() }) : snpInit(machine);
    const command = initEx ? 'SNP_INIT_EX' : 'SNP_INIT';
    const done = yield* sevDoCmd(init, HOST_SNP_INIT, { command });
    if (done.fault) {
      const text = `ccp: SEV-SNP: failed to INIT rc ${done.ret}, error ${hex(done.fwError)}`;
      yield logEvent(machine.stack, 'kvm', text);
      return done;
    }
    wbinvdOnAllCores(machine.asp);
    const flushed = yield* sevDoCmd(snpDfFlush(machine), HOST_SNP_INIT, { command: 'SNP_DF_FLUSH' });
    if (flushed.fault) return flushed;
    yield logEvent(machine.stack, 'kvm', `ccp: SEV-SNP API:${api}`);
    return DONE;
  });
}

/** Legacy video and BIOS memory, reserved in the e820 map of this machine: the firmware keeps it HV-Fixed. */
function fixedRanges() {
  return [{ base: spa(0xa_0000), pages: 0x60 }];
}
