import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import fc from 'fast-check';
import {
  type AttestationReport,
  encodeReport,
  parseReport,
  REPORT_SIGNED_SIZE,
  REPORT_SIZE,
  reportProduct,
  reportTcbLayout,
} from '../../../../engine/asp/attestation/report.js';
import { signReport, verifyReport } from '../../../../engine/asp/attestation/report-signature.js';
import { encodeSpki, vcekPrivateKey, vcekPublicKey } from '../../../../engine/asp/attestation/vcek.js';
import { isZero, toHex, view } from '../../../../engine/bytes.js';
import { portableCrypto } from '../../../../engine/crypto.js';
import { familyModelStepping } from '../../../../engine/spec/attestation-profiles.js';
import { decodeTcb, encodeTcb, reservedTcbBits, tcbComponentAbove } from '../../../../engine/spec/tcb-version.js';

const u32 = fc.nat(0xffff_ffff);
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const byte = fc.nat(255);
const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
const firmwareVersion = fc.record({ major: byte, minor: byte, build: byte }, { noNullPrototype: true });

const reports: fc.Arbitrary<AttestationReport> = fc
  .record(
    {
      version: fc.constantFrom(2, 3, 4, 5),
      guestSvn: u32,
      policy: u64,
      familyId: bytes(16),
      imageId: bytes(16),
      vmpl: u32,
      signatureAlgorithm: u32,
      currentTcb: u64,
      platformInfo: u64,
      authorKeyEnabled: fc.boolean(),
      chipKeyMasked: fc.boolean(),
      signingKey: fc.nat(7),
      reportData: bytes(64),
      measurement: bytes(48),
      hostData: bytes(32),
      idKeyDigest: bytes(48),
      authorKeyDigest: bytes(48),
      reportId: bytes(32),
      reportIdMa: bytes(32),
      reportedTcb: u64,
      cpuid: fc.record({ family: byte, model: byte, stepping: byte }, { noNullPrototype: true }),
      chipId: bytes(64),
      committedTcb: u64,
      currentVersion: firmwareVersion,
      committedVersion: firmwareVersion,
      launchTcb: u64,
      mitigations: fc.record({ launch: u64, current: u64 }, { noNullPrototype: true }),
    },
    { noNullPrototype: true },
  )
  .map(({ cpuid, mitigations, ...report }) => ({
    ...report,
    ...(report.version >= 3 ? { cpuid } : {}),
    ...(report.version >= 5 ? { mitigations } : {}),
  }));

const CHIP = new Uint8Array(64).fill(0xc1);
const sample = (): Uint8Array => {
  const bytes = new Uint8Array(REPORT_SIZE).fill(0x5a, 0x50, 0x180);
  view(bytes).setUint32(0, 3, true);
  view(bytes).setUint32(0x34, 1, true);
  return bytes;
};

function reasonOf(report: Uint8Array, key = vcekPublicKey(CHIP, 7n)): string {
  const result = verifyReport(report, key, portableCrypto);
  return result.ok ? 'verified' : result.fault.message;
}

describe('the structure of a report', () => {
  it('parses as what was encoded', () => {
    fc.assert(
      fc.property(reports, (report) => {
        const encoded = encodeReport(report);
        assert.equal(encoded.length, REPORT_SIZE);
        const parsed = parseReport(encoded);
        assert.ok(parsed.ok);
        const { signature, reservedNonZero, ...fields } = parsed.value;
        assert.deepEqual(fields, report);
        assert.deepEqual(reservedNonZero, []);
        assert.ok(isZero(signature.r) && isZero(signature.s));
      }),
      { numRuns: 100 },
    );
  });

  it('finds every reserved byte that is not zero, by version', () => {
    const counts = [2, 3, 4, 5].map((version) => {
      const all = new Uint8Array(REPORT_SIZE).fill(0xff);
      view(all).setUint32(0, version, true);
      const parsed = parseReport(all);
      assert.ok(parsed.ok);
      const { reservedNonZero } = parsed.value;
      assert.equal(new Set(reservedNonZero).size, reservedNonZero.length);
      return reservedNonZero.length;
    });
    // 1 for the flags, 4, 24 or 21, 1, 1, 168 or 152, 24, 24, 368.
    assert.deepEqual(counts, [615, 612, 612, 596]);
  });

  it('refuses what is no report', () => {
    const short = parseReport(new Uint8Array(REPORT_SIZE - 1));
    assert.equal(short.ok ? '' : short.fault.check, 'image-report-length');
    for (const version of [0, 1, 6, 0xffff_ffff]) {
      const bytes = new Uint8Array(REPORT_SIZE);
      view(bytes).setUint32(0, version, true);
      const parsed = parseReport(bytes);
      assert.equal(parsed.ok ? '' : parsed.fault.check, 'image-report-version');
    }
  });

  it('tells the product from family and model', () => {
    const cases = [
      [0x19, 0x01, 'Milan', '19h'],
      [0x19, 0x11, 'Genoa', '19h'],
      [0x19, 0xa0, 'Genoa', '19h'],
      [0x1a, 0x02, 'Turin', '1ah'],
      [0x1a, 0x90, 'Venice', '1ah'],
      [0x1a, 0x44, undefined, '1ah'],
    ] as const;
    for (const [family, model, product, layout] of cases) {
      const bytes = sample();
      bytes.set([family, model, 1], 0x188);
      const parsed = parseReport(bytes);
      assert.ok(parsed.ok);
      assert.equal(reportProduct(parsed.value), product);
      assert.equal(reportTcbLayout(parsed.value), layout);
    }
    assert.deepEqual(familyModelStepping(0x00b0_0f21), { family: 0x1a, model: 2, stepping: 1 });
  });
});

