import type { FunctionBuilder } from '../wasm/function-builder.js';
import type { SemanticContext } from './context.js';

/** What an instruction does: `i` gives operands, guest memory and flags, `f` builds expressions. */
export type Definition = (i: SemanticContext, f: FunctionBuilder) => void;

const definitions = new Map<string, Definition>();

/** Declares the semantics of one or several rows, separated by blanks. */
export function define(names: string, definition: Definition): void {
  for (const name of names.split(' ')) {
    if (definitions.has(name)) throw new Error(`semantics of ${name} declared twice`);
    definitions.set(name, definition);
  }
}

export function definitionOf(semantics: string): Definition | undefined {
  return definitions.get(semantics);
}
