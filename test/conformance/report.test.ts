import assert from 'node:assert/strict';
import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { describeReport } from '../../engine/asp/attestation/describe-report.js';
import {
  encodeReport,
  type ParsedReport,
  PLATFORM_INFO,
  parseReport,
  REPORT_SIGNED_SIZE,
  reportProduct,
  reportTcbLayout,
} from '../../engine/asp/attestation/report.js';
import { signReport, verifyReport } from '../../engine/asp/attestation/report-signature.js';
import type { P384Point } from '../../engine/asp/id-auth.js';
import { POLICY_BIT } from '../../engine/asp/policy-checks.js';
import { toHex } from '../../engine/bytes.js';
import { portableCrypto } from '../../engine/crypto.js';
import { decodeTcb, type TcbLayout } from '../../engine/spec/tcb-version.js';
import { haveVectors, readVector, readVectorJson, synthCases } from '../support/vectors.js';

type Json = Readonly<Record<string, unknown>>;

interface ReportVector {
  readonly file: string;
  readonly sha256: string;
  /** What another implementation read. */
  readonly fields?: Json;
  readonly error?: string;
  /** Path of the certificate or private key. */
  readonly key?: string;
}

interface RawVector {
  readonly file: string;
  readonly sha256: string;
  readonly what: string;
  readonly expected: { readonly fields?: Json; readonly error?: string; readonly vek?: string };
}

function vectors(): readonly ReportVector[] {
  const published = (readVectorJson('vectors.json') as RawVector[])
    .filter(({ file }) => /^reports\/.*report.*\.bin$/.test(file))
    .map(({ file, sha256, expected: { fields, error, vek } }) => ({
      file: `vectors/${file}`,
      sha256,
      ...(fields ? { fields } : {}),
      ...(error ? { error } : {}),
      ...(vek ? { key: `vectors/${vek}` } : {}),
    }));
  const made = (synthCases('report') as unknown as { file: string; sha256: string; fields: Json; key: string }[]).map(
    ({ file, sha256, fields, key }) => ({ file: `synth/${file}`, sha256, fields, key: `synth/${key}` }),
  );
  return [...published, ...made];
}

const readBytes = (path: string): Uint8Array => new Uint8Array(readVector(path));

/** Public key of a certificate (DER or PEM) or of a private key in PEM. */
function keyObject(path: string): KeyObject {
  const bytes = readVector(path);
  if (bytes.includes('PRIVATE KEY')) return createPublicKey(bytes);
  return new X509Certificate(bytes).publicKey;
}

function pointOf(key: KeyObject): P384Point {
  const { x, y } = key.export({ format: 'jwk' });
  const number = (text: unknown): Uint8Array => {
    const bytes = Buffer.from(String(text), 'base64url');
    return new Uint8Array(Buffer.concat([Buffer.alloc(48 - bytes.length), bytes]));
  };
  return { x: number(x), y: number(y) };
}

const flag = (bits: bigint, bit: bigint): number => ((bits & bit) === 0n ? 0 : 1);

function tcbFields(value: bigint, layout: TcbLayout): Json {
  const { fmc, bootLoader, tee, snp, microcode } = decodeTcb(value, layout);
  const raw = Buffer.alloc(8);
  raw.writeBigUInt64LE(value);
  return {
    raw: raw.toString('hex'),
    ...(fmc === undefined ? {} : { fmc }),
    boot_loader: bootLoader,
    tee,
    snp,
    microcode,
    reserved: '00'.repeat(layout === '1ah' ? 3 : 4),
  };
}

