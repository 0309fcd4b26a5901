import { hex, type Spa } from '../../address.js';
import { defineFault } from '../../fault.js';
import { FIRMWARE_ABI_MAX, FIRMWARE_ABI_MIN } from '../../spec/versions.js';
import { logEvent, type Op } from '../../timeline/event.js';
import {
  DOWNLOAD_FIRMWARE_EX,
  type FirmwareMachine,
  type FirmwareResult,
  inCommand,
  RESTORE_REQUIRED,
  refuse,
  SUCCESS,
  status,
} from '../command.js';
import { lengthRefusal } from '../command-checks.js';
import { bufferRefusal } from '../common-checks.js';
import { FIRMWARE_IMAGE_SIZE, type FirmwareImage, openFirmwareImage } from '../firmware-image.js';
import { readBytes } from '../page-io.js';
import { compareRevisions, formatRevision, installedFirmware } from '../platform-firmware.js';
import type { FirmwareRevision } from '../state.js';

const NAME = DOWNLOAD_FIRMWARE_EX;
const DOWNLOAD = 'AMD pub. 56860, SNP_DOWNLOAD_FIRMWARE_EX';
export const DOWNLOAD_FIRMWARE_SIZE = 0x18;

export interface DownloadFirmwareParams {
  readonly length?: number;
  readonly image: Spa;
  readonly imageLength: number;
  /** COMMIT: run SNP_COMMIT at once. */
  readonly commit: boolean;
}

export const DOWNLOAD_LENGTH = defineFault<{ length: number; needed: number }>({
  check: 'fw-download-image-length',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_LENGTH'),
  title: 'Wrong length of the firmware image',
  message: (o) => `The image has ${o.length} bytes; an image of the emulator has ${o.needed}.`,
  why: 'A cut-off image cannot be verified. The emulator has images of its own, which hold a version and no code.',
  hint: 'Make the image with encodeFirmwareImage(); images of AMD are not read.',
  reference: DOWNLOAD,
  confirmed: false,
});

export const DOWNLOAD_SIGNATURE = defineFault({
  check: 'fw-download-signature',
  layer: 'firmware',
  command: NAME,
  code: status('BAD_SIGNATURE'),
  title: 'Firmware image is not signed',
  message: () => 'The bytes are no firmware image of the emulator, or their signature is wrong.',
  why: 'The secure processor runs only what its vendor signed.',
  hint: 'Use an unchanged image; images of AMD are not read.',
  reference: DOWNLOAD,
  confirmed: true,
});

export const DOWNLOAD_ABI = defineFault<{ version: string; first: string; last: string }>({
  check: 'fw-download-abi',
  layer: 'firmware',
  command: NAME,
  code: status('UNSUPPORTED'),
  title: 'Firmware that the emulator does not know',
  message: (o) => `The image is firmware ${o.version}; the emulator knows ABI ${o.first} to ${o.last}.`,
  why: 'After an update the emulator behaves as that firmware, so it must know it. Real firmware has no such limit.',
  hint: 'Use an image in that range.',
  reference: DOWNLOAD,
  confirmed: false,
});

export const DOWNLOAD_SVN = defineFault<{ svn: number; committed: number }>({
  check: 'fw-download-svn',
  layer: 'firmware',
  command: NAME,
  code: status('BAD_SVN'),
  title: 'Security version of the image is too old',
  message: (o) => `The image has security version ${o.svn}; ${o.committed} has been committed.`,
  why: 'Going back would open holes that were closed, while reports still claim the newer version.',
  hint: 'Install an image with the committed security version or a newer one.',
  reference: DOWNLOAD,
  confirmed: true,
});

export const DOWNLOAD_VERSION = defineFault<{ version: string; committed: string }>({
  check: 'fw-download-version',
  layer: 'firmware',
  command: NAME,
  code: status('BAD_VERSION'),
  title: 'Version of the image is too old',
  message: (o) => `The image is firmware ${o.version}; ${o.committed} has been committed.`,
  why: 'SNP_COMMIT makes the running version the floor. Before it, an update can be taken back.',
  hint: 'Install the committed version or a newer one.',
  reference: DOWNLOAD,
  confirmed: true,
});

