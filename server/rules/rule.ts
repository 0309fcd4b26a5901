import type { Crypto } from '../../engine/crypto.js';
import type { Fault, TextRange } from '../../engine/fault.js';
import type { FileSource } from '../../engine/launch/file-source.js';
import type { ParsedManifest } from '../../engine/launch/manifest/parse.js';
import type { Measurement } from '../../engine/launch/measure.js';
import type { LaunchPlan } from '../../engine/launch/plan.js';
import type { ParsedPolicy } from '../../engine/launch/policy/parse.js';
import type { FirmwareProfile, KvmProfile, ProcessorProfile } from '../../engine/spec/versions.js';

/**
 * A diagnostic rule: one file each, whose header comment is its documentation. A rule sees what was parsed and
 * resolved and returns faults that stand at their place in the text. It never reads the clock or the disk.
 */
export interface Rule {
  /** File name of the rule without suffix; for messages about bugs of ours. */
  readonly name: string;
  readonly manifest?: (context: ManifestContext) => readonly Fault[];
  readonly policy?: (context: PolicyContext) => readonly Fault[];
  /**
   * Checks of the engine that a fault of this rule anticipates: the dry run's fault is not shown again when its
   * chain has one of them and this rule has reported `check` (any check of the rule when absent).
   */
  readonly covers?: readonly Cover[];
  /** Changes of the text that remove the fault. Called for faults of any origin; answers [] for foreign ones. */
  readonly fixes?: (fault: Fault, context: FixContext) => readonly Fix[];
}

export interface Cover {
  /** Check that this rule reports. */
  readonly check: string;
  /** Check of the engine that would fail for the same cause. */
  readonly engine: string;
}

/** The emulated platform that a document is judged against. */
export interface HostProfiles {
  readonly processor: ProcessorProfile;
  readonly firmware: FirmwareProfile;
  readonly kvm: KvmProfile;
}

interface CommonContext {
  /** Path of the document as the caller named it. */
  readonly path: string;
  readonly text: string;
  readonly crypto: Crypto;
  readonly files: FileSource;
}

export interface ManifestContext extends CommonContext {
  readonly kind: 'manifest';
  readonly parsed: ParsedManifest;
  /** Missing when the manifest cannot be launched at all. */
  readonly plan?: LaunchPlan;
  /** The digest that the launch would have if nothing refused it. */
  readonly measurement?: Measurement;
}

export interface PolicyContext extends CommonContext {
  readonly kind: 'policy';
  readonly parsed: ParsedPolicy;
  readonly host: HostProfiles;
}

export type FixContext = ManifestContext | PolicyContext;

export interface TextChange {
  readonly file: string;
  readonly range: TextRange;
  readonly newText: string;
}

/** A quick fix. */
export interface Fix {
  readonly title: string;
  /** The one that is surely right. */
  readonly preferred?: boolean;
  readonly changes: readonly TextChange[];
}
