import { CERTIFICATE_GUID, encodeCertificateTable } from '../../engine/asp/attestation/certificate-table.js';
import { machineVcek } from '../../engine/asp/attestation/vcek.js';
import { EMULATED_CSP_ID, machineVlek } from '../../engine/asp/attestation/vlek.js';
import type { FirmwareMachine } from '../../engine/asp/command.js';
import { type EndorsementChain, endorsementChain } from './endorsement-chain.js';

/** What AMD's key distribution service would answer about an emulated machine. */

type Chip = Pick<FirmwareMachine, 'processor' | 'firmware' | 'random' | 'asp'>;

/** Certificates for the VCEK of the reported TCB. */
export function vcekChain(machine: Chip): EndorsementChain {
  const { chipId, tcb, publicKey } = machineVcek(machine);
  return endorsementChain({ processor: machine.processor, subject: { kind: 'VCEK', chipId }, tcb, publicKey });
}

/** Certificates for the loaded VLEK; undefined: none is loaded, or it is older than the reported TCB. */
export function vlekChain(machine: Chip, cspId = EMULATED_CSP_ID): EndorsementChain | undefined {
  const vlek = machineVlek(machine);
  if (!vlek) return undefined;
  return endorsementChain({ processor: machine.processor, subject: { kind: 'VLEK', cspId }, ...vlek });
}

/** The certificate table that a host puts into an extended guest request: that of the key which KEY_SEL 0 means. */
export function machineCertificateTable(machine: Chip): Uint8Array {
  const vlek = vlekChain(machine);
  const chain = vlek ?? vcekChain(machine);
  return encodeCertificateTable([
    { guid: CERTIFICATE_GUID.ARK, data: chain.ark },
    { guid: CERTIFICATE_GUID.ASK, data: chain.intermediate },
    { guid: vlek ? CERTIFICATE_GUID.VLEK : CERTIFICATE_GUID.VCEK, data: chain.leaf },
  ]);
}
