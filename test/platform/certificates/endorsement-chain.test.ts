import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseCertificateTable } from '../../../engine/asp/attestation/certificate-table.js';
import { platformTcb } from '../../../engine/asp/attestation/platform-tcb.js';
import { parseReport, REPORT_SIGNED_SIZE } from '../../../engine/asp/attestation/report.js';
import { decodeReportResponse, encodeReportRequest } from '../../../engine/asp/attestation/report-request.js';
import { emulatedHashstick, wrapVlek } from '../../../engine/asp/attestation/vlek.js';
import { snpVlekLoad } from '../../../engine/asp/commands/snp-vlek-load.js';
import { MESSAGE_TYPE } from '../../../engine/asp/guest-message.js';
import { toHex } from '../../../engine/bytes.js';
import { firmwareProfile, PROCESSOR_PROFILES, PROCESSORS, type ProcessorName } from '../../../engine/spec/versions.js';
import { toPem } from '../../../platform/certificates/certificate.js';
import { integer, objectId, sequence } from '../../../platform/certificates/der.js';
import type { EndorsementChain } from '../../../platform/certificates/endorsement-chain.js';
import { machineCertificateTable, vcekChain, vlekChain } from '../../../platform/certificates/machine-certificates.js';
import { type Channel, exchange, openChannel } from '../../engine/asp/guest-channel.js';
import { hostBytes } from '../../engine/asp/refusals/config.js';
import { must } from '../../support/bare-machine.js';
import { haveVectors, readVector } from '../../support/vectors.js';

const CSP = 'CN=emulated-csp';

function haveOpenssl(): boolean {
  if (spawnSync('openssl', ['version']).status === 0) return true;
  if (process.env['CI']) throw new Error('openssl is not installed');
  process.stderr.write('skipped: openssl is not installed\n');
  return false;
}

function openssl(...args: readonly string[]): { readonly status: number | null; readonly text: string } {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  return { status, text: `${stdout}${stderr}` };
}

function channelOf(name: ProcessorName): Channel {
  return openChannel({ machine: { processor: PROCESSOR_PROFILES[name], firmware: firmwareProfile(55) } });
}

function loadVlek({ machine }: Channel): void {
  const { reported } = platformTcb(machine);
  const bytes = wrapVlek(machine, reported, emulatedHashstick(CSP), new Uint8Array(12));
  must(snpVlekLoad(machine, { wrappedVersion: 0, wrapped: hostBytes(machine, bytes) }));
}

function reportOf(channel: Channel): Uint8Array {
  const request = encodeReportRequest({ reportData: new Uint8Array(64).fill(9), vmpl: 0 });
  const response = decodeReportResponse(exchange(channel, MESSAGE_TYPE.REPORT_REQ, request));
  assert.equal(response?.status, 0);
  return response?.report ?? new Uint8Array();
}

/** R and S of a report as OpenSSL wants them. */
function derSignature(report: Uint8Array): Uint8Array {
  const parsed = parseReport(report);
  assert.ok(parsed.ok);
  const { r, s } = parsed.value.signature;
  return sequence(integer(BigInt(`0x${toHex(r)}`)), integer(BigInt(`0x${toHex(s)}`)));
}

describe('DER', () => {
  it('has its numbers and identifiers as X.690 wants them', () => {
    const cases: [Uint8Array, string][] = [
      [integer(0), '020100'],
      [integer(127), '02017f'],
      [integer(128), '02020080'],
      [integer(256n), '02020100'],
      [objectId('1.2.840.113549.1.1.10'), '06092a864886f70d01010a'],
      [objectId('1.3.6.1.4.1.3704.1.3.1'), '060a2b060104019c78010301'],
      [objectId('2.5.4.3'), '0603550403'],
    ];
    for (const [der, text] of cases) assert.equal(toHex(der), text);
    const long = sequence(...Array.from({ length: 100 }, () => integer(1)));
    assert.equal(toHex(long.subarray(0, 4)), '3082012c');
  });
});

