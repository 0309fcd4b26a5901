/** Breakpoints in the guest's debug registers: APM volume 2, section 13.1. */

export const DR6 = { BD: 0x2000, BS: 0x4000 } as const;
export const DR7 = { enabled: 0xff, generalDetect: 0x2000 } as const;

interface DataMatch {
  /** Linear addresses of first and last byte. */
  readonly first: bigint;
  readonly last: bigint;
  readonly readsToo: boolean;
  /** Bit of DR6. */
  readonly bit: number;
}

interface PortMatch {
  readonly first: number;
  readonly last: number;
  readonly bit: number;
}

enum Kind {
  execute = 0,
  write = 1,
  port = 2,
  access = 3,
}
/** Bytes by the two bits of LEN. */
const LENGTHS = [1, 2, 8, 4] as const;

/** What DR0 to DR3 and DR7 ask for. All lists are empty while nothing is armed. */
export class DebugMatches {
  /** Bits of DR6 by linear address of the instruction. */
  readonly instructions = new Map<bigint, number>();
  data: readonly DataMatch[] = [];
  ports: readonly PortMatch[] = [];
  /** What matched in the instruction in execution, as bits of DR6. */
  hits = 0;

  /** `extensions`: CR4.DE, without which there are no breakpoints for ports. True if anything has changed. */
  load(addresses: readonly bigint[], control: number, extensions: boolean): boolean {
    const wasArmed = this.armed;
    this.instructions.clear();
    const data: DataMatch[] = [];
    const ports: PortMatch[] = [];
    for (let n = 0; n < 4; n++) {
      if (((control >> (2 * n)) & 3) === 0) continue;
      const kind = (control >> (16 + 4 * n)) & 3;
      const bytes = LENGTHS[(control >> (18 + 4 * n)) & 3] ?? 1;
      const address = addresses[n] ?? 0n;
      const first = address & ~BigInt(bytes - 1);
      const bit = 1 << n;
      if (kind === Kind.execute) this.instructions.set(address, (this.instructions.get(address) ?? 0) | bit);
      else if (kind !== Kind.port)
        data.push({ first, last: first + BigInt(bytes - 1), readsToo: kind === Kind.access, bit });
      else if (extensions)
        ports.push({ first: Number(first & 0xffffn), last: Number(first & 0xffffn) + bytes - 1, bit });
    }
    this.data = data;
    this.ports = ports;
    return wasArmed || this.armed;
  }

  get armed(): boolean {
    return this.instructions.size > 0 || this.data.length > 0 || this.ports.length > 0;
  }

  /** Has the page of a linear address a byte that is watched? Its translation must not be remembered. */
  watches(linear: bigint): boolean {
    const page = linear >> 12n;
    return this.data.some(({ first, last }) => first >> 12n <= page && page <= last >> 12n);
  }

  dataAt(linear: bigint, bytes: number, access: 'read' | 'write'): number {
    const last = linear + BigInt(bytes - 1);
    let bits = 0;
    for (const match of this.data)
      if ((access === 'write' || match.readsToo) && linear <= match.last && last >= match.first) bits |= match.bit;
    return bits;
  }

  /** Notes an access to ports; the trap comes after the instruction. */
  port(port: number, bytes: number): void {
    for (const { first, last, bit } of this.ports) if (port <= last && port + bytes - 1 >= first) this.hits |= bit;
  }

  takeHits(): number {
    const { hits } = this;
    this.hits = 0;
    return hits;
  }
}
