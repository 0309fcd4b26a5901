import assert from 'node:assert/strict';
import fc from 'fast-check';
import { toBase64 } from '../../../../engine/base64.js';
import { parseManifest } from '../../../../engine/launch/manifest/parse.js';
import { importLaunch, recogniseInput } from '../../../../engine/launch/qemu/import.js';
import { resolvePlan } from '../../../../engine/launch/resolve.js';
import { nativeCrypto } from '../../../../platform/native-crypto.js';
import { parseXml } from '../../../../platform/xml.js';
import { memoryFiles } from '../../../support/memory-files.js';
import { filled } from '../../../support/plans.js';
import { tinyOvmf } from '../../../support/tiny-ovmf.js';

const files = memoryFiles({
  '/w/OVMF.fd': tinyOvmf(),
  '/w/k,1': 'kernel',
  '/w/i': 'initrd',
});

const BASE = '-machine q35,confidential-guest-support=sev0 -bios OVMF.fd -cpu EPYC-Milan-v2';
const SNP = 'sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1';
const line = (more = '', object = ''): string => `qemu-system-x86_64 ${BASE} -object ${SNP}${object} ${more}\n`;

function imported(text: string) {
  const kind = recogniseInput(text);
  assert.ok(kind, 'not recognised');
  const result = importLaunch(kind, text, '/w/run.sh', parseXml);
  const parsed = parseManifest(result.manifest, '/w/run.sh');
  const resolved = resolvePlan(parsed, files, nativeCrypto);
  return { ...result, parsed, resolved };
}

/** `check: underlined text` of what the import found. */
function found(text: string): string[] {
  return imported(text).faults.map((f) => `${f.check}: ${text.slice(f.at?.range.start, f.at?.range.end)}`);
}

function planOf(text: string) {
  const { resolved, faults, parsed } = imported(text);
  assert.deepEqual(
    parsed.problems.map((p) => p.message),
    [],
  );
  assert.deepEqual(
    faults.filter((f) => f.severity === 'error').map((f) => f.message),
    [],
  );
  assert.ok(resolved.plan, resolved.faults.map((f) => f.message).join('\n'));
  return resolved.plan;
}