export const DOWNLOAD_SHUTDOWN = defineFault<{ version: string }>({
  check: 'fw-download-shutdown',
  layer: 'firmware',
  command: NAME,
  code: status('SHUTDOWN_REQUIRED'),
  title: 'Update needs a shutdown',
  message: (o) => `Firmware ${o.version} cannot take over the state of the running one while SNP is initialised.`,
  why: 'A live update hands guest contexts over to the new firmware. An image that lays them out in another way says that it cannot.',
  hint: 'End all guests, run SNP_SHUTDOWN_EX, update, and run SNP_INIT again.',
  reference: DOWNLOAD,
  confirmed: false,
});

export const DOWNLOAD_FAILED = defineFault<{ version: string; running: string }>({
  check: 'fw-download-failed',
  layer: 'firmware',
  command: NAME,
  code: status('UPDATE_FAILED'),
  title: 'Firmware update failed',
  message: (o) => `Firmware ${o.version} did not start; ${o.running} runs on.`,
  why: 'The new firmware tests itself before it takes over. In the emulator an image says that its test fails.',
  hint: 'Use another image; nothing has changed.',
  reference: DOWNLOAD,
  confirmed: false,
});

function refusal(machine: FirmwareMachine, params: DownloadFirmwareParams): FirmwareResult | undefined {
  const wrongLength = lengthRefusal(params.length, DOWNLOAD_FIRMWARE_SIZE, NAME);
  if (wrongLength) return wrongLength;
  if (params.imageLength !== FIRMWARE_IMAGE_SIZE) {
    return refuse(DOWNLOAD_LENGTH, { length: params.imageLength, needed: FIRMWARE_IMAGE_SIZE });
  }
  return bufferRefusal(machine, NAME, 'FW_PADDR', params.image, params.imageLength);
}

/** The checks of a signed image in their order, which is not confirmed. */
function imageRefusal(machine: FirmwareMachine, image: FirmwareImage): FirmwareResult | undefined {
  const version = formatRevision(image);
  if (image.minor < FIRMWARE_ABI_MIN || image.minor > FIRMWARE_ABI_MAX) {
    return refuse(DOWNLOAD_ABI, { version, first: `1.${FIRMWARE_ABI_MIN}`, last: `1.${FIRMWARE_ABI_MAX}` });
  }
  const { committed, current } = installedFirmware(machine);
  if (image.svn < committed.svn) return refuse(DOWNLOAD_SVN, { svn: image.svn, committed: committed.svn });
  if (compareRevisions(image, committed) < 0) {
    return refuse(DOWNLOAD_VERSION, { version, committed: formatRevision(committed) });
  }
  if (image.needsShutdown && machine.asp.platform === 'INIT') return refuse(DOWNLOAD_SHUTDOWN, { version });
  if (image.failure === 'refused') return refuse(DOWNLOAD_FAILED, { version, running: formatRevision(current) });
  return undefined;
}

/**
 * SNP_DOWNLOAD_FIRMWARE_EX (0x0CA), in any platform state: guests run on. Until SNP_COMMIT the old firmware can be
 * installed again. AMD pub. 56860, SNP_DOWNLOAD_FIRMWARE_EX.
 */
export function snpDownloadFirmwareEx(machine: FirmwareMachine, params: DownloadFirmwareParams): Op<FirmwareResult> {
  const args = { image: hex(params.image), length: params.imageLength, commit: params.commit };
  return inCommand(machine, NAME, { args }, function* () {
    const wrong = refusal(machine, params);
    if (wrong) return wrong;
    const image = openFirmwareImage(readBytes(machine.memory, params.image, params.imageLength), machine.crypto);
    if (!image) return refuse(DOWNLOAD_SIGNATURE, {});
    const notThis = imageRefusal(machine, image);
    if (notThis) return notThis;
    const { asp, stack } = machine;
    if (image.failure === 'half-way') {
      asp.restoreRequired = true;
      return refuse(RESTORE_REQUIRED, {}, NAME);
    }
    const current: FirmwareRevision = { minor: image.minor, build: image.build, svn: image.svn };
    const { committed } = installedFirmware(machine);
    asp.firmware = { current, committed: params.commit ? current : committed };
    if (params.commit) asp.config = { maskChipId: asp.config.maskChipId, maskChipKey: asp.config.maskChipKey };
    asp.restoreRequired = false;
    const text = `firmware ${formatRevision(current)} runs${params.commit ? ', committed' : ', not committed yet'}`;
    yield logEvent(stack, 'firmware', text);
    return SUCCESS;
  });
}
