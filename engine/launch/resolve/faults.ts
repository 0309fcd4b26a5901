import { defineFault } from '../../fault.js';

const FILE = {
  layer: 'manifest',
  command: 'file',
  code: { kind: 'input' },
  reference: 'SEV-SNP Workbench, launch manifest',
  confirmed: true,
} as const;

export const MANIFEST_FILE_MISSING = defineFault<{ path: string; tried: string }>({
  ...FILE,
  check: 'manifest-file-missing',
  title: 'File not found',
  message: (o) => `There is no file \`${o.path}\` (${o.tried}).`,
  why: 'Paths in a manifest are relative to the folder of the manifest, not to the working directory.',
  hint: 'Correct the path, or create the file.',
});

export const MANIFEST_FILE_NOT_A_FILE = defineFault<{ path: string; tried: string }>({
  ...FILE,
  check: 'manifest-file-not-a-file',
  title: 'Not a regular file',
  message: (o) => `\`${o.path}\` is not a regular file (${o.tried}).`,
  why: 'Contents of pages come from regular files; a folder or a device has no fixed content that could be measured.',
  hint: 'Name a regular file.',
});

export const MANIFEST_FILE_UNREADABLE = defineFault<{ path: string; tried: string; detail: string }>({
  ...FILE,
  check: 'manifest-file-unreadable',
  title: 'File cannot be read',
  message: (o) => `\`${o.path}\` cannot be read: ${o.detail} (${o.tried}).`,
  why: 'Without the content of the file there is no measurement of the launch.',
  hint: 'Check the permissions of the file and its folders.',
});

export const MANIFEST_FILE_UNTRUSTED = defineFault<{ path: string; tried: string }>({
  ...FILE,
  check: 'manifest-file-untrusted',
  title: 'File outside of an untrusted workspace',
  message: (o) =>
    `\`${o.path}\` lies outside of the workspace (${o.tried}) and is not read, because the workspace is not trusted.`,
  why: 'A manifest from somebody else could name any file of this computer. As long as the workspace is not trusted, only files inside of it are read.',
  hint: 'Trust the workspace, or copy the file into it.',
});

export const MANIFEST_FILE_TOO_LARGE = defineFault<{ path: string; tried: string; detail: string }>({
  ...FILE,
  check: 'manifest-file-too-large',
  title: 'File too large',
  message: (o) => `\`${o.path}\` is too large: ${o.detail} (${o.tried}).`,
  why: 'Everything that a launch loads is measured page by page. Disk images and the like do not belong in it.',
  hint: 'Check that this is the file you mean, or load a part of it with `offset` and `length`.',
});

export const MANIFEST_NO_FIRMWARE_FOUND = defineFault<{ tried: string }>({
  ...FILE,
  command: 'firmware: auto',
  check: 'manifest-no-firmware-found',
  title: 'No SNP-capable firmware on this computer',
  message: (o) => `\`firmware: auto\` found no OVMF image with SEV-SNP support. Looked at: ${o.tried}.`,
  why: '`auto` takes the first image with SNP metadata from QEMU’s firmware descriptors and the usual folders of distributions.',
  hint: 'Install one (Debian, Ubuntu: `apt install ovmf`; Fedora: `dnf install edk2-ovmf`), or name an image file.',
});

export const MANIFEST_EMPTY_UPDATE = defineFault({
  ...FILE,
  command: 'launch.update',
  check: 'manifest-empty-update',
  severity: 'warning',
  title: 'Nothing is loaded',
  message: () =>
    '`launch.update` has no entry that loads pages: only the VMSAs are measured, and the guest has no code.',
  why: 'A guest without memory contents shuts down at its first instruction. The launch itself succeeds.',
  hint: 'Add an entry such as `- firmware: auto`.',
});

export const MANIFEST_OFFSET_BEYOND_FILE = defineFault<{ path: string; offset: string; size: string }>({
  ...FILE,
  check: 'manifest-offset-beyond-file',
  title: 'Offset beyond the end of the file',
  message: (o) => `\`offset\` is ${o.offset}, but \`${o.path}\` has only ${o.size} bytes.`,
  why: 'There is nothing to load at this offset.',
  hint: 'Choose an offset inside of the file.',
});

export const MANIFEST_LENGTH_BEYOND_FILE = defineFault<{ path: string; length: string; available: string }>({
  ...FILE,
  check: 'manifest-length-beyond-file',
  severity: 'information',
  title: 'Range is longer than the file',
  message: (o) => `\`length\` is ${o.length}, but \`${o.path}\` gives only ${o.available} bytes; the rest is zero.`,
  why: 'The VMM loads the file into zeroed memory. The zeros are measured, too.',
  hint: 'Correct `length`, or leave it if the zeros are meant.',
});

