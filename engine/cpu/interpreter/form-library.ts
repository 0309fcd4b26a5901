import type { CodeSize, Instruction } from '../decoder/instruction.js';
import { definitionOf, isFloat } from '../semantics/index.js';
import { usesVectors } from './code-mode.js';
import { type FlagResult, type FlagUser, traitsOf } from './flag-analysis.js';
import { makeForm, staticKey, staticNumber } from './form.js';
import { generateMain, generateSide, type NumberedForm } from './generate.js';
import { Handler } from './record.js';

/** What is known of an instruction before its place in a block says which flags are live. */
export interface StaticForm {
  readonly key: string;
  /** Undefined where generated code has no semantics for it: TypeScript executes it. */
  readonly user: FlagUser | undefined;
  readonly vectors: boolean;
  readonly floats: boolean;
  readonly conditional: boolean;
  /** Handler numbers by flags and condition; see `variant`. */
  readonly handlers: number[];
}

/** Compiled code of some forms; every vCPU that needs one of them makes its own instance. */
export interface FormModule {
  readonly module: WebAssembly.Module;
  readonly forms: readonly NumberedForm[];
}

const MOST_HANDLERS = 0xffff;
/** A library with more forms is not given to new vCPUs, so that random code does not pile up forms for ever. */
const FULL = 16_000;

let shared: FormLibrary | undefined;

/**
 * All forms that vCPUs of this process have needed, with the modules that execute them. A handler number means the
 * same form for every vCPU of one library, and what is compiled is compiled once.
 */
export class FormLibrary {
  readonly forms: NumberedForm[] = [];
  private readonly byKey = new Map<string, StaticForm>();
  /** By id of the encoding, then by `staticNumber`: much faster than the key. */
  private readonly byNumber: Map<number, StaticForm>[] = [];
  private readonly modules: (FormModule | undefined)[] = [];
  /** The main function as the last consolidation left it: hot forms inline. */
  main: FormModule = { module: new WebAssembly.Module(generateMain([])), forms: [] };

  /** The library for a new vCPU. */
  static shared(): FormLibrary {
    if (!shared || shared.forms.length > FULL) shared = new FormLibrary();
    return shared;
  }

  staticForm(i: Instruction, stackSize: CodeSize): StaticForm | undefined {
    if (!i.encoding) return undefined;
    const { id } = i.encoding;
    let forms = this.byNumber[id];
    if (!forms) {
      forms = new Map();
      this.byNumber[id] = forms;
    }
    const number = staticNumber(i, stackSize);
    let form = forms.get(number);
    if (!form) {
      form = this.byText(i, stackSize);
      forms.set(number, form);
    }
    return form;
  }

  private byText(i: Instruction, stackSize: CodeSize): StaticForm {
    const key = staticKey(i, stackSize);
    const known = this.byKey.get(key);
    if (known) return known;
    const semantics = i.encoding?.semantics ?? '';
    const traits = (live: boolean) => traitsOf(makeForm(i, stackSize, { live, known: undefined }, key));
    const form = {
      key,
      user: definitionOf(semantics) ? { whenLive: traits(true), whenDead: traits(false) } : undefined,
      vectors: usesVectors(i),
      floats: isFloat(semantics),
      conditional: semantics.endsWith('cc'),
      handlers: [],
    };
    this.byKey.set(key, form);
    return form;
  }

  /** Number of the handler of a form; `i` is an instruction that has it. */
  handler(form: StaticForm, i: Instruction, stackSize: CodeSize, flags: FlagResult): number {
    const index = variant(form, i, flags);
    let handler = form.handlers[index];
    if (handler === undefined) {
      handler = Handler.firstForm + this.forms.length;
      if (handler > MOST_HANDLERS) throw new Error('more forms than a record can number');
      this.forms.push({ form: makeForm(i, stackSize, flags, form.key), handler });
      form.handlers[index] = handler;
    }
    return handler;
  }

  /** Modules that together have the code of these handlers. */
  modulesOf(handlers: readonly number[]): ReadonlySet<FormModule> {
    const missing = handlers.filter((handler) => !this.modules[handler]);
    if (missing.length > 0) this.compile(missing);
    const modules = new Set<FormModule>();
    for (const handler of handlers) {
      const module = this.modules[handler];
      if (module) modules.add(module);
    }
    return modules;
  }

  private numbered(handler: number): NumberedForm[] {
    const form = this.forms[handler - Handler.firstForm];
    return form ? [form] : [];
  }

  private compile(handlers: readonly number[]): void {
    const forms = handlers.flatMap((handler) => this.numbered(handler));
    const compiled: FormModule = { module: new WebAssembly.Module(generateSide(forms)), forms };
    for (const { handler } of forms) this.modules[handler] = compiled;
  }

  /** A main function with these handlers inline. */
  consolidate(hot: readonly number[]): FormModule {
    const forms = hot.flatMap((handler) => this.numbered(handler));
    this.main = { module: new WebAssembly.Module(generateMain(forms)), forms };
    return this.main;
  }
}

/** Only a form that knows the type of the flags has its condition inside. */
function variant({ conditional }: StaticForm, i: Instruction, { live, known }: FlagResult): number {
  const flags = (live ? 1 : 0) + 2 * (known ?? 0);
  return known !== undefined && conditional ? flags + 8 * (1 + (i.opcode & 15)) : flags;
}
