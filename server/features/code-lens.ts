import type { CodeLens } from 'vscode-languageserver';
import { toHex } from '../../engine/bytes.js';
import { rootFault } from '../../engine/fault.js';
import { EXPECT_DIGEST } from '../../engine/launch/expected-digest.js';
import type { Analysis } from '../analysis.js';
import { COPY_DIGEST, DEBUG_LAUNCH, REVEAL_FAULT } from '../protocol.js';
import { locate } from '../references.js';
import { rangeOf } from './ranges.js';

/** Over `launch:`: the digest of the launch, or why it would fail and what it would measure; and the way into the debugger. */
export function codeLenses(analysis: Analysis, uri: string): CodeLens[] {
  const launch = analysis.manifest?.tree.launch;
  if (!launch) return [];
  const range = rangeOf(analysis.lines, launch.key);
  const lenses: CodeLens[] = [];
  const failure = launchFailure(analysis);
  if (failure) {
    const { start } = rangeOf(analysis.lines, failure.range);
    lenses.push({
      range,
      command: {
        title: `$(error) launch fails: ${failure.title}`,
        command: REVEAL_FAULT,
        arguments: [uri, start.line, start.character],
      },
    });
  }
  if (analysis.digest) {
    const digest = toHex(analysis.digest);
    const differs = analysis.faults.some((fault) => fault.check === EXPECT_DIGEST.check);
    const short = `${digest.slice(0, 12)}…${digest.slice(-8)}`;
    const title = failure
      ? `would measure ${short}`
      : `launch digest ${short}${differs ? ', not the expected one' : ''}`;
    const tooltip = failure
      ? `${digest}\nThe digest that this launch would have if nothing refused it. Click to copy.`
      : `${digest}\nClick to copy.`;
    lenses.push({ range, command: { title, tooltip, command: COPY_DIGEST, arguments: [digest] } });
  }
  if (analysis.plan) {
    lenses.push({ range, command: { title: '$(debug-alt) Debug launch', command: DEBUG_LAUNCH, arguments: [uri] } });
  }
  return lenses;
}

function launchFailure(analysis: Analysis): { title: string; range: { start: number; end: number } } | undefined {
  const fault = analysis.failure;
  if (fault) return { title: rootFault(fault).title, range: locate(fault, analysis).range };
  const error = analysis.faults.find((f) => f.severity === 'error' && f.check !== EXPECT_DIGEST.check);
  return error && { title: error.title, range: locate(error, analysis).range };
}
