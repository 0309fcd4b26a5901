import type { AspState } from './asp/state.js';
import type { Crypto } from './crypto.js';
import type { KvmHost } from './kvm/state.js';
import type { SystemMemory } from './memory/system-memory.js';
import type { UserMemory } from './memory/user-memory.js';
import type { SeededRandom } from './random.js';
import type { Rmp } from './rmp/table.js';
import type { FirmwareProfile, KvmProfile, ProcessorProfile } from './spec/versions.js';
import type { FrameStack } from './timeline/event.js';

/** The whole emulated machine: plain state. Operations live in the folders; nothing here has methods. */
export interface Machine {
  readonly processor: ProcessorProfile;
  readonly firmware: FirmwareProfile;
  readonly kvmProfile: KvmProfile;
  readonly crypto: Crypto;
  readonly random: SeededRandom;
  readonly memory: SystemMemory;
  readonly user: UserMemory;
  readonly rmp: Rmp;
  readonly asp: AspState;
  readonly kvm: KvmHost;
  readonly stack: FrameStack;
}
