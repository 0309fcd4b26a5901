/**
 * The one type for everything that goes wrong, from a misspelled key to a refused firmware command.
 * A Fault is a value: engine functions return it, the editor shows it. Exceptions are for bugs of ours.
 */

export type FaultLayer = 'manifest' | 'vmm' | 'kvm' | 'firmware' | 'hardware' | 'guest';

/** What software would see of the refusal on a real machine. */
export type FaultCode =
  /** The text or a file is wrong; nothing ran. */
  | { readonly kind: 'input' }
  /** A system call returned `value` (negative). */
  | { readonly kind: 'errno'; readonly name: string; readonly value: number }
  /** The SNP firmware answered with a status code. */
  | { readonly kind: 'firmware'; readonly name: string; readonly value: number }
  /** EAX of RMPUPDATE, PSMASH, PVALIDATE, RMPADJUST. */
  | { readonly kind: 'instruction'; readonly name: string; readonly value: number }
  /** What the guest reads as the answer to a VMGEXIT: in SW_EXITINFO2, or in the upper half of the GHCB MSR. */
  | { readonly kind: 'ghcb'; readonly name: string; readonly value: number }
  /** A CPU exception or a #VMEXIT. */
  | { readonly kind: 'exception'; readonly name: string; readonly value: number };

export type Severity = 'error' | 'warning' | 'information' | 'hint';

/** Numbers print in decimal; pass `hex(x)` for addresses and bit masks. */
export type Operand = string | number | bigint | boolean;
export type Operands = Readonly<Record<string, Operand>>;

/** Half-open range of UTF-16 offsets into one text file. */
export interface TextRange {
  readonly start: number;
  readonly end: number;
}

/** Where in the user's files a fault belongs. `file` is the path as the caller named the document. */
export interface SourceLocation {
  readonly file: string;
  readonly range: TextRange;
}

/**
 * One check that can fail. Declared once, beside the code that performs it; the documentation page of the
 * check is generated from it.
 */
export interface FaultDefinition<O extends Operands = Operands> {
  /** Stable kebab-case id, unique in the product: the diagnostic code and the name of its page. */
  readonly check: string;
  readonly layer: FaultLayer;
  /** ioctl, firmware command, instruction or file part, spelled as Linux or AMD spell it. */
  readonly command: string;
  readonly code: FaultCode;
  readonly severity?: Severity;
  /** One line for lists and headings. */
  readonly title: string;
  /** What failed, with operands: one or two sentences. */
  readonly message: (operands: O) => string;
  /** Why the rule exists and what it protects: a paragraph for the documentation page. */
  readonly why: string;
  /** What to change: one sentence in the imperative. */
  readonly hint: string | ((operands: O) => string);
  /** Document and section, or source file and function. */
  readonly reference: string;
  /** False where the behaviour of real hardware or firmware could not be confirmed from a source. */
  readonly confirmed: boolean;
}

export interface Fault {
  readonly check: string;
  readonly layer: FaultLayer;
  readonly command: string;
  readonly code: FaultCode;
  readonly severity: Severity;
  readonly title: string;
  readonly message: string;
  readonly hint: string;
  readonly reference: string;
  readonly confirmed: boolean;
  readonly operands: Operands;
  /** Where it belongs in the user's files; filled in by whoever knows. */
  readonly at?: SourceLocation;
  /** The fault of the layer below that made this one: KVM's -EIO because of a firmware status. */
  readonly cause?: Fault;
}

const definitions = new Map<string, FaultDefinition>();

/** Declares a check. Throws on a duplicate id: that is a bug of ours. */
export function defineFault<O extends Operands = Operands>(definition: FaultDefinition<O>): FaultDefinition<O> {
  if (definitions.has(definition.check)) throw new Error(`duplicate fault definition ${definition.check}`);
  definitions.set(definition.check, definition as unknown as FaultDefinition);
  return definition;
}

/** All checks declared by the modules loaded so far, by id. */
export function faultDefinitions(): readonly FaultDefinition[] {
  return [...definitions.values()].sort((a, b) => (a.check < b.check ? -1 : 1));
}

export function faultDefinition(check: string): FaultDefinition | undefined {
  return definitions.get(check);
}

export function makeFault<O extends Operands>(
  definition: FaultDefinition<O>,
  operands: O,
  extra: { readonly at?: SourceLocation; readonly cause?: Fault; readonly code?: FaultCode } = {},
): Fault {
  return {
    check: definition.check,
    layer: definition.layer,
    command: definition.command,
    code: extra.code ?? definition.code,
    severity: definition.severity ?? 'error',
    title: definition.title,
    message: definition.message(operands),
    hint: typeof definition.hint === 'string' ? definition.hint : definition.hint(operands),
    reference: definition.reference,
    confirmed: definition.confirmed,
    operands,
    ...(extra.at ? { at: extra.at } : {}),
    ...(extra.cause ? { cause: extra.cause } : {}),
  };
}

/** The same fault, placed in the user's file; an existing place wins, because it is nearer. */
export function faultAt(fault: Fault, at: SourceLocation): Fault {
  return fault.at ? fault : { ...fault, at };
}

/** The innermost fault: the check that really failed. */
export function rootFault(fault: Fault): Fault {
  let root = fault;
  while (root.cause) root = root.cause;
  return root;
}

export function formatCode(code: FaultCode): string {
  switch (code.kind) {
    case 'input':
      return '';
    case 'errno':
      return `-${code.name} (${code.value})`;
    case 'firmware':
      return `${code.name} (fw_error=0x${code.value.toString(16)})`;
    case 'instruction':
      return `${code.name} (${code.value})`;
    case 'ghcb':
    case 'exception':
      return `${code.name} (0x${code.value.toString(16)})`;
  }
}

/** The whole explanation as plain text, outermost fault first: what, operands, why below, what to change. */
export function explainFault(fault: Fault): string {
  const lines: string[] = [];
  for (let f: Fault | undefined = fault; f; f = f.cause) {
    const code = formatCode(f.code);
    lines.push(`${f === fault ? '' : 'because '}${f.layer}: ${f.command}${code ? ` → ${code}` : ''}: ${f.message}`);
    const operands = Object.entries(f.operands).map(([k, v]) => `${k}=${formatOperand(v)}`);
    if (operands.length > 0) lines.push(`  operands: ${operands.join(', ')}`);
    lines.push(`  check: ${f.check} (${f.reference})${f.confirmed ? '' : ' [not confirmed on real hardware]'}`);
  }
  lines.push(`  to fix: ${rootFault(fault).hint}`);
  return lines.join('\n');
}

export function formatOperand(value: Operand): string {
  return typeof value === 'bigint' ? `0x${value.toString(16)}` : String(value);
}

export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly fault: Fault };

export function ok<T>(value: T): Result<T> {
  return { ok: true, value };
}

export function fail<T = never>(fault: Fault): Result<T> {
  return { ok: false, fault };
}
