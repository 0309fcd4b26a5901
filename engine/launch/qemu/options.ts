/** Options of QEMU that take no argument; all others take one. QEMU qemu-options.hx. */
const FLAGS = new Set(
  [
    'h help version enable-kvm nographic no-reboot no-shutdown snapshot S s nodefaults no-user-config daemonize',
    'no-hpet no-acpi no-fd-bootchk win2k-hack usb full-screen only-migratable preconfig mem-prealloc portrait',
    'curses sdl gtk no-quit enable-fips singlestep xen-attach xen-domid-restrict async-teardown',
    'enable-sync-profile old-param semihosting display-help no-kvm no-kvm-irqchip alt-grab ctrl-grab no-frame',
  ].flatMap((line) => line.split(' ')),
);

const WITH_ARGUMENT = new Set(
  [
    'machine M cpu accel smp numa add-fd set global boot m mem-path k audio-help audio audiodev device name uuid',
    'fda fdb hda hdb hdc hdd cdrom blockdev drive mtdblock sd pflash fsdev virtfs iscsi usbdevice display spice',
    'rotate vga g vnc acpitable smbios netdev nic net chardev tpmdev bios kernel append initrd dtb shim compat fw_cfg',
    'serial parallel monitor qmp qmp-pretty mon debugcon pidfile overcommit gdb d D dfilter seed L xen-domid action',
    'loadvm option-rom rtc icount watchdog watchdog-action echr incoming chroot runas run-with user sandbox readconfig',
    'writeconfig trace plugin msg dump-vmstate object perfmap jitdump virtioconsole soundhw balloon tb-size igd',
    'semihosting-config prom-env bt vmconfig',
  ].flatMap((line) => line.split(' ')),
);

/** Undefined: QEMU has no such option. */
export function takesArgument(name: string): boolean | undefined {
  if (FLAGS.has(name)) return false;
  return WITH_ARGUMENT.has(name) ? true : undefined;
}

/** Without one of them a command is none that launches a machine. */
export const MACHINE_OPTIONS: ReadonlySet<string> = new Set(
  'machine M object bios kernel cpu smp m drive pflash'.split(' '),
);
