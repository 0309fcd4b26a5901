import { basename } from 'node:path';
import { type Diagnostic, type DiagnosticRelatedInformation, DiagnosticSeverity } from 'vscode-languageserver';
import { type Fault, formatCode, rootFault, type Severity } from '../../engine/fault.js';
import type { Analysis } from '../analysis.js';
import { chainOf } from '../duplicates.js';
import { locate } from '../references.js';
import { rulePageUrl } from '../rule-pages.js';
import { rangeOf } from './ranges.js';
import { uriOfPath } from './uris.js';

/** What a diagnostic carries for the client and for tools that read it back. */
export interface DiagnosticData {
  readonly check: string;
  readonly layer: string;
  readonly command: string;
  readonly operands: Readonly<Record<string, string>>;
  readonly confirmed: boolean;
}

export const DIAGNOSTIC_SOURCE = 'sev-snp';

export function diagnosticsOf(analysis: Analysis): Diagnostic[] {
  return analysis.faults.map((fault) => diagnosticOf(fault, analysis));
}

/** The one place where a Fault becomes an LSP diagnostic. */
export function diagnosticOf(fault: Fault, analysis: Analysis): Diagnostic {
  const place = locate(fault, analysis);
  const related: DiagnosticRelatedInformation[] = place.elsewhere
    ? [{ location: place.elsewhere, message: fault.title }]
    : [];
  const here = { uri: uriOfPath(analysis.path), range: rangeOf(analysis.lines, place.range) };
  for (const cause of chainOf(fault).slice(1)) related.push({ location: here, message: because(cause) });
  const data: DiagnosticData = {
    check: fault.check,
    layer: fault.layer,
    command: fault.command,
    operands: Object.fromEntries(Object.entries(fault.operands).map(([name, value]) => [name, String(value)])),
    confirmed: fault.confirmed,
  };
  return {
    range: here.range,
    severity: toDiagnosticSeverity(fault.severity),
    code: fault.check,
    codeDescription: { href: rulePageUrl(fault.check) },
    source: DIAGNOSTIC_SOURCE,
    message: `${place.elsewhere && fault.at ? `In ${basename(fault.at.file)}: ` : ''}${diagnosticText(fault)}`,
    ...(related.length > 0 ? { relatedInformation: related } : {}),
    data,
  };
}

/** What failed, below it every cause down to the check that really failed, and what to change. */
export function diagnosticText(fault: Fault): string {
  const code = formatCode(fault.code);
  const lines = [code ? `${fault.message} (${fault.command} → ${code})` : fault.message];
  const chain = chainOf(fault);
  for (const cause of chain.slice(1)) lines.push(because(cause));
  lines.push(`To fix: ${rootFault(fault).hint}`);
  if (chain.some((f) => !f.confirmed)) lines.push('This behaviour is not confirmed on real hardware.');
  return lines.join('\n');
}

function because(cause: Fault): string {
  const code = formatCode(cause.code);
  return `because ${cause.layer}: ${cause.command}${code ? ` → ${code}` : ''}: ${cause.message}`;
}

function toDiagnosticSeverity(severity: Severity): DiagnosticSeverity {
  switch (severity) {
    case 'error':
      return DiagnosticSeverity.Error;
    case 'warning':
      return DiagnosticSeverity.Warning;
    case 'information':
      return DiagnosticSeverity.Information;
    case 'hint':
      return DiagnosticSeverity.Hint;
  }
}
