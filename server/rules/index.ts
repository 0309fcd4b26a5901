import { cpuidCorrected } from './cpuid-corrected.js';
import { debugPolicy } from './debug-policy.js';
import { expectDigest } from './expect-digest.js';
import { firmwareAuto } from './firmware-auto.js';
import { firmwareVariables } from './firmware-variables.js';
import { grammarSuggestion } from './grammar-suggestion.js';
import { idBlock } from './id-block.js';
import { initrdWithoutKernel } from './initrd-without-kernel.js';
import { missingPages } from './missing-pages.js';
import { pageAlignment } from './page-alignment.js';
import { pageMemory } from './page-memory.js';
import { pageOverlap } from './page-overlap.js';
import { policyDidYouMean } from './policy-did-you-mean.js';
import { policyRefused } from './policy-refused.js';
import { policySevStyle } from './policy-sev-style.js';
import type { Rule } from './rule.js';
import { vmsaFeatures } from './vmsa-features.js';

/** All rules. Of faults at one place the first reported is shown first: what was meant before what is wrong. */
export const RULES: readonly Rule[] = [
  grammarSuggestion,
  policyDidYouMean,
  policySevStyle,
  policyRefused,
  debugPolicy,
  firmwareVariables,
  firmwareAuto,
  vmsaFeatures,
  initrdWithoutKernel,
  pageAlignment,
  pageOverlap,
  pageMemory,
  missingPages,
  cpuidCorrected,
  idBlock,
  expectDigest,
];
