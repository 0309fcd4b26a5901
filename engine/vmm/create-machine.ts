import { PAGE_SIZE, PAGE_SIZE_2M, PAGES_PER_2M, pfn, spa } from '../address.js';
import { createAspState } from '../asp/state.js';
import { type Crypto, portableCrypto } from '../crypto.js';
import { createKvmHost } from '../kvm/state.js';
import type { LaunchPlan } from '../launch/plan.js';
import type { Machine } from '../machine.js';
import { createSystemMemory } from '../memory/system-memory.js';
import { createUserMemory } from '../memory/user-memory.js';
import { seededRandom } from '../random.js';
import { createRmp } from '../rmp/table.js';
import { createFrameStack } from '../timeline/event.js';
import { createAttack } from './attack/attack-state.js';

/** Where the BIOS of this machine reserves the RMP; below it lie the kernel and legacy memory. */
const RMP_BASE = 0x400_0000;

/** A machine after reset: memory and a reserved RMP, nothing initialised. `hostBoot` does the rest. */
export function createMachine(
  plan: Pick<LaunchPlan, 'host'>,
  options: { readonly crypto?: Crypto; readonly seed?: string } = {},
): Machine {
  const { processor, firmware, kvm, memory, sevSnp, hugePages, attack } = plan.host;
  const rmp = createRmp(spa(RMP_BASE), Math.ceil(memory / PAGE_SIZE_2M) * PAGES_PER_2M);
  // The page allocator starts at the first 2 MiB boundary above the table.
  const firstFree = pfn((Math.ceil((rmp.end + 1) / PAGE_SIZE_2M) * PAGE_SIZE_2M) / PAGE_SIZE);
  return {
    processor,
    firmware,
    kvmProfile: kvm,
    crypto: options.crypto ?? portableCrypto,
    random: seededRandom(options.seed ?? 'sev-snp'),
    memory: createSystemMemory(memory, firstFree, options.crypto),
    user: createUserMemory(),
    rmp,
    asp: createAspState(),
    kvm: createKvmHost({ sevSnp, hugePages }),
    ...(attack ? { attack: createAttack(attack) } : {}),
    stack: createFrameStack(),
    guestControl: { slice: 2_000_000, breakpoints: new Set(), limit: Number.POSITIVE_INFINITY },
    hostTime: 0,
    incidents: new Map(),
    console: { serial: '', debugcon: '' },
  };
}
