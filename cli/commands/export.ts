import type { Fault } from '../../engine/fault.js';
import { parseManifest } from '../../engine/launch/manifest/parse.js';
import { exportQemu, formatCommandLine } from '../../engine/launch/qemu/export-qemu.js';
import { resolvePlan } from '../../engine/launch/resolve.js';
import { createFileSource } from '../../platform/file-source.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { autoFirmware } from '../auto-firmware.js';
import { displayPath } from '../document.js';
import type { ExitStatus } from '../exit-status.js';
import { readLaunch } from '../launch-document.js';
import type { Output } from '../output.js';
import { faultText } from '../report/text.js';
import { createSources } from '../sources.js';
import { parseCommand, UsageError } from '../usage.js';

export const exportHelp = `Usage: sev-snp export MANIFEST --format qemu

Prints the QEMU command line that launches what a manifest describes: -object sev-snp-guest with policy, ID block,
host data and kernel hashes, the machine, and the firmware image or IGVM file. What QEMU cannot be told goes to
standard error. Paths stay as they are written: run the command in the folder of the manifest.

Options:
  --format qemu  the only format
  -h, --help     show this help

Exit status: 0 the command line was printed, 1 the manifest is wrong, or QEMU cannot launch it, 2 wrong usage.
`;

export function exportCommand(args: readonly string[], output: Output): ExitStatus {
  const { values, positionals } = parseCommand('export', args, { format: { type: 'string' } });
  const [name, extra] = positionals;
  if (name === undefined) throw new UsageError('no manifest to export', 'export');
  if (extra !== undefined) throw new UsageError(`one manifest at a time: '${extra}' is too much`, 'export');
  const format = values.format ?? 'qemu';
  if (format !== 'qemu') throw new UsageError(`--format wants qemu, not '${format}'`, 'export');
  const files = createFileSource();
  const document = readLaunch(name, files);
  if (!document.ok) {
    output.err(`sev-snp: ${displayPath(document.path)} ${document.message}\n`);
    return 1;
  }
  const sources = createSources(files, [document]);
  const report = (fault: Fault): void => output.err(`${faultText(fault, sources)}\n`);
  const parsed = parseManifest(document.manifest, document.path);
  const { plan, faults } = resolvePlan(parsed, files, nativeCrypto);
  const exported = plan && exportQemu(parsed, plan);
  const moved = [...parsed.problems, ...faults, ...(exported?.faults ?? [])].map(document.place);
  const found = [...document.faults, ...moved];
  for (const fault of found) report(fault);
  if (!plan || !exported || found.some((fault) => fault.severity === 'error')) return 1;
  const image = autoFirmware(parsed, plan);
  if (image !== undefined) output.err(`sev-snp: note: firmware: auto is ${image}\n`);
  output.out(formatCommandLine(exported));
  return 0;
}
