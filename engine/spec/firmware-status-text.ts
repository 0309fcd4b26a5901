import type { FirmwareStatusName } from './firmware-status.js';

/**
 * What each status says in SNP commands. AMD pub. 56860, status codes; the order of causes is by how often
 * users meet them.
 */
export const FIRMWARE_STATUS_TEXT: Readonly<Record<FirmwareStatusName, string>> = {
  SUCCESS: 'The command was carried out.',
  INVALID_PLATFORM_STATE:
    'The platform is not in the state that the command needs: SNP_INIT has not run, or ran already.',
  INVALID_GUEST_STATE: 'The guest is not in the state that the command needs: INIT, LAUNCH or RUNNING.',
  INVALID_CONFIG: 'The platform is not configured for SNP alike on all cores: SYSCFG, RMP_BASE, SMT or BIOS settings.',
  INVALID_LENGTH: 'A buffer is too small; the length that is needed was written back.',
  ALREADY_OWNED: 'The platform has an owner already (legacy SEV).',
  INVALID_CERTIFICATE: 'A certificate is not valid (legacy SEV).',
  POLICY_FAILURE: 'The guest policy forbids this, or the platform cannot satisfy it: reserved bits, ABI version, SMT.',
  INACTIVE: 'The guest has no ASID: SNP_ACTIVATE is missing.',
  INVALID_ADDRESS: 'An address is not aligned, not in DRAM, or reserved.',
  BAD_SIGNATURE: 'The signature of the ID block or of the ID key does not verify.',
  BAD_MEASUREMENT: 'The digest in the ID block is not the launch digest, or an authentication tag is wrong.',
  ASID_OWNED: 'Another guest has this ASID.',
  INVALID_ASID: 'The ASID is 0 or above the range of SNP guests.',
  WBINVD_REQUIRED: 'All cores have to execute WBINVD before the ASID can be used again.',
  DFFLUSH_REQUIRED: 'SNP_DF_FLUSH has to run before the ASID can be used again.',
  INVALID_GUEST: 'The address of the guest context is not the address of a Context page.',
  INVALID_COMMAND: 'The firmware does not know this command.',
  ACTIVE: 'The guest is active already.',
  HWERROR_PLATFORM: 'Hardware error; the platform is in a safe state.',
  HWERROR_UNSAFE: 'Hardware error; the platform has to be reset.',
  UNSUPPORTED: 'The firmware does not support this feature.',
  INVALID_PARAM: 'A parameter is not valid: a reserved bit, a version, an algorithm, an entry of the CPUID page.',
  RESOURCE_LIMIT: 'The firmware has no resources left for this.',
  SECURE_DATA_INVALID: 'A check of the firmware storage failed.',
  INVALID_PAGE_SIZE: 'The page size in the RMP is not the size that the command needs.',
  INVALID_PAGE_STATE: 'The page is in another RMP state than the command needs.',
  INVALID_MDATA_ENTRY: 'The metadata entry of a swapped page is not valid.',
  INVALID_PAGE_OWNER: 'The page belongs to another guest.',
  AEAD_OFLOW: 'The message counter would overflow.',
  RING_BUFFER_EXIT: 'The firmware left ring buffer mode.',
  RMP_INIT_REQUIRED: 'The RMP has to be initialised first.',
  BAD_SVN: 'The security version of the firmware image is older than the committed one.',
  BAD_VERSION: 'The version of the firmware image is older than the committed one.',
  SHUTDOWN_REQUIRED: 'SNP_SHUTDOWN_EX has to run first.',
  UPDATE_FAILED: 'The firmware update failed; the old firmware runs on.',
  RESTORE_REQUIRED: 'The firmware update failed half way; only another SNP_DOWNLOAD_FIRMWARE_EX works now.',
  RMP_INITIALIZATION_FAILED: 'The RMP could not be initialised.',
  INVALID_KEY: 'A key is not valid.',
};
