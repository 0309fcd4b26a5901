import { copyBytes, fromHex, toHex } from '../../bytes.js';

/** Text of the 16 bytes of an EFI GUID: the first three parts are little-endian. UEFI specification, appendix A. */
export function guidText(bytes: Uint8Array): string {
  const h = (start: number, end: number): string => toHex(bytes.subarray(start, end));
  const swapped = (start: number, end: number): string => toHex(copyBytes(bytes, start, end).reverse());
  return `${swapped(0, 4)}-${swapped(4, 6)}-${swapped(6, 8)}-${h(8, 10)}-${h(10, 16)}`;
}

/** The 16 bytes of a GUID written as text. Throws for other texts: they are constants of ours. */
export function guidBytes(text: string): Uint8Array {
  const bytes = fromHex(text.replaceAll('-', ''));
  if (bytes?.length !== 16) throw new Error(`not a GUID: ${text}`);
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

/** GUIDs of the table at the end of an OVMF image. edk2 OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm. */
export const OVMF_GUID = {
  footer: '96b582de-1fb2-45f7-baea-a366c55a082d',
  sevMetadata: 'dc886566-984a-4798-a75e-5585a7bf67cc',
  tdxMetadata: 'e47a6535-984a-4798-865e-4685a7bf8ec2',
  hashTable: '7255371f-3a3b-4b04-927b-1da6efa8d454',
  secretArea: '4c2eb361-7d9b-4cc3-8081-127c90d3d294',
  sevEsReset: '00f771de-1a7e-4fcb-890e-68c77e2fb44e',
  svsmInfo: 'a789a612-0597-4c4b-a49f-cbb1fe9d1ddd',
} as const;
