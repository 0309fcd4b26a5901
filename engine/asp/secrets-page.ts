import { PAGE_SIZE } from '../address.js';
import { view } from '../bytes.js';
import type { ProcessorProfile } from '../spec/versions.js';
import type { GuestContext } from './state.js';

/**
 * Version of the layout below: 3 has the VMSA tweak bitmap. Which firmware writes which number is not confirmed.
 */
export const SECRETS_VERSION = 3;

/** Offsets in the secrets page. AMD pub. 56860, secrets page; Linux arch/x86/include/asm/sev.h `snp_secrets_page`. */
export const SECRETS_LAYOUT = {
  version: 0x000,
  imiEnabled: 0x004,
  fms: 0x008,
  gosvw: 0x010,
  vmpck: [0x020, 0x040, 0x060, 0x080],
  osArea: 0x0a0,
  vmsaTweakBitmap: 0x100,
  tscFactor: 0x160,
} as const;

/**
 * The page that SNP_LAUNCH_UPDATE with PAGE_TYPE SECRETS writes. The guest OS area and the SVSM fields are zero;
 * so is the tweak bitmap, because no emulated guest has VmsaRegProt.
 */
export function buildSecretsPage(guest: GuestContext, processor: ProcessorProfile): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  const v = view(page);
  v.setUint32(SECRETS_LAYOUT.version, SECRETS_VERSION, true);
  v.setUint32(SECRETS_LAYOUT.imiEnabled, guest.imiEnabled ? 1 : 0, true);
  v.setUint32(SECRETS_LAYOUT.fms, processor.signature, true);
  page.set(guest.gosvw, SECRETS_LAYOUT.gosvw);
  SECRETS_LAYOUT.vmpck.forEach((offset, level) => {
    const key = guest.vmpck[level];
    if (key) page.set(key, offset);
  });
  return page;
}
