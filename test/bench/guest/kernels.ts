import { compileKernels, KERNELS, runOutside } from '../cpu/kernels.js';
import { GUEST_ROUNDS, type GuestImages } from './images.js';
import { watchQemu } from './qemu-system.js';
import { type Row, ratio } from './row.js';
import { type Span, spans, watchGuest } from './watch.js';

const LIMIT = 200;
const QEMU_USER = 'qemu-x86_64';
/** The program's start-up code, which runs; an address in the image behind all code; one that no guest reaches. */
const BREAKPOINTS: ReadonlySet<bigint> = new Set([0xffff_0000n, 0xffff_effen, 0xdead_0000n]);

const geometric = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

function best(all: readonly Span[] | undefined): Span | undefined {
  return all?.reduce((a, b) => (a.milliseconds < b.milliseconds ? a : b));
}

/** The kernels in a running guest, with breakpoints set, and what share of others' speed that is. */
export async function benchKernels(images: GuestImages): Promise<Row[]> {
  const { program } = compileKernels();
  const guest = spans(watchGuest(images.kernels, BREAKPOINTS));
  const marks = await watchQemu(images.plain);
  const system = marks && spans(marks);
  const speeds: number[] = [];
  const shares = { native: [] as number[], user: [] as number[], system: [] as number[] };
  console.log('kernel in an SNP guest    instructions      speed  of native  of qemu-user  of qemu-system');
  for (const [index, { name, bytes }] of KERNELS.entries()) {
    const rounds = GUEST_ROUNDS[index] ?? 0;
    const ours = best(guest.get(String(index)));
    if (!ours) throw new Error(`${name} has not run`);
    const native = runOutside(program, index, rounds);
    const user = runOutside(program, index, rounds, QEMU_USER);
    const qemu = best(system?.get(String(index)));
    for (const other of [native?.result, user?.result, qemu?.value])
      if (other !== undefined && other !== ours.value) throw new Error(`${name}: ${ours.value}, elsewhere ${other}`);
    const mips = ours.instructions / ours.milliseconds / 1000;
    const gigabytes = bytes === undefined ? undefined : (bytes * rounds) / ours.milliseconds / 1e6;
    const share = (other: { readonly milliseconds: number } | undefined) =>
      other && other.milliseconds / ours.milliseconds;
    const of = { native: share(native), user: share(user), system: share(qemu) };
    const speed = gigabytes === undefined ? `${mips.toFixed(0)} MIPS` : `${gigabytes.toFixed(1)} GB/s`;
    console.log(
      `${name.padEnd(22)} ${ours.instructions.toString().padStart(15)} ${speed.padStart(10)} ${ratio(of.native, 10)} ${ratio(of.user, 13)} ${ratio(of.system, 15)}`,
    );
    // Counted in bytes, not in instructions.
    if (bytes !== undefined) continue;
    speeds.push(mips);
    for (const who of ['native', 'user', 'system'] as const) {
      const value = of[who];
      if (value !== undefined) shares[who].push(value);
    }
  }
  const mean = geometric(speeds) ?? 0;
  const means = [shares.native, shares.user, shares.system].map((list) => ratio(geometric(list), 5).trim());
  for (const [isThere, what] of [
    [shares.user.length > 0, QEMU_USER],
    [shares.system.length > 0, 'qemu-system-x86_64'],
  ] as const)
    if (!isThere) console.log(`(no ${what} here to compare with)`);
  return [
    {
      what: 'kernels in a guest, geometric mean without memory',
      result: `${mean.toFixed(0)} MIPS; ${means[0]} of native, ${means[1]} of qemu-user, ${means[2]} of qemu-system`,
      target: `≥ ${LIMIT} MIPS`,
      met: mean >= LIMIT,
    },
  ];
}
