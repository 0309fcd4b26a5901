import { ID_AUTH_LAYOUT } from '../../asp/id-auth.js';
import { encodeIdBlock, ID_AUTH_SIZE } from '../../asp/id-block.js';
import { view } from '../../bytes.js';
import type { IgvmPublicKey, IgvmSnpIdBlock } from './file.js';

const ID_BLOCK_VERSION = 1;

/** What KVM_SEV_SNP_LAUNCH_FINISH is given for an SNP_ID_BLOCK. */
export interface IgvmIdentity {
  /** 96 bytes. */
  readonly idBlock: Uint8Array;
  /** 4096 bytes. */
  readonly idAuth: Uint8Array;
  /** AUTH_KEY_EN: the author key names a curve. */
  readonly authorKey: boolean;
}

/** QEMU backends/igvm.c qigvm_directive_snp_id_block(), target/i386/sev.c cgs_set_guest_policy(). */
export function igvmIdentity(block: IgvmSnpIdBlock, policy: bigint): IgvmIdentity {
  const { ld, familyId, imageId, guestSvn } = block;
  const idAuth = new Uint8Array(ID_AUTH_SIZE);
  const v = view(idAuth);
  v.setUint32(ID_AUTH_LAYOUT.idKeyAlgo, block.idKeyAlgorithm, true);
  v.setUint32(ID_AUTH_LAYOUT.authKeyAlgo, block.authorKeyAlgorithm, true);
  idAuth.set(block.idKeySignature, ID_AUTH_LAYOUT.idBlockSig);
  idAuth.set(block.authorKeySignature, ID_AUTH_LAYOUT.idKeySig);
  writeKey(idAuth, ID_AUTH_LAYOUT.idKey, block.idPublicKey);
  writeKey(idAuth, ID_AUTH_LAYOUT.authorKey, block.authorPublicKey);
  return {
    idBlock: encodeIdBlock({ ld, familyId, imageId, version: ID_BLOCK_VERSION, guestSvn, policy }),
    idAuth,
    authorKey: (block.authorPublicKey.curve & 0xff) !== 0,
  };
}

/** The file’s key has a reserved word behind the curve, which that of the firmware has not. */
function writeKey(page: Uint8Array, at: number, { curve, point }: IgvmPublicKey): void {
  view(page).setUint32(at, curve, true);
  page.set(point, at + 4);
}
