import assert from 'node:assert/strict';
import { describeAnswer, describeGhcb, describeVmgexit } from '../../../../engine/kvm/ghcb/describe.js';
import { describeMsr } from '../../../../engine/kvm/ghcb/sev-handle-vmgexit-msr-protocol.js';
import { GHCB_ERROR, ghcbErrorName, NAE, VMGEXIT } from '../../../../engine/spec/ghcb-layout.js';
import { bytesOf, ghcbPageOf, type Request } from './fake-guest.js';

describe('a GHCB in words', () => {
  it('has every field with its place, value and valid bit', () => {
    const fields = describeGhcb(ghcbPageOf({ code: NAE.MSR, fields: { RCX: 0x10n, CPL: 3n }, forget: ['RCX'] }));
    const find = (name: string) => fields.find((field) => field.name === name);
    assert.equal(fields.length, 28);
    assert.deepEqual(
      ['SW_EXITCODE', 'RCX', 'CPL', 'RAX', 'PROTOCOL_VERSION', 'GHCB_USAGE'].map((name) => {
        const { offset, value, valid } = find(name) ?? {};
        return [name, offset, value, valid];
      }),
      [
        ['SW_EXITCODE', 0x390, 0x7cn, true],
        ['RCX', 0x308, 0x10n, false],
        ['CPL', 0xcb, 3n, true],
        ['RAX', 0x1f8, 0n, false],
        ['PROTOCOL_VERSION', 0xffa, 2n, undefined],
        ['GHCB_USAGE', 0xffc, 0n, undefined],
      ],
    );
    for (const { name, offset, size } of fields) assert.ok(offset + size <= 4096, name);
    assert.throws(() => describeGhcb(new Uint8Array(100)), RangeError);
  });

  for (const [request, words] of [
    [{ code: NAE.IOIO, info1: 0x3f8_0010n, fields: { RAX: 0x41n } }, 'OUT of 1 byte to port 0x3f8 (0x41)'],
    [{ code: NAE.IOIO, info1: 0xcf8_0041n }, 'IN of 4 bytes from port 0xcf8'],
    [{ code: NAE.IOIO, info1: 0x402_001cn, info2: 5n, buffer: bytesOf(0) }, 'OUTS of 5 times 1 byte to port 0x402'],
    [{ code: NAE.MSR, fields: { RCX: 0x1bn } }, 'RDMSR 0x1b'],
    [{ code: NAE.MSR, info1: 1n, fields: { RCX: 0x10n, RAX: 2n, RDX: 1n } }, 'WRMSR 0x10 with 0x100000002'],
    [{ code: NAE.CPUID, fields: { RAX: 7n, RCX: 1n } }, 'CPUID function 0x7 index 0x1'],
    [{ code: NAE.VMMCALL, fields: { RAX: 12n } }, 'hypercall 12'],
    [{ code: VMGEXIT.MMIO_READ, info1: 0xfee0_0020n, info2: 4n }, 'read of 4 bytes of MMIO at 0xfee00020'],
    [{ code: VMGEXIT.AP_HLT_LOOP }, 'wait for INIT and SIPI'],
    [{ code: VMGEXIT.AP_JUMP_TABLE, info1: 1n }, 'get AP jump table'],
    [{ code: VMGEXIT.PSC, fields: { SW_SCRATCH: 0x5800n } }, 'page state changes, list at 0x5800'],
    [
      { code: VMGEXIT.GUEST_REQUEST, info1: 0x1000n, info2: 0x2000n },
      'message to the SNP firmware at 0x1000, answer to 0x2000',
    ],
    [
      { code: VMGEXIT.AP_CREATION, info1: (2n << 32n) | 0x1_0001n, info2: 0x3000n },
      'AP creation: create vCPU with APIC ID 2, VMPL 1, VMSA at 0x3000',
    ],
    [{ code: VMGEXIT.TERM_REQUEST, info1: 0x11n }, 'terminate: page state change failed (set 1, reason 1)'],
    [
      { code: VMGEXIT.UNSUPPORTED_EVENT, info1: 0x404n },
      'the #VC handler of the guest does not know PAGE_NOT_VALIDATED',
    ],
    [{ code: NAE.WBINVD }, 'WBINVD'],
    [{ code: 0x8000_0055n }, '0x80000055'],
  ] as readonly (readonly [Request, string])[]) {
    it(words, () => assert.equal(describeVmgexit(ghcbPageOf(request)), words));
  }

  for (const [code, info1, info2, words] of [
    [NAE.MSR, 0n, 0n, 'done'],
    [NAE.MSR, 1n, 0x8000_030dn, 'raise 13: #GP'],
    [NAE.MSR, 2n, 4n, 'malformed request: MISSING_INPUT'],
    [NAE.MSR, 2n, 77n, 'malformed request: reason 77'],
    [VMGEXIT.PSC, 0n, 0x1_0000_0002n, 'INVALID_ENTRY'],
    [VMGEXIT.GUEST_REQUEST, 0n, 0x8000_0000_0000_0016n, 'VMM error GENERIC, firmware status 0x16'],
    [VMGEXIT.EXT_GUEST_REQUEST, 0n, 1n << 32n, 'VMM error INVALID_LEN'],
    [VMGEXIT.HV_FEATURES, 0n, 3n, 'SEV-SNP, AP creation'],
    [VMGEXIT.AP_HLT_LOOP, 0n, 1n, 'SIPI'],
  ] as const) {
    it(`answer: ${words}`, () => assert.equal(describeAnswer(code, info1, info2), words));
  }

  it('the GHCB MSR', () => {
    assert.equal(describeMsr(0x5012n), 'register GHCB GPA: GFN 0x5');
    assert.equal(describeMsr(0x015n), 'page state change, answer: error code done');
    assert.equal(describeMsr(0x002n), 'get SEV information');
  });

  it('names every reason', () => {
    for (const [name, value] of Object.entries(GHCB_ERROR)) assert.equal(ghcbErrorName(value), name);
  });
});
