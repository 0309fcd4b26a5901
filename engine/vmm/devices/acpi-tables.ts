import {
  type Aml,
  busNumbers,
  define,
  device,
  eisaId,
  integer,
  io,
  irq,
  le,
  list,
  memory32,
  memoryWindow,
  portWindow,
  resources,
  scope,
  text,
} from './aml.js';

/** The three files through which QEMU hands over ACPI tables. */
export interface AcpiFiles {
  readonly tables: Uint8Array;
  readonly rsdp: Uint8Array;
  /** What firmware does with them: allocate, patch pointers, checksums. */
  readonly loader: Uint8Array;
}

const TABLES_FILE = 'etc/acpi/tables';
const RSDP_FILE = 'etc/acpi/rsdp';
const MMCONFIG_BASE = 0xe000_0000;
const MMCONFIG_SIZE = 0x1000_0000;
const PM_BASE = 0x600;
const SCI = 9;
const HEADER = 36;
const CHECKSUM = 9;
/** Flags of FADT: WBINVD, C1, sleep button, RTC not fixed, reset register, PCIe clock, APIC physical. */
const FADT_FLAGS = (1 << 0) | (1 << 2) | (1 << 5) | (1 << 7) | (1 << 10) | (1 << 15);
const RESET_PORT = 0xcf9;
const RESET_VALUE = 0x0f;

/** `low`: bytes of memory below 4 GiB. QEMU hw/i386/acpi-build.c, hw/acpi/bios-linker-loader.c. */
export function createAcpiFiles(vcpus: number, low: number): AcpiFiles {
  const builder: Builder = { bytes: [], commands: [] };
  allocate(builder, RSDP_FILE, 16, 2);
  allocate(builder, TABLES_FILE, 64, 1);
  const facs = append(builder, [...ascii('FACS'), ...le(64, 4), ...new Array<number>(56).fill(0)]);
  const dsdt = appendTable(builder, 'DSDT', 2, dsdtBody(vcpus, low));
  const fadt = appendTable(builder, 'FACP', 6, fadtBody());
  for (const [offset, size, target] of [
    [36, 4, facs],
    [40, 4, dsdt],
    [140, 8, dsdt],
  ] as const) {
    point(builder, fadt + offset, size, target);
  }
  const tables = [
    fadt,
    appendTable(builder, 'APIC', 3, madtBody(vcpus)),
    appendTable(builder, 'HPET', 1, hpetBody()),
    appendTable(builder, 'MCFG', 1, mcfgBody()),
    appendTable(builder, 'WAET', 1, le(2, 4)),
  ];
  const xsdt = appendTable(builder, 'XSDT', 1, new Array<number>(8 * tables.length).fill(0));
  tables.forEach((table, i) => {
    point(builder, xsdt + HEADER + 8 * i, 8, table);
  });
  for (const start of [dsdt, ...tables, xsdt])
    checksum(builder, TABLES_FILE, start + CHECKSUM, start, lengthAt(builder, start));
  const rsdp = rsdpBytes(xsdt);
  command(builder, 2, [...file(RSDP_FILE), ...file(TABLES_FILE), ...le(24, 4), 8]);
  checksum(builder, RSDP_FILE, 8, 0, 20);
  checksum(builder, RSDP_FILE, 32, 0, 36);
  return { tables: Uint8Array.from(builder.bytes), rsdp, loader: Uint8Array.from(builder.commands) };
}

interface Builder {
  readonly bytes: number[];
  readonly commands: number[];
}

const ascii = (value: string): number[] => [...value].map((c) => c.charCodeAt(0));
const file = (value: string): number[] => [...ascii(value), ...new Array<number>(56 - value.length).fill(0)];

/** A command of the linker has 128 bytes. */
function command({ commands }: Builder, type: number, body: readonly number[]): void {
  commands.push(...le(type, 4), ...body, ...new Array<number>(124 - body.length).fill(0));
}

/** `zone`: 1 anywhere, 2 in the segment F000. */
function allocate(builder: Builder, name: string, align: number, zone: number): void {
  command(builder, 1, [...file(name), ...le(align, 4), zone]);
}

