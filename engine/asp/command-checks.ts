import { defineFault } from '../fault.js';
import { type FirmwareMachine, type FirmwareResult, refuse, status } from './command.js';
import { currentFirmware, type FirmwareFeatures, firmwareFeatures } from './platform-firmware.js';

/** Checks that come before a command looks at its fields: is it known, and has its buffer the right length. */

export const COMMAND_LENGTH = defineFault<{ length: number; needed: number }>({
  check: 'fw-command-length',
  layer: 'firmware',
  command: 'SNP_*',
  code: status('INVALID_LENGTH'),
  title: 'Wrong length of the command buffer',
  message: (o) => `LENGTH of the command buffer is ${o.length}; the command has ${o.needed} bytes.`,
  why: 'The length tells the firmware which version of the structure it got, before it reads further fields.',
  hint: 'Set the first word of the buffer to the size of the structure.',
  reference: 'AMD pub. 56860, command buffers; Linux include/linux/psp-sev.h',
  confirmed: false,
});

/** Undefined: the length is right. An absent length is right: the caller has no raw buffer. */
export function lengthRefusal(length: number | undefined, needed: number, command: string): FirmwareResult | undefined {
  if (length === undefined || length === needed) return undefined;
  return refuse(COMMAND_LENGTH, { length, needed }, command);
}

export const COMMAND_UNKNOWN = defineFault<{ command: string; abi: string }>({
  check: 'fw-command-unknown',
  layer: 'firmware',
  command: 'SNP_*',
  code: status('INVALID_COMMAND'),
  title: 'The firmware does not know this command',
  message: (o) => `Firmware ABI ${o.abi} has no ${o.command}.`,
  why: 'Commands were added over time; an older firmware answers every number that it does not know alike.',
  hint: 'Ask SNP_PLATFORM_STATUS for the version first, or use a newer firmware.',
  reference: 'AMD pub. 56860, commands; which version brought which command is not confirmed',
  confirmed: false,
});

/** Undefined: the running firmware has the feature that the command belongs to. */
export function commandRefusal(
  machine: FirmwareMachine,
  feature: keyof FirmwareFeatures,
  command: string,
): FirmwareResult | undefined {
  const firmware = currentFirmware(machine);
  if (firmwareFeatures(firmware)[feature]) return undefined;
  return refuse(COMMAND_UNKNOWN, { command, abi: `${firmware.major}.${firmware.minor}` }, command);
}
