import { ARENA, RESULT, RESULT_SIZE, RESULTS, STATUS } from './layout.js';

/** What the runner wrote about a case. */
export interface Result {
  readonly status: keyof typeof STATUS;
  /** 1 real mode, 16, 32, 64: the code size of the handler. */
  readonly mode: number;
  readonly vector: number;
  readonly values: Readonly<Record<string, bigint>>;
  /** Dwords of the arena by offset; the first that changed. */
  readonly memory: ReadonlyMap<number, number>;
  readonly changes: number;
  readonly hash: number;
}

export const GPR_NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const SELECTORS = 'cs ss ds es fs gs tr ldtr'.split(' ');
const SYSTEM = ['cr0', 'cr2', 'cr3', 'cr4', 'efer', 'dr6', 'dr7', 'kernelGsBase'] as const;

export function readResult(ram: Uint8Array, index: number): Result {
  const at = RESULTS + RESULT_SIZE * index;
  const view = new DataView(ram.buffer, ram.byteOffset + at, RESULT_SIZE);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  const values: Record<string, bigint> = {};
  for (const [n, name] of GPR_NAMES.entries()) values[name] = view.getBigUint64(RESULT.gpr + 8 * n, true);
  values['flags'] = view.getBigUint64(RESULT.flags, true);
  for (const [n, name] of SELECTORS.entries()) values[name] = BigInt(view.getUint16(RESULT.selectors + 2 * n, true));
  for (const name of SYSTEM) values[name] = view.getBigUint64(RESULT[name], true);
  values['fcw'] = BigInt(view.getUint16(RESULT.fcw, true));
  values['fsw'] = BigInt(view.getUint16(RESULT.fsw, true));
  const code = u32(RESULT.status);
  const status = (Object.keys(STATUS) as (keyof typeof STATUS)[]).find((name) => STATUS[name] === code) ?? 'none';
  const changes = u32(RESULT.changes);
  const memory = new Map<number, number>();
  const listed = Math.min(changes, (RESULT.listEnd - RESULT.list) / 8);
  for (let n = 0; n < listed; n++) memory.set(u32(RESULT.list + 8 * n), u32(RESULT.list + 8 * n + 4));
  return {
    status,
    mode: u32(RESULT.mode),
    vector: u32(RESULT.vector),
    values,
    memory,
    changes,
    hash: u32(RESULT.hash),
  };
}

/** One thing that differs; undefined is "unchanged" for a dword of memory. */
export interface Difference {
  /** A register's name, `status`, `handler`, `vector`, or `memory`. */
  readonly what: string;
  /** Offset in the arena. */
  readonly at: number;
  readonly ours: bigint | undefined;
  readonly theirs: bigint | undefined;
}

const hex = (n: bigint | undefined): string => n?.toString(16) ?? 'unchanged';

export function describe({ what, at, ours, theirs }: Difference): string {
  const place = what === 'memory' ? `[${(ARENA + at).toString(16)}]` : what;
  return `${place} ${hex(ours)}, QEMU ${hex(theirs)}`;
}

export function differences(ours: Result, theirs: Result): Difference[] {
  const out: Difference[] = [];
  const compare = (what: string, a: number | bigint | undefined, b: number | bigint | undefined, at = 0): void => {
    if (a !== b) out.push({ what, at, ours: a === undefined ? a : BigInt(a), theirs: b === undefined ? b : BigInt(b) });
  };
  compare('status', STATUS[ours.status], STATUS[theirs.status]);
  if (out.length > 0) return out;
  compare('handler', ours.mode, theirs.mode);
  compare('vector', ours.vector, theirs.vector);
  for (const [name, value] of Object.entries(ours.values)) compare(name, value, theirs.values[name] ?? 0n);
  for (const at of new Set([...ours.memory.keys(), ...theirs.memory.keys()])) {
    compare('memory', ours.memory.get(at), theirs.memory.get(at), at);
  }
  // What has no room in the list.
  if (ours.changes > ours.memory.size || theirs.changes > theirs.memory.size) {
    compare('number of changed dwords', ours.changes, theirs.changes);
    compare('sum of the other changes', ours.hash, theirs.hash);
  }
  return out;
}
