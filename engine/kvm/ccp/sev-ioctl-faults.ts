import { defineFault } from '../../fault.js';
import { errno } from '../../spec/errno.js';

/** Refusals of /dev/sev. Linux drivers/crypto/ccp/sev-dev.c. */

const FILE = 'Linux drivers/crypto/ccp/sev-dev.c';
const COMMAND = 'SEV_ISSUE_CMD';

export const SEV_DEV_COMMAND = defineFault<{ cmd: number; max: number }>({
  check: 'kvm-sev-dev-command',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Unknown command of /dev/sev',
  message: (o) => `/dev/sev knows no command ${o.cmd} here; SNP commands are 9 to ${o.max}.`,
  why: 'Commands of /dev/sev manage the platform. This emulator has those of SNP: platform status, commit, configuration, VLEK. Those of legacy SEV (0 to 8) are not emulated.',
  hint: 'Use SNP_PLATFORM_STATUS (9), SNP_COMMIT (10), SNP_SET_CONFIG (11) or SNP_VLEK_LOAD (12).',
  reference: `${FILE} sev_ioctl()`,
  confirmed: true,
});

export const SEV_DEV_NOT_INIT = defineFault<{ name: string; reason: string }>({
  check: 'kvm-sev-dev-not-initialised',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Not possible on this platform, or without a struct',
  message: (o) => `${o.name} is refused: ${o.reason}.`,
  why: 'The driver passes SNP commands on only when it has initialised the SNP firmware itself, and when userspace gave an address for the struct of the command.',
  hint: 'Look in the kernel log why SNP_INIT failed, and pass the address of the struct.',
  reference: `${FILE} sev_ioctl_do_snp_platform_status(), sev_ioctl_do_snp_set_config(), sev_ioctl_do_snp_vlek_load()`,
  confirmed: true,
});

export const SEV_DEV_READ_ONLY = defineFault<{ name: string }>({
  check: 'kvm-sev-dev-read-only',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EPERM'),
  title: '/dev/sev opened read-only',
  message: (o) => `${o.name} changes the platform, but /dev/sev was opened without the right to write.`,
  why: 'Everybody who may read /dev/sev can ask for the status; changes need more.',
  hint: 'Open /dev/sev with O_RDWR.',
  reference: `${FILE} sev_ioctl_do_snp_set_config()`,
  confirmed: true,
});

export const SEV_DEV_VLEK = defineFault<{ length: number; version: number }>({
  check: 'kvm-sev-dev-vlek',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Struct of SNP_VLEK_LOAD not valid',
  message: (o) => `len is ${o.length} and vlek_wrapped_version is ${o.version}; they must be 16 and 0.`,
  why: 'The wrapped VLEK comes from AMD’s key distribution service in one layout, version 0.',
  hint: 'Use a tool that knows the layout, such as snphost.',
  reference: `${FILE} sev_ioctl_do_snp_vlek_load()`,
  confirmed: true,
});

export const SEV_DEV_FIRMWARE = defineFault<{ name: string }>({
  check: 'kvm-sev-dev-firmware',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EIO'),
  title: 'The firmware refused the command',
  message: (o) => `The firmware refused ${o.name}; its status is in sev_issue_cmd.error.`,
  why: 'Every status but SUCCESS becomes -EIO.',
  hint: 'See the firmware’s own reason below.',
  reference: `${FILE} sev_do_cmd()`,
  confirmed: true,
});

export const SEV_DEV_STATUS_PAGE = defineFault<{ pfn: string }>({
  check: 'kvm-sev-dev-status-page',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EFAULT'),
  title: 'No page for the status',
  message: (o) => `Page frame ${o.pfn} cannot be given to the firmware for its answer, or not be taken back.`,
  why: 'With SNP initialised the firmware writes only to Firmware pages: the driver gives it a page and takes it back afterwards.',
  hint: 'See the reason below.',
  reference: `${FILE} sev_ioctl_do_snp_platform_status()`,
  confirmed: true,
});
