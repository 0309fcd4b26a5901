import type { Gpa } from '../../address.js';
import type { Machine } from '../../machine.js';
import { type GhcbFieldName, isValid } from '../../spec/ghcb-layout.js';
import type { GhcbExit, KvmVcpu, KvmVm } from '../state.js';
import { ghcbField, ghcbValidBitmap } from './ghcb-page.js';
import { archOf, type Vmgexit } from './vmgexit.js';

/**
 * sev_es_sync_from_ghcb(): from here on KVM works on its copy of what the guest supplied, so that it cannot change under
 * the checks; the bitmap begins anew for the answer. Linux arch/x86/kvm/svm/sev.c.
 */
export function sevEsSyncFromGhcb(machine: Machine, vm: KvmVm, vcpu: KvmVcpu, exit: GhcbExit): Vmgexit {
  const arch = archOf(vcpu);
  const { gpa, rax, rbx, rcx, rdx } = exit;
  const map = { gpa, rax, rbx, rcx, rdx, valid: 0n };
  if (isValid(exit.validBitmap, 'XCR0')) arch.xcr0 = exit.xcr0;
  arch.ghcb = exit;
  arch.ghcbMap = map;
  return { machine, vm, vcpu, arch, exit, map };
}

/** The fields of a save area (0x400 bytes or the whole page) as KVM takes them. */
export function decodeGhcbExit(gpa: Gpa, save: Uint8Array): GhcbExit {
  const validBitmap = ghcbValidBitmap(save);
  const ifValid = (name: GhcbFieldName): bigint => (isValid(validBitmap, name) ? ghcbField(save, name) : 0n);
  return {
    gpa,
    validBitmap,
    // KVM reads these three in any case; whether they are valid is checked later.
    exitCode: ghcbField(save, 'SW_EXITCODE'),
    exitInfo1: ghcbField(save, 'SW_EXITINFO1'),
    exitInfo2: ghcbField(save, 'SW_EXITINFO2'),
    scratch: ifValid('SW_SCRATCH'),
    rax: ifValid('RAX'),
    rbx: ifValid('RBX'),
    rcx: ifValid('RCX'),
    rdx: ifValid('RDX'),
    rsi: ifValid('RSI'),
    cpl: Number(ifValid('CPL')),
    xcr0: ifValid('XCR0'),
  };
}