export const MANIFEST_VMSA_FILE_SIZE = defineFault<{ path: string; size: number }>({
  ...FILE,
  command: 'type: vmsa',
  check: 'manifest-vmsa-file-size',
  title: 'VMSA file is not one page',
  message: (o) => `The VMSA file \`${o.path}\` has ${o.size} bytes; a VMSA is one page of 4096.`,
  why: 'The whole page is measured, the reserved fields included.',
  hint: 'Write the VMSA as a file of exactly 4096 bytes, padded with zeros.',
  reference: 'AMD APM volume 2, appendix B, VMSA layout',
});

export const MANIFEST_VMSA_VCPU = defineFault<{ vcpu: number; vcpus: number }>({
  ...FILE,
  command: 'type: vmsa',
  check: 'manifest-vmsa-vcpu',
  title: 'VMSA for a vCPU that does not exist',
  message: (o) => `This VMSA is for vCPU ${o.vcpu}, but the virtual machine has ${o.vcpus} (numbered from 0).`,
  why: 'KVM measures one VMSA for each vCPU that exists at LAUNCH_FINISH, in the order of their numbers.',
  hint: 'Raise `vm.vcpus`, or give a number that exists under `vcpu:`.',
  reference: 'Linux arch/x86/kvm/svm/sev.c snp_launch_update_vmsa',
});

export const MANIFEST_VMSA_TWICE = defineFault<{ vcpu: number }>({
  ...FILE,
  command: 'type: vmsa',
  check: 'manifest-vmsa-twice',
  title: 'Two VMSAs for one vCPU',
  message: (o) => `vCPU ${o.vcpu} already has a VMSA entry above.`,
  why: 'Each vCPU starts from one VMSA; with two it would not be clear which one counts.',
  hint: 'Remove one of them, or give another vCPU under `vcpu:`.',
});

export const MANIFEST_CPUID_TOO_MANY = defineFault<{ count: number }>({
  ...FILE,
  command: 'type: cpuid',
  check: 'manifest-cpuid-too-many',
  title: 'Too many CPUID leaves',
  message: (o) => `The CPUID table has ${o.count} entries; the page holds at most 64.`,
  why: 'COUNT of the CPUID page is limited to 64 by its layout.',
  hint: 'Remove leaves that the guest does not need.',
  reference: 'AMD pub. 56860, CPUID page; Linux arch/x86/include/asm/sev.h struct snp_cpuid_table',
});

export const MANIFEST_SNP_ACTIVE = defineFault<{ given: string; measured: string }>({
  ...FILE,
  command: 'vmsa-features',
  check: 'manifest-snp-active',
  severity: 'warning',
  title: 'SNPActive is always set',
  message: (o) =>
    `\`vmsa-features\` is ${o.given} without bit 0 (SNPActive); KVM sets it, so ${o.measured} is measured.`,
  why: 'SEV_FEATURES bit 0 makes a guest an SNP guest. KVM adds it to the features of every SNP virtual machine.',
  hint: (o) => `Write ${o.measured}.`,
  reference: 'Linux arch/x86/kvm/svm/sev.c __sev_guest_init',
});

export const MANIFEST_POLICY_FILE = defineFault<{ path: string; problem: string }>({
  ...FILE,
  command: 'launch.policy',
  check: 'manifest-policy-file',
  title: 'Policy file cannot be used',
  message: (o) => `The policy file \`${o.path}\` gives no policy: ${o.problem}`,
  why: 'The policy is taken from the file; as long as the file has mistakes it is not known what to launch with.',
  hint: 'Open the policy file and correct it.',
});

export const MANIFEST_BASE64 = defineFault<{ key: string }>({
  ...FILE,
  command: 'launch manifest',
  check: 'manifest-base64',
  title: 'Not base64',
  message: (o) => `The value of \`${o.key}\` is not base64.`,
  why: 'Base64 has letters, digits, `+` and `/`, and up to two `=` at its end.',
  hint: 'Correct the value, or name a file.',
});

export const MANIFEST_ID_BLOCK_DIGEST = defineFault<{ reason: string }>({
  ...FILE,
  command: 'finish.id-block',
  check: 'manifest-id-block-digest',
  title: 'Digest for the ID block cannot be computed',
  message: (o) =>
    `\`id-block\` has no \`ld\`, so the digest of this launch would be used, but it cannot be computed: ${o.reason}`,
  why: 'The ID block contains the expected launch digest. Left out, it is computed from this manifest.',
  hint: 'Correct the launch, or give `ld` explicitly.',
});
