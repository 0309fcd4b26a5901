import { defineFault } from '../../fault.js';

/** What a command line or a domain description can have wrong. `text` is what QEMU prints. */

const QEMU = {
  layer: 'vmm',
  code: { kind: 'input' },
  confirmed: true,
} as const;
const SEV = 'QEMU target/i386/sev.c';

export const QEMU_NO_COMMAND = defineFault<{ path: string }>({
  ...QEMU,
  command: 'qemu-system-x86_64',
  check: 'vmm-qemu-no-command',
  title: 'No QEMU command line in the file',
  message: (o) => `${o.path} holds no QEMU command line.`,
  why: 'A command line is recognised by the name of the program, such as qemu-system-x86_64, or by options of a machine such as -object and -bios.',
  hint: 'Name a file that holds the whole command line.',
  reference: 'QEMU system/vl.c qemu_init()',
});

export const QEMU_QUOTING = defineFault<{ quote: string }>({
  ...QEMU,
  command: 'sh',
  check: 'vmm-qemu-quoting',
  title: 'Quote without an end',
  message: (o) => `The quote ${o.quote} is not closed before the end of the file.`,
  why: 'The command line is split into words as a POSIX shell does it; with an open quote it is not known where a word ends.',
  hint: 'Close the quote.',
  reference: 'POSIX.1-2017, Shell Command Language, 2.2 Quoting',
});

export const QEMU_VARIABLE = defineFault<{ name: string }>({
  ...QEMU,
  command: 'sh',
  check: 'vmm-qemu-variable',
  severity: 'warning',
  title: 'Value that only a shell knows',
  message: (o) => `\`${o.name}\` is not set in this file, so it is taken as it is written.`,
  why: 'Variables that the file sets itself are replaced; those of the environment and the output of other commands are not known here.',
  hint: 'Write the value in its place, or set the variable above the command.',
  reference: 'POSIX.1-2017, Shell Command Language, 2.6 Word Expansions',
});

export const QEMU_OPTION = defineFault<{ option: string; text: string }>({
  ...QEMU,
  command: 'qemu-system-x86_64',
  check: 'vmm-qemu-option',
  title: 'Option that QEMU does not take',
  message: (o) => `QEMU: "${o.option}: ${o.text}".`,
  why: 'QEMU ends at the first option that it does not know and at one whose argument is missing.',
  hint: 'Correct the option.',
  reference: 'QEMU system/vl.c lookup_opt()',
});

export const QEMU_PARAMETER = defineFault<{ option: string; text: string }>({
  ...QEMU,
  command: '-object',
  check: 'vmm-qemu-parameter',
  title: 'Parameter that QEMU does not take',
  message: (o) => `QEMU: "${o.option}: ${o.text}".`,
  why: 'The parameters of an option have names and types; QEMU ends at the first that is missing, unknown or of another type.',
  hint: 'Correct the parameter.',
  reference: 'QEMU qapi/qom.json; qapi/qobject-input-visitor.c; util/qemu-option.c',
});

export const QEMU_NOT_SNP = defineFault<{ text: string }>({
  ...QEMU,
  command: '-machine',
  check: 'vmm-qemu-not-snp',
  title: 'Machine without SEV-SNP',
  message: (o) => `This machine is no SNP guest: ${o.text}.`,
  why: 'A machine becomes an SNP guest by `-machine confidential-guest-support=ID` with the ID of an object of type sev-snp-guest.',
  hint: 'Add `-object sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1` and `-machine confidential-guest-support=sev0`.',
  reference: 'QEMU docs/system/i386/amd-memory-encryption.rst; hw/core/machine.c',
});

export const SNP_CBITPOS = defineFault<{ host: number; requested: number }>({
  ...QEMU,
  command: '-object sev-snp-guest',
  check: 'vmm-cbitpos',
  title: 'C-bit position differs from the host’s',
  message: (o) => `QEMU: "cbitpos check failed, host '${o.host}' requested '${o.requested}'".`,
  why: 'The C-bit is an address bit whose place the processor fixes (CPUID 8000_001F EBX[5:0]). The guest learns it from the VMM.',
  hint: (o) => `Write cbitpos=${o.host}.`,
  reference: `${SEV} sev_common_kvm_init()`,
});

export const SNP_REDUCED_PHYS_BITS = defineFault<{ requested: number }>({
  ...QEMU,
  command: '-object sev-snp-guest',
  check: 'vmm-reduced-phys-bits',
  title: 'reduced-phys-bits out of range',
  message: (o) =>
    `QEMU: "reduced_phys_bits check failed, it should be in the range of 1 to 63, requested '${o.requested}'".`,
  why: 'With memory encryption a processor has fewer physical address bits; the number goes into CPUID 8000_001F EBX[11:6] of the guest.',
  hint: 'Write reduced-phys-bits=1.',
  reference: `${SEV} sev_common_kvm_init()`,
});

