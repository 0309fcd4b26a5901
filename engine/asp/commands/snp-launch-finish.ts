import { hex, type Spa } from '../../address.js';
import { copyBytes } from '../../bytes.js';
import { defineFault } from '../../fault.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, refused, SUCCESS, status } from '../command.js';
import { bufferRefusal, findGuest } from '../common-checks.js';
import { verifyIdAuth } from '../id-auth.js';
import { ID_AUTH_SIZE, ID_BLOCK_SIZE } from '../id-block.js';
import { readBytes } from '../page-io.js';
import { currentFirmware } from '../platform-firmware.js';
import type { GuestContext } from '../state.js';

const NAME = 'SNP_LAUNCH_FINISH';

export interface LaunchFinishParams {
  readonly gctx: Spa;
  /** Where the 96 and 4096 bytes lie; read only with `idBlockEnabled`. */
  readonly idBlock: Spa;
  readonly idAuth: Spa;
  readonly idBlockEnabled: boolean;
  /** Ignored without an ID block. */
  readonly authKeyEnabled: boolean;
  readonly vcekDisabled: boolean;
  /** 32 bytes. */
  readonly hostData: Uint8Array;
}

export const FINISH_HOST_DATA = defineFault<{ length: number }>({
  check: 'fw-launch-finish-host-data',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'HOST_DATA is not 32 bytes long',
  message: (o) => `HOST_DATA has ${o.length} bytes; the field has 32.`,
  why: 'HOST_DATA is what the host tells a verifier about the guest; every attestation report carries these 32 bytes.',
  hint: 'Give 32 bytes, for example a SHA-256; all zeros means none.',
  reference: 'AMD pub. 56860, SNP_LAUNCH_FINISH',
  confirmed: true,
});

/** Verifies the ID block and stores it. Undefined: fine. */
function takeIdBlock(
  machine: FirmwareMachine,
  guest: GuestContext,
  params: LaunchFinishParams,
): FirmwareResult | undefined {
  const wrong =
    bufferRefusal(machine, NAME, 'ID_BLOCK_PADDR', params.idBlock, ID_BLOCK_SIZE) ??
    bufferRefusal(machine, NAME, 'ID_AUTH_PADDR', params.idAuth, ID_AUTH_SIZE);
  if (wrong) return wrong;
  const verified = verifyIdAuth({
    idBlock: readBytes(machine.memory, params.idBlock, ID_BLOCK_SIZE),
    idAuth: readBytes(machine.memory, params.idAuth, ID_AUTH_SIZE),
    ld: guest.ld,
    policy: guest.policy,
    authKeyEnabled: params.authKeyEnabled,
    firmware: currentFirmware(machine),
    crypto: machine.crypto,
  });
  if (!verified.ok) return refused(verified.fault);
  const { block, idKeyDigest, authorKeyDigest } = verified.value;
  guest.idBlock = block;
  guest.idKeyDigest = idKeyDigest;
  guest.authorKeyDigest = authorKeyDigest;
  guest.authorKeyEnabled = params.authKeyEnabled;
  return undefined;
}

/** SNP_LAUNCH_FINISH (0x0A2): LAUNCH → RUNNING. AMD pub. 56860, SNP_LAUNCH_FINISH. */
export function snpLaunchFinish(machine: FirmwareMachine, params: LaunchFinishParams): Op<FirmwareResult> {
  const args = {
    gctx: hex(params.gctx),
    idBlockEnabled: params.idBlockEnabled,
    authKeyEnabled: params.authKeyEnabled,
    vcekDisabled: params.vcekDisabled,
  };
  return inCommand(machine, NAME, { args }, function* () {
    const found = findGuest(machine, NAME, params.gctx, ['LAUNCH']);
    if ('refusal' in found) return found.refusal;
    const { guest } = found;
    if (params.hostData.length !== 32) return refuse(FINISH_HOST_DATA, { length: params.hostData.length });
    if (params.idBlockEnabled) {
      const wrong = takeIdBlock(machine, guest, params);
      if (wrong) return wrong;
      const author = params.authKeyEnabled ? ', ID key signed by the author key' : '';
      yield logEvent(machine.stack, 'firmware', `ID block accepted: digest, policy and signature match${author}`);
    }
    guest.hostData = copyBytes(params.hostData);
    guest.vcekDisabled = params.vcekDisabled;
    guest.state = 'RUNNING';
    return SUCCESS;
  });
}
