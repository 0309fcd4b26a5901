import { hex } from '../../engine/address.js';
import { decodeGhcbMsr } from '../../engine/spec/ghcb-msr.js';
import { paddedHex } from './registers.js';
import { groupView, hexView, member, type View } from './view.js';

/** A value of the GHCB MSR: the request or response in it, and its fields. */
export function msrView(value: bigint): View {
  const { name, direction, fields } = decodeGhcbMsr(value);
  return {
    ...groupView(
      `${paddedHex(value, 8)} ${name}${direction === 'value' ? '' : `, ${direction}`}`,
      () =>
        fields.map((f) =>
          member(f.name, { ...hexView(f.value), text: `${hex(f.value)} ${f.meaning ?? ''}`.trimEnd() }),
        ),
      'GHCB MSR',
    ),
    scalar: value,
  };
}
