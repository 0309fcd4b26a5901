import { gfn } from '../../engine/address.js';
import { toHex } from '../../engine/bytes.js';
import type { KvmRelease } from '../../engine/spec/versions.js';
import { stateHash } from '../../engine/timeline/state-hash.js';
import { checkChanges, checkPrivate, checkShared } from './checks.js';
import { acceptPage, canRun, rescindPage, rmpadjust, usePage } from './guest-side.js';
import { anyGuest, anyPage, HOST_OPERATIONS } from './host-side.js';
import { type Numbers, pick } from './source.js';
import { createWorld, type World } from './world.js';

type HostName = keyof typeof HOST_OPERATIONS;
type GuestName = 'pvalidate' | 'rescind' | 'rmpadjust' | 'read' | 'write' | 'share';

const HOST_NAMES = Object.keys(HOST_OPERATIONS) as [HostName, ...HostName[]];
/** What an honest host does; half of what the host does at all. */
const HONEST: readonly [HostName, ...HostName[]] = ['convert', 'convert', 'attributes', 'punch', 'wbinvd', 'destroy'];
const GUEST_NAMES: readonly [GuestName, ...GuestName[]] = [
  'pvalidate',
  'pvalidate',
  'rescind',
  'rmpadjust',
  'read',
  'read',
  'write',
  'write',
  'share',
];

/** One operation, with the invariants behind it. */
export function operate(world: World, n: Numbers): void {
  world.changes.length = 0;
  const byGuest = n.below(3) > 0;
  const name = byGuest ? guestOperation(world, n) : hostOperation(world, n);
  checkChanges(world, byGuest);
  const index = n.below(world.guests.length);
  const guest = world.guests[index];
  if (guest && checkPrivate(world, index, guest)) count(world, 'compared with the view of the others');
  if (name) count(world, name);
}

function count({ effects }: World, name: string): void {
  effects.set(name, (effects.get(name) ?? 0) + 1);
}

function hostOperation(world: World, n: Numbers): string | undefined {
  const name = pick(n, n.below(2) === 0 ? HONEST : HOST_NAMES);
  return HOST_OPERATIONS[name](world, n) ? name : undefined;
}

function guestOperation(world: World, n: Numbers): string | undefined {
  const { index, guest } = anyGuest(world, n);
  const name = pick(n, GUEST_NAMES);
  const page = anyPage(n);
  if (!guest || !canRun(world, guest)) return undefined;
  const size2M = n.below(6) === 0;
  const head = size2M ? gfn(page - (page % 512)) : page;
  switch (name) {
    case 'pvalidate':
      return acceptPage(world, index, guest, head, size2M) ? name : undefined;
    case 'rescind':
      return rescindPage(world, index, guest, head, size2M) ? name : undefined;
    case 'rmpadjust': {
      const vmpl = ([1, 2, 3] as const)[n.below(3)] ?? 1;
      return rmpadjust(world, guest, page, vmpl, n.below(16), n.below(4) === 0)?.code === 0 ? name : undefined;
    }
    case 'read':
    case 'write':
      return usePage(world, index, guest, page, name === 'write') ? name : undefined;
    case 'share':
      return checkShared(world, guest, page) ? name : undefined;
  }
}

export interface Episode {
  readonly kvm: KvmRelease;
  readonly hugePages: boolean;
  readonly operations: number;
  readonly numbers: Numbers;
}

/** A sequence of operations on a new host. The world at its end. */
export function runEpisode({ kvm, hugePages, operations, numbers }: Episode): World {
  const world = createWorld(kvm, hugePages);
  for (let i = 0; i < operations; i++) operate(world, numbers);
  return world;
}

export function hashOf({ machine }: World): string {
  return toHex(stateHash(machine));
}
