/** Where the documentation pages of the checks are published. */
export const RULE_PAGES = 'https://github.com/sev-snp-workbench/sev-snp-workbench/blob/main/docs/rules/';

export function rulePageUrl(check: string): string {
  return `${RULE_PAGES}${check}.md`;
}
