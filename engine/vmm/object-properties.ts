import { ID_AUTH_SIZE, ID_BLOCK_SIZE } from '../asp/id-block.js';
import { defineFault, type Fault, type FaultDefinition, faultAt, makeFault, type SourceLocation } from '../fault.js';
import { inVmm, report, type Vmm, type VmmStep } from './context.js';

/** Properties of `-object sev-snp-guest` that have a length. QEMU target/i386/sev.c, setters of the object. */

interface LengthOperands extends Record<string, string | number> {
  readonly property: string;
  readonly length: number;
  readonly expected: number;
}

const REFERENCE = 'QEMU target/i386/sev.c';

export const ID_BLOCK_LENGTH = defineFault<LengthOperands>({
  check: 'vmm-id-block-length',
  layer: 'vmm',
  command: '-object sev-snp-guest',
  code: { kind: 'input' },
  title: 'ID block is not 96 bytes long',
  message: (o) => `The ID block has ${o.length} bytes; it must have exactly ${o.expected}.`,
  why: 'KVM copies 96 bytes of ID block. QEMU refuses any other length when it creates the object, before anything is launched.',
  hint: 'Give the 96-byte ID block as the tools write it: a binary file, not base64.',
  reference: `${REFERENCE} sev_snp_guest_set_id_block()`,
  confirmed: true,
});

export const ID_AUTH_LENGTH = defineFault<LengthOperands>({
  check: 'vmm-id-auth-length',
  layer: 'vmm',
  command: '-object sev-snp-guest',
  code: { kind: 'input' },
  title: 'ID authentication page is too long',
  message: (o) => `The ID authentication information has ${o.length} bytes; it can have at most ${o.expected}.`,
  why: 'The ID authentication information is one page of 4096 bytes: two keys and two signatures.',
  hint: 'Give the 4096-byte page as the tools write it: a binary file, not base64.',
  reference: `${REFERENCE} sev_snp_guest_set_id_auth()`,
  confirmed: true,
});

export const HOST_DATA_LENGTH = defineFault<LengthOperands>({
  check: 'vmm-host-data-length',
  layer: 'vmm',
  command: '-object sev-snp-guest',
  code: { kind: 'input' },
  title: 'host-data is not 32 bytes long',
  message: (o) => `host-data has ${o.length} bytes; it must have exactly ${o.expected}.`,
  why: 'HOST_DATA is a field of 32 bytes in the attestation report.',
  hint: 'Give 64 hex digits, for example a SHA-256.',
  reference: `${REFERENCE} sev_snp_guest_set_host_data()`,
  confirmed: true,
});

export const GOSVW_LENGTH = defineFault<LengthOperands>({
  check: 'vmm-gosvw-length',
  layer: 'vmm',
  command: '-object sev-snp-guest',
  code: { kind: 'input' },
  title: 'gosvw is not 16 bytes long',
  message: (o) => `gosvw (guest-visible-workarounds) has ${o.length} bytes; it must have exactly ${o.expected}.`,
  why: 'The field of guest OS visible workarounds in KVM_SEV_SNP_LAUNCH_START has 16 bytes.',
  hint: 'Give 32 hex digits, or leave it out for zeros.',
  reference: `${REFERENCE} sev_snp_guest_set_guest_visible_workarounds()`,
  confirmed: true,
});

/** Object creation: every length is checked before the accelerator is initialised. */
export function checkObjectProperties(vmm: Vmm): VmmStep {
  const { start, finish, entries } = vmm.plan;
  const startAt = entries.find((entry) => entry.kind === 'start')?.at;
  const finishAt = entries.find((entry) => entry.kind === 'finish')?.at;
  return inVmm(vmm, 'object_new sev-snp-guest', {}, function* () {
    const fault =
      wrongLength(GOSVW_LENGTH, 'guest-visible-workarounds', start.gosvw, 16, startAt) ??
      wrongLength(ID_BLOCK_LENGTH, 'id-block', finish.idBlock, ID_BLOCK_SIZE, finishAt) ??
      wrongLength(ID_AUTH_LENGTH, 'id-auth', finish.idAuth, ID_AUTH_SIZE, finishAt) ??
      wrongLength(HOST_DATA_LENGTH, 'host-data', finish.hostData, 32, finishAt);
    if (fault) yield report(vmm, lengthText(fault));
    return fault;
  });
}

/** Only id-auth may be shorter. */
function wrongLength(
  definition: FaultDefinition<LengthOperands>,
  property: string,
  bytes: Uint8Array | undefined,
  expected: number,
  at: SourceLocation | undefined,
): Fault | undefined {
  if (!bytes || bytes.length === expected) return undefined;
  if (definition === ID_AUTH_LENGTH && bytes.length < expected) return undefined;
  const fault = makeFault(definition, { property, length: bytes.length, expected });
  return at ? faultAt(fault, at) : fault;
}

function lengthText({ operands, check }: Fault): string {
  const limit = check === ID_AUTH_LENGTH.check ? 'exceeds max of' : 'not equal to';
  return `parameter length of ${operands.length} ${limit} ${operands.expected}`;
}
