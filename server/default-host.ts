import { DEFAULTS } from '../engine/launch/resolve.js';
import { firmwareProfile, KVM_PROFILES, PROCESSOR_PROFILES } from '../engine/spec/versions.js';
import type { HostProfiles } from './rules/rule.js';

/** What a policy file on its own is judged against: the platform that a manifest without `host:` gets. */
export const DEFAULT_HOST: HostProfiles = {
  processor: PROCESSOR_PROFILES[DEFAULTS.processor],
  firmware: firmwareProfile(DEFAULTS.firmwareMinor),
  kvm: KVM_PROFILES[DEFAULTS.kvm],
};
