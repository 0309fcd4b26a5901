import { defineFault } from '../../fault.js';

/** What a VMM like QEMU refuses, or does in another way than the file may mean. */

const QEMU = {
  layer: 'vmm',
  command: 'igvm-cfg',
  code: { kind: 'input' },
  confirmed: true,
} as const;
const BACKEND = 'QEMU backends/igvm.c';
const SEV = 'QEMU target/i386/sev.c';

export const IGVM_NOT_FOR_SNP = defineFault<{ path: string; platforms: string }>({
  ...QEMU,
  check: 'vmm-igvm-platform',
  title: 'IGVM file is not for SEV-SNP',
  message: (o) =>
    `${o.path} is for ${o.platforms}, not for SEV_SNP. QEMU: "IGVM file does not describe a compatible supported platform".`,
  why: 'Each structure of the file counts for the platforms that it names. Without a platform header for SEV-SNP there is nothing in it for an SNP guest.',
  hint: 'Build the file for SEV-SNP.',
  reference: `${BACKEND} qigvm_supported_platform_compat_mask()`,
});

export const IGVM_NO_DIRECTIVES = defineFault<{ path: string }>({
  ...QEMU,
  check: 'vmm-igvm-no-directives',
  title: 'IGVM file without directives',
  message: (o) => `${o.path} has no directives. QEMU: "Invalid directive header count in IGVM file. Error code: 0".`,
  why: 'Directives say what is loaded; a file without them launches nothing.',
  hint: 'Build the file again with the pages of the guest.',
  reference: `${BACKEND} qigvm_process_file()`,
});

export const IGVM_DIRECTIVE_UNKNOWN = defineFault<{ path: string; name: string; type: string; offset: string }>({
  ...QEMU,
  check: 'vmm-igvm-directive',
  title: 'IGVM structure that the VMM does not know',
  message: (o) =>
    `QEMU does not know ${o.name} at ${o.offset} of ${o.path}: "IGVM: Unknown header type encountered when processing file: (type ${o.type})".`,
  why: 'The format defines more structures than QEMU handles, among them relocation and the tables for device discovery; QEMU ends at the first that it does not know, even one for another platform.',
  hint: 'Build the file for QEMU, without this structure.',
  reference: `${BACKEND} qigvm_handler()`,
});

export const IGVM_ID_BLOCKS = defineFault<{ path: string; offset: string }>({
  ...QEMU,
  check: 'vmm-igvm-id-blocks',
  title: 'IGVM file with two ID blocks',
  message: (o) =>
    `${o.path} has a second SNP_ID_BLOCK at ${o.offset}. QEMU: "IGVM: Multiple ID blocks encountered in IGVM file."`,
  why: 'SNP_LAUNCH_FINISH takes one ID block.',
  hint: 'Remove one of the two.',
  reference: `${BACKEND} qigvm_directive_snp_id_block()`,
});

export const IGVM_VMSA_GPA = defineFault<{ path: string; offset: string; gpa: string; expected: string }>({
  ...QEMU,
  check: 'vmm-igvm-vmsa-gpa',
  title: 'VMSA at an address that KVM does not use',
  message: (o) =>
    `VP_CONTEXT at ${o.offset} of ${o.path} is at ${o.gpa}. QEMU: "The VMSA GPA must be ${o.expected} but is specified as ${o.gpa}".`,
  why: 'The address of a VMSA is a part of its measurement, and KVM measures each VMSA at one fixed address. With another one the launch digest would not be that of the file.',
  hint: (o) => `Build the file for QEMU and KVM, with the VMSA at ${o.expected}.`,
  reference: `${SEV} check_vmsa_supported()`,
});

export const IGVM_VMSA_FIELDS = defineFault<{ path: string; offset: string; at: string }>({
  ...QEMU,
  check: 'vmm-igvm-vmsa-fields',
  title: 'VMSA with a field that QEMU cannot set',
  message: (o) =>
    `The VMSA of VP_CONTEXT at ${o.offset} of ${o.path} is not zero at ${o.at}. QEMU: "The VMSA contains fields that are not synchronized with KVM. Continuing would result in either unpredictable guest behavior, or a mismatched launch measurement."`,
  why: 'QEMU cannot give KVM a VMSA page: it sets registers, from which KVM makes the page. A field for which there is no register would be lost, and the measurement would differ.',
  hint: 'Leave this field zero in the VMSA.',
  reference: `${SEV} check_vmsa_supported()`,
});

