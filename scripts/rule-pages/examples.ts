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
};
