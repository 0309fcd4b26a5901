import { toHex } from '../../engine/bytes.js';
import type { Fault } from '../../engine/fault.js';
import { documentKind } from '../../engine/launch/document-kind.js';
import { version } from '../../package.json';
import { createFileSource } from '../../platform/file-source.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { type Analysis, analyse } from '../../server/analysis.js';
import { displayPath, type ReadDocument, readDocument } from '../document.js';
import type { ExitStatus } from '../exit-status.js';
import type { Output } from '../output.js';
import { placedFaultJson } from '../report/json.js';
import { sarifLog } from '../report/sarif.js';
import { faultText } from '../report/text.js';
import { createSources } from '../sources.js';
import { parseCommand, UsageError } from '../usage.js';

export const lintHelp = `Usage: sev-snp lint FILE… [--format text|json|sarif]

Checks launch manifests (*.snp.yaml, *.snp.yml, *.snp.json) and policy files (*.snp-policy.yaml, .yml, .json):
the grammar, the rules of QEMU, KVM and the SNP firmware, the files that they name, and a dry run of the launch
on the emulated machine.

Options:
  --format FORMAT  text (default), json, or sarif (SARIF 2.1.0, for code scanning)
  -h, --help       show this help

Exit status: 0 no errors (there may be warnings), 1 errors were found or a file could not be read, 2 wrong usage.
`;

const FORMATS = ['text', 'json', 'sarif'] as const;
type Format = (typeof FORMATS)[number];

type Checked =
  | { readonly path: string; readonly analysis: Analysis }
  | { readonly path: string; readonly unreadable: string };

export function lint(args: readonly string[], output: Output): ExitStatus {
  const { values, positionals } = parseCommand('lint', args, { format: { type: 'string' } });
  const format = parseFormat(values.format);
  if (positionals.length === 0) throw new UsageError('no file to check', 'lint');
  const files = createFileSource();
  const documents = positionals.map((name) => readDocument(name, files));
  const sources = createSources(
    files,
    documents.filter((d) => d.ok),
  );
  const checked = documents.map((document): Checked => check(document, files));
  const faults = checked.flatMap((c) => ('analysis' in c ? c.analysis.faults : []));

  switch (format) {
    case 'text':
      for (const fault of faults) output.out(`${faultText(fault, sources)}\n`);
      output.out(`${summary(checked, faults)}\n`);
      break;
    case 'json':
      output.out(`${JSON.stringify({ version, files: checked.map((c) => fileJson(c, sources)) }, undefined, 2)}\n`);
      break;
    case 'sarif': {
      const log = sarifLog({
        faults,
        sources,
        files: checked.map((c) => c.path),
        unreadable: checked.flatMap((c) => ('unreadable' in c ? [`${c.path} ${c.unreadable}`] : [])),
        toolVersion: version,
        root: process.cwd(),
      });
      output.out(`${JSON.stringify(log, undefined, 2)}\n`);
      break;
    }
  }
  for (const c of checked) {
    if ('analysis' in c && documentKind(c.path) === undefined) {
      output.err(
        `sev-snp: note: ${displayPath(c.path)} was taken for a launch manifest: its name ends neither in .snp.yaml ` +
          'nor in .snp-policy.yaml\n',
      );
    }
  }
  for (const c of checked) if ('unreadable' in c) output.err(`sev-snp: ${displayPath(c.path)} ${c.unreadable}\n`);
  const failed = checked.some((c) => 'unreadable' in c) || faults.some((fault) => fault.severity === 'error');
  return failed ? 1 : 0;
}

function parseFormat(text: string | undefined): Format {
  const format = FORMATS.find((f) => f === (text ?? 'text'));
  if (!format) throw new UsageError(`--format wants text, json or sarif, not '${text}'`, 'lint');
  return format;
}

function check(document: ReadDocument, files: ReturnType<typeof createFileSource>): Checked {
  const { path } = document;
  if (!document.ok) return { path, unreadable: document.message };
  return { path, analysis: analyse({ text: document.text, path, files, crypto: nativeCrypto }) };
}

function fileJson(checked: Checked, sources: ReturnType<typeof createSources>) {
  if ('unreadable' in checked) return { path: checked.path, unreadable: checked.unreadable, faults: [] };
  const { analysis } = checked;
  return {
    path: checked.path,
    kind: analysis.kind,
    ...(analysis.digest ? { digest: toHex(analysis.digest) } : {}),
    faults: analysis.faults.map((fault) => placedFaultJson(fault, sources)),
  };
}

function summary(checked: readonly Checked[], faults: readonly Fault[]): string {
  const count = (n: number, one: string, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
  const kinds = [
    [faults.filter((f) => f.severity === 'error').length, 'error', 'errors'],
    [faults.filter((f) => f.severity === 'warning').length, 'warning', 'warnings'],
    [faults.filter((f) => f.severity === 'information' || f.severity === 'hint').length, 'note', 'notes'],
  ] as const;
  const found = kinds.filter(([n]) => n > 0).map(([n, one, many]) => count(n, one, many));
  const unreadable = checked.filter((c) => 'unreadable' in c).length;
  const read = checked.length - unreadable;
  const verdict = `${count(read, 'file')} checked${read === 0 ? '' : `: ${found.length > 0 ? found.join(', ') : 'no problems'}`}`;
  return unreadable === 0 ? verdict : `${verdict}; ${count(unreadable, 'file')} could not be read`;
}
