import { type AcpiPm, createAcpiPm } from './acpi-pm.js';
import { type Ahci, createAhci } from './ahci.js';
import { type BoardConfig, createBoardFwCfg } from './board-fw-cfg.js';
import { type Cmos, createCmos } from './cmos.js';
import { type CpuHotplug, createCpuHotplug } from './cpu-hotplug.js';
import type { FwCfg } from './fw-cfg.js';
import { createHpet, type Hpet } from './hpet.js';
import { createI8042, type I8042 } from './i8042.js';
import { createPciBus, type PciBus } from './q35.js';
import { createSerialPort, type SerialPort } from './serial.js';
import { createSmbus, type Smbus } from './smbus.js';

/** The devices of the machine, as plain state. */
export interface Board {
  readonly serial: SerialPort;
  readonly pci: PciBus;
  readonly pm: AcpiPm;
  readonly fwCfg: FwCfg;
  readonly cmos: Cmos;
  readonly keyboard: I8042;
  readonly hpet: Hpet;
  readonly cpuHotplug: CpuHotplug;
  ahci: Ahci;
  readonly smbus: Smbus;
  /** RST_CNT at 0xCF9. */
  resetControl: number;
  /** Port 0x92. */
  fastA20: number;
  /** APM control and status, 0xB2 and 0xB3. */
  readonly apm: Uint8Array;
  /** What the guest asked for with a device; the VMM looks at it after each access. */
  request?: 'power-off' | 'reset';
  /** Output that has not been reported yet. */
  readonly output: { serial: string; debugcon: string };
}

const MIB = 2 ** 20;
const SMALL: BoardConfig = { vcpus: 1, memory: { below: 128 * MIB, above: 0 } };

export function createBoard(config: BoardConfig = SMALL): Board {
  const { vcpus, memory } = config;
  return {
    serial: createSerialPort(),
    pci: createPciBus(),
    pm: createAcpiPm(),
    fwCfg: createBoardFwCfg(config),
    cmos: createCmos(memory, vcpus),
    keyboard: createI8042(),
    hpet: createHpet(),
    cpuHotplug: createCpuHotplug(vcpus),
    ahci: createAhci(),
    smbus: createSmbus(),
    resetControl: 0,
    fastA20: 0,
    apm: new Uint8Array(2),
    output: { serial: '', debugcon: '' },
  };
}