describe('import of QEMU command lines', () => {
  it('takes over what is measured', () => {
    const plan = planOf(line('-smp 4,maxcpus=8 -m 256'));
    assert.equal(plan.vm.vcpus, 4);
    assert.equal(plan.vm.memory, 2 ** 28);
    assert.equal(plan.vm.cpu, 'EPYC-Milan-v2');
    assert.equal(plan.start.policy, 0x3_0000n);
    assert.equal(plan.firmware?.path, '/w/OVMF.fd');
  });

  it('takes over all properties of sev-snp-guest', () => {
    const block = filled(96, 3);
    const properties = [
      'sev-device=/dev/sev',
      'policy=0x30001',
      `guest-visible-workarounds=${toBase64(filled(16, 1))}`,
      `id-block=${toBase64(block)}`,
      `id-auth=${toBase64(filled(4096, 4))}`,
      'author-key-enabled=on',
      'vcek-disabled=true',
      `host-data=${toBase64(filled(32, 5))}`,
      'kernel-hashes=off',
    ];
    const { start, finish } = planOf(line('', `,${properties.join(',')}`));
    assert.equal(start.policy, 0x3_0001n);
    assert.deepEqual(start.gosvw, filled(16, 1));
    assert.deepEqual(finish, {
      idBlock: block,
      idAuth: filled(4096, 4),
      authorKey: true,
      vcekDisabled: true,
      hostData: filled(32, 5),
    });
  });

  it('the JSON form says the same', () => {
    const object = {
      'qom-type': 'sev-snp-guest',
      id: 'sev0',
      cbitpos: 51,
      'reduced-phys-bits': 1,
      policy: 0x3_0001,
      'id-auth': '',
    };
    const plan = planOf(`qemu-system-x86_64 ${BASE} -object '${JSON.stringify(object)}'`);
    assert.equal(plan.start.policy, 0x3_0001n);
    assert.deepEqual(plan.finish.idAuth, new Uint8Array());
  });

  it('an IGVM file takes the place of firmware', () => {
    const text = `qemu -M q35,confidential-guest-support=sev0,igvm-cfg=i0 -object igvm-cfg,id=i0,file=a,,b.igvm -cpu EPYC-v4 -object ${SNP}`;
    const { manifest, faults } = imported(text);
    assert.deepEqual(faults, []);
    assert.match(manifest, /- igvm: "a,b\.igvm"/);
    assert.doesNotMatch(manifest, /policy:/);
  });

  it('kernel hashes are off unless they are asked for', () => {
    const kernel = '-kernel k,1 -initrd i -append \'a "b"\'';
    assert.match(imported(line(kernel)).manifest, /kernel-hashes: false/);
    const { manifest, resolved } = imported(line(kernel, ',kernel-hashes=on'));
    assert.doesNotMatch(manifest, /kernel-hashes/);
    assert.match(manifest, /append: "a \\"b\\""/);
    // This image has no place for them: it is the resolver that says so, at the kernel.
    assert.deepEqual(
      resolved.faults.map((f) => f.check),
      ['image-no-hashes-section'],
    );
  });

  it('options that are not launched become comments', () => {
    const { manifest, faults } = imported(line("-nographic -netdev user,id=n -device 'virtio-net,netdev=n' disk.img"));
    assert.deepEqual(faults, []);
    for (const text of ['-nographic', '-netdev user,id=n', '-device virtio-net,netdev=n', 'disk.img'])
      assert.ok(manifest.includes(`#   ${text}\n`), text);
  });

  it('faults of the launch stand at their place in the command line', () => {
    const text = line('', ',policy=0x30001,host-data=').replace(',host-data=', '').replace('OVMF.fd', 'none.fd');
    const { resolved, toSource } = imported(text);
    const [fault] = resolved.faults;
    assert.equal(fault?.check, 'manifest-file-missing');
    const { at } = toSource(fault);
    assert.equal(text.slice(at?.range.start, at?.range.end), 'none.fd');
  });

  /** What QEMU refuses, and where. */
  const refusals: readonly (readonly [string, string, readonly string[]])[] = [
    ['an unknown option', line('-nosuch x'), ['vmm-qemu-option: -nosuch']],
    ['a missing argument', line('-smp').trimEnd(), ['vmm-qemu-option: -smp']],
    ['an open quote', `${line()}-append "a`, ['vmm-qemu-quoting: "', 'vmm-qemu-parameter: "a']],
    ['an unset variable', line('-name $x'), ['vmm-qemu-variable: $x']],
    ['an unknown property', line('', ',foo=1'), ['vmm-qemu-parameter: 1']],
    ['a number that is none', line('', ',policy=x'), ['vmm-qemu-parameter: x']],
    ['a number too large', line('', ',cbitpos=4294967296'), ['vmm-qemu-parameter: 4294967296']],
    ['a switch that is none', line('', ',author-key-enabled=maybe'), ['vmm-qemu-parameter: maybe']],
    ['another C-bit', line('', ',cbitpos=47'), ['vmm-cbitpos: 47']],
    ['64 reduced bits', line('', ',reduced-phys-bits=64'), ['vmm-reduced-phys-bits: 64']],
    ['bad base64', line('', ',id-block=a!'), ['vmm-snp-base64: a!']],
    [
      '15 bytes of workarounds',
      line('', `,guest-visible-workarounds=${toBase64(filled(15, 0))}`),
      [`vmm-snp-property-length: ${toBase64(filled(15, 0))}`],
    ],
    ['95 bytes of ID block', line('', ',id-block=AAAA'), ['vmm-snp-property-length: AAAA']],
    ['31 bytes of host data', line('', ',host-data=AAAA'), ['vmm-snp-property-length: AAAA']],
    ['kernel hashes without kernel', line('', ',kernel-hashes=on'), ['vmm-kernel-hashes-without-kernel: on']],
    ['certificates', line('', ',certs-path=c'), ['vmm-qemu-not-emulated: c']],
    ['SMM', line('-machine smm=on'), ['vmm-snp-smm: on']],
    ['no irqchip', line('-machine kernel-irqchip=off'), ['vmm-snp-irqchip: off']],
    ['initrd without kernel', line('-initrd i'), ['vmm-qemu-parameter: i']],
    [
      'a backend of another size',
      line('-m 1G -machine memory-backend=r -object memory-backend-ram,id=r,size=2G'),
      ['vmm-qemu-memory-size: 1G'],
    ],
    ['a backend that is not there', line('-machine memory-backend=r'), ['vmm-qemu-parameter: r']],
    ['maxcpus below cpus', line('-smp 4,maxcpus=2'), ['vmm-qemu-parameter: 4,maxcpus=2']],
    ['a size that is none', line('-m 12Q'), ['vmm-qemu-parameter: 12Q']],
    ['an unknown CPU model', line('-cpu Foo'), ['vmm-qemu-parameter: Foo']],
    ['the CPU of the host', line('-cpu host'), ['vmm-qemu-cpu: host']],
    ['CPU features', line('-cpu EPYC-v4,+avx'), ['vmm-qemu-cpu-features: EPYC-v4,+avx']],
    ['two objects of one ID', line(`-object ${SNP}`), [`vmm-qemu-parameter: ${SNP}`]],
    ['an object without ID', line('-object rng-random'), ['vmm-qemu-parameter: rng-random']],
    ['broken JSON', line("-object '{'"), ["vmm-qemu-parameter: '{'"]],
    ['flash for variables', line('-drive if=pflash,unit=0,file=V'), ['vmm-qemu-not-emulated: V']],
    ['flash alone', line('-drive if=pflash,file=C').replace('-bios OVMF.fd', ''), ['vmm-snp-pflash-only: C']],
    ['no firmware', line().replace('-bios OVMF.fd', ''), ['vmm-qemu-no-firmware: -machine']],
    ['no SNP object', 'qemu-system-x86_64 -cpu EPYC-v4 -bios OVMF.fd', ['vmm-qemu-not-snp: -cpu']],
    [
      'an SEV object',
      `qemu-kvm ${BASE} -object sev-guest,id=sev0,cbitpos=51,reduced-phys-bits=1`,
      ['vmm-qemu-not-snp: sev-guest,id=sev0,cbitpos=51,reduced-phys-bits=1'],
    ],
    ['an object that is not there', `qemu-kvm ${BASE}`, ['vmm-qemu-parameter: sev0']],
    [
      'no bits',
      `qemu-kvm ${BASE} -object sev-snp-guest,id=sev0,cbitpos=51`,
      ['vmm-qemu-parameter: sev-snp-guest,id=sev0,cbitpos=51'],
    ],
  ];
  for (const [what, text, expected] of refusals) it(`tells of ${what}`, () => assert.deepEqual(found(text), expected));

  it('texts are those of QEMU', () => {
    const texts = (text: string): string =>
      imported(text)
        .faults.map((f) => f.message)
        .join('\n');
    assert.match(texts(line('', ',cbitpos=47')), /cbitpos check failed, host '51' requested '47'/);
    assert.match(
      texts(line('', ',reduced-phys-bits=0')),
      /reduced_phys_bits check failed, it should be in the range of 1 to 63/,
    );
    assert.match(texts(line('', ',host-data=AAAA')), /parameter length of 3 not equal to 32/);
    assert.match(
      texts(line('', `,id-auth=${toBase64(filled(4097, 0))}`)),
      /parameter length of 4097 exceeds max of 4096/,
    );
    assert.match(texts(line('', ',foo=1')), /Invalid parameter 'foo'/);
    assert.match(texts(line('', ',kernel-hashes=x')), /Parameter 'kernel-hashes' expects 'on' or 'off'/);
    assert.match(texts(line('-machine smm=on')), /SEV-SNP does not support SMM\./);
    assert.match(texts(line('-machine kernel-irqchip=off')), /SEV-ES guests require in-kernel irqchip support/);
  });

  it('a manifest is no command line, and a text is neither', () => {
    assert.equal(recogniseInput('snp: 1\nlaunch:\n  update:\n    - firmware: -bios\n'), undefined);
    assert.equal(recogniseInput('# qemu-system-x86_64 -bios x\n'), undefined);
    assert.equal(recogniseInput('{ "snp": 1 }'), undefined);
    assert.equal(recogniseInput('hello world\n'), undefined);
    assert.equal(recogniseInput("-bios OVMF.fd -object 'x'"), 'qemu');
    assert.equal(recogniseInput('<domain/>'), 'libvirt');
  });
});

