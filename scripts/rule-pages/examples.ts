/** Shortest texts that lead to a check. Tests hold that they do. */
export const RULE_EXAMPLES: Readonly<Record<string, string>> = {
  'lint-policy-did-you-mean': `
snp: 1
launch:
  policy: 0x300000        # 0x30000 was meant
  update:
    - { gpa: 0x1000, type: zero }
`,
  'lint-policy-sev-style': `
snp: 1
launch:
  policy: 0x5             # NODBG and ES of an SEV-ES guest
  update:
    - { gpa: 0x1000, type: zero }
`,
  'lint-page-overlap': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero, length: 8KiB }
    - { gpa: 0x2000, type: secrets }
`,
  'lint-page-unaligned-gpa': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1234, type: zero }
`,
  'lint-page-unaligned-length': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero, length: 5000 }
`,
  'vmm-update-empty': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero, length: 0 }
`,
  'lint-no-secrets-page': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'image-kernel-missing': `
snp: 1
launch:
  policy: 0x30000
  update:
    - firmware: auto
      append: console=ttyS0
`,
  'lint-id-auth-without-block': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
  finish:
    author-key: true
`,
  'lint-debug-policy': `
snp: 1
launch:
  policy: { smt: true, debug: true }
  update:
    - { gpa: 0x1000, type: zero }
  finish:
    host-data: "0101010101010101010101010101010101010101010101010101010101010101"
`,
  'kvm-policy-reserved-one': `
snp: 1
launch:
  policy: 0x90000         # DEBUG and SMT, but not bit 17
  update:
    - { gpa: 0x1000, type: zero }
`,
  'kvm-policy-smt': `
snp: 1
launch:
  policy: 0x20000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'kvm-policy-unknown-bits': `
snp: 1
launch:
  policy: 0x430000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'kvm-policy-single-socket': `
snp: 1
launch:
  policy: 0x130000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'fw-policy-abi': `
snp: 1
launch:
  policy: { smt: true, abi: "1.58" }
  update:
    - { gpa: 0x1000, type: zero }
`,
  'lint-no-cpuid-page': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: secrets }
`,
  'lint-cpuid-corrected': `
snp: 1
launch:
  policy: 0x30000
  update:
    - gpa: 0x1000
      type: cpuid
      leaves:
        - { leaf: 0x8000001d, subleaf: 3, edx: 6 }
`,
  'lint-expect-digest': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
expect:
  digest: "${'00'.repeat(48)}"
`,
  'vmm-update-no-memory': `
snp: 1
vm: { memory: 16MiB }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x2000000, type: zero }
`,
  'manifest-unknown-key': `
snp: 1
launch:
  polciy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'kvm-init2-vmsa-features': `
snp: 1
host: { processor: milan }
vm: { vmsa-features: 0x21 }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'manifest-bad-alias': `
snp: 1
launch:
  policy: *usual           # no value is marked &usual
  update:
    - { gpa: 0x1000, type: zero }
`,
  'manifest-duplicate-key': `
snp: 1
vm: { vcpus: 1, vcpus: 4 }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'manifest-empty-update': `
snp: 1
launch:
  policy: 0x30000
  update: []
`,
  'manifest-file-missing': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: normal, file: boot.bin }
`,
  'manifest-hex-digits': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
  finish:
    host-data: "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="   # base64
`,
  'manifest-hex-length': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
  finish:
    host-data: "0102"
`,
  'manifest-key-not-for-type': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero, file: boot.bin }
`,
  'manifest-missing-content': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: normal }
`,
  'manifest-missing-gpa': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { type: secrets }
`,
  'manifest-missing-launch': `
snp: 1
vm: { vcpus: 1 }
`,
  'manifest-missing-value': `
snp: 1
launch:
  policy:
  update:
    - { gpa: 0x1000, type: zero }
`,
  'manifest-missing-version': `
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'manifest-not-a-number': `
snp: 1
launch:
  policy: 30000h
  update:
    - { gpa: 0x1000, type: zero }
`,
  'manifest-out-of-range': `
snp: 1
vm: { vcpus: 0 }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'manifest-size-unit': `
snp: 1
vm: { memory: 512MB }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'manifest-snp-active': `
snp: 1
host: { processor: genoa }
vm: { vmsa-features: 0x20 }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'manifest-update-shape': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, length: 4KiB }
`,
  'manifest-vmsa-both': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { type: vmsa, file: vmsa.bin, registers: { rip: 0x1000 } }
`,
  'manifest-vmsa-empty': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
    - { type: vmsa, vcpu: 0 }
`,
  'manifest-vmsa-twice': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
    - { type: vmsa, vcpu: 0, registers: { rip: 0x1000 } }
    - { type: vmsa, vcpu: 0, registers: { rip: 0x2000 } }
`,
  'manifest-vmsa-vcpu': `
snp: 1
vm: { vcpus: 1 }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
    - { type: vmsa, vcpu: 1, registers: { rip: 0x1000 } }
`,
  'manifest-wrong-type': `
snp: 1
launch:
  policy: 0x30000
  update: { gpa: 0x1000, type: zero }   # a dash is missing
`,
  'manifest-wrong-value': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zeros }
`,
  'manifest-yaml-syntax': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero
`,
  'policy-abi-version': `
snp: 1
launch:
  policy: { smt: true, abi: "1.51.3" }
  update:
    - { gpa: 0x1000, type: zero }
`,
  'vmm-cpu-newer-than-host': `
snp: 1
host: { processor: milan }
vm: { cpu: EPYC-Genoa }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
    - { gpa: 0x2000, type: cpuid }
`,
  'vmm-vmsa-features': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
    - { type: vmsa, registers: { sev-features: 0x21 } }
`,
  'vmm-vcpu-limit': `
snp: 1
vm: { vcpus: 2000 }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'fw-policy-smt': `
snp: 1
host: { kvm: "6.18" }
launch:
  policy: 0x20000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'fw-policy-aes-256-xts': `
snp: 1
host: { kvm: "6.18", firmware: "1.58", processor: milan }
launch:
  policy: 0x430000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'fw-policy-rapl': `
snp: 1
host: { kvm: "6.18", firmware: "1.58" }
launch:
  policy: 0x830000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'fw-policy-ciphertext-hiding': `
snp: 1
host: { kvm: "6.18", firmware: "1.58" }
launch:
  policy: 0x1030000
  update:
    - { gpa: 0x1000, type: zero }
`,
  'lint-id-block-without-auth': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
  finish:
    id-block: { }
`,
  'lint-id-block-policy': `
snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: zero }
  finish:
    id-block: { policy: 0xb0000 }
`,
  'lint-launch-too-large-to-try': `
snp: 1
vm: { memory: 512MiB }
launch:
  policy: 0x30000
  update:
    - { gpa: 0x100000, type: zero, length: 128MiB }
`,
};
