import assert from 'node:assert/strict';
import fc from 'fast-check';
import { crc32 } from '../../../../engine/launch/igvm/crc32.js';
import { parseIgvm } from '../../../../engine/launch/igvm/parse.js';
import { processIgvm } from '../../../../engine/launch/igvm/process.js';
import {
  area,
  buildIgvm,
  context,
  idBlock,
  insert,
  page,
  parameter,
  platform,
  policy,
  required,
  type Structure,
  sealed,
  structure,
} from '../../../support/igvm-builder.js';
import { filled, testVmsas } from '../../../support/plans.js';

const [vmsa = new Uint8Array(4096)] = testVmsas('qemu', 1, 1n);
const good: readonly Structure[] = [platform(), policy(), page(0x1000, { data: filled(4096, 7) }), context(vmsa)];

/** The file with some words changed, its checksum made right. */
function patched(file: Uint8Array, ...words: readonly (readonly [at: number, value: number])[]): Uint8Array {
  const bytes = Uint8Array.from(file);
  for (const [at, value] of words) new DataView(bytes.buffer).setUint32(at, value, true);
  return sealed(bytes);
}

const file = buildIgvm(good);

describe('IGVM parser', () => {
  it('crc32 is that of zlib', () => {
    assert.equal(crc32(new TextEncoder().encode('123456789')), 0xcbf43926);
    assert.equal(crc32(new TextEncoder().encode('1234'), new TextEncoder().encode('56789')), 0xcbf43926);
  });

  it('reads every structure of the format', () => {
    const all = buildIgvm([
      platform(1),
      platform(2, 3, 0),
      policy(),
      structure('RELOCATABLE_REGION', [
        [4, 1],
        [2, 0],
        [1, 2],
        [1, 1],
        [8, 0x1000],
        [8, 0x2000],
        [8, 0x1000],
        [8, 0],
        [8, 0x8000],
      ]),
      structure('PAGE_TABLE_RELOCATION_REGION', [
        [4, 1],
        [2, 0],
        [1, 2],
        [1, 0],
        [8, 0x9000],
        [8, 0x2000],
        [8, 0x1000],
      ]),
      area(0, 0x3000),
      ...(
        ['VP_COUNT_PARAMETER', 'SRAT', 'MADT', 'MMIO_RANGES', 'MEMORY_MAP', 'COMMAND_LINE', 'SLIT', 'PPTT'] as const
      ).map((name) => parameter(name, 0, 0x10)),
      parameter('DEVICE_TREE', 0),
      parameter('ENVIRONMENT_INFO_PARAMETER', 0),
      insert(0x2_0000, 0),
      page(0x1000, { data: filled(4096, 1), flags: 6, type: 3, mask: 3 }),
      page(0x20_0000, { flags: 1 }),
      required(0, 0x80_0000, 3),
      structure('ERROR_RANGE', [
        [8, 0x7000],
        [4, 1],
        [4, 0x1000],
      ]),
      structure('VBS_MEASUREMENT', [new Uint8Array(864)]),
      idBlock({ enabled: 1, curve: 2 }),
      context(vmsa),
      { type: 0x8000_0399, body: new Uint8Array(5) },
    ]);
    const parsed = parseIgvm(all, 'all.igvm');
    assert.ok(parsed.ok, parsed.ok ? '' : parsed.fault.message);
    const { platforms, initialization, directives, skipped } = parsed.value;
    assert.deepEqual(
      platforms.map((p) => [p.mask, p.platform, p.highestVtl]),
      [
        [1, 'SEV_SNP', 2],
        [2, 'TDX', 0],
      ],
    );
    assert.deepEqual(
      initialization.map((h) => h.kind),
      ['GUEST_POLICY', 'RELOCATABLE_REGION', 'PAGE_TABLE_RELOCATION_REGION'],
    );
    assert.equal(directives.length, 19);
    assert.deepEqual(
      directives.find((d) => d.kind === 'PAGE_DATA'),
      {
        kind: 'PAGE_DATA',
        offset: directives.find((d) => d.kind === 'PAGE_DATA')?.offset,
        mask: 3,
        gpa: 0x1000,
        dataType: 'CPUID_XF',
        is2MiB: false,
        unmeasured: true,
        shared: true,
        dataOffset: all.length - 8192,
      },
    );
    assert.deepEqual(
      skipped.map((s) => s.type),
      [0x8000_0399],
    );
  });

  const pageAt = 24 + 24 + 24;
  const cases: readonly (readonly [string, string, Uint8Array])[] = [
    ['nothing', 'image-igvm-too-short', new Uint8Array()],
    ['a firmware image', 'image-igvm-magic', new Uint8Array(64)],
    ['version 3', 'image-igvm-version', patched(file, [4, 3])],
    ['version 2 with 16 KiB pages', 'image-igvm-architecture', patched(file, [4, 2], [24, 0], [28, 16384])],
    ['bytes behind its end', 'image-igvm-file-size', sealed(Uint8Array.from([...file, 0]))],
    ['headers before the fixed header ends', 'image-igvm-header-place', patched(file, [8, 16])],
    ['headers off a multiple of 8', 'image-igvm-header-place', patched(file, [8, 28])],
    ['headers beyond its end', 'image-igvm-header-place', patched(file, [12, 0xffff_fff0])],
    [
      'a changed header',
      'image-igvm-checksum',
      (() => {
        const b = Uint8Array.from(file);
        b[pageAt + 16] = 9;
        return b;
      })(),
    ],
    ['half a variable header', 'image-igvm-structure-cut', patched(file, [12, 0x34])],
    ['half a structure', 'image-igvm-structure-cut', patched(file, [12, 0x40])],
    ['an unknown structure', 'image-igvm-type', patched(file, [pageAt, 0x306])],
    ['a structure of no section', 'image-igvm-type', patched(file, [pageAt, 0x250])],
    ['a structure of wrong length', 'image-igvm-length', patched(file, [pageAt + 4, 16])],
    ['a platform behind a policy', 'image-igvm-order', buildIgvm([platform(), policy(), platform(2, 3, 0)])],
    ['a policy behind a page', 'image-igvm-order', buildIgvm([platform(), page(0), policy()])],
    ['no platform', 'image-igvm-no-platform', buildIgvm([policy(), page(0)])],
    ['a platform with two bits', 'image-igvm-platform', buildIgvm([platform(3)])],
    ['a platform with no bit', 'image-igvm-platform', buildIgvm([platform(0)])],
    ['a platform with VTL 1', 'image-igvm-platform', buildIgvm([platform(1, 2, 1)])],
    ['a platform of type 9', 'image-igvm-platform', buildIgvm([platform(1, 9)])],
    ['two headers for SNP', 'image-igvm-platform', buildIgvm([platform(1), platform(2)])],
    ['CCA on x64', 'image-igvm-platform', buildIgvm([platform(1, 6)])],
    [
      'a reserved field',
      'image-igvm-reserved',
      buildIgvm([
        platform(),
        structure('GUEST_POLICY', [
          [8, 0],
          [4, 1],
          [4, 1],
        ]),
      ]),
    ],
    ['a page at 0x800', 'image-igvm-alignment', buildIgvm([platform(), page(0x800)])],
    ['a large page at 0x1000', 'image-igvm-alignment', buildIgvm([platform(), page(0x1000, { flags: 1 })])],
    ['memory of half a page', 'image-igvm-alignment', buildIgvm([platform(), required(0, 0x800)])],
    ['an area of 3 bytes', 'image-igvm-alignment', buildIgvm([platform(), area(0, 3)])],
    ['a page beyond 52 bits', 'image-igvm-address', buildIgvm([platform(), page(2 ** 52)])],
    ['an area without end', 'image-igvm-parameter-area', buildIgvm([platform(), area(0, 0xffff_ffff_ffff_f000n)])],
    ['a page of type 4', 'image-igvm-page-data-type', buildIgvm([platform(), page(0, { type: 4 })])],
    ['a page whose content is a header', 'image-igvm-data-range', patched(file, [pageAt + 8 + 12, 24])],
    ['a context without content', 'image-igvm-data-range', patched(file, [pageAt + 32 + 8 + 12, 0])],
    ['an area declared twice', 'image-igvm-parameter-area', buildIgvm([platform(), area(0, 4096), area(0, 4096)])],
    [
      'an area used before',
      'image-igvm-parameter-area',
      buildIgvm([platform(), parameter('MEMORY_MAP', 0), area(0, 4096)]),
    ],
    [
      'an area inserted twice',
      'image-igvm-parameter-area',
      buildIgvm([platform(), area(0, 4096), insert(0, 0), insert(0x1000, 0)]),
    ],
    [
      'a parameter behind its area',
      'image-igvm-parameter-area',
      buildIgvm([platform(), area(0, 4096), parameter('MADT', 0, 4096)]),
    ],
    [
      'a context for two platforms',
      'image-igvm-context-platform',
      buildIgvm([platform(1), platform(2, 3, 0), context(vmsa, { mask: 3 })]),
    ],
  ];
  for (const [what, check, bytes] of cases) {
    it(`refuses ${what}`, () => {
      const parsed = parseIgvm(bytes, 'bad.igvm');
      assert.equal(parsed.ok ? 'accepted' : parsed.fault.check, check);
      if (!parsed.ok) assert.match(parsed.fault.message, /bad\.igvm/);
    });
  }

  it('the same bytes give the same file', () => {
    assert.equal(parseIgvm(file, 'a.igvm'), parseIgvm(file, 'a.igvm'));
  });
});