/** Adds the address of the tables to what stands at `offset`, which is the offset of the target. */
function point(builder: Builder, offset: number, size: number, target: number): void {
  le(target, size).forEach((byte, i) => {
    builder.bytes[offset + i] = byte;
  });
  command(builder, 2, [...file(TABLES_FILE), ...file(TABLES_FILE), ...le(offset, 4), size]);
}

function checksum(builder: Builder, name: string, offset: number, start: number, length: number): void {
  command(builder, 3, [...file(name), ...le(offset, 4), ...le(start, 4), ...le(length, 4)]);
}

function lengthAt({ bytes }: Builder, table: number): number {
  return (bytes[table + 4] ?? 0) | ((bytes[table + 5] ?? 0) << 8) | ((bytes[table + 6] ?? 0) << 16);
}

function append({ bytes }: Builder, more: readonly number[]): number {
  const at = bytes.length;
  bytes.push(...more);
  return at;
}

/** Header as QEMU fills it in. */
function appendTable(builder: Builder, signature: string, revision: number, body: readonly number[]): number {
  const header = [
    ...ascii(signature),
    ...le(HEADER + body.length, 4),
    revision,
    0,
    ...ascii('BOCHS '),
    ...ascii('BXPC    '),
    ...le(1, 4),
    ...ascii('BXPC'),
    ...le(1, 4),
  ];
  return append(builder, [...header, ...body]);
}

/** Revision 2, with an XSDT alone. */
function rsdpBytes(xsdt: number): Uint8Array {
  return Uint8Array.from([
    ...ascii('RSD PTR '),
    0,
    ...ascii('BOCHS '),
    2,
    ...le(0, 4),
    ...le(36, 4),
    ...le(xsdt, 8),
    0,
    0,
    0,
    0,
  ]);
}

/** Generic address structure: ports. */
function port(address: number, bits: number): number[] {
  return [1, bits, 0, 0, ...le(address, 8)];
}

function fadtBody(): number[] {
  const none = new Array<number>(12).fill(0);
  const body = [
    ...le(0, 4), // FACS
    ...le(0, 4), // DSDT
    1, // no dual PIC model
    0,
    ...le(SCI, 2),
    ...le(0, 4), // no SMI command: the machine is in ACPI mode
    0,
    0,
    0,
    0,
    ...le(PM_BASE, 4),
    ...le(0, 4),
    ...le(PM_BASE + 4, 4),
    ...le(0, 4),
    ...le(0, 4),
    ...le(PM_BASE + 8, 4),
    ...le(PM_BASE + 0x20, 4),
    ...le(0, 4),
    4, // lengths of event, control, PM2, timer, GPE0, GPE1
    2,
    0,
    4,
    16,
    0,
    0,
    0,
    ...le(0xfff, 2), // C2 and C3 are too slow to use
    ...le(0xfff, 2),
    ...le(0, 2),
    ...le(0, 2),
    0,
    0,
    0,
    0,
    0x32, // century in CMOS
    ...le(2, 2), // 8042
    0,
    ...le(FADT_FLAGS, 4),
    ...port(RESET_PORT, 8),
    RESET_VALUE,
    ...le(0, 2),
    0,
    ...le(0, 8), // X_FIRMWARE_CTRL
    ...le(0, 8), // X_DSDT
    ...port(PM_BASE, 32),
    ...none,
    ...port(PM_BASE + 4, 16),
    ...none,
    ...none,
    ...port(PM_BASE + 8, 32),
    ...port(PM_BASE + 0x20, 128),
    ...none,
    ...none,
    ...none,
    ...le(0, 8),
  ];
  return body;
}

/** Local APICs, I/O APIC, the interval timer at input 2, level-triggered interrupts of the PCI bus, NMI at LINT1. */
function madtBody(vcpus: number): number[] {
  const body = [...le(0xfee0_0000, 4), ...le(1, 4)];
  for (let id = 0; id < vcpus; id++) {
    if (id < 255) body.push(0, 8, id, id, ...le(1, 4));
    else body.push(9, 16, 0, 0, ...le(id, 4), ...le(1, 4), ...le(id, 4));
  }
  body.push(1, 12, 0, 0, ...le(0xfec0_0000, 4), ...le(0, 4));
  body.push(2, 10, 0, 0, ...le(2, 4), ...le(0, 2));
  for (const line of [5, 9, 10, 11]) body.push(2, 10, 0, line, ...le(line, 4), ...le(0x0d, 2));
  if (vcpus > 255) body.push(10, 12, ...le(0, 2), ...le(0xffff_ffff, 4), 1, 0, 0, 0);
  else body.push(4, 6, 0xff, 0, 0, 1);
  return body;
}

