import { ATTACK_NAMES, ATTACKS } from '../../spec/attacks.js';
import { CPU_MODELS } from '../../spec/cpu-models.js';
import {
  FIRMWARE_ABI_MAX,
  FIRMWARE_ABI_MIN,
  KVM_RELEASES,
  PROCESSOR_PROFILES,
  PROCESSORS,
} from '../../spec/versions.js';
import {
  SEV_FEATURES,
  VMSA_FIELDS,
  VMSA_SEGMENT_PARTS,
  VMSA_SEGMENTS,
  type VmsaSegment,
} from '../../spec/vmsa-layout.js';
import type { FieldSchema, IntegerSchema, MapSchema, ShapeSchema, TextSchema, ValueSchema } from '../grammar/schema.js';
import { POLICY_MAP } from '../policy/schema.js';
import { MANIFEST_MISSING_LAUNCH, MANIFEST_MISSING_VERSION } from './faults.js';

const U64_MAX = (1n << 64n) - 1n;
const PHYSICAL_MAX = (1n << 52n) - 1n;
/** A vCPU index fits KVM_MAX_VCPUS (4096 on x86). Linux arch/x86/include/asm/kvm_host.h. */
const MAX_VCPUS = 4096n;

const path: TextSchema = { kind: 'text', form: 'path' };
const string: TextSchema = { kind: 'text', form: 'string' };
const count = (min: bigint, max: bigint): IntegerSchema => ({ kind: 'integer', unit: 'count', min, max });
const mask = (max: bigint): IntegerSchema => ({ kind: 'integer', unit: 'mask', min: 0n, max });
const size: IntegerSchema = { kind: 'integer', unit: 'size', min: 0n, max: PHYSICAL_MAX };
const address: IntegerSchema = { kind: 'integer', unit: 'address', min: 0n, max: PHYSICAL_MAX };
const bytes = (length: number): ValueSchema => ({ kind: 'bytes', length });
const boolean: ValueSchema = { kind: 'boolean' };
const map = (...fields: FieldSchema[]): MapSchema => ({ kind: 'map', fields });

const HOST = map(
  {
    key: 'processor',
    doc: 'The processor that is emulated: it decides the C-bit, the number of ASIDs and the host’s CPUID values.',
    value: {
      kind: 'enum',
      values: PROCESSORS.map((name) => ({
        value: name,
        doc: `CPUID signature 0x${PROCESSOR_PROFILES[name].signature.toString(16).padStart(8, '0')}.`,
      })),
    },
    default: 'milan',
    example: 'processor: milan',
  },
  {
    key: 'firmware',
    doc: 'ABI version of the SNP firmware. It decides which policy bits are known and which commands exist.',
    value: {
      kind: 'enum',
      values: Array.from({ length: FIRMWARE_ABI_MAX - FIRMWARE_ABI_MIN + 1 }, (_, i) => ({
        value: `1.${FIRMWARE_ABI_MIN + i}`,
        doc: `SNP firmware ABI 1.${FIRMWARE_ABI_MIN + i} (AMD pub. 56860).`,
      })),
    },
    default: '"1.55"',
    example: 'firmware: "1.55"',
  },
  {
    key: 'kvm',
    doc: 'The KVM host: the patch series "Add AMD SEV-SNP Hypervisor Support" v15, or a Linux release.',
    value: {
      kind: 'enum',
      values: KVM_RELEASES.map((value) => ({
        value,
        doc: value.startsWith('v15') ? 'The patch series as posted' : `Linux ${value}.`,
      })),
    },
    default: '"6.11"',
    example: 'kvm: "6.11"',
  },
  {
    key: 'memory',
    doc: 'Memory of the host.',
    value: { ...size, min: 1n << 20n, max: 1n << 44n },
    default: '4GiB',
    example: 'memory: 4GiB',
  },
  {
    key: 'sev-snp',
    doc: 'Module parameter `sev_snp` of kvm_amd. With `false` the host offers no SNP VMs.',
    value: boolean,
    default: 'true',
    example: 'sev-snp: false',
  },
  {
    key: 'huge-pages',
    doc: 'guest_memfd backs private memory with pages of 2 MiB where it can. The series has dropped them with v15, and Linux has not got them since.',
    value: boolean,
    default: 'false',
    example: 'huge-pages: true',
  },
  {
    key: 'attack',
    doc: 'The host is malicious and performs this attack once.',
    value: { kind: 'enum', values: ATTACK_NAMES.map((value) => ({ value, doc: ATTACKS[value].doc })) },
    example: 'attack: replay',
  },
  {
    key: 'attack-page',
    doc: 'Guest address of the page that an attack at run time is about.',
    value: address,
    default: '0xa00000',
    example: 'attack-page: 0xa00000',
  },
);

