import { hex, type Spa } from '../../address.js';
import { defineFault } from '../../fault.js';
import type { Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, status } from '../command.js';
import { COMMAND_UNKNOWN } from '../command-checks.js';
import { bufferRefusal } from '../common-checks.js';
import { readBytes } from '../page-io.js';
import { currentFirmware } from '../platform-firmware.js';
import { commandBuffer } from './buffer.js';
import { snpCommandName } from './command-id.js';
import { MAILBOX_COMMANDS, reservedAt } from './command-table.js';

/**
 * The mailbox of the secure processor: a command number and the address of a buffer. Host code of the emulator calls
 * the commands themselves; this is for raw buffers. Linux drivers/crypto/ccp/sev-dev.c __sev_do_cmd_locked().
 */

export const COMMAND_RESERVED = defineFault<{ offset: string }>({
  check: 'fw-command-reserved',
  layer: 'firmware',
  command: 'SNP_*',
  code: status('INVALID_PARAM'),
  title: 'Reserved bits of the command buffer are not zero',
  message: (o) => `The word at offset ${o.offset} of the command buffer has a reserved bit set.`,
  why: 'Reserved bits may get a meaning in a later firmware. A host that sets them by chance would then ask for something else.',
  hint: 'Clear the buffer before its fields are written.',
  reference: 'AMD pub. 56860, command buffers',
  confirmed: false,
});

/** A frame for a command that ends before it begins. */
function refusedAtOnce(machine: FirmwareMachine, name: string, buffer: Spa, result: FirmwareResult) {
  // biome-ignore lint/correctness/useYield: the command has no events of its own.
  return inCommand(machine, name, { args: { buffer: hex(buffer) } }, function* () {
    return result;
  });
}

/**
 * Runs the command with number `id`. `buffer` is ignored by commands without parameters. That reserved bits are looked
 * at before anything else is (U).
 */
export function mailboxCommand(machine: FirmwareMachine, id: number, buffer: Spa): Op<FirmwareResult> {
  const name = snpCommandName(id);
  if (!name) {
    const { major, minor } = currentFirmware(machine);
    const unknown = `command ${hex(id)}`;
    const operands = { command: unknown, abi: `${major}.${minor}` };
    return refusedAtOnce(machine, unknown, buffer, refuse(COMMAND_UNKNOWN, operands, unknown));
  }
  const command = MAILBOX_COMMANDS[name];
  const outside =
    command.size === 0 ? undefined : bufferRefusal(machine, name, 'the command buffer', buffer, command.size);
  if (outside) return refusedAtOnce(machine, name, buffer, outside);
  // Two words more, so that flags at the end can be read as words.
  const bytes = new Uint8Array(command.size + 8);
  if (command.size > 0) bytes.set(readBytes(machine.memory, buffer, command.size));
  const fields = commandBuffer(machine, bytes);
  const offset = reservedAt(command, fields);
  if (offset !== undefined) {
    return refusedAtOnce(machine, name, buffer, refuse(COMMAND_RESERVED, { offset }, name));
  }
  const run = command.run(machine, fields);
  return 'status' in run ? refusedAtOnce(machine, name, buffer, run) : run;
}