export const SNP_BASE64 = defineFault<{ property: string; value: string }>({
  ...QEMU,
  command: '-object sev-snp-guest',
  check: 'vmm-snp-base64',
  title: 'Property is not base64',
  message: (o) => `${o.property} is not base64. QEMU: "Base64 data '${o.value}' is not valid".`,
  why: 'Binary properties are written in base64: letters, digits, `+` and `/`, and up to two `=` at the end.',
  hint: 'Encode the bytes with `base64 -w0`.',
  reference: 'QEMU util/base64.c qbase64_decode()',
});

export const SNP_PROPERTY_LENGTH = defineFault<{ property: string; length: number; limit: string; expected: number }>({
  ...QEMU,
  command: '-object sev-snp-guest',
  check: 'vmm-snp-property-length',
  title: 'Property of the wrong length',
  message: (o) => `${o.property}: QEMU: "parameter length of ${o.length} ${o.limit} ${o.expected}".`,
  why: 'guest-visible-workarounds has 16 bytes, id-block 96, host-data 32, and id-auth up to 4096, all before base64.',
  hint: (o) => `Give ${o.limit === 'exceeds max of' ? 'at most ' : ''}${o.expected} bytes.`,
  reference: `${SEV}, setters of sev-snp-guest`,
});

export const SNP_HASHES_WITHOUT_KERNEL = defineFault({
  ...QEMU,
  command: '-object sev-snp-guest',
  check: 'vmm-kernel-hashes-without-kernel',
  title: 'Kernel hashes without a kernel',
  message: () =>
    'kernel-hashes is on, but there is no -kernel: QEMU ends with a failed assertion (kernel_hashes_data).',
  why: 'The table of hashes is made when the kernel is loaded; without one there is no table for the page that the firmware keeps for it.',
  hint: 'Add -kernel, or remove kernel-hashes=on.',
  reference: `${SEV} snp_launch_update_kernel_hashes()`,
});

export const SNP_NO_FIRMWARE = defineFault({
  ...QEMU,
  command: '-bios',
  check: 'vmm-qemu-no-firmware',
  title: 'SNP machine without firmware',
  message: () =>
    'There is neither -bios nor an IGVM file: QEMU loads SeaBIOS, and ends with "Failed to locate SEV metadata header".',
  why: 'The default firmware of QEMU knows nothing of SEV-SNP.',
  hint: 'Give an OVMF image with SNP support with -bios.',
  reference: `${SEV} sev_snp_launch_finish(); hw/i386/x86-common.c x86_bios_rom_init()`,
});

export const SNP_SMM = defineFault({
  ...QEMU,
  command: '-machine smm',
  check: 'vmm-snp-smm',
  title: 'SMM with SEV-SNP',
  message: () => 'QEMU: "SEV-SNP does not support SMM."',
  why: 'System management mode would need the host to write to the guest’s registers and memory.',
  hint: 'Remove smm=on.',
  reference: `${SEV} sev_snp_kvm_init()`,
});

export const SNP_IRQCHIP = defineFault({
  ...QEMU,
  command: '-machine kernel-irqchip',
  check: 'vmm-snp-irqchip',
  title: 'SEV-SNP without in-kernel interrupt controller',
  message: () => 'QEMU: "SEV-ES guests require in-kernel irqchip support".',
  why: 'A VMM cannot inject interrupts into a guest whose registers it cannot see; only KVM can.',
  hint: 'Remove kernel-irqchip=off.',
  reference: `${SEV} sev_common_kvm_init()`,
});

export const SNP_PFLASH_ONLY = defineFault<{ file: string }>({
  ...QEMU,
  command: '-drive if=pflash',
  check: 'vmm-snp-pflash-only',
  title: 'Firmware in flash only',
  message: (o) => `The firmware ${o.file} is given as flash and not with -bios, so it cannot be launched.`,
  why: 'Flash is a read-only memory slot without guest_memfd. QEMU queues it for LAUNCH_UPDATE all the same, and KVM answers -EINVAL, because the pages cannot be private.',
  hint: 'Give the firmware with -bios; flash is for variables then.',
  reference: 'QEMU hw/i386/pc_sysfw.c; Linux arch/x86/kvm/svm/sev.c snp_launch_update()',
});

export const QEMU_MEMORY_SIZE = defineFault<{ memory: string; backend: string }>({
  ...QEMU,
  command: '-m',
  check: 'vmm-qemu-memory-size',
  title: 'Memory and its backend differ',
  message: (o) =>
    `-m is ${o.memory} and the memory backend has ${o.backend}. QEMU: "Machine memory size does not match the size of the memory backend".`,
  why: 'With memory-backend the object is the guest’s memory; -m may be left out, but not contradict it.',
  hint: 'Give both the same size, or leave -m out.',
  reference: 'QEMU hw/core/machine.c machine_run_board_init()',
});