describe('import of libvirt domains', () => {
  const domain = (
    security: string,
    o: { os?: string; cpu?: string; more?: string } = {},
  ): string => `<?xml version="1.0"?>
<!-- a comment -->
<domain type='kvm'>
  <name>guest</name>
  <memory unit='MiB'>256</memory>
  <vcpu placement='static'>4</vcpu>
  <os>${o.os ?? "<type machine='q35'>hvm</type><loader type='rom'>OVMF.fd</loader>"}</os>
  ${o.cpu ?? "<cpu mode='custom'><model fallback='forbid'>EPYC-Milan-v2</model></cpu>"}
  ${o.more ?? ''}
  ${security}
</domain>
`;
  const security = (children = '<policy>0x00030000</policy>', attributes = ''): string =>
    `<launchSecurity type='sev-snp'${attributes}>${children}</launchSecurity>`;

  it('takes over the launch', () => {
    const children = `<cbitpos>51</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x00030001</policy><hostData>${toBase64(filled(32, 6))}</hostData>`;
    const plan = planOf(domain(security(children, " authorKey='yes' vcek='no'")));
    assert.equal(plan.vm.vcpus, 4);
    assert.equal(plan.vm.memory, 2 ** 28);
    assert.equal(plan.start.policy, 0x3_0001n);
    assert.deepEqual(plan.finish, { authorKey: true, vcekDisabled: true, hostData: filled(32, 6) });
    assert.equal(plan.firmware?.path, '/w/OVMF.fd');
  });

  it('keeps other elements as comments', () => {
    assert.match(imported(domain(security(), { more: '<devices/>' })).manifest, /# {3}<devices>\n/);
  });

  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    ['no launch security', domain(''), ["vmm-libvirt-not-snp: <domain type='kvm'>"]],
    ['plain SEV', domain("<launchSecurity type='sev'/>"), ["vmm-libvirt-not-snp: type='sev'"]],
    ['no policy', domain(security('')), ["vmm-libvirt-value: <launchSecurity type='sev-snp'>"]],
    ['a policy that is none', domain(security('<policy>x</policy>')), ['vmm-libvirt-value: x']],
    ['a short ID block', domain(security('<policy>3</policy><idBlock>AAAA</idBlock>')), ['vmm-libvirt-value: AAAA']],
    [
      'an attribute that is neither yes nor no',
      domain(security(undefined, " vcek='on'")),
      ["vmm-libvirt-value: vcek='on'"],
    ],
    ['an unknown element', domain(security('<policy>3</policy><session/>')), ['vmm-libvirt-value: <session/>']],
    ['flash', domain(security(), { os: "<loader type='pflash'>C.fd</loader>" }), ['vmm-snp-pflash-only: C.fd']],
    ['no firmware', domain(security(), { os: '' }), ['vmm-qemu-no-firmware: <os>']],
    [
      'the CPU of the host',
      domain(security(), { cpu: "<cpu mode='host-passthrough'/>" }),
      ["vmm-qemu-cpu: <cpu mode='host-passthrough'/>"],
    ],
    [
      'another CPU',
      domain(security(), { cpu: '<cpu><model>Skylake-Server</model></cpu>' }),
      ['vmm-libvirt-value: Skylake-Server'],
    ],
    ['another C-bit', domain(security('<policy>30000</policy><cbitpos>47</cbitpos>')), ['vmm-cbitpos: 47']],
    ['an element that is not closed', '<domain><a></domain>', ['vmm-libvirt-xml: <a>']],
    ['another root', '<network/>', ['vmm-libvirt-not-snp: <network/>']],
  ];
  for (const [what, text, expected] of cases) it(`tells of ${what}`, () => assert.deepEqual(found(text), expected));
});

describe('texts from strangers', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      'qemu-system-x86_64',
      '-object',
      SNP,
      '-machine',
      'q35,confidential-guest-support=sev0',
      '-bios',
      '"',
      "'",
      '\\',
      '$',
      '{',
      '-smp',
      ',,',
      '=',
      '\n',
      '-m',
      '<domain>',
      '<launchSecurity type="sev-snp">',
      '</domain>',
      '<!--',
      '&#x0;',
    ),
    fc.string(),
  );
  it('are imported without an exception, and the manifest is readable', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), fc.constantFrom('qemu', 'libvirt'), (pieces, kind) => {
        const text = pieces.join(' ');
        recogniseInput(text);
        const { manifest, toSource, faults } = importLaunch(kind, text, '/w/x.sh', parseXml);
        const { problems } = parseManifest(manifest, '/w/x.sh');
        assert.deepEqual(
          problems.map((p) => p.message),
          [],
          manifest,
        );
        for (const fault of [...faults, ...problems.map(toSource)])
          assert.ok((fault.at?.range.end ?? 0) <= text.length);
      }),
      { numRuns: 400 },
    );
  });
});
