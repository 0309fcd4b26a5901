/** Names shared with package.json. */
export const DEBUG_TYPE = 'sev-snp';
export const MANIFEST_LANGUAGE = 'snp-manifest';
export const POLICY_LANGUAGE = 'snp-policy';
export const RMP_VIEW = 'sevSnp.rmp';

export const MANIFEST_GLOB = '**/*.snp.{yaml,yml,json}';
export const POLICY_GLOB = '**/*.snp-policy.{yaml,yml,json}';

/** Context keys of `when` clauses. */
export const CONTEXT_SESSION = 'sevSnp.session';
export const CONTEXT_GROUPED = 'sevSnp.rmpGrouped';
export const CONTEXT_MANIFEST = 'sevSnp.manifestOpen';
