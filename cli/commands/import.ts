import { type Fault, makeFault } from '../../engine/fault.js';
import { parseManifest } from '../../engine/launch/manifest/parse.js';
import { QEMU_NO_COMMAND } from '../../engine/launch/qemu/faults.js';
import { createFileSource } from '../../platform/file-source.js';
import { displayPath } from '../document.js';
import type { ExitStatus } from '../exit-status.js';
import { readLaunch } from '../launch-document.js';
import type { Output } from '../output.js';
import { faultText } from '../report/text.js';
import { createSources } from '../sources.js';
import { parseCommand, UsageError } from '../usage.js';

export const importHelp = `Usage: sev-snp import FILE

Prints the launch manifest for a QEMU command line (a shell script, or the text of a document) or for a libvirt
domain description with <launchSecurity type='sev-snp'>. What QEMU or libvirt would refuse, and what a manifest
cannot say, goes to standard error; options that do not belong to the launch become comments.

Paths in the manifest are as in FILE: put the manifest beside it.

Options:
  -h, --help  show this help

Exit status: 0 the manifest was printed, 1 it was, but QEMU would refuse the launch, or FILE cannot be read, 2 wrong
usage.
`;

export function importCommand(args: readonly string[], output: Output): ExitStatus {
  const { positionals } = parseCommand('import', args, {});
  const [name, extra] = positionals;
  if (name === undefined) throw new UsageError('no file to import', 'import');
  if (extra !== undefined) throw new UsageError(`one file at a time: '${extra}' is too much`, 'import');
  const files = createFileSource();
  const document = readLaunch(name, files);
  if (!document.ok) {
    output.err(`sev-snp: ${displayPath(document.path)} ${document.message}\n`);
    return 1;
  }
  const sources = createSources(files, [document]);
  const report = (fault: Fault): void => output.err(`${faultText(fault, sources)}\n`);
  if (!document.input) {
    const at = { file: document.path, range: { start: 0, end: 0 } };
    report(makeFault(QEMU_NO_COMMAND, { path: displayPath(document.path) }, { at }));
    return 1;
  }
  const { problems } = parseManifest(document.manifest, document.path);
  const found = [...document.faults, ...problems.map(document.place)];
  for (const fault of found) report(fault);
  output.out(document.manifest);
  return found.some((fault) => fault.severity === 'error') ? 1 : 0;
}
