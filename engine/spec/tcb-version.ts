/**
 * TCB_VERSION: one byte for each part of the trusted computing base. AMD pub. 56860, TCB_VERSION; Linux
 * include/uapi/linux/psp-sev.h; github.com/virtee/sev src/firmware/host/types/snp.rs.
 */

/** Milan and Genoa are family 19h, Turin is family 1Ah. */
export type TcbLayout = '19h' | '1ah';

export type TcbComponent = 'fmc' | 'bootLoader' | 'tee' | 'snp' | 'microcode';

/** Position of each component, from the lowest byte. */
export const TCB_BYTES: Readonly<Record<TcbLayout, readonly (readonly [TcbComponent, number])[]>> = {
  '19h': [
    ['bootLoader', 0],
    ['tee', 1],
    ['snp', 6],
    ['microcode', 7],
  ],
  '1ah': [
    ['fmc', 0],
    ['bootLoader', 1],
    ['tee', 2],
    ['snp', 3],
    ['microcode', 7],
  ],
};

/** Security patch levels, 0 … 255 each; `fmc` exists only in layout 1ah. */
export type TcbVersion = Readonly<Record<Exclude<TcbComponent, 'fmc'>, number>> & { readonly fmc?: number };

export function encodeTcb(tcb: TcbVersion, layout: TcbLayout): bigint {
  let value = 0n;
  for (const [component, byte] of TCB_BYTES[layout]) value |= BigInt((tcb[component] ?? 0) & 0xff) << BigInt(8 * byte);
  return value;
}

const byteOf = (value: bigint, byte: number): number => Number((value >> BigInt(8 * byte)) & 0xffn);

export function decodeTcb(value: bigint, layout: TcbLayout): TcbVersion {
  const tcb: Record<TcbComponent, number> = { fmc: 0, bootLoader: 0, tee: 0, snp: 0, microcode: 0 };
  for (const [component, byte] of TCB_BYTES[layout]) tcb[component] = byteOf(value, byte);
  const { fmc, ...common } = tcb;
  return layout === '1ah' ? { fmc, ...common } : common;
}

/** Bytes of the value that the layout reserves. */
export function reservedTcbBits(value: bigint, layout: TcbLayout): bigint {
  return TCB_BYTES[layout].reduce((rest, [, byte]) => rest & ~(0xffn << BigInt(8 * byte)), value);
}

/** The first component of `a` that is higher than in `b`. Versions are compared by component, never as numbers. */
export function tcbComponentAbove(a: bigint, b: bigint, layout: TcbLayout): TcbComponent | undefined {
  return TCB_BYTES[layout].find(([, byte]) => byteOf(a, byte) > byteOf(b, byte))?.[0];
}

const NAMES: Readonly<Record<TcbComponent, string>> = {
  fmc: 'FMC',
  bootLoader: 'boot loader',
  tee: 'TEE',
  snp: 'SNP',
  microcode: 'microcode',
};

export function tcbComponentName(component: TcbComponent): string {
  return NAMES[component];
}

/** `boot loader 1, TEE 2, …` in the order of the bytes. */
export function formatTcb(value: bigint, layout: TcbLayout): string {
  return TCB_BYTES[layout].map(([component, byte]) => `${NAMES[component]} ${byteOf(value, byte)}`).join(', ');
}
