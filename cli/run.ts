import { nearest } from '../engine/launch/grammar/suggest.js';
import { version } from '../package.json';
import { explain, explainHelp } from './commands/explain.js';
import { exportCommand, exportHelp } from './commands/export.js';
import { importCommand, importHelp } from './commands/import.js';
import { launchCommand, launchHelp } from './commands/launch.js';
import { lint, lintHelp } from './commands/lint.js';
import { measure, measureHelp } from './commands/measure.js';
import type { ExitStatus } from './exit-status.js';
import type { Output } from './output.js';
import { UsageError } from './usage.js';

interface Command {
  readonly run: (args: readonly string[], output: Output) => ExitStatus;
  readonly help: string;
  readonly summary: string;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  measure: { run: measure, help: measureHelp, summary: 'print the launch digest of a manifest or of an OVMF image' },
  lint: { run: lint, help: lintHelp, summary: 'check launch manifests and policy files' },
  launch: { run: launchCommand, help: launchHelp, summary: 'run a launch on the emulated machine' },
  import: { run: importCommand, help: importHelp, summary: 'turn a QEMU command line or libvirt XML into a manifest' },
  export: { run: exportCommand, help: exportHelp, summary: 'turn a manifest into a QEMU command line' },
  explain: { run: explain, help: explainHelp, summary: 'decode a policy, an error code or an exit code' },
};

const HELP = `Usage: sev-snp COMMAND [ARGUMENT…]

Emulates AMD SEV-SNP launches: no EPYC machine is needed.

Commands:
${Object.entries(COMMANDS)
  .map(([name, command]) => `  ${name.padEnd(8)}  ${command.summary}`)
  .join('\n')}

'sev-snp COMMAND --help' tells more. Exit status: 0 fine, 1 the input is wrong or the launch failed, 2 wrong usage.
`;

/** One command line, without the program's name. */
export function run(args: readonly string[], output: Output): ExitStatus {
  const [name, ...rest] = args;
  try {
    if (name === undefined) {
      output.err(HELP);
      return 2;
    }
    if (name === '--version' || name === '-V') {
      output.out(`${version}\n`);
      return 0;
    }
    if (name === '--help' || name === '-h' || name === 'help') {
      output.out((rest[0] !== undefined && find(rest[0]).help) || HELP);
      return 0;
    }
    const command = find(name);
    const ownArguments = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
    if (ownArguments.some((a) => a === '--help' || a === '-h')) {
      output.out(command.help);
      return 0;
    }
    return command.run(rest, output);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    output.err(`sev-snp: ${error.message}\nTry 'sev-snp ${error.verb ? `${error.verb} ` : ''}--help'.\n`);
    return 2;
  }
}

function find(name: string): Command {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command) return command;
  if (name.startsWith('-')) throw new UsageError(`unknown option ${name}`);
  const meant = nearest(name, Object.keys(COMMANDS));
  throw new UsageError(`there is no command '${name}'${meant ? `; did you mean '${meant}'?` : ''}`);
}
