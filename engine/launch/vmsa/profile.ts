import type { VmsaSegment } from '../../spec/vmsa-layout.js';
import type { VmmName } from '../plan.js';

/**
 * Initial register state by VMM. It is measured, so a digest is only right for the VMM that launches.
 * QEMU target/i386/cpu.c `x86_cpu_reset_hold`; Linux arch/x86/kvm/svm/sev.c `sev_es_sync_vmsa`; EC2 and GCE:
 * virtee/sev-snp-measure vmsa.py.
 */
export interface VmsaProfile {
  readonly segments: Readonly<Record<VmsaSegment, Segment>>;
  readonly registers: readonly (readonly [name: string, value: bigint])[];
}

interface Segment {
  readonly selector: number;
  readonly attrib: number;
  readonly limit: number;
  readonly base: number;
}

/** What the VMMs do differently. */
interface Differences {
  /** Attributes of CS for the boot processor and for others. */
  readonly csAttrib: (eip: number) => number;
  readonly ssAttrib: number;
  readonly trAttrib: number;
  readonly rdx: (signature: number) => number;
  readonly gPat: bigint;
  readonly mxcsr: bigint;
  readonly x87Fcw: bigint;
}

const RESET_VECTOR = 0xffff_fff0;

const VMMS: Readonly<Record<VmmName, Differences>> = {
  qemu: {
    csAttrib: () => 0x9b,
    ssAttrib: 0x93,
    trAttrib: 0x8b,
    rdx: (signature) => signature,
    gPat: 0x0007_0406_0007_0406n,
    mxcsr: 0x1f80n,
    x87Fcw: 0x37fn,
  },
  ec2: {
    csAttrib: (eip) => (eip === RESET_VECTOR ? 0x9a : 0x9b),
    ssAttrib: 0x92,
    trAttrib: 0x83,
    rdx: () => 0x600,
    gPat: 0x0007_0406_0007_0406n,
    mxcsr: 0n,
    x87Fcw: 0n,
  },
  gce: {
    csAttrib: () => 0x9b,
    ssAttrib: 0x93,
    trAttrib: 0x8b,
    rdx: () => 0x600,
    gPat: 0x0007_0106n,
    mxcsr: 0n,
    x87Fcw: 0n,
  },
};

export function vmsaProfile(parameters: {
  readonly vmm: VmmName;
  readonly eip: number;
  readonly signature: number;
  readonly features: bigint;
}): VmsaProfile {
  const { eip, signature, features } = parameters;
  const vmm = VMMS[parameters.vmm];
  const segment = (attrib: number, selector = 0, base = 0): Segment => ({ selector, attrib, limit: 0xffff, base });
  const data = segment(0x93);
  return {
    segments: {
      es: data,
      cs: segment(vmm.csAttrib(eip), 0xf000, eip - (eip % 0x1_0000)),
      ss: segment(vmm.ssAttrib),
      ds: data,
      fs: data,
      gs: data,
      gdtr: segment(0),
      ldtr: segment(0x82),
      idtr: segment(0),
      tr: segment(vmm.trAttrib),
    },
    registers: [
      ['efer', 0x1000n],
      ['cr4', 0x40n],
      ['cr0', 0x10n],
      ['dr7', 0x400n],
      ['dr6', 0xffff_0ff0n],
      ['rflags', 2n],
      ['rip', BigInt(eip % 0x1_0000)],
      ['g-pat', vmm.gPat],
      ['rdx', BigInt(vmm.rdx(signature))],
      ['sev-features', features],
      ['xcr0', 1n],
      ['mxcsr', vmm.mxcsr],
      ['x87-fcw', vmm.x87Fcw],
    ],
  };
}
