import { IMPORT_NAMESPACE } from '../wasm/module-builder.js';
import { FormLibrary, type FormModule } from './form-library.js';
import { handlerName } from './generate.js';

/**
 * The handlers of one vCPU: instances of the library's modules in one table. New forms come in small modules of
 * their own, called through the table; `consolidate` moves the ones that run most into the main function.
 */

/** Forms in the main function: more make it slower to compile and to run, see the figures in test/bench/cpu. */
const HOT_FORMS = 160;
const TABLE_GROWTH = 1024;
/** The main function stays as it is while its forms make this share of what runs. */
const ENOUGH = 0.98;

export interface GeneratedCode {
  readonly run: (block: number) => void;
  readonly statusFlags: (type: number, a: bigint, b: bigint) => number;
}

export class Handlers {
  readonly library = FormLibrary.shared();
  private readonly table = new WebAssembly.Table({ element: 'anyfunc', initial: TABLE_GROWTH });
  /** 1 for each handler that is in the table, or will be after `flush`. */
  private ready = new Uint8Array(TABLE_GROWTH);
  private pending: number[] = [];
  private inline: FormModule;
  private helpers: Readonly<Record<string, unknown>>;
  main: GeneratedCode;
  /** Forms that this vCPU has needed. */
  count = 0;

  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly imports: Readonly<Record<string, unknown>>,
  ) {
    this.inline = this.library.main;
    const { exports } = this.instantiate(this.inline, imports);
    this.helpers = { ...imports, ...exports };
    this.main = exports as unknown as GeneratedCode;
  }

  /** Its code is there after `flush`. */
  need(handler: number): void {
    if (this.ready[handler] === 1) return;
    if (handler >= this.ready.length) {
      const larger = new Uint8Array(Math.max(handler + 1, this.ready.length * 2));
      larger.set(this.ready);
      this.ready = larger;
    }
    this.ready[handler] = 1;
    this.count++;
    this.pending.push(handler);
  }

  get hasPending(): boolean {
    return this.pending.length > 0;
  }

  /** Makes the code of all forms needed since the last call. */
  flush(): void {
    if (this.pending.length === 0) return;
    const pending = this.pending;
    this.pending = [];
    for (const module of this.library.modulesOf(pending)) {
      const { exports } = this.instantiate(module, this.helpers);
      for (const { handler } of module.forms) {
        while (this.table.length <= handler) this.table.grow(TABLE_GROWTH);
        this.table.set(handler, exports[handlerName(handler)]);
      }
    }
  }

  /** Moves the forms with the most executions into the main function. `heat` is by handler number. */
  consolidate(heat: readonly number[]): void {
    const hottest = [...heat.entries()].filter(([handler, n]) => n > 0 && this.ready[handler] === 1);
    const total = hottest.reduce((sum, [, n]) => sum + n, 0);
    const covered = this.inline.forms.reduce((sum, { handler }) => sum + (heat[handler] ?? 0), 0);
    if (covered >= ENOUGH * total) return;
    hottest.sort(([, a], [, b]) => b - a);
    this.inline = this.library.consolidate(hottest.slice(0, HOT_FORMS).map(([handler]) => handler));
    this.main = this.instantiate(this.inline, this.imports).exports as unknown as GeneratedCode;
  }

  private instantiate({ module }: FormModule, imports: Readonly<Record<string, unknown>>): WebAssembly.Instance {
    const all = { ...imports, memory: this.memory, table: this.table };
    return new WebAssembly.Instance(module, { [IMPORT_NAMESPACE]: all });
  }
}
