import { defineFault } from '../../fault.js';

const MANIFEST = {
  layer: 'manifest',
  command: 'launch manifest',
  code: { kind: 'input' },
  reference: 'SEV-SNP Workbench, launch manifest',
  confirmed: true,
} as const;

export const MANIFEST_MISSING_VERSION = defineFault<{ key: string; where: string; example: string }>({
  ...MANIFEST,
  check: 'manifest-missing-version',
  title: 'Manifest without version',
  message: () => 'The manifest does not begin with `snp: 1`.',
  why: 'The key tells that this is a launch manifest and which version of the grammar it is written in, so that a later version can change the meaning of keys without changing what old files mean.',
  hint: 'Add `snp: 1` as the first line.',
});

export const MANIFEST_MISSING_LAUNCH = defineFault<{ key: string; where: string; example: string }>({
  ...MANIFEST,
  check: 'manifest-missing-launch',
  title: 'Nothing to launch',
  message: () => 'The manifest has no `launch:`.',
  why: 'Under `launch` stands what is measured: the policy and, in order, the pages. Without it there is no launch.',
  hint: 'Add `launch:` with `update:` and at least one entry such as `- firmware: auto`.',
});

export const POLICY_MISSING_VERSION = defineFault<{ key: string; where: string; example: string }>({
  ...MANIFEST,
  command: 'policy file',
  reference: 'SEV-SNP Workbench, policy file',
  check: 'policy-missing-version',
  title: 'Policy file without version',
  message: () => 'The policy file does not begin with `snp-policy: 1`.',
  why: 'The key tells that this is a policy file and which version of the grammar it is written in.',
  hint: 'Add `snp-policy: 1` as the first line.',
});

export const MANIFEST_KEY_NOT_FOR_TYPE = defineFault<{ key: string; type: string; reason: string }>({
  ...MANIFEST,
  check: 'manifest-key-not-for-type',
  title: 'Key does not fit the page type',
  message: (o) => `\`${o.key}\` has no meaning for pages of type ${o.type}: ${o.reason}.`,
  why: 'The firmware fills ZERO, SECRETS and CPUID pages itself or from a table; only NORMAL and UNMEASURED pages are loaded from a file.',
  hint: (o) => `Remove \`${o.key}\`, or choose another type.`,
  reference: 'AMD pub. 56860, SNP_LAUNCH_UPDATE; Linux arch/x86/kvm/svm/sev.c snp_launch_update',
});

export const MANIFEST_MISSING_CONTENT = defineFault<{ type: string }>({
  ...MANIFEST,
  check: 'manifest-missing-content',
  title: 'Pages without content',
  message: (o) => `Pages of type ${o.type} need \`file:\` with their content.`,
  why: 'NORMAL pages are measured by content and UNMEASURED pages are loaded as they are; both come from a file. For empty memory there is the type `zero`, which measures without content.',
  hint: 'Add `file: FILE`, or use `type: zero` with `length:`.',
});

export const MANIFEST_MISSING_GPA = defineFault<{ type: string }>({
  ...MANIFEST,
  check: 'manifest-missing-gpa',
  title: 'Pages without an address',
  message: (o) => `Pages of type ${o.type} need \`gpa:\`, the guest physical address of the first one.`,
  why: 'The guest physical address is part of each page’s measurement (PAGE_INFO); there is no default place.',
  hint: 'Add `gpa:` with an address that is a multiple of 0x1000.',
  reference: 'AMD pub. 56860, SNP_LAUNCH_UPDATE, PAGE_INFO',
});

export const MANIFEST_VMSA_BOTH = defineFault({
  ...MANIFEST,
  check: 'manifest-vmsa-both',
  title: 'VMSA entry with both registers and file',
  message: () => 'A VMSA entry has either `registers:` or `file:`, not both.',
  why: '`registers` changes single fields of the VMM’s own initial state; `file` replaces the whole page. With both, it would not be clear which one counts.',
  hint: 'Remove one of the two.',
});

export const MANIFEST_VMSA_EMPTY = defineFault({
  ...MANIFEST,
  check: 'manifest-vmsa-empty',
  severity: 'warning',
  title: 'VMSA entry without content',
  message: () => 'This VMSA entry has neither `registers:` nor `file:` and changes nothing.',
  why: 'Every vCPU gets a VMSA of the VMM’s initial state without being mentioned. An entry is only needed to change it.',
  hint: 'Add `registers:` or `file:`, or remove the entry.',
});
