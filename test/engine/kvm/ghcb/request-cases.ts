import assert from 'node:assert/strict';
import { GHCB_FIELD, type GhcbFieldName, NAE, VMGEXIT } from '../../../../engine/spec/ghcb-layout.js';
import {
  answer,
  bytesOf,
  type FakeGuest,
  GHCB_GPA,
  isMarked,
  logOf,
  msrRequest,
  PRIVATE_GPA,
  type Request,
  vmgexit,
} from './fake-guest.js';
import { type GhcbCase, malformed, RAISE_GP } from './refusal-case.js';

/** Requests that are malformed, or that KVM does not have. */

const MISSING = malformed(4);
const INVALID_INPUT = malformed(5);
const SCRATCH = malformed(3);

const send =
  (request: Request) =>
  (guest: FakeGuest): ReturnType<typeof vmgexit> =>
    vmgexit(guest, request);

/** A complete request for each event that needs fields, and the fields. */
const COMPLETE: readonly (readonly [name: string, request: Request, needs: readonly GhcbFieldName[]])[] = [
  ['WRITE_DR7', { code: NAE.WRITE_DR7, fields: { RAX: 0x400n } }, ['RAX']],
  ['RDPMC', { code: NAE.RDPMC, fields: { RCX: 0n } }, ['RCX']],
  ['CPUID', { code: NAE.CPUID, fields: { RAX: 1n, RCX: 0n } }, ['RAX', 'RCX']],
  ['CPUID 0xD', { code: NAE.CPUID, fields: { RAX: 0xdn, RCX: 0n, XCR0: 1n } }, ['RAX', 'RCX', 'XCR0']],
  ['OUT', { code: NAE.IOIO, info1: 0x3f8_0010n, fields: { RAX: 0x41n } }, ['RAX']],
  ['INS', { code: NAE.IOIO, info1: 0x3f8_0015n, info2: 1n, buffer: bytesOf(0) }, ['SW_SCRATCH']],
  ['RDMSR', { code: NAE.MSR, fields: { RCX: 0x10n } }, ['RCX']],
  ['WRMSR', { code: NAE.MSR, info1: 1n, fields: { RCX: 0x3bn, RAX: 1n, RDX: 0n } }, ['RCX', 'RAX', 'RDX']],
  ['VMMCALL', { code: NAE.VMMCALL, fields: { RAX: 1n, CPL: 0n } }, ['RAX', 'CPL']],
  ['MONITOR', { code: NAE.MONITOR, fields: { RAX: 0n, RCX: 0n, RDX: 0n } }, ['RAX', 'RCX', 'RDX']],
  ['MWAIT', { code: NAE.MWAIT, fields: { RAX: 0n, RCX: 0n } }, ['RAX', 'RCX']],
  ['MMIO read', { code: VMGEXIT.MMIO_READ, info1: 0xfec0_0000n, info2: 4n, buffer: bytesOf(0) }, ['SW_SCRATCH']],
  ['MMIO write', { code: VMGEXIT.MMIO_WRITE, info1: 0xfec0_0000n, info2: 4n, buffer: bytesOf(0) }, ['SW_SCRATCH']],
  ['PSC', { code: VMGEXIT.PSC, buffer: new Uint8Array(8) }, ['SW_SCRATCH']],
  ['AP creation', { code: VMGEXIT.AP_CREATION, info1: 1n, info2: 0x20_1000n, fields: { RAX: 1n } }, ['RAX']],
];

const MISSING_FIELDS: readonly GhcbCase[] = COMPLETE.flatMap(([name, request, needs]) =>
  [...(['SW_EXITCODE', 'SW_EXITINFO1', 'SW_EXITINFO2'] as const), ...needs].map((field): GhcbCase => {
    return {
      name: `${name} without ${field}`,
      check: 'kvm-ghcb-missing-input',
      kvm: ['6.11'],
      run: send({ ...request, forget: [field] }),
      info: MISSING,
      says: new RegExp(`needs ${field} .*bit ${Math.floor(GHCB_FIELD[field].offset / 8)} of the valid bitmap`),
    };
  }),
);

const noSuchPage = { code: VMGEXIT.GUEST_REQUEST, info1: 0x6000n, info2: 0x7000n };