function hpetBody(): number[] {
  return [...le(0x8086_a201, 4), 0, 0, 0, 0, ...le(0xfed0_0000, 8), 0, ...le(0, 2), 0];
}

function mcfgBody(): number[] {
  return [...le(0, 8), ...le(MMCONFIG_BASE, 8), ...le(0, 2), 0, 0xff, ...le(0, 4)];
}

function dsdtBody(vcpus: number, low: number): Aml {
  return [
    ...scope('\\_SB', pciRoot(low), ...processors(vcpus), hpetDevice()),
    ...define('\\_S5', list(integer(0), integer(0), integer(0), integer(0))),
  ];
}

function pciRoot(low: number): Aml {
  const below = Math.max(low, 0x8000_0000);
  return device(
    'PCI0',
    define('_HID', eisaId('PNP0A08')),
    define('_CID', eisaId('PNP0A03')),
    define('_UID', integer(0)),
    define(
      '_CRS',
      resources(
        busNumbers(0, 0xff),
        portWindow(0, 0xcf7),
        portWindow(0xd00, 0xffff),
        memoryWindow(0xa_0000, 0xb_ffff),
        memoryWindow(below, MMCONFIG_BASE - 1),
        memoryWindow(MMCONFIG_BASE + MMCONFIG_SIZE, 0xfebf_ffff),
      ),
    ),
    define('_PRT', list(...pciRoutes())),
    device('ISA', define('_ADR', integer(0x1f_0000)), ...isaDevices()),
    // The range of MMCONFIG must be claimed by a device that is no bridge.
    device(
      'DRAC',
      define('_HID', eisaId('PNP0C01')),
      define('_CRS', resources(memory32(MMCONFIG_BASE, MMCONFIG_SIZE))),
    ),
  );
}

/** Interrupts of PCI devices by slot and pin: inputs 20 to 23 of the I/O APIC, 16 to 19 for the devices of the chipset. */
function pciRoutes(): Aml[] {
  const routes: Aml[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 0; pin < 4; pin++) {
      const line = slot < 0x19 ? 20 + ((slot + pin) & 3) : 16 + pin;
      routes.push(list(integer(slot * 0x1_0000 + 0xffff), integer(pin), integer(0), integer(line)));
    }
  }
  return routes;
}

function isaDevices(): Aml[] {
  return [
    device('RTC', define('_HID', eisaId('PNP0B00')), define('_CRS', resources(io(0x70, 8), irq(8)))),
    device(
      'KBD',
      define('_HID', eisaId('PNP0303')),
      define('_STA', integer(0x0f)),
      define('_CRS', resources(io(0x60, 1), io(0x64, 1), irq(1))),
    ),
    device('MOU', define('_HID', eisaId('PNP0F13')), define('_STA', integer(0x0f)), define('_CRS', resources(irq(12)))),
    device(
      'COM1',
      define('_HID', eisaId('PNP0501')),
      define('_UID', integer(1)),
      define('_STA', integer(0x0f)),
      define('_CRS', resources(io(0x3f8, 8), irq(4))),
    ),
  ];
}

function processors(vcpus: number): Aml[] {
  const all: Aml[] = [];
  for (let id = 0; id < vcpus; id++) {
    const label = `C${id.toString(16).toUpperCase().padStart(3, '0')}`;
    all.push(
      device(label, define('_HID', text('ACPI0007')), define('_UID', integer(id)), define('_STA', integer(0x0f))),
    );
  }
  return all;
}

function hpetDevice(): Aml {
  return device(
    'HPET',
    define('_HID', eisaId('PNP0103')),
    define('_UID', integer(0)),
    define('_STA', integer(0x0f)),
    define('_CRS', resources(memory32(0xfed0_0000, 0x400))),
  );
}
