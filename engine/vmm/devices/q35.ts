import { ahciPorts, ahciRegisters } from './ahci.js';
import type { Board } from './board.js';
import { createPciConfig, getConfig, identify, type PciConfig, type PciFunction, setConfig } from './pci.js';
import { smbusPorts } from './smbus.js';

/** Root bus of the board, and what was written to CONFIG_ADDRESS. */
export interface PciBus {
  /** By device number times 8 plus function number. */
  readonly functions: Map<number, PciConfig>;
  address: number;
  /** Counts writes to the registers: what is decoded where is looked up anew. */
  revision: number;
}

export const HOST_BRIDGE = 0x00;
export const LPC = 0xf8;
const MULTIFUNCTION = 0x80;
const PCIEXBAR = 0x60;
const PCIEXBAR_LENGTHS = [256, 128, 64, 0];
const MIB = 2 ** 20;
const PMBASE = 0x40;
const ACPI_CNTL = 0x44;
const ACPI_ENABLE = 0x80;

/** The functions of bus 0 as `qemu -machine q35 -nodefaults` has them. Sources: QEMU hw/pci-host/q35.c,
 * hw/isa/lpc_ich9.c, hw/ide/ich.c, hw/i2c/smbus_ich9.c; Intel 82G33 and ICH9 data sheets. */
export const Q35_FUNCTIONS: readonly PciFunction[] = [
  {
    name: 'host bridge (MCH)',
    devfn: HOST_BRIDGE,
    bars: [],
    reset(config) {
      identify(config, 0x29c0_8086, 0x06_0000, 0);
      const { bytes, writable, clearable } = config;
      // EXT_TSEG_MBYTES: QEMU's own register: 16 MiB in answer to 0xFFFF.
      setConfig(bytes, 0x50, 2, 16);
      setConfig(bytes, PCIEXBAR, 4, 0xb000_0000);
      setConfig(writable, PCIEXBAR, 4, 0xf000_0007);
      setConfig(writable, PCIEXBAR + 4, 4, 0xf);
      for (let pam = 0x90; pam < 0x97; pam++) writable[pam] = pam === 0x90 ? 0x30 : 0x33;
      // SMRAM, ESMRAMC: without SMM (which an SNP guest does not have) fixed.
      bytes[0x9d] = 0x02;
      bytes[0x9e] = 0x38;
      clearable[0x9e] = 0;
    },
  },
  {
    name: 'ISA bridge (ICH9 LPC)',
    devfn: LPC,
    bars: [],
    reset(config) {
      identify(config, 0x2918_8086, 0x06_0100, 2);
      const { bytes, writable } = config;
      bytes[0x0e] = MULTIFUNCTION;
      bytes[PMBASE] = 1;
      setConfig(writable, PMBASE, 4, 0xff80);
      writable[ACPI_CNTL] = 0x87;
      for (let i = 0; i < 4; i++) {
        for (const pirq of [0x60, 0x68]) {
          bytes[pirq + i] = 0x80;
          writable[pirq + i] = 0x8f;
        }
      }
      // GEN_PMCON_1 to 3, general control, RCBA.
      setConfig(writable, 0xa0, 4, 0x1f_ffff);
      setConfig(writable, 0xf0, 4, 0xffff_c001);
    },
  },
  {
    name: 'SATA controller (ICH9 AHCI)',
    devfn: 0xfa,
    bars: [
      { index: 4, kind: 'io', size: 0x20, ...ahciPorts },
      { index: 5, kind: 'memory', size: 0x1000, ...ahciRegisters },
    ],
    reset(config) {
      identify(config, 0x2922_8086, 0x01_0601, 2);
      const { bytes, writable } = config;
      bytes[0x06] = 0x10;
      bytes[0x0e] = MULTIFUNCTION;
      bytes[0x34] = 0x80;
      bytes[0x3d] = 1;
      // MSI with 64-bit address, then the SATA capability.
      setConfig(bytes, 0x80, 4, 0x0080_a805);
      setConfig(writable, 0x82, 2, 0x0071);
      setConfig(writable, 0x84, 4, 0xffff_fffc);
      setConfig(writable, 0x88, 4, 0xffff_ffff);
      setConfig(writable, 0x8c, 2, 0xffff);
      bytes[0x90] = 0x40;
      setConfig(bytes, 0xa8, 4, 0x0010_0012);
      setConfig(bytes, 0xac, 4, 0x0000_0048);
    },
  },
  {
    name: 'SMBus controller (ICH9)',
    devfn: 0xfb,
    bars: [{ index: 4, kind: 'io', size: 0x40, ...smbusPorts }],
    reset(config) {
      identify(config, 0x2930_8086, 0x0c_0500, 2);
      config.bytes[0x0e] = MULTIFUNCTION;
      config.bytes[0x3d] = 1;
      config.writable[0x40] = 0x1f;
    },
  },
];

export function createPciBus(): PciBus {
  const functions = new Map(Q35_FUNCTIONS.map((f) => [f.devfn, createPciConfig(f)]));
  return { functions, address: 0, revision: 0 };
}

/** Where the ports of the ACPI block are; undefined as long as firmware has not switched them on. */
export function pmBase(board: Board): number | undefined {
  const bytes = board.pci.functions.get(LPC)?.bytes;
  if (!bytes || ((bytes[ACPI_CNTL] ?? 0) & ACPI_ENABLE) === 0) return undefined;
  return getConfig(bytes, PMBASE, 4) & 0xff80;
}

/** The window in which configuration registers are memory (MMCONFIG); undefined if it is switched off. */
export function mmConfig(board: Board): { readonly base: number; readonly size: number } | undefined {
  const bytes = board.pci.functions.get(HOST_BRIDGE)?.bytes;
  if (!bytes || ((bytes[PCIEXBAR] ?? 0) & 1) === 0) return undefined;
  const size = (PCIEXBAR_LENGTHS[((bytes[PCIEXBAR] ?? 0) >> 1) & 3] ?? 0) * MIB;
  if (size === 0) return undefined;
  const base = getConfig(bytes, PCIEXBAR, 4) + (bytes[PCIEXBAR + 4] ?? 0) * 2 ** 32;
  return { base: base - (base % size), size };
}
