import assert from 'node:assert/strict';
import fc from 'fast-check';
import { cli, cliProcess } from './run-cli.js';

describe('sev-snp explain', () => {
  const cases: [kind: string, value: string, texts: RegExp[]][] = [
    [
      'policy',
      '0x30000',
      [
        /^guest policy 0x30000$/m,
        /16 +SMT +true/,
        /^SNP firmware .*1\.55 on milan: accepted$/m,
        /^KVM .*6\.11.*: accepted$/m,
      ],
    ],
    ['policy', '0x300000', [/17 +reserved +0/, /^KVM .*6\.11: refused$/m, /^KVM 6\.18: refused$/m, /to fix: /]],
    ['policy', '0x430000', [/^KVM .*6\.11: refused$/m, /^KVM 6\.18: accepted$/m]],
    ['fw-error', '22', [/fw_error 22 \(0x16\): INVALID_PARAM/, /-EIO/, /Checks that end with it/, /SNP_LAUNCH_FINISH/]],
    ['fw-error', 'policy_failure', [/fw_error 7 \(0x7\): POLICY_FAILURE/]],
    ['fw-error', '0', [/SUCCESS/, /KVM refused the call itself/]],
    ['fw-error', '0xffffffff', [/never reached the firmware/]],
    ['fw-error', '-1', [/never reached the firmware/]],
    ['policy', '0x30000', [/Any firmware will do/]],
    ['errno', '-22', [/errno 22: EINVAL/, /KVM_SEV_SNP_LAUNCH_START/]],
    ['errno', '22', [/errno 22: EINVAL/]],
    ['errno', '-EIO', [/errno 5: EIO/, /fw_error says why/]],
    ['errno', '25', [/ENOTTY/]],
    ['ghcb-msr', '0x1100', [/terminate request, code 0x100/, /reason set +0x1 +Linux/]],
    ['ghcb-msr', '0x80d000', [/GHCB GPA/, /0x80d000/]],
    ['ghcb-msr', '0x0002000133000001', [/highest protocol version +0x2$/m, /C-bit position +0x33 +51$/m]],
    ['npf', '0x500000004', [/1 +|final +1/, /ENC +1 +the access was private/, /not mapped yet/]],
    ['exit', '0x403', [/SVM exit code 0x403: VMGEXIT/, /automatic/]],
    ['exit', '0x404', [/PAGE_NOT_VALIDATED/, /no exit: the guest gets #VC/]],
    ['exit', '24', [/WRITE_CR8/, /KVM_EXIT_SYSTEM_EVENT/]],
    ['exit', '-1', [/INVALID/, /VMRUN failed/]],
    ['exit', '0x80000010', [/GHCB event 0x80000010: PSC/]],
    ['exit', '39', [/MEMORY_FAULT/]],
  ];
  for (const [kind, value, texts] of cases) {
    it(`${kind} ${value}`, () => {
      const { status, out, err } = cli('explain', kind, value);
      assert.equal(err, '');
      assert.equal(status, 0);
      for (const text of texts) assert.match(out, text);
      assert.doesNotMatch(out, /undefined|NaN|\[object/);
    });
  }

  it('says that nothing defines a value', () => {
    for (const [kind, value] of [
      ['fw-error', '0x99'],
      ['errno', '999'],
      ['exit', '0x999'],
    ] as const) {
      const { status, out, err } = cli('explain', kind, value);
      assert.equal(status, 1);
      assert.equal(out, '');
      assert.equal(err, `sev-snp: nothing defines ${value} as ${kind}\n`);
    }
  });

  it('says that a name is not known, and where a vendor code belongs', () => {
    assert.deepEqual(cli('explain', 'errno', 'EFOO'), {
      status: 1,
      out: '',
      err: 'sev-snp: nothing defines EFOO as errno\n',
    });
    assert.match(cli('explain', 'exit', '0xf03').err, /as ghcb-msr it is in the vendor range/);
  });

  it('has an answer for every number', () => {
    const kinds = fc.constantFrom('policy', 'fw-error', 'errno', 'ghcb-msr', 'npf', 'exit');
    fc.assert(
      fc.property(kinds, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.nat(63), (kind, value, shift) => {
        const { status, out, err } = cli('explain', kind, String(value >> BigInt(shift)));
        assert.ok(status === 0 ? out !== '' && err === '' : status === 1 && err !== '');
      }),
    );
  });

  it('runs as a process', () => {
    const { status, out } = cliProcess(['explain', 'errno', '-22']);
    assert.equal(status, 0);
    assert.match(out, /EINVAL/);
  });
});
