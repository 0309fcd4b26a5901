import { type Spa, spa } from '../../../../engine/address.js';
import { snpActivate } from '../../../../engine/asp/commands/snp-activate.js';
import { snpLaunchFinish } from '../../../../engine/asp/commands/snp-launch-finish.js';
import { snpLaunchStart } from '../../../../engine/asp/commands/snp-launch-start.js';
import { MESSAGE_TYPE } from '../../../../engine/asp/guest-message.js';
import { decodeExportResponse, encodeExportRequest } from '../../../../engine/asp/migration/export-request.js';
import { createGuest, firmwarePage, GOSVW, must } from '../../../support/bare-machine.js';
import { type Channel, exchange } from '../guest-channel.js';
import { guestPage, metadataPage, type PageBench, setImmutable, swapOut } from '../guest-pages.js';
import { finish } from '../refusals/launch-finish.js';

/** A migration agent is the guest of a channel; the guests here are launched for it. */

/** SMT, the reserved one, MIGRATE_MA. */
export const MIGRATABLE = 0x7_0000n;

export interface ClientOptions {
  readonly policy?: bigint;
  readonly imiEnabled?: boolean;
  readonly asid?: number;
  /** Leaves it in state LAUNCH. */
  readonly launching?: boolean;
  /** Fill of each page, from GPA 0x10000. */
  readonly pages?: readonly number[];
}

export interface Client extends PageBench {
  readonly pages: readonly Spa[];
}

/** A guest with the agent of the channel. */
export function launchClient({ machine, gctx: maGctx }: Channel, options: ClientOptions = {}): Client {
  const made = createGuest(machine);
  const { gctx } = made;
  const imiEnabled = options.imiEnabled ?? false;
  const policy = options.policy ?? MIGRATABLE;
  must(snpLaunchStart(machine, { gctx, policy, gosvw: GOSVW, maEnabled: true, imiEnabled, maGctx }));
  must(snpActivate(machine, { gctx, asid: options.asid ?? 2 }));
  const bench = { machine, ...made };
  const pages = (options.pages ?? []).map((fill, i) => guestPage(bench, 0x1_0000 + i * 0x1000, fill));
  if (!options.launching) must(snpLaunchFinish(machine, finish(gctx)));
  return { ...bench, pages };
}

export interface SwappedGuest {
  /** Ciphertext of each page, then that of the metadata page. */
  readonly ciphertexts: readonly Spa[];
  readonly metadata: Spa;
}

/** Swaps out all pages, then the metadata page with the root entry. */
export function swapOutAll(client: Client): SwappedGuest {
  const table = metadataPage(client);
  const ciphertexts = client.pages.map((src, i) => {
    setImmutable(client.machine, src, true);
    const dst = firmwarePage(client.machine);
    must(swapOut(client, { src, dst, mdata: spa(table + 64 * i) }));
    return dst;
  });
  const metadata = firmwarePage(client.machine);
  must(swapOut(client, { src: table, dst: metadata, pageType: 1 }));
  return { ciphertexts, metadata };
}

/** The 0x300 bytes as the agent gets them. */
export function exportContext(channel: Channel, client: Client, imiEnabled = false): Uint8Array {
  const payload = exchange(channel, MESSAGE_TYPE.EXPORT_REQ, encodeExportRequest(client.gctx, imiEnabled));
  const response = decodeExportResponse(payload);
  if (response?.status !== 0) throw new Error(`MSG_EXPORT_RSP has STATUS ${response?.status}`);
  return response.context;
}
