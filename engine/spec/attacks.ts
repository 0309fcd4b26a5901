import type { Gpa } from '../address.js';

/**
 * Attacks of a malicious host that the emulator can perform, one for each launch. `when`: in the launch, or while the
 * guest runs, step by step: after the guest has validated the page, with each line that it prints.
 */
export const ATTACKS = {
  'forge-cpuid': {
    when: 'launch',
    doc: 'The CPUID page names a feature that the processor does not have. The firmware compares the page with the processor and refuses it.',
  },
  'tamper-page': {
    when: 'launch',
    doc: 'One bit of the first measured page is changed before it is launched. The launch digest becomes another one: an ID block does not match any more, or the attestation report gives it away.',
  },
  'tamper-id-block': {
    when: 'launch',
    doc: 'The security version (GUEST_SVN) in the ID block is changed, so that an old image would count as a new one. Its signature does not match any more.',
  },
  remap: {
    when: 'run',
    doc: 'The nested page table leads to a page of the host with forged content. It is not assigned to the guest: the RMP check ends the access.',
  },
  'double-map': {
    when: 'run',
    doc: 'The nested page table leads to another page of the same guest. Its RMP entry names another guest address: the RMP check ends the access.',
  },
  exchange: {
    when: 'run',
    doc: 'A second page is assigned to the address of the first one, and later the first one comes back. The second one is not validated: #VC, unless the guest validates the address a second time.',
  },
  replay: {
    when: 'run',
    doc: 'Old ciphertext of the page is written back. The processor refuses the write while the page is the guest’s, and a page that the host has taken is not validated any more.',
  },
  'inject-vc': {
    when: 'run',
    doc: '#VC is injected with the exit code of CPUID, although the guest executes no CPUID. Only the guest itself can find out: by the bytes of the instruction.',
  },
  'inject-interrupt': {
    when: 'run',
    doc: 'Interrupt 0x80 is injected, as if the guest had executed INT 0x80. Only the guest itself can stop it: by its interrupt descriptor table.',
  },
} as const satisfies Readonly<Record<string, { readonly when: 'launch' | 'run'; readonly doc: string }>>;

export type AttackName = keyof typeof ATTACKS;

export const ATTACK_NAMES = Object.keys(ATTACKS) as AttackName[];

export interface AttackPlan {
  readonly name: AttackName;
  /** Page of the guest that an attack at run time is about. */
  readonly page: Gpa;
}