const VM = map(
  {
    key: 'vmm',
    doc: 'Whose initial CPU state and order of pages is measured.',
    value: {
      kind: 'enum',
      values: [
        { value: 'qemu', doc: 'QEMU on KVM.' },
        { value: 'ec2', doc: 'Amazon EC2: other VMSA values, CPUID pages measured last.' },
        { value: 'gce', doc: 'Google Compute Engine: other VMSA values, SEC_MEM pages as UNMEASURED.' },
      ],
    },
    default: 'qemu',
    example: 'vmm: qemu',
  },
  {
    key: 'vcpus',
    doc: 'Number of vCPUs. Each one has a VMSA, which is measured by LAUNCH_FINISH in the order of their numbers.',
    value: count(1n, MAX_VCPUS),
    default: '1',
    example: 'vcpus: 1',
  },
  {
    key: 'cpu',
    doc: 'CPU model as QEMU’s `-cpu` names it. Its CPUID signature stands in RDX of the initial VMSA and is thus measured; the leaves go into the CPUID page.',
    value: {
      kind: 'enum',
      values: CPU_MODELS.map((m) => ({
        value: m.name,
        doc: `Family ${m.family}, model ${m.model}, stepping ${m.stepping}: signature 0x${m.signature.toString(16).padStart(8, '0')}.`,
      })),
    },
    default: 'EPYC-Milan-v2',
    example: 'cpu: EPYC-Milan-v2',
  },
  {
    key: 'memory',
    doc: 'Memory of the guest.',
    value: { ...size, max: 1n << 44n },
    default: '512MiB',
    example: 'memory: 512MiB',
  },
  {
    key: 'vmsa-features',
    doc: `SEV_FEATURES of every vCPU; measured. ${SEV_FEATURES.map((f) => `Bit ${f.bit} ${f.name}`).join(', ')}. KVM always sets SNPActive. 0x21 (with DebugVirtualization, "DebugSwap") is what kernels measure that enable DebugSwap by default.`,
    value: mask(U64_MAX),
    default: '0x1',
    example: 'vmsa-features: 0x1',
  },
);

const SEGMENT_DOC: Readonly<Record<VmsaSegment, string>> = {
  es: 'ES.',
  cs: 'CS. At reset: selector 0xF000, base 0xFFFF0000, attrib 0x9B, limit 0xFFFF.',
  ss: 'SS.',
  ds: 'DS.',
  fs: 'FS.',
  gs: 'GS.',
  gdtr: 'GDTR: limit and base.',
  ldtr: 'LDTR.',
  idtr: 'IDTR: limit and base.',
  tr: 'TR.',
};

const REGISTERS = map(
  ...VMSA_FIELDS.map(
    (f): FieldSchema => ({
      key: f.name,
      doc: f.doc,
      value: mask((1n << BigInt(f.size * 8)) - 1n),
      example: `${f.name}: 0x0`,
    }),
  ),
  ...(Object.keys(VMSA_SEGMENTS) as VmsaSegment[]).flatMap((segment): FieldSchema[] => {
    const parts = VMSA_SEGMENT_PARTS.map(
      (p): FieldSchema => ({ key: p.name, doc: p.doc, value: mask((1n << BigInt(p.size * 8)) - 1n) }),
    );
    return [
      { key: segment, doc: SEGMENT_DOC[segment], value: map(...parts), example: `${segment}: { base: 0x0 }` },
      ...parts.map((p) => ({ ...p, key: `${segment}.${p.key}`, doc: `${segment.toUpperCase()}: ${p.doc}` })),
    ];
  }),
);

const word = mask(0xffff_ffffn);
const LEAVES: ValueSchema = {
  kind: 'list',
  item: map(
    { key: 'leaf', doc: 'EAX of the CPUID instruction.', value: word, required: true, example: 'leaf: 0x80000008' },
    { key: 'subleaf', doc: 'ECX of the CPUID instruction.', value: word, default: '0' },
    { key: 'xcr0', doc: 'XCR0_IN, for leaf 0xD.', value: mask(U64_MAX), default: '0' },
    { key: 'xss', doc: 'XSS_IN, for leaf 0xD.', value: mask(U64_MAX), default: '0' },
    { key: 'eax', doc: 'Result in EAX.', value: word, default: '0' },
    { key: 'ebx', doc: 'Result in EBX.', value: word, default: '0' },
    { key: 'ecx', doc: 'Result in ECX.', value: word, default: '0' },
    { key: 'edx', doc: 'Result in EDX.', value: word, default: '0' },
  ),
};

