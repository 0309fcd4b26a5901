import { view } from '../../bytes.js';
import { createAcpiFiles } from './acpi-tables.js';
import { createFwCfg, FW_CFG, type FwCfg } from './fw-cfg.js';
import { createSmbiosFiles } from './smbios.js';

/** What the board is made of. */
export interface BoardConfig {
  readonly vcpus: number;
  /** Bytes of memory below and above 4 GiB. */
  readonly memory: { readonly below: number; readonly above: number };
  /** -kernel, -initrd, -append. */
  readonly kernel?: { readonly kernel: Uint8Array; readonly initrd?: Uint8Array; readonly append?: string };
}

const FOUR_GIB = 2 ** 32;
const E820_RAM = 1;
const E820_RESERVED = 2;
/** AMD processors keep 12 GiB below 1 TiB for HyperTransport. */
const HYPERTRANSPORT = 0xfd_0000_0000;
const HYPERTRANSPORT_SIZE = 0x3_0000_0000;
/** Sleep states that the board knows (bit 7), with the values of SLP_TYP: S3 1, S4 2, S5 0. */
const SYSTEM_STATES = [0x80, 0, 0, 0x81, 0x82, 0x80];

/** The items of QEMU's q35 board. QEMU hw/i386/{fw_cfg,pc,x86-common,acpi-build}.c. */
export function createBoardFwCfg(config: BoardConfig): FwCfg {
  const { vcpus, memory } = config;
  const items = new Map<number, Uint8Array>([
    [FW_CFG.UUID, new Uint8Array(16)],
    [FW_CFG.RAM_SIZE, number(memory.below + memory.above, 8)],
    [FW_CFG.NOGRAPHIC, number(0, 2)],
    [FW_CFG.NB_CPUS, number(vcpus, 2)],
    [FW_CFG.MAX_CPUS, number(vcpus, 2)],
    [FW_CFG.BOOT_MENU, number(0, 2)],
    [FW_CFG.NUMA, new Uint8Array(8 * (1 + vcpus))],
    ...kernelItems(config),
  ]);
  const acpi = createAcpiFiles(vcpus, memory.below);
  const smbios = createSmbiosFiles(vcpus, memory);
  const files = new Map<string, Uint8Array>([
    ['bootorder', new Uint8Array()],
    ['etc/acpi/rsdp', acpi.rsdp],
    ['etc/acpi/tables', acpi.tables],
    ['etc/boot-fail-wait', Uint8Array.of(0xff, 0xff, 0xff, 0xff)],
    ['etc/e820', e820(memory)],
    ['etc/smbios/smbios-anchor', smbios.anchor],
    ['etc/smbios/smbios-tables', smbios.tables],
    ['etc/system-states', Uint8Array.from(SYSTEM_STATES)],
    ['etc/table-loader', acpi.loader],
  ]);
  return createFwCfg(items, files);
}

function number(value: number, size: number): Uint8Array {
  const bytes = new Uint8Array(8);
  view(bytes).setBigUint64(0, BigInt(value), true);
  return bytes.subarray(0, size);
}

function e820({ below, above }: BoardConfig['memory']): Uint8Array {
  const rows = [
    [HYPERTRANSPORT, HYPERTRANSPORT_SIZE, E820_RESERVED],
    [0, below, E820_RAM],
    ...(above > 0 ? [[FOUR_GIB, above, E820_RAM]] : []),
  ];
  const bytes = new Uint8Array(20 * rows.length);
  rows.forEach(([address = 0, length = 0, type = 0], i) => {
    view(bytes).setBigUint64(20 * i, BigInt(address), true);
    view(bytes).setBigUint64(20 * i + 8, BigInt(length), true);
    view(bytes).setUint32(20 * i + 16, type, true);
  });
  return bytes;
}

const SECTOR = 512;
const SETUP_SECTS = 0x1f1;

/** The kernel is split into its set-up part and the rest; with SEV QEMU changes nothing in it. */
function kernelItems({ kernel: files }: BoardConfig): [number, Uint8Array][] {
  if (!files) return [];
  const { kernel, initrd, append } = files;
  const setup = Math.min(((kernel[SETUP_SECTS] || 4) + 1) * SECTOR, kernel.length);
  const cmdline = Uint8Array.from([...(append ?? '')].map((c) => c.charCodeAt(0)).concat(0));
  return [
    [FW_CFG.SETUP_SIZE, number(setup, 4)],
    [FW_CFG.SETUP_DATA, kernel.subarray(0, setup)],
    [FW_CFG.KERNEL_SIZE, number(kernel.length - setup, 4)],
    [FW_CFG.KERNEL_DATA, kernel.subarray(setup)],
    [FW_CFG.CMDLINE_SIZE, number(cmdline.length, 4)],
    [FW_CFG.CMDLINE_DATA, cmdline],
    ...(initrd
      ? ([
          [FW_CFG.INITRD_SIZE, number(initrd.length, 4)],
          [FW_CFG.INITRD_DATA, initrd],
        ] as [number, Uint8Array][])
      : []),
  ];
}