/** The report in the words of the vectors. */
function fieldsOf(report: ParsedReport): Json {
  const layout = reportTcbLayout(report);
  const { policy, platformInfo, cpuid, mitigations, signature } = report;
  const known = Object.values(PLATFORM_INFO).reduce((a, b) => a | b, 0n);
  const version = ({ major, minor, build }: ParsedReport['currentVersion']): string => `${major}.${minor}.${build}`;
  const keyInfo = (report.authorKeyEnabled ? 1 : 0) | (report.chipKeyMasked ? 2 : 0) | (report.signingKey << 2);
  return {
    version: report.version,
    guest_svn: report.guestSvn,
    policy: {
      raw: `0x${policy.toString(16)}`,
      abi_minor: Number(policy & 0xffn),
      abi_major: Number((policy >> 8n) & 0xffn),
      smt: flag(policy, POLICY_BIT.SMT),
      reserved_one: flag(policy, POLICY_BIT.RESERVED_MBO),
      migrate_ma: flag(policy, POLICY_BIT.MIGRATE_MA),
      debug: flag(policy, POLICY_BIT.DEBUG),
      single_socket: flag(policy, POLICY_BIT.SINGLE_SOCKET),
      cxl_allow: flag(policy, POLICY_BIT.CXL_ALLOW),
      mem_aes_256_xts: flag(policy, POLICY_BIT.MEM_AES_256_XTS),
      rapl_dis: flag(policy, POLICY_BIT.RAPL_DIS),
      ciphertext_hiding_dram: flag(policy, POLICY_BIT.CIPHERTEXT_HIDING_DRAM),
      page_swap_disable: flag(policy, POLICY_BIT.PAGE_SWAP_DISABLE),
      reserved_zero_ok: policy >> 26n === 0n,
      valid: policy >> 26n === 0n && flag(policy, POLICY_BIT.RESERVED_MBO) === 1,
    },
    family_id: toHex(report.familyId),
    image_id: toHex(report.imageId),
    vmpl: report.vmpl,
    signature_algo: report.signatureAlgorithm,
    current_tcb: tcbFields(report.currentTcb, layout),
    platform_info: {
      raw: `0x${platformInfo.toString(16)}`,
      smt_en: flag(platformInfo, PLATFORM_INFO.SMT_EN),
      tsme_en: flag(platformInfo, PLATFORM_INFO.TSME_EN),
      ecc_en: flag(platformInfo, PLATFORM_INFO.ECC_EN),
      rapl_dis: flag(platformInfo, PLATFORM_INFO.RAPL_DIS),
      ciphertext_hiding_dram_en: flag(platformInfo, PLATFORM_INFO.CIPHERTEXT_HIDING_DRAM_EN),
      alias_check_complete: flag(platformInfo, PLATFORM_INFO.ALIAS_CHECK_COMPLETE),
      sev_tio_en: flag(platformInfo, PLATFORM_INFO.TIO_EN),
      reserved_bits: `0x${(platformInfo & ~known).toString(16)}`,
    },
    flags: {
      raw: `0x${keyInfo.toString(16)}`,
      author_key_en: report.authorKeyEnabled ? 1 : 0,
      mask_chip_key: report.chipKeyMasked ? 1 : 0,
      signing_key: report.signingKey,
      signing_key_name: report.signingKey === 7 ? 'none' : ['VCEK', 'VLEK'][report.signingKey],
    },
    report_data: toHex(report.reportData),
    measurement: toHex(report.measurement),
    host_data: toHex(report.hostData),
    id_key_digest: toHex(report.idKeyDigest),
    author_key_digest: toHex(report.authorKeyDigest),
    report_id: toHex(report.reportId),
    report_id_ma: toHex(report.reportIdMa),
    reported_tcb: tcbFields(report.reportedTcb, layout),
    cpuid_fms: cpuid ?? null,
    product_guess: cpuid ? reportProduct(report) : 'Milan/Genoa',
    chip_id: toHex(report.chipId),
    committed_tcb: tcbFields(report.committedTcb, layout),
    current_version: version(report.currentVersion),
    committed_version: version(report.committedVersion),
    launch_tcb: tcbFields(report.launchTcb, layout),
    launch_mit_vector: mitigations ? `0x${mitigations.launch.toString(16)}` : null,
    current_mit_vector: mitigations ? `0x${mitigations.current.toString(16)}` : null,
    signature: { r: `0x${toHex(signature.r).replace(/^0+/, '')}`, s: `0x${toHex(signature.s).replace(/^0+/, '')}` },
    reserved_nonzero: report.reservedNonZero,
  };
}

describe('attestation report vectors', () => {
  if (!haveVectors()) {
    it('needs the test vectors', function () {
      this.skip();
    });
    return;
  }
  const cases = vectors();
  it('are there', () => {
    assert.ok(cases.filter((c) => c.key && c.file.startsWith('vectors/')).length >= 4, 'real ones with their key');
    assert.ok(cases.filter((c) => c.key && c.file.startsWith('synth/')).length >= 20, 'synthetic ones');
  });
  for (const { file, sha256, fields, error, key } of cases) {
    describe(file, () => {
      const bytes = readBytes(file);
      it('is the file', () => assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256));
      const parsed = parseReport(bytes);
      if (!fields) {
        it('is refused', () => {
          assert.ok(error);
          assert.equal(parsed.ok ? '' : parsed.fault.check, 'image-report-length');
        });
        return;
      }
      it('is read as others read it', () => {
        assert.ok(parsed.ok, parsed.ok ? '' : parsed.fault.message);
        assert.deepEqual(fieldsOf(parsed.value), fields);
        for (const row of describeReport(parsed.value)) assert.doesNotMatch(row.value, /undefined|NaN/);
      });
      it('is encoded to the same bytes', () => {
        assert.ok(parsed.ok);
        const encoded = encodeReport(parsed.value);
        assert.equal(toHex(encoded.subarray(0, REPORT_SIGNED_SIZE)), toHex(bytes.subarray(0, REPORT_SIGNED_SIZE)));
      });
      if (!key) return;
      it('verifies, and with a byte changed it does not', () => {
        const point = pointOf(keyObject(key));
        const verified = verifyReport(bytes, point, portableCrypto);
        assert.ok(verified.ok, verified.ok ? '' : verified.fault.message);
        const changed = bytes.slice();
        changed[0x50] = (changed[0x50] ?? 0) ^ 1;
        assert.equal(verifyReport(changed, point, portableCrypto).ok, false);
      });
    });
  }

  it('a signature of ours over a real report is stored as AMD stores it', () => {
    const real = readBytes('vectors/reports/go_milan_v2/report.bin');
    const ours = real.slice().fill(0, REPORT_SIGNED_SIZE);
    const privateKey = new Uint8Array(48).fill(3);
    signReport(ours, privateKey);
    const zero = (bytes: Uint8Array): number[] => [...bytes.keys()].filter((i) => i >= 0x2a0 + 144 && bytes[i] !== 0);
    assert.deepEqual(zero(ours), zero(real));
    assert.deepEqual([...ours.subarray(0x2a0 + 48, 0x2a0 + 72)], [...real.subarray(0x2a0 + 48, 0x2a0 + 72)]);
  });
});
