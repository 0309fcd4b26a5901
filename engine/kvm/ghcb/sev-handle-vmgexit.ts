import { gpa, hex } from '../../address.js';
import { makeFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { VMGEXIT } from '../../spec/ghcb-layout.js';
import type { Op } from '../../timeline/event.js';
import { inKernel } from '../result.js';
import { type ExitHandling, RESUME } from '../run/kvm-exit.js';
import { isSnpGuest, type KvmVcpu, type KvmVm } from '../state.js';
import { describeVmgexit, exitName } from './describe.js';
import {
  GHCB_JUMP_TABLE,
  GHCB_NOT_REGISTERED,
  GHCB_NOT_SET,
  GHCB_UNMAPPED,
  GHCB_UNSUPPORTED_EVENT,
} from './ghcb-faults.js';
import { clearValidBitmap, ghcbField, readGhcb } from './ghcb-page.js';
import { kvmEmulateApResetHold } from './kvm-emulate-ap-reset-hold.js';
import { kvmSevEsMmio } from './kvm-sev-es-mmio.js';
import { decodeGhcbExit, sevEsSyncFromGhcb } from './sev-es-sync-from-ghcb.js';
import { trace } from './sev-es-unmap-ghcb.js';
import { sevEsValidateVmgexit } from './sev-es-validate-vmgexit.js';
import { sevHandleVmgexitMsrProtocol } from './sev-handle-vmgexit-msr-protocol.js';
import { GHCB_HV_FT_SUPPORTED } from './sev-info.js';
import { sevSnpApCreation } from './sev-snp-ap-creation.js';
import { snpPageStateChange } from './snp-begin-psc.js';
import { snpHandleExtGuestReq } from './snp-handle-ext-guest-req.js';
import { snpHandleGuestReq } from './snp-handle-guest-req.js';
import { svmInvokeExitHandler } from './svm-invoke-exit-handler.js';
import { terminate } from './termination.js';
import {
  archOf,
  badInput,
  failRun,
  kernelLog,
  refusedRequest,
  type Vmgexit,
  vcpuUnimpl,
  vmgexitSuccess,
} from './vmgexit.js';

/**
 * sev_handle_vmgexit(): what the guest asks for with VMGEXIT, by the GHCB MSR or in the GHCB page to which it points.
 * As svm_exit_handlers[SVM_EXIT_VMGEXIT]: 1 goes on with the guest (a fault then says what it was refused), 0 goes to
 * userspace, negative is -errno of KVM_RUN. Linux arch/x86/kvm/svm/sev.c.
 */
export function* sevHandleVmgexit(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): Op<ExitHandling> {
  const arch = archOf(vcpu);
  const { ghcb } = arch.vmcb;
  if ((ghcb & 0xfffn) !== 0n) {
    return yield* inKernel(machine, 'sev_handle_vmgexit_msr_protocol', { vcpu: vcpu.index, ghcb_msr: hex(ghcb) }, () =>
      sevHandleVmgexitMsrProtocol(machine, vm, vcpu),
    );
  }
  const save = ghcb === 0n ? undefined : readGhcb(machine, vm, Number(ghcb));
  const event = save ? exitName(ghcbField(save, 'SW_EXITCODE')) : 'none';
  return yield* inKernel(machine, 'sev_handle_vmgexit', { vcpu: vcpu.index, ghcb: hex(ghcb), event }, () =>
    handlePage(machine, vm, vcpu, save),
  );
}

function* handlePage(machine: Machine, vm: KvmVm, vcpu: KvmVcpu, save: Uint8Array | undefined): Op<ExitHandling> {
  const arch = archOf(vcpu);
  const { ghcb } = arch.vmcb;
  if (ghcb === 0n) {
    yield* vcpuUnimpl(machine, vcpu, 'vmgexit: GHCB gpa is not set');
    return refusedRequest(makeFault(GHCB_NOT_SET, { vcpu: vcpu.index }));
  }
  if (!save) {
    yield* vcpuUnimpl(machine, vcpu, `vmgexit: error mapping GHCB [${hex(ghcb)}] from guest`);
    return refusedRequest(makeFault(GHCB_UNMAPPED, { gpa: hex(ghcb) }));
  }
  const exit = decodeGhcbExit(gpa(Number(ghcb)), save);
  if (!machine.stack.quiet) {
    const line = trace('enter', vcpu.index, exit.exitCode, exit.exitInfo1, exit.exitInfo2);
    yield* kernelLog(machine, `${line} (${describeVmgexit(exit)})`);
  }
  const v = sevEsSyncFromGhcb(machine, vm, vcpu, exit);
  if (isSnpGuest(vm) && arch.ghcbRegisteredGpa !== ghcb) {
    clearValidBitmap(machine, vm, exit.gpa);
    yield* vcpuUnimpl(machine, vcpu, `vmgexit: GHCB GPA [${hex(ghcb)}] is not registered.`);
    const known = arch.ghcbRegisteredGpa;
    const registered = known === NOT_REGISTERED ? 'has registered none' : `has registered ${hex(known)}`;
    return failRun(GHCB_NOT_REGISTERED, { gpa: hex(ghcb), registered: `vCPU ${vcpu.index} ${registered}` });
  }
  const refused = yield* sevEsValidateVmgexit(v);
  if (refused) return refused;
  vmgexitSuccess(v);
  return yield* dispatch(v);
}

/** INVALID_PAGE. */
const NOT_REGISTERED = 0xffff_ffff_ffff_ffffn;

function* dispatch(v: Vmgexit): Op<ExitHandling> {
  const { machine, vm, vcpu, arch, exit } = v;
  const { exitInfo1: info1, exitInfo2: info2 } = exit;
  switch (exit.exitCode) {
    case VMGEXIT.MMIO_READ:
      return yield* kvmSevEsMmio(v, false);
    case VMGEXIT.MMIO_WRITE:
      return yield* kvmSevEsMmio(v, true);
    case VMGEXIT.NMI_COMPLETE:
      // NMIs come with an interrupt controller; until then none is masked.
      return RESUME;
    case VMGEXIT.AP_HLT_LOOP:
      arch.apResetHold = 'nae';
      return kvmEmulateApResetHold(arch);
    case VMGEXIT.AP_JUMP_TABLE:
      if (info1 === 0n) vm.apJumpTable = info2;
      else if (info1 === 1n) vmgexitSuccess(v, vm.apJumpTable ?? 0n);
      else {
        yield* kernelLog(machine, `svm: vmgexit: unsupported AP jump table request - exit_info_1=${hex(info1)}`);
        return badInput(v, GHCB_JUMP_TABLE, { info1: hex(info1) });
      }
      return RESUME;
    case VMGEXIT.HV_FEATURES:
      return vmgexitSuccess(v, GHCB_HV_FT_SUPPORTED);
    case VMGEXIT.TERM_REQUEST: {
      const text = `SEV-ES guest requested termination: reason ${hex(info1)} info ${hex(info2)}`;
      yield* kernelLog(machine, text);
      const [set, code] = [Number(info1 & 0xfn), Number((info1 >> 4n) & 0xffn)];
      return terminate(arch, { termination: { set, code } });
    }
    case VMGEXIT.PSC:
      return yield* snpPageStateChange(v);
    case VMGEXIT.AP_CREATION:
      return yield* sevSnpApCreation(v);
    case VMGEXIT.GUEST_REQUEST:
      return yield* snpHandleGuestReq(v);
    case VMGEXIT.EXT_GUEST_REQUEST:
      return yield* snpHandleExtGuestReq(v);
    case VMGEXIT.UNSUPPORTED_EVENT: {
      const text = `vmgexit: unsupported event - exit_info_1=${hex(info1)}, exit_info_2=${hex(info2)}`;
      yield* vcpuUnimpl(machine, vcpu, text);
      return failRun(GHCB_UNSUPPORTED_EVENT, { event: exitName(info1), info: hex(info2) });
    }
    default:
      return yield* svmInvokeExitHandler(v);
  }
}
