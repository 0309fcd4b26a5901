import { view } from '../../bytes.js';
import { guidText } from './guid.js';

/** EFI_SYSTEM_NV_DATA_FV_GUID: file system of the variable store. edk2 MdeModulePkg/Include/Guid/SystemNvDataGuid.h. */
const NV_DATA_FV = 'fff12b8d-7696-4c8b-a985-2747075b4f50';

const MAGIC: readonly { readonly bytes: readonly number[]; readonly what: string }[] = [
  { bytes: [0x51, 0x46, 0x49, 0xfb], what: 'it is a qcow2 disk image; convert it with `qemu-img convert -O raw`' },
  { bytes: [0x49, 0x47, 0x56, 0x4d], what: 'it is an IGVM file; name it with `igvm:`' },
  { bytes: [0x7f, 0x45, 0x4c, 0x46], what: 'it is an ELF program' },
  { bytes: [0x4d, 0x5a], what: 'it is an EFI or Windows program' },
  { bytes: [0x1f, 0x8b], what: 'it is compressed with gzip; unpack it' },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a], what: 'it is compressed with xz; unpack it' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], what: 'it is compressed with zstd; unpack it' },
  { bytes: [0x50, 0x4b, 0x03, 0x04], what: 'it is a ZIP archive; unpack it' },
];

/** What a file seems to be that is not an SNP-capable OVMF image, in words; empty if nothing is recognised. */
export function recogniseFile(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'the file is empty';
  const magic = MAGIC.find((m) => m.bytes.every((b, i) => bytes[i] === b));
  if (magic) return magic.what;
  if (isVariableStore(bytes)) return 'it is a variable store (VARS); the firmware is in the CODE file beside it';
  if (bytes.length < 4096) return 'it is too small for firmware';
  const top = bytes.subarray(bytes.length - 16);
  if (top.every((b) => b === 0xff) || top.every((b) => b === 0))
    return 'there is no reset vector in its last 16 bytes, so it is no x86 firmware or it was cut';
  return '';
}

/** A firmware volume of variables that fills the file: the VARS half of a CODE/VARS pair. */
export function isVariableStore(bytes: Uint8Array): boolean {
  if (bytes.length < 0x40 || guidText(bytes.subarray(0x10, 0x20)) !== NV_DATA_FV) return false;
  return view(bytes).getBigUint64(0x20, true) >= BigInt(bytes.length);
}
