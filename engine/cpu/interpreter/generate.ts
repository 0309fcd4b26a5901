import { addHelpers, type Helpers, importHelpers } from '../semantics/helpers.js';
import { definitionOf } from '../semantics/index.js';
import { LEFT, RIP } from '../state/layout.js';
import { FunctionBuilder, I32, type Value } from '../wasm/function-builder.js';
import { ModuleBuilder } from '../wasm/module-builder.js';
import type { Form } from './form.js';
import { BLOCK, Handler, RECORD } from './record.js';
import { RecordContext } from './record-context.js';

/** A form and the number of its handler. */
export interface NumberedForm {
  readonly form: Form;
  readonly handler: number;
}

/** Name under which a module exports the function of a handler. */
export const handlerName = (handler: number): string => `h${handler}`;

function emitForm(
  f: FunctionBuilder,
  form: Form,
  helpers: Helpers,
  record: Value,
  enter: (block: Value) => void,
): void {
  const definition = definitionOf(form.semantics);
  if (!definition) throw new Error(`no semantics of ${form.semantics}`);
  definition(new RecordContext(f, form, helpers, record, enter), f);
}

/** A handler as a function: record → block to enter, or 0 to go on with the next record. */
function handlerFunction(helpers: Helpers, form: Form): FunctionBuilder {
  const f = new FunctionBuilder([I32], [I32]);
  emitForm(f, form, helpers, f.parameter(0), (block) => f.return(block));
  f.put(f.constant(32, 0));
  return f;
}

/**
 * A module of its own for forms that turned up late; the main function stays as the compiler optimised it. Helpers
 * are those of the first main function: a copy of them would cost more to compile than the forms.
 */
export function generateSide(forms: readonly NumberedForm[]): Uint8Array {
  const m = new ModuleBuilder(false);
  const helpers = importHelpers(m);
  // Imports come first, and are known when all code is.
  const functions = forms.map(({ form, handler }) => ({ handler, code: handlerFunction(helpers, form) }));
  for (const { handler, code } of functions) m.add(code, handlerName(handler));
  return m.finish();
}

/**
 * The main function `run(block)`: enters blocks and dispatches records until the instructions of the slice are used
 * up. Hot forms are cases of its one switch; all others are called through the table.
 */
export function generateMain(hot: readonly NumberedForm[]): Uint8Array {
  const m = new ModuleBuilder(true);
  const helpers = addHelpers(m);
  const f = new FunctionBuilder([I32], []);
  const record = f.variable(32);
  const here = f.get(record);
  f.set(record, f.parameter(0));
  f.loop((enterBlock) => {
    const enter = (block: Value): void => {
      f.set(record, block);
      f.branch(enterBlock);
    };
    f.scope(() => {
      const left = f.let(f.sub(f.loadAt(32, LEFT), f.load(32, here, BLOCK.count)));
      f.if(f.compare('ltS', left, 0), () => {
        f.storeAt(RIP, f.load(64, here, BLOCK.rip));
        f.return();
      });
      f.storeAt(LEFT, left);
      f.store(here, BLOCK.executions, f.add(f.load(32, here, BLOCK.executions), 1));
    });
    f.set(record, f.add(here, BLOCK.size));
    f.loop((dispatch) => {
      const advance = (): void => {
        f.set(record, f.add(here, RECORD.size));
        f.branch(dispatch);
      };
      const table: (number | undefined)[] = [];
      const cases: (() => void)[] = [];
      const addCase = (handler: number, body: () => void): void => {
        table[handler] = cases.push(() => f.scope(body)) - 1;
      };
      addCase(Handler.resync, () => enter(f.call(helpers.rare, 32, [here])));
      table[Handler.rare] = table[Handler.resync];
      addCase(Handler.fallThrough, () => {
        const link = f.temporary(32);
        f.set(link, f.load(32, here, RECORD.nextLink));
        f.if(f.compare('leU', f.get(link), 1), () =>
          f.set(link, f.call(helpers.follow, 32, [here, f.constant(32, RECORD.nextLink)])),
        );
        enter(f.get(link));
      });
      for (const { form, handler } of hot) {
        addCase(handler, () => {
          emitForm(f, form, helpers, here, enter);
          advance();
        });
      }
      const type = m.type([I32], [I32]);
      f.switch(f.load(16, here, RECORD.handler), Array.from(table), cases, () =>
        f.scope(() => {
          const block = f.let(f.callIndirect(type, 32, [here], f.load(16, here, RECORD.handler)));
          f.if(block, () => enter(block));
          advance();
        }),
      );
    });
  });
  f.unreachable();
  m.add(f, 'run');
  return m.finish();
}
