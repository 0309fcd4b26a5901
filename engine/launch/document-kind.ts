export type DocumentKind = 'manifest' | 'policy';

/** What a file is, by its name: `*.snp.yaml` or `*.snp-policy.yaml`, also with `.yml` and `.json`. */
export function documentKind(path: string): DocumentKind | undefined {
  if (/\.snp\.(ya?ml|json)$/i.test(path)) return 'manifest';
  if (/\.snp-policy\.(ya?ml|json)$/i.test(path)) return 'policy';
  return undefined;
}