export const IGVM_VMSA_NOT_SNP = defineFault<{ path: string; offset: string; features: string }>({
  ...QEMU,
  check: 'vmm-igvm-vmsa-features',
  title: 'VMSA in the IGVM file without SNPActive',
  message: (o) =>
    `SEV_FEATURES in the VMSA of VP_CONTEXT at ${o.offset} of ${o.path} is ${o.features}. QEMU: "SEV_SNP is enabled but is not enabled in VMSA sev_features".`,
  why: 'Bit 0 of SEV_FEATURES (SNPActive) makes a guest an SNP guest. QEMU takes the features of the VM from the VMSA in the file.',
  hint: 'Set bit 0 of SEV_FEATURES in the VMSA.',
  reference: `${SEV} check_sev_features()`,
});

export const IGVM_VMSA_VCPU = defineFault<{ path: string; offset: string; vcpu: number; vcpus: number }>({
  ...QEMU,
  check: 'vmm-igvm-vmsa-vcpu',
  title: 'VMSA in the IGVM file for a vCPU that does not exist',
  message: (o) =>
    `VP_CONTEXT at ${o.offset} of ${o.path} is for vCPU ${o.vcpu} of ${o.vcpus}. QEMU: "SEV: unable to set CPU context for out of bounds CPU index ${o.vcpu}".`,
  why: 'Each VMSA is the state of one vCPU of the virtual machine.',
  hint: 'Raise vm.vcpus.',
  reference: `${SEV} sev_set_cpu_context()`,
});

export const IGVM_PARAMETER_SPACE = defineFault<{
  path: string;
  offset: string;
  name: string;
  needed: number;
  left: number;
}>({
  ...QEMU,
  check: 'vmm-igvm-parameter-space',
  title: 'Parameter does not fit into its area',
  message: (o) =>
    `${o.name} at ${o.offset} of ${o.path} needs ${o.needed} bytes, but ${o.left} are left in its parameter area.${
      o.name === 'MEMORY_MAP' ? ' QEMU: "IGVM: guest memory map size exceeds parameter area defined in IGVM file".' : ''
    }`,
  why: 'The VMM writes the parameter into an area whose size the file fixes; it must not write behind it.',
  hint: 'Make the parameter area larger.',
  reference: `${BACKEND} qigvm_directive_memory_map(); microsoft/igvm, igvm_defs IGVM_VHS_PARAMETER`,
});

export const IGVM_2M_DATA = defineFault<{ path: string; offset: string }>({
  ...QEMU,
  check: 'vmm-igvm-2m-data',
  title: 'Large page with content in the IGVM file',
  message: (o) => `PAGE_DATA at ${o.offset} of ${o.path} is a 2 MiB page with content, which no loader reads alike.`,
  why: 'By the format the content has 2 MiB, but the library that QEMU uses reads 4 KiB of it and the rest becomes zeros. The launch digest would depend on the loader.',
  hint: 'Split the page into 4 KiB pages.',
  reference: 'microsoft/igvm, igvm/src/lib.rs IgvmDirectiveHeader::new_from_binary_split()',
});

export const IGVM_SHARED_PAGE = defineFault<{ path: string; offset: string; gpa: string }>({
  ...QEMU,
  check: 'vmm-igvm-shared-page',
  severity: 'warning',
  title: 'Shared page is measured all the same',
  message: (o) =>
    `PAGE_DATA at ${o.offset} of ${o.path} (${o.gpa}) is marked as shared, but QEMU does not know the mark: the page becomes private and is measured.`,
  why: 'The format says that a shared page is visible to the host and not a part of the measurement. QEMU and igvmmeasure measure it like any other, the igvm library leaves it out: so the digests of tools differ.',
  hint: 'Leave the page out of the file, and let the guest share it.',
  reference: `${BACKEND} qigvm_type_to_cgs_type(); microsoft/igvm, igvm_defs IgvmPageDataFlags`,
});

export const IGVM_NO_POLICY = defineFault<{ path: string }>({
  ...QEMU,
  check: 'vmm-igvm-no-policy',
  severity: 'warning',
  title: 'IGVM file without policy',
  message: (o) => `${o.path} has no GUEST_POLICY for SEV-SNP, so QEMU launches with policy 0.`,
  why: 'With an IGVM file the policy comes from the file alone. Policy 0 lacks bit 17, which must be one, and is refused.',
  hint: 'Build the file with a guest policy.',
  reference: `${BACKEND} qigvm_handle_policy()`,
});

export const IGVM_OVERRIDES = defineFault<{ path: string; key: string; file: string; manifest: string }>({
  ...QEMU,
  check: 'vmm-igvm-overrides',
  severity: 'warning',
  title: 'IGVM file overrides the manifest',
  message: (o) => `\`${o.key}\` is ${o.manifest}, but ${o.path} says ${o.file}, which counts.`,
  why: 'QEMU takes policy, ID block and ID authentication page of an SNP guest from the IGVM file, if there is one, and forgets what the object’s properties say.',
  hint: 'Remove the key, or build the IGVM file with the value that you want.',
  reference: `${SEV} cgs_set_guest_policy()`,
});

