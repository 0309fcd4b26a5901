import type { Crypto } from '../engine/crypto.js';
import { createMeasurer, type Measurer } from '../engine/launch/measure.js';
import { createDryRunner, type DryRunner } from './dry-runner.js';

/** What a caller keeps who analyses one document again and again: what did not change is not computed again. */
export interface AnalysisMemory {
  readonly measurer: Measurer;
  readonly dryRunner: DryRunner;
}

export function createAnalysisMemory(crypto: Crypto): AnalysisMemory {
  return { measurer: createMeasurer(crypto), dryRunner: createDryRunner(crypto) };
}