export const PAGE_TYPE_DOCS = [
  { value: 'normal', doc: 'Loaded from a file, encrypted and measured by content.' },
  { value: 'zero', doc: 'Zeroed by the firmware; measured by address only.' },
  { value: 'unmeasured', doc: 'Loaded from a file; measured by address only, so the host may change the content.' },
  { value: 'secrets', doc: 'Filled by the firmware with the VM platform communication keys.' },
  { value: 'cpuid', doc: 'A table of CPUID results that the firmware checks against the processor.' },
  { value: 'vmsa', doc: 'Initial register state of a vCPU; measured by LAUNCH_FINISH.' },
] as const;

const typeField = (...values: readonly { readonly value: string; readonly doc: string }[]): FieldSchema => ({
  key: 'type',
  doc: 'Type of the pages. AMD pub. 56860, SNP_LAUNCH_UPDATE, PAGE_TYPE.',
  value: { kind: 'enum', values },
  required: true,
  example: 'type: normal',
});

const FIRMWARE_SHAPE: ShapeSchema = {
  name: 'firmware',
  key: 'firmware',
  doc: 'An OVMF image: all its pages, ending at 4 GiB, then the sections of its SEV metadata.',
  map: map(
    {
      key: 'firmware',
      doc: 'The OVMF image (one file, as for QEMU’s `-bios`), or `auto` for the SNP-capable one of the distribution.',
      value: path,
      required: true,
      example: 'firmware: auto',
    },
    {
      key: 'kernel',
      doc: 'Linux kernel for direct boot. Its SHA-256 goes into the kernel-hashes page, which is then measured by content.',
      value: path,
      example: 'kernel: bzImage',
    },
    { key: 'initrd', doc: 'Initial RAM disk; needs `kernel`.', value: path, example: 'initrd: initrd.img' },
    {
      key: 'append',
      doc: 'Kernel command line; needs `kernel`. Hashed with a final NUL.',
      value: string,
      example: 'append: console=ttyS0',
    },
    {
      key: 'kernel-hashes',
      doc: 'Whether the hashes of kernel, initrd and command line are put into the kernel-hashes page and thus measured: `kernel-hashes=on` of QEMU’s sev-snp-guest.',
      value: boolean,
      default: 'true',
      example: 'kernel-hashes: true',
    },
  ),
};

const VMSA_SHAPE: ShapeSchema = {
  name: 'vmsa',
  key: 'type',
  value: 'vmsa',
  doc: 'Changes or replaces the initial register state of one vCPU.',
  map: map(
    typeField(...PAGE_TYPE_DOCS),
    {
      key: 'vcpu',
      doc: 'Number of the vCPU. Default: the first VMSA entry is vCPU 0, the next one vCPU 1, and so on.',
      value: count(0n, MAX_VCPUS - 1n),
      example: 'vcpu: 0',
    },
    {
      key: 'registers',
      doc: 'Values that are laid over the VMM’s initial state.',
      value: REGISTERS,
      example: 'registers: { rip: 0x1000 }',
    },
    { key: 'file', doc: 'A file of 4096 bytes that replaces the whole VMSA.', value: path, example: 'file: vmsa.bin' },
  ),
};

const PAGES_SHAPE: ShapeSchema = {
  name: 'pages',
  key: 'type',
  doc: 'Pages of one type.',
  map: map(
    {
      key: 'gpa',
      doc: 'Guest physical address of the first page; a multiple of 0x1000.',
      value: address,
      example: 'gpa: 0x1000',
    },
    typeField(...PAGE_TYPE_DOCS),
    { key: 'file', doc: 'File with the content.', value: path, example: 'file: boot.bin' },
    { key: 'offset', doc: 'Offset of the content in the file.', value: size, default: '0', example: 'offset: 0' },
    {
      key: 'length',
      doc: 'Bytes, a multiple of 4 KiB. Default: to the end of the file, padded with zeros to whole pages; one page for types without a file.',
      value: size,
      example: 'length: 4KiB',
    },
    {
      key: 'leaves',
      doc: 'Type `cpuid`: the table, at most 64 entries. Default: the leaves of `vm.cpu`.',
      value: LEAVES,
    },
  ),
};

const IGVM_SHAPE: ShapeSchema = {
  name: 'igvm',
  key: 'igvm',
  doc: 'An IGVM file: its directives, in file order.',
  map: map(
    { key: 'igvm', doc: 'The IGVM file.', value: path, required: true, example: 'igvm: guest.igvm' },
    {
      key: 'zero-pages',
      doc: 'How pages without content are launched; VMMs differ, and so does the digest.',
      value: {
        kind: 'enum',
        values: [
          { value: 'normal', doc: 'As NORMAL pages of zeros, as the format says: QEMU as posted, igvmmeasure.' },
          { value: 'zero', doc: 'As ZERO pages of the firmware: igvmmeasure --native-zero, cloud-hypervisor on KVM.' },
        ],
      },
      default: 'normal',
      example: 'zero-pages: normal',
    },
  ),
};