export const IGVM_AUTHOR_KEY = defineFault<{ path: string; offset: string; enabled: number; curve: number }>({
  ...QEMU,
  check: 'vmm-igvm-author-key',
  severity: 'warning',
  title: 'Author key of the IGVM file',
  message: (o) =>
    `SNP_ID_BLOCK at ${o.offset} of ${o.path} has author_key_enabled ${o.enabled}, but its author key names curve ${o.curve}; QEMU goes by the key.`,
  why: 'QEMU sets AUTH_KEY_EN if the author key names a curve, and does not look at the field that the format has for it.',
  hint: 'Set the field to 1 with an author key, and to 0 with zeros for the key.',
  reference: `${SEV} cgs_set_guest_policy()`,
});

export const IGVM_ID_VERSION = defineFault<{ path: string; offset: string; version: number }>({
  ...QEMU,
  check: 'vmm-igvm-id-version',
  severity: 'warning',
  title: 'ID block version of the IGVM file',
  message: (o) => `SNP_ID_BLOCK at ${o.offset} of ${o.path} has version ${o.version}; QEMU gives the firmware 1.`,
  why: 'The only version of the ID block is 1, and QEMU writes it whatever the file says. A signature over another version does not verify then.',
  hint: 'Build the file with version 1.',
  reference: `${BACKEND} qigvm_directive_snp_id_block()`,
});

export const IGVM_VMSA_NOT_LAST = defineFault<{ path: string; name: string; offset: string }>({
  ...QEMU,
  check: 'vmm-igvm-vmsa-order',
  severity: 'warning',
  title: 'VMSA before pages in the IGVM file',
  message: (o) =>
    `${o.name} at ${o.offset} of ${o.path} stands behind a VP_CONTEXT, but KVM measures VMSAs last: tools that follow the file compute another digest.`,
  why: 'The launch digest depends on the order. KVM adds the VMSA of each vCPU in KVM_SEV_SNP_LAUNCH_FINISH, after all pages.',
  hint: 'Build the file with the VMSA as its last directive.',
  reference: 'Linux arch/x86/kvm/svm/sev.c snp_launch_update_vmsa(); coconut-svsm igvmmeasure --check-kvm',
});

export const IGVM_MORE_VCPUS = defineFault<{ path: string; contexts: number; vcpus: number }>({
  ...QEMU,
  check: 'vmm-igvm-more-vcpus',
  severity: 'information',
  title: 'vCPUs without a VMSA in the IGVM file',
  message: (o) =>
    `${o.path} has ${o.contexts} VMSA${o.contexts === 1 ? '' : 's'}, the virtual machine has ${o.vcpus} vCPUs: the others start at the reset vector and are measured, too.`,
  why: 'KVM measures the VMSA of every vCPU. Tools that measure the file alone know only the VMSAs in it, so their digest is that of a VM with as many vCPUs.',
  hint: 'Set vm.vcpus to the number of VMSAs in the file if its digest is meant.',
  reference: 'Linux arch/x86/kvm/svm/sev.c snp_launch_update_vmsa()',
});

export const IGVM_SKIPPED = defineFault<{ path: string; type: string; offset: string }>({
  ...QEMU,
  check: 'vmm-igvm-skipped',
  severity: 'information',
  title: 'Optional structure of the IGVM file skipped',
  message: (o) => `The structure of unknown type ${o.type} at ${o.offset} of ${o.path} is optional and was skipped.`,
  why: 'Bit 31 of a type says that a loader which does not know the structure may go on without it.',
  hint: 'Nothing to do, unless the guest depends on it.',
  reference: 'microsoft/igvm, igvm_defs IGVM_VHT_OPTIONAL_BIT',
});

export const IGVM_WITH_FIRMWARE = defineFault<{ path: string }>({
  ...QEMU,
  check: 'vmm-igvm-with-firmware',
  title: 'IGVM file and firmware image in one launch',
  message: (o) =>
    `This launch loads ${o.path} and a firmware image. The IGVM file brings the firmware; QEMU takes no other beside it.`,
  why: 'An IGVM file describes all of the initial memory, the firmware included. With both it would not be clear where the guest starts.',
  hint: 'Remove one of the two entries.',
  reference: 'QEMU hw/i386/pc_sysfw.c pc_system_firmware_init(); docs/system/igvm.rst',
});

export const IGVM_TWICE = defineFault<{ path: string }>({
  ...QEMU,
  check: 'vmm-igvm-twice',
  title: 'Two IGVM files in one launch',
  message: (o) => `${o.path} is the second IGVM file of this launch.`,
  why: 'An IGVM file describes the whole initial state of a guest; the machine takes one.',
  hint: 'Remove one of the two entries.',
  reference: 'QEMU hw/i386/x86.c, property igvm-cfg of the machine',
});