export const REQUEST_CASES: readonly GhcbCase[] = [
  {
    name: 'GHCB MSR 0',
    check: 'kvm-ghcb-not-set',
    run: (guest) => msrRequest(guest, 0n),
    msr: 0n,
  },
  {
    name: 'a GHCB where no memory is',
    check: 'kvm-ghcb-unmapped',
    run: (guest) => msrRequest(guest, 0x8000_0000n),
    msr: 0x8000_0000n,
  },
  {
    name: 'a GHCB that was never registered',
    check: 'kvm-ghcb-not-registered',
    guest: { registered: false },
    run: send({ code: VMGEXIT.HV_FEATURES }),
    errno: 'EINVAL',
    says: /has registered none/,
    // KVM has copied the GHCB and cleared its bitmap by then, but answers nothing.
    after: (guest) => assert.ok(!isMarked(guest, 'SW_EXITCODE') && answer(guest)[1] === 0n),
  },
  {
    name: 'a GHCB beside the registered one',
    check: 'kvm-ghcb-not-registered',
    run: send({ code: VMGEXIT.HV_FEATURES, gpa: 0x6000 }),
    errno: 'EINVAL',
    says: /has registered 0x5000/,
  },
  {
    name: 'usage 1, before everything else',
    check: 'kvm-ghcb-usage',
    run: send({ code: 0x1234n, usage: 1, forget: ['SW_EXITCODE'] }),
    info: malformed(2),
  },
  ...MISSING_FIELDS,
  {
    name: 'a GHCB in private memory',
    check: 'kvm-ghcb-private',
    run: (guest) => {
      msrRequest(guest, BigInt(PRIVATE_GPA) | 0x012n);
      // The guest's own page is not this one: KVM finds zeros.
      return msrRequest(guest, BigInt(PRIVATE_GPA));
    },
    after: (guest) => assert.deepEqual(answer(guest, PRIVATE_GPA), MISSING),
  },
  ...[0n, 0x78n, 0x8000_0014n, 0x8000_0018n, 0x1_0000_0072n].map(
    (code): GhcbCase => ({
      name: `event 0x${code.toString(16)}`,
      check: 'kvm-ghcb-event',
      run: send({ code }),
      info: malformed(6),
      after: (guest) => assert.match(logOf(guest).join('\n'), /exit code 0x[0-9a-f]+ is not valid/),
    }),
  ),
  ...[VMGEXIT.PSC, VMGEXIT.GUEST_REQUEST, VMGEXIT.EXT_GUEST_REQUEST, VMGEXIT.AP_CREATION].map(
    (code): GhcbCase => ({
      name: `event 0x${code.toString(16)} of an SEV-ES guest`,
      check: 'kvm-ghcb-snp-only',
      guest: { snp: false, registered: false },
      run: send({ code, info1: 1n, info2: 0x1000n, fields: { RAX: 1n, RBX: 0n }, buffer: new Uint8Array(8) }),
      info: MISSING,
    }),
  ),
  ...(
    [
      [0x6010n, 0x7000n, /request page is not aligned/],
      [0x6000n, 0x7001n, /response page is not aligned/],
      [0x6000n, 0x6000n, /same page/],
    ] as const
  ).flatMap(([info1, info2, says]) =>
    [VMGEXIT.GUEST_REQUEST, VMGEXIT.EXT_GUEST_REQUEST].map(
      (code): GhcbCase => ({
        name: `guest request 0x${code.toString(16)} with pages 0x${info1.toString(16)}, 0x${info2.toString(16)}`,
        check: 'kvm-ghcb-request-pages',
        kvm: ['6.11', '6.18'],
        run: send({ code, info1, info2 }),
        info: MISSING,
        says,
      }),
    ),
  ),
  ...(['RAX', 'RBX'] as const).map(
    (field): GhcbCase => ({
      name: `extended guest request without ${field}`,
      check: 'kvm-ghcb-missing-input',
      kvm: ['v15', 'v15+fixes'],
      run: send({
        ...noSuchPage,
        code: VMGEXIT.EXT_GUEST_REQUEST,
        fields: { RAX: 0x8000n, RBX: 1n },
        forget: [field],
      }),
      info: MISSING,
    }),
  ),
  {
    name: 'event UNSUPPORTED_EVENT',
    check: 'kvm-ghcb-unsupported-event',
    run: send({ code: VMGEXIT.UNSUPPORTED_EVENT, info1: 0x404n, info2: 0x1000n }),
    errno: 'EINVAL',
    says: /PAGE_NOT_VALIDATED/,
  },
  {
    name: 'AP jump table request 2',
    check: 'kvm-ghcb-jump-table',
    run: send({ code: VMGEXIT.AP_JUMP_TABLE, info1: 2n }),
    info: INVALID_INPUT,
  },
  {
    name: 'scratch area 0',
    check: 'kvm-ghcb-scratch-zero',
    run: send({ code: VMGEXIT.MMIO_READ, info1: 0xfec0_0000n, info2: 4n, fields: { SW_SCRATCH: 0n } }),
    info: SCRATCH,
  },
  {
    name: 'scratch area that wraps',
    check: 'kvm-ghcb-scratch-wraps',
    run: send({
      code: VMGEXIT.MMIO_READ,
      info1: 0xfec0_0000n,
      info2: 0x2000n,
      fields: { SW_SCRATCH: 0xffff_ffff_ffff_f000n },
    }),
    info: SCRATCH,
  },
  ...(
    [
      [0x7ffn, 4n],
      [0xfecn, 8n],
      [0x10n, 1n],
    ] as const
  ).map(
    ([offset, length]): GhcbCase => ({
      name: `scratch area of ${length} bytes at offset 0x${offset.toString(16)} of the GHCB`,
      check: 'kvm-ghcb-scratch-outside',
      run: send({
        code: VMGEXIT.MMIO_WRITE,
        info1: 0xfec0_0000n,
        info2: length,
        fields: { SW_SCRATCH: BigInt(GHCB_GPA) + offset },
      }),
      info: SCRATCH,
    }),
  ),
  {
    name: 'scratch area of more than 16 pages',
    check: 'kvm-ghcb-scratch-too-long',
    run: send({ code: VMGEXIT.MMIO_READ, info1: 0xfec0_0000n, info2: 0x1_0001n, fields: { SW_SCRATCH: 0x1_0000n } }),
    info: SCRATCH,
  },
  {
    name: 'scratch area where no memory is',
    check: 'kvm-ghcb-scratch-read',
    run: send({ code: VMGEXIT.MMIO_READ, info1: 0xfec0_0000n, info2: 4n, fields: { SW_SCRATCH: 0x9000_0000n } }),
    errno: 'EFAULT',
  },
  ...[0x8000_0000n, 0x4000_0000n].map(
    (info2): GhcbCase => ({
      name: `REP INS of 0x${info2.toString(16)} elements of 4 bytes`,
      check: 'kvm-ghcb-string-io-count',
      run: send({ code: NAE.IOIO, info1: 0x3f8_004dn, info2, buffer: bytesOf(0) }),
      errno: 'EINVAL',
    }),
  ),
  {
    name: 'RDTSC, which KVM does not intercept',
    check: 'kvm-ghcb-unexpected-exit',
    run: send({ code: NAE.RDTSC }),
    exit: 'KVM_EXIT_INTERNAL_ERROR',
  },
  {
    name: 'RDTSCP',
    check: 'kvm-ghcb-invalid-opcode',
    run: send({ code: NAE.RDTSCP }),
    info: [0n, 0n],
    after: (guest) => assert.equal(guest.arch.vmcb.eventInj, 0x8000_0306n),
  },
  {
    name: 'RDPMC',
    check: 'kvm-rdpmc-no-pmu',
    run: send({ code: NAE.RDPMC, fields: { RCX: 0n } }),
    info: [0n, 0n],
    after: (guest) => assert.equal(guest.arch.vmcb.eventInj, 0x8000_0b0dn),
  },
  {
    name: 'hypercall from CPL 3',
    check: 'kvm-hypercall-cpl',
    run: send({ code: NAE.VMMCALL, fields: { RAX: 1n, CPL: 3n } }),
    after: (guest) => assert.equal(guest.arch.ghcbMap?.rax, BigInt.asUintN(64, -1n)),
  },
  {
    name: 'hypercall 99',
    check: 'kvm-hypercall-unknown',
    run: send({ code: NAE.VMMCALL, fields: { RAX: 99n, CPL: 0n } }),
    after: (guest) => assert.equal(guest.arch.ghcbMap?.rax, BigInt.asUintN(64, -1000n)),
  },
  {
    name: 'hypercall MAP_GPA_RANGE that the VMM does not take',
    check: 'kvm-hypercall-unknown',
    guest: { hypercalls: false },
    run: send({ code: NAE.VMMCALL, fields: { RAX: 12n, RBX: 0n, RCX: 1n, RDX: 0n, CPL: 0n } }),
  },
  ...(
    [
      [0x1001n, 1n],
      [0x1000n, 0n],
      [0x1000n, 0xffff_ffff_ffff_ffffn],
    ] as const
  ).map(
    ([gpa, pages]): GhcbCase => ({
      name: `hypercall MAP_GPA_RANGE of ${pages} pages at 0x${gpa.toString(16)}`,
      check: 'kvm-hypercall-range',
      run: send({ code: NAE.VMMCALL, fields: { RAX: 12n, RBX: gpa, RCX: pages, RDX: 0n, CPL: 0n } }),
      after: (guest) => assert.equal(guest.arch.ghcbMap?.rax, BigInt.asUintN(64, -22n)),
    }),
  ),
  {
    name: 'hypercall SEND_IPI',
    check: 'kvm-hypercall-missing',
    run: send({ code: NAE.VMMCALL, fields: { RAX: 10n, CPL: 0n } }),
    exit: 'emulator',
  },
  ...(
    [
      ['RDMSR of an unknown MSR', 'kvm-msr-unknown', 0x1234n, undefined],
      ['WRMSR of an unknown MSR', 'kvm-msr-unknown', 0x1234n, 0n],
      ['RDMSR of an x2APIC register in xAPIC mode', 'kvm-msr-unknown', 0x802n, undefined],
      ['RDMSR of EFER', 'kvm-msr-passed-through', 0xc000_0080n, undefined],
      ['WRMSR of STAR', 'kvm-msr-passed-through', 0xc000_0081n, 0n],
      ['WRMSR of MTRRCAP', 'kvm-msr-read-only', 0xfen, 0n],
      ['RDMSR of PRED_CMD', 'kvm-msr-write-only', 0x49n, undefined],
      ['WRMSR of PRED_CMD with a reserved bit', 'kvm-msr-value', 0x49n, 2n],
      ['WRMSR of a fixed MTRR with memory type 2', 'kvm-msr-value', 0x250n, 0x0200n],
      ['WRMSR of MC0_CTL', 'kvm-msr-value', 0x400n, 0x3n],
    ] as const
  ).map(
    ([name, check, msr, value]): GhcbCase => ({
      name,
      check,
      run: send({
        code: NAE.MSR,
        info1: value === undefined ? 0n : 1n,
        fields: { RCX: msr, ...(value === undefined ? {} : { RAX: value, RDX: 0n }) },
      }),
      info: RAISE_GP,
    }),
  ),
  ...(
    [
      ['the paravirtual clock', 0x4b56_4d01n, 0x1001n],
      ['the wall clock', 0x4b56_4d00n, 0x1000n],
      ['x2APIC mode', 0x1bn, 0xfee0_0d00n],
    ] as const
  ).map(
    ([name, msr, value]): GhcbCase => ({
      name: `WRMSR that switches on ${name}`,
      check: 'kvm-msr-missing',
      run: send({ code: NAE.MSR, info1: 1n, fields: { RCX: msr, RAX: value, RDX: 0n } }),
      exit: 'emulator',
    }),
  ),
  ...[0x001n, 0x003n, 0x016n, 0xf00n].map(
    (value): GhcbCase => ({
      name: `GHCB MSR request 0x${value.toString(16)}`,
      check: 'kvm-ghcb-msr-unknown',
      run: (guest) => msrRequest(guest, value),
      msr: value,
    }),
  ),
  ...[0x010n, 0x5012n, (1n << 52n) | 0x5014n].map(
    (value): GhcbCase => ({
      name: `GHCB MSR request 0x${value.toString(16)} of an SEV-ES guest`,
      check: 'kvm-ghcb-msr-snp-only',
      guest: { snp: false, registered: false },
      run: (guest) => msrRequest(guest, value),
      exit: 'KVM_EXIT_SYSTEM_EVENT',
    }),
  ),
  ...[0n, 3n, 15n].map(
    (operation): GhcbCase => ({
      name: `page state change by MSR with operation ${operation}`,
      check: 'kvm-psc-msr-operation',
      run: (guest) => msrRequest(guest, (operation << 52n) | 0x5014n),
      msr: 0x8000_0000_0000_0015n,
    }),
  ),
  {
    name: 'page state change by MSR that the VMM does not take',
    check: 'kvm-psc-msr-no-exit',
    guest: { hypercalls: false },
    run: (guest) => msrRequest(guest, (1n << 52n) | 0x5014n),
    msr: 0x8000_0000_0000_0015n,
  },
];