export const QEMU_CPU_HOST = defineFault<{ given: string; taken: string }>({
  ...QEMU,
  command: '-cpu',
  check: 'vmm-qemu-cpu',
  severity: 'warning',
  title: 'CPU model replaced',
  message: (o) => `${o.given}: ${o.taken} is taken instead.`,
  why: 'The signature of the CPU model is measured in each VMSA. The models host, max and base depend on the machine on which QEMU runs, and without -cpu QEMU takes a model without SNP.',
  hint: 'Name an EPYC model with its version.',
  reference: 'QEMU target/i386/cpu.c',
});

export const QEMU_CPU_FEATURES = defineFault<{ features: string }>({
  ...QEMU,
  command: '-cpu',
  check: 'vmm-qemu-cpu-features',
  severity: 'warning',
  title: 'CPU features are not emulated',
  message: (o) => `The features \`${o.features}\` behind the CPU model are not taken over.`,
  why: 'They change the CPUID page, which is not measured by content, but not the launch digest. The emulated guest sees the leaves of the model.',
  hint: 'Nothing to do, unless the guest depends on them.',
  reference: 'QEMU target/i386/cpu.c x86_cpu_parse_featurestr()',
});

export const QEMU_NOT_EMULATED = defineFault<{ option: string; effect: string }>({
  ...QEMU,
  command: 'qemu-system-x86_64',
  check: 'vmm-qemu-not-emulated',
  severity: 'warning',
  title: 'Option without effect here',
  message: (o) => `\`${o.option}\` is kept as a comment: ${o.effect}.`,
  why: 'A launch manifest describes what is measured and what a guest needs to start. This option changes something that a running guest can notice, but not the launch digest.',
  hint: 'Nothing to do, unless the guest depends on it.',
  reference: 'SEV-SNP Workbench, import',
});

export const LIBVIRT_XML = defineFault<{ problem: string }>({
  ...QEMU,
  command: 'domain XML',
  check: 'vmm-libvirt-xml',
  title: 'Domain description cannot be read',
  message: (o) => `The XML is not well-formed: ${o.problem}.`,
  why: 'libvirt refuses a domain description that is not well-formed XML.',
  hint: 'Correct the XML; `virt-xml-validate` helps.',
  reference: 'libvirt, domain XML format',
});

export const LIBVIRT_NOT_SNP = defineFault<{ problem: string }>({
  ...QEMU,
  command: 'launchSecurity',
  check: 'vmm-libvirt-not-snp',
  title: 'Domain without SEV-SNP',
  message: (o) => `The domain is no SNP guest: ${o.problem}.`,
  why: 'A domain is launched with SEV-SNP if it has an element launchSecurity of type sev-snp (libvirt 10.5.0 or later).',
  hint: "Add `<launchSecurity type='sev-snp'><policy>0x00030000</policy></launchSecurity>`.",
  reference: 'libvirt, domain XML format, launch security',
});

export const LIBVIRT_VALUE = defineFault<{ element: string; value: string; expected: string }>({
  ...QEMU,
  command: 'launchSecurity',
  check: 'vmm-libvirt-value',
  title: 'Value that libvirt does not take',
  message: (o) => `${o.element} is '${o.value}'; it must be ${o.expected}.`,
  why: 'libvirt checks the description before it starts QEMU.',
  hint: 'Correct the value.',
  reference: 'libvirt src/conf/domain_conf.c, src/conf/domain_validate.c',
});

export const EXPORT_NOT_POSSIBLE = defineFault<{ what: string; reason: string }>({
  ...QEMU,
  command: 'export',
  check: 'vmm-export-not-possible',
  title: 'Launch without a QEMU command line',
  message: (o) => `QEMU has no options for ${o.what}: ${o.reason}.`,
  why: 'QEMU loads one firmware image or one IGVM file, and nothing else, before an SNP guest starts.',
  hint: 'Put the pages into an IGVM file.',
  reference: 'QEMU target/i386/sev.c sev_snp_launch_finish()',
});

export const EXPORT_DIFFERS = defineFault<{ what: string; reason: string }>({
  ...QEMU,
  command: 'export',
  check: 'vmm-export-differs',
  severity: 'warning',
  title: 'Command line launches something else',
  message: (o) => `The command line cannot say ${o.what}: ${o.reason}.`,
  why: 'Some keys of a manifest are properties of the host or of another VMM; QEMU with this command line measures what its own host has.',
  hint: 'Check the launch digest on the host.',
  reference: 'QEMU target/i386/sev.c',
});