describe('the emulated certificates', () => {
  let folder = '';
  const file = (name: string, content: string | Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  before(function () {
    if (!haveOpenssl()) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'sev-snp-certificates-'));
  });
  after(() => {
    if (folder) rmSync(folder, { recursive: true });
  });

  const verify = (chain: EndorsementChain, root: Uint8Array, leaf: Uint8Array) =>
    openssl(
      'verify',
      '-CAfile',
      file('ark.pem', toPem(root)),
      '-untrusted',
      file('middle.pem', toPem(chain.intermediate)),
      file('leaf.pem', toPem(leaf)),
    );

  for (const name of PROCESSORS) {
    for (const kind of ['VCEK', 'VLEK'] as const) {
      it(`for a ${kind} of ${name} verify with openssl, and so does a report`, () => {
        const channel = channelOf(name);
        if (kind === 'VLEK') loadVlek(channel);
        const chain = kind === 'VLEK' ? vlekChain(channel.machine, CSP) : vcekChain(channel.machine);
        assert.ok(chain);
        const good = verify(chain, chain.ark, chain.leaf);
        assert.equal(good.status, 0, good.text);
        const report = reportOf(channel);
        const key = openssl('x509', '-in', join(folder, 'leaf.pem'), '-noout', '-pubkey');
        const signature = file('signature.der', derSignature(report));
        const args = ['dgst', '-sha384', '-verify', file('key.pem', key.text), '-signature', signature];
        const signed = openssl(...args, file('report.bin', report.subarray(0, REPORT_SIGNED_SIZE)));
        assert.equal(signed.text.trim(), 'Verified OK');
        const changed = report.slice(0, REPORT_SIGNED_SIZE);
        changed[0x90] = (changed[0x90] ?? 0) ^ 1;
        assert.notEqual(openssl(...args, file('report.bin', changed)).status, 0);
      });
    }
  }

  it('do not verify under another root, or changed', () => {
    const chain = vcekChain(channelOf('genoa').machine);
    const other = vcekChain(channelOf('milan').machine);
    assert.notEqual(verify(chain, other.ark, chain.leaf).status, 0);
    const changed = chain.leaf.slice();
    changed[300] = (changed[300] ?? 0) ^ 1;
    assert.notEqual(verify(chain, chain.ark, changed).status, 0);
    if (haveVectors('vectors/certs')) {
      const amd = file('amd.pem', readVector('vectors/certs/genoa_ark.pem'));
      const leaf = file('leaf.pem', toPem(chain.leaf));
      const middle = file('middle.pem', toPem(chain.intermediate));
      assert.notEqual(openssl('verify', '-CAfile', amd, '-untrusted', middle, leaf).status, 0);
    }
  });

  it('say that they are not AMD’s', () => {
    const chain = vcekChain(channelOf('genoa').machine);
    for (const der of [chain.ark, chain.intermediate, chain.leaf]) {
      const { subject, issuer } = new X509Certificate(der);
      for (const text of [subject, issuer]) {
        assert.match(text, /CN=Emulated /);
        assert.match(text, /O=SEV-SNP Workbench \(emulated - not AMD\)/);
        assert.doesNotMatch(text, /Advanced Micro Devices/);
      }
    }
  });

  it('come out the same each time, and differ by chip and TCB', () => {
    const text = (chain: EndorsementChain): string => [chain.ark, chain.intermediate, chain.leaf].map(toHex).join();
    const channel = channelOf('genoa');
    assert.equal(text(vcekChain(channel.machine)), text(vcekChain(channelOf('genoa').machine)));
    const leaf = toHex(vcekChain(channel.machine).leaf);
    channel.machine.asp.config = { reportedTcb: 1n, maskChipId: false, maskChipKey: false };
    assert.notEqual(toHex(vcekChain(channel.machine).leaf), leaf);
  });

  /** Object identifiers below AMD's arc with the DER of their values, in the order of the certificate. */
  function amdFields(path: string): { readonly oid: string; readonly value: string }[] {
    const { text } = openssl('asn1parse', '-in', path);
    const lines = text.split('\n');
    return lines.flatMap((line, i) => {
      const oid = /OBJECT\s+:(1\.3\.6\.1\.4\.1\.3704\S*)/.exec(line)?.[1];
      return oid ? [{ oid, value: /HEX DUMP\]:(\S+)/.exec(lines[i + 1] ?? '')?.[1] ?? '' }] : [];
    });
  }

  it('carry AMD’s extensions with chip and TCB', () => {
    const { machine } = channelOf('genoa');
    const fields = amdFields(file('leaf.pem', toPem(vcekChain(machine).leaf)));
    const value = (suffix: string): string | undefined =>
      fields.find(({ oid }) => oid === `1.3.6.1.4.1.3704.1.${suffix}`)?.value.toLowerCase();
    assert.equal(value('1'), '020100');
    assert.equal(value('2'), toHex(Buffer.concat([Buffer.of(0x16, 8), Buffer.from('Genoa-B1')])));
    assert.deepEqual(['3.1', '3.2', '3.3', '3.8'].map(value), ['020101', '020102', '020103', '020104']);
    assert.equal(value('4')?.length, 128);
    assert.equal(value('4'), toHex(machine.random.fixed('CHIP_ID', 64)));
  });

  const real: [kind: 'VCEK' | 'VLEK', ProcessorName, path: string][] = [
    ['VCEK', 'milan', 'vectors/reports/go_milan_v2/vcek.der'],
    ['VCEK', 'genoa', 'vectors/reports/ms_genoa/vcek.pem'],
    ['VCEK', 'turin', 'vectors/reports/ms_turin/vcek.pem'],
    ['VLEK', 'milan', 'vectors/reports/trustee_vlek_milan_v3/vlek.der'],
  ];
  for (const [kind, name, path] of real) {
    it(`have the extensions of a real ${kind} of ${name}`, function () {
      if (!haveVectors(path)) return this.skip();
      const channel = channelOf(name);
      if (kind === 'VLEK') loadVlek(channel);
      const chain = kind === 'VLEK' ? vlekChain(channel.machine) : vcekChain(channel.machine);
      assert.ok(chain);
      const shape = (pem: string) =>
        // Numbers differ in value; the type of each value, and the length of CHIP_ID, do not.
        amdFields(file('shape.pem', pem)).map(({ oid, value }) => ({
          oid,
          type: oid.endsWith('.1.4') ? `${value.length / 2} bytes` : value.slice(0, 2),
        }));
      const theirs = new X509Certificate(readVector(path));
      const ours = new X509Certificate(chain.leaf);
      assert.deepEqual(shape(ours.toString()), shape(theirs.toString()));
      assert.equal(ours.serialNumber, theirs.serialNumber);
      assert.equal(ours.publicKey.asymmetricKeyDetails?.namedCurve, theirs.publicKey.asymmetricKeyDetails?.namedCurve);
      assert.equal(ours.ca, theirs.ca);
      const algorithm = (certificate: X509Certificate): string[] =>
        openssl('x509', '-in', file('algorithm.pem', certificate.toString()), '-noout', '-text')
          .text.split('\n')
          .filter((line) => /Signature Algorithm|Hash Algorithm|Mask Algorithm|Salt Length/.test(line));
      assert.deepEqual(algorithm(ours), algorithm(theirs));
    });
  }

  it('go into the table that a host hands to guests', () => {
    const channel = channelOf('genoa');
    const names = (): (string | undefined)[] => {
      const table = parseCertificateTable(machineCertificateTable(channel.machine));
      assert.ok(table.ok);
      return table.value.map(({ data }) => /CN=(.*)/.exec(new X509Certificate(data).subject)?.[1]);
    };
    assert.deepEqual(names(), ['Emulated ARK-Genoa', 'Emulated SEV-Genoa', 'Emulated SEV-VCEK']);
    loadVlek(channel);
    assert.deepEqual(names(), ['Emulated ARK-Genoa', 'Emulated SEV-VLEK-Genoa', 'Emulated SEV-VLEK']);
  });

  it('hold the public keys that Node.js reads', () => {
    const { ark, leaf } = vcekChain(channelOf('genoa').machine);
    const root = new X509Certificate(ark);
    assert.equal(root.publicKey.asymmetricKeyDetails?.modulusLength, 4096);
    assert.ok(root.verify(createPublicKey(root.publicKey.export({ format: 'pem', type: 'spki' }))));
    assert.ok(root.ca);
    assert.equal(new X509Certificate(leaf).publicKey.asymmetricKeyType, 'ec');
  });
});