const ID_BLOCK_MAP = map(
  { key: 'ld', doc: 'Expected launch digest. Default: the digest of this launch.', value: bytes(48) },
  { key: 'family-id', doc: 'FAMILY_ID, chosen by the guest owner.', value: bytes(16), default: 'zeros' },
  { key: 'image-id', doc: 'IMAGE_ID, chosen by the guest owner.', value: bytes(16), default: 'zeros' },
  { key: 'version', doc: 'Version of the ID block format; must be 1.', value: count(0n, 0xffff_ffffn), default: '1' },
  { key: 'guest-svn', doc: 'Security version of the guest.', value: count(0n, 0xffff_ffffn), default: '0' },
  { key: 'policy', doc: 'Policy that the launch must have. Default: `launch.policy`.', value: mask(U64_MAX) },
);

const BASE64_MAP = map({
  key: 'base64',
  doc: 'The bytes in base64, as QEMU’s properties have them.',
  value: string,
  required: true,
  example: 'base64: ""',
});

const FINISH = map(
  {
    key: 'id-block',
    doc: 'ID block of 96 bytes: a file, or its fields. The firmware refuses the launch if its digest or policy differs.',
    value: { kind: 'choice', scalars: [path], map: ID_BLOCK_MAP },
    example: 'id-block: id-block.bin',
  },
  {
    key: 'id-auth',
    doc: 'ID authentication page of 4096 bytes: keys and signatures of the ID block. A file, or its content in base64.',
    value: { kind: 'choice', scalars: [path], map: BASE64_MAP },
    example: 'id-auth: id-auth.bin',
  },
  {
    key: 'author-key',
    doc: 'AUTH_KEY_EN: the ID key is signed by the author key in the ID authentication page.',
    value: boolean,
    default: 'false',
    example: 'author-key: true',
  },
  {
    key: 'vcek-disabled',
    doc: 'VCEK_DIS: no attestation report is signed by the VCEK.',
    value: boolean,
    default: 'false',
    example: 'vcek-disabled: true',
  },
  {
    key: 'host-data',
    doc: '32 bytes that every attestation report of this guest contains; not measured.',
    value: bytes(32),
    default: 'zeros',
  },
);

const LAUNCH = map(
  {
    key: 'policy',
    doc: 'Guest policy: a number, a map of its fields, or the path of a policy file (`*.snp-policy.yaml`). It is not part of the launch digest; attestation reports show it and an ID block fixes it.',
    value: { kind: 'choice', scalars: [mask(U64_MAX), path], map: POLICY_MAP },
    default: '0x30000',
    example: 'policy: 0x30000',
  },
  {
    key: 'gosvw',
    doc: 'Guest OS visible workarounds, 16 bytes; the firmware copies them into the secrets page.',
    value: bytes(16),
    default: 'zeros',
    example: `gosvw: "${'00'.repeat(16)}"`,
  },
  {
    key: 'update',
    doc: 'What is loaded and measured, in this order. Order and addresses are part of the digest.',
    value: { kind: 'list', item: { kind: 'shapes', shapes: [FIRMWARE_SHAPE, VMSA_SHAPE, PAGES_SHAPE, IGVM_SHAPE] } },
    example: 'update:',
  },
  { key: 'finish', doc: 'Parameters of SNP_LAUNCH_FINISH.', value: FINISH, example: 'finish:' },
);

/** A launch manifest, `*.snp.yaml`. */
export const MANIFEST_SCHEMA: MapSchema = map(
  {
    key: 'snp',
    doc: 'Version of this grammar: 1.',
    value: count(1n, 1n),
    required: true,
    missing: MANIFEST_MISSING_VERSION,
    example: 'snp: 1',
  },
  { key: 'host', doc: 'The host that is emulated.', value: HOST, example: 'host:' },
  { key: 'vm', doc: 'The virtual machine.', value: VM, example: 'vm:' },
  {
    key: 'launch',
    doc: 'The launch: policy, measured pages in order, and what is given to LAUNCH_FINISH.',
    value: LAUNCH,
    required: true,
    missing: MANIFEST_MISSING_LAUNCH,
    example: 'launch:',
  },
  {
    key: 'expect',
    doc: 'What the launch must result in.',
    value: map({
      key: 'digest',
      doc: 'Expected launch digest. A difference is an error.',
      value: bytes(48),
      example: 'digest: "…"',
    }),
    example: 'expect:',
  },
);
