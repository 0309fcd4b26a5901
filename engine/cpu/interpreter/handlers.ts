import { IMPORT_NAMESPACE } from '../wasm/module-builder.js';
import type { Form } from './form.js';
import { generateMain, generateSide, handlerName, type NumberedForm } from './generate.js';
import { Handler } from './record.js';

/**
 * Hands out handler numbers for forms and makes their code: new forms come in small modules of their own, called
 * through the table; `consolidate` moves the ones that run most into the main function.
 */

/** Forms in the main function: more make it slower to compile and to run, see the figures in test/bench/cpu. */
const HOT_FORMS = 160;
const TABLE_GROWTH = 1024;
const MOST_HANDLERS = 0xffff;

export interface GeneratedCode {
  readonly run: (block: number) => void;
  readonly statusFlags: (type: number, a: bigint, b: bigint) => number;
}

export class Handlers {
  private readonly numbers = new Map<string, number>();
  readonly forms: NumberedForm[] = [];
  private pending: NumberedForm[] = [];
  private readonly table: WebAssembly.Table;
  main: GeneratedCode;

  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly imports: Readonly<Record<string, unknown>>,
  ) {
    this.table = new WebAssembly.Table({ element: 'anyfunc', initial: TABLE_GROWTH });
    this.main = this.install([]);
  }

  /** Number of the handler of a form that is known. */
  numberOf(key: string): number | undefined {
    return this.numbers.get(key);
  }

  /** Number for a new form; its code is there after `flush`. */
  add(form: Form): number {
    const handler = Handler.firstForm + this.forms.length;
    if (handler > MOST_HANDLERS) throw new Error('more forms than a record can number');
    const numbered = { form, handler };
    this.numbers.set(form.key, handler);
    this.forms.push(numbered);
    this.pending.push(numbered);
    return handler;
  }

  /** Makes the code of all forms added since the last call. */
  flush(): void {
    if (this.pending.length === 0) return;
    const forms = this.pending;
    this.pending = [];
    const { exports } = this.instantiate(generateSide(forms));
    while (this.table.length < Handler.firstForm + this.forms.length) this.table.grow(TABLE_GROWTH);
    for (const { handler } of forms) this.table.set(handler, exports[handlerName(handler)]);
  }

  /** Moves the forms with the most executions into the main function. `heat` is by handler number. */
  consolidate(heat: readonly number[]): void {
    this.flush();
    const hottest = this.forms
      .filter(({ handler }) => (heat[handler] ?? 0) > 0)
      .sort((a, b) => (heat[b.handler] ?? 0) - (heat[a.handler] ?? 0));
    this.main = this.install(hottest.slice(0, HOT_FORMS));
  }

  private install(hot: readonly NumberedForm[]): GeneratedCode {
    const { exports } = this.instantiate(generateMain(hot));
    return exports as unknown as GeneratedCode;
  }

  private instantiate(bytes: Uint8Array): WebAssembly.Instance {
    const imports = { ...this.imports, memory: this.memory, table: this.table };
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), { [IMPORT_NAMESPACE]: imports });
  }
}
