import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { toHex } from '../../engine/bytes.js';
import { parseManifest } from '../../engine/launch/manifest/parse.js';
import { measureImage, measurePlan } from '../../engine/launch/measure.js';
import { importLaunch, recogniseInput } from '../../engine/launch/qemu/import.js';
import { resolvePlan } from '../../engine/launch/resolve.js';
import { PAGE_TYPE } from '../../engine/spec/page-type.js';
import { dryRun } from '../../engine/vmm/launch.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { parseXml } from '../../platform/xml.js';
import { memoryFiles } from '../support/memory-files.js';

/**
 * The three SNP guests of the cover letter of "Add AMD SEV-SNP Hypervisor Support" v15, with images of today under
 * the names of then, and stubs for kernel, initrd and certificates.
 */

const AMDSEV = '../shared/firmware/sid-OVMF.amdsev.fd';
const X64 = '../shared/firmware/deb13-OVMF.fd';
const present = [AMDSEV, X64].every((file) => existsSync(file));

const COMMON = `qemu-system-x86_64 -smp 32,maxcpus=255 -cpu EPYC-Milan-v2
    -machine q35,confidential-guest-support=sev0,memory-backend=ram1
    -object memory-backend-memfd,id=ram1,size=4G,share=true,reserve=false
    -object sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,id-auth=`;
const BASIC = `${COMMON}
    -bios OVMF_CODE-upstream-20240410-apic-mmio-fix1d-AmdSevX64.fd
`;
const HASHES = `${COMMON},certs-path=/w/cert.blob,kernel-hashes=on
    -bios /w/OVMF_CODE-upstream-20240410-apic-mmio-fix1d-AmdSevX64.fd
    -kernel /boot/vmlinuz-6.9
    -initrd /boot/initrd.img-6.9
    -append "root=UUID=d72a6d1c-06cf-4b79-af43-f1bac4f620f9 ro console=ttyS0,115200n8"
`;
const VARIABLES = `${COMMON}
    -bios OVMF_CODE-upstream-20240410-apic-mmio-fix1d.fd
    -drive if=pflash,format=raw,unit=0,file=OVMF_VARS-upstream-20240410-apic-mmio-fix1d.fd,readonly=off
`;

const read = (file: string): Uint8Array => new Uint8Array(readFileSync(file));
const HASH_PAGE = 0x10;

describe('command lines of the v15 cover letter', () => {
  if (!present) {
    if (process.env['CI']) throw new Error(`OVMF images are missing: ${AMDSEV}, ${X64}`);
    it.skip(`needs ${AMDSEV} and ${X64}`, () => {});
    return;
  }
  const amdsev = read(AMDSEV);
  const x64 = read(X64);
  const kernel = new TextEncoder().encode('a kernel');
  const initrd = new TextEncoder().encode('an initrd');
  const files = memoryFiles({
    '/w/OVMF_CODE-upstream-20240410-apic-mmio-fix1d-AmdSevX64.fd': amdsev,
    '/w/OVMF_CODE-upstream-20240410-apic-mmio-fix1d.fd': x64,
    '/boot/vmlinuz-6.9': kernel,
    '/boot/initrd.img-6.9': initrd,
  });
  const append = 'root=UUID=d72a6d1c-06cf-4b79-af43-f1bac4f620f9 ro console=ttyS0,115200n8';
  const cases = [
    { what: 'the basic one', text: BASIC, ovmf: amdsev, warnings: [], hashType: PAGE_TYPE.ZERO },
    {
      what: 'the one with kernel hashes and certificates',
      text: HASHES,
      ovmf: amdsev,
      kernel: { kernel, initrd, append },
      warnings: ['vmm-qemu-not-emulated'],
      hashType: PAGE_TYPE.NORMAL,
    },
    { what: 'the one with a variable store', text: VARIABLES, ovmf: x64, warnings: ['vmm-qemu-not-emulated'] },
  ] as const;
  for (const c of cases) {
    it(`${c.what}: imported, measured and launched`, () => {
      assert.equal(recogniseInput(c.text), 'qemu');
      const { manifest, faults } = importLaunch('qemu', c.text, '/w/run.txt', parseXml);
      assert.deepEqual(
        faults.map((f) => f.check),
        c.warnings,
      );
      const parsed = parseManifest(manifest, '/w/run.txt');
      assert.deepEqual(parsed.problems, []);
      const { plan, faults: found } = resolvePlan(parsed, files, nativeCrypto);
      assert.ok(plan);
      assert.deepEqual(
        found.filter((f) => f.severity === 'error').map((f) => f.message),
        [],
      );
      assert.equal(plan.vm.vcpus, 32);
      assert.equal(plan.vm.memory, 2 ** 32);
      assert.equal(plan.start.policy, 0x3_0000n);
      assert.deepEqual(plan.finish.idAuth, new Uint8Array());
      assert.equal(plan.finish.idBlock, undefined);
      const [image] = plan.updates;
      assert.deepEqual([image?.type, image?.gpa, image?.length], [PAGE_TYPE.NORMAL, 0xffc0_0000, 1024 * 4096]);
      const hashes = plan.updates.find((u) => u.label === 'kernel hashes' || /KERNEL_HASHES/.test(u.label));
      assert.equal(hashes?.type, 'hashType' in c ? c.hashType : undefined, `page of type ${HASH_PAGE}`);
      const measured = measurePlan(plan, nativeCrypto);
      const expected = measureImage(
        {
          ovmf: c.ovmf,
          vcpus: 32,
          vcpuType: 'EPYC-Milan-v2',
          guestFeatures: 1n,
          vmmType: 'qemu',
          ...('kernel' in c ? c.kernel : {}),
        },
        nativeCrypto,
      );
      assert.ok(measured.ok && expected.ok);
      assert.equal(toHex(measured.value.digest), toHex(expected.value));
      const run = dryRun(plan, { crypto: nativeCrypto });
      assert.equal(run.fault?.message, undefined);
      assert.equal(run.digest && toHex(run.digest), toHex(measured.value.digest));
    });
  }
});