describe('the signature of a report', () => {
  const signed = sample();
  signReport(signed, vcekPrivateKey(CHIP, 7n));

  it('verifies, for us and for OpenSSL', () => {
    assert.equal(reasonOf(signed), 'verified');
    const key = createPublicKey({
      key: Buffer.from(encodeSpki(vcekPublicKey(CHIP, 7n))),
      format: 'der',
      type: 'spki',
    });
    const big = (offset: number): Buffer => Buffer.from(signed.slice(offset, offset + 48).reverse());
    const signature = Buffer.concat([big(0x2a0), big(0x2a0 + 72)]);
    const data = signed.subarray(0, REPORT_SIGNED_SIZE);
    assert.ok(verify('sha384', data, { key, dsaEncoding: 'ieee-p1363' }, signature));
    assert.ok(isZero(signed.subarray(0x2a0 + 144)));
  });

  it('covers every signed byte', () => {
    for (let at = 4; at < REPORT_SIGNED_SIZE; at += 23) {
      if (at >= 0x34 && at < 0x38) continue;
      const changed = signed.slice();
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      assert.match(reasonOf(changed), /do not fit/, `byte ${at}`);
    }
  });

  const cases: [string, (bytes: Uint8Array) => void, RegExp][] = [
    ['algorithm 2', (b) => view(b).setUint32(0x34, 2, true), /SIGNATURE_ALGO is 2/],
    ['MASK_CHIP_KEY', (b) => b.fill(2, 0x48, 0x49).fill(0, 0x2a0), /MASK_CHIP_KEY is set/],
    ['no signature', (b) => b.fill(0, 0x2a0), /R and S are zero/],
    ['R above 384 bits', (b) => b.fill(1, 0x2a0 + 48, 0x2a0 + 49), /beside R and S/],
    ['bytes after S', (b) => b.fill(1, REPORT_SIZE - 1), /beside R and S/],
    ['big-endian R', (b) => b.set(b.slice(0x2a0, 0x2a0 + 48).reverse(), 0x2a0), /do not fit/],
  ];
  for (const [name, change, reason] of cases) {
    it(`is refused for ${name}`, () => {
      const bytes = signed.slice();
      change(bytes);
      assert.match(reasonOf(bytes), reason);
    });
  }

  it('belongs to one chip and one TCB', () => {
    const keys = [vcekPublicKey(CHIP, 7n), vcekPublicKey(CHIP, 8n), vcekPublicKey(new Uint8Array(64), 7n)];
    assert.equal(new Set(keys.map((key) => toHex(key.x))).size, 3);
    assert.match(reasonOf(signed, keys[1]), /do not fit/);
    assert.match(reasonOf(signed, keys[2]), /do not fit/);
  });
});

describe('TCB_VERSION', () => {
  it('has its components where AMD puts them', () => {
    const tcb = { bootLoader: 2, tee: 3, snp: 5, microcode: 68 };
    assert.equal(encodeTcb(tcb, '19h'), 0x4405_0000_0000_0302n);
    assert.equal(encodeTcb({ fmc: 1, ...tcb }, '1ah'), 0x4400_0000_0503_0201n);
    fc.assert(
      fc.property(u64, fc.constantFrom('19h' as const, '1ah' as const), (value, layout) => {
        const rest = reservedTcbBits(value, layout);
        assert.equal(encodeTcb(decodeTcb(value, layout), layout), value & ~rest);
      }),
    );
  });

  it('is compared by component', () => {
    const base = encodeTcb({ bootLoader: 2, tee: 2, snp: 2, microcode: 2 }, '19h');
    assert.equal(tcbComponentAbove(base, base, '19h'), undefined);
    // As a number the first is smaller.
    const other = encodeTcb({ bootLoader: 3, tee: 2, snp: 2, microcode: 1 }, '19h');
    assert.ok(other < base);
    assert.equal(tcbComponentAbove(other, base, '19h'), 'bootLoader');
    assert.equal(tcbComponentAbove(base, other, '19h'), 'microcode');
  });
});