describe('IGVM files from strangers', () => {
  const options = { vcpus: 1, memory: 2 ** 28, zeroPages: 'normal', cpuidPage: () => new Uint8Array(4096) } as const;
  const handle = (bytes: Uint8Array): void => {
    const parsed = parseIgvm(bytes, 'x.igvm');
    if (parsed.ok) processIgvm(parsed.value, options);
  };

  it('any bytes are read without an exception', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => handle(bytes)));
  });

  it('so is any file with changed words and a right checksum', () => {
    const base = buildIgvm([
      platform(),
      policy(),
      area(1, 0x2000, filled(0x2000, 3)),
      parameter('MEMORY_MAP', 1, 8),
      insert(0x8000, 1),
      page(0x1000, { data: filled(4096, 7) }),
      page(0x2000),
      required(0, 0x1000),
      idBlock(),
      context(vmsa),
    ]);
    const word = fc.oneof(
      fc.nat(64),
      fc.constantFrom(0x301, 0x302, 0x30c, 0x1000, 0xffff_ffff, 0x8000_0000),
      fc.nat(0xffff_ffff),
    );
    const change = fc.tuple(
      fc.nat(110).map((n) => n * 4),
      word,
    );
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.boolean(), (changes, seal) => {
        const bytes = Uint8Array.from(base);
        for (const [at, value] of changes) new DataView(bytes.buffer).setUint32(at, value, true);
        handle(seal ? sealed(bytes) : bytes);
      }),
      { numRuns: 3000 },
    );
  });
});
