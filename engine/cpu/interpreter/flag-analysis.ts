import type { Traits } from '../semantics/flag-context.js';
import type { FlagType } from '../semantics/flags.js';
import { NO_HELPERS } from '../semantics/helpers.js';
import { definitionOf } from '../semantics/index.js';
import { FunctionBuilder, I32 } from '../wasm/function-builder.js';
import type { Form } from './form.js';
import { RecordContext } from './record-context.js';

/** Flag liveness (backwards) and the type of flags known to be there (forwards), over one block. */

const known = new Map<string, Traits>();

/** What the definition does when the flags it sets are needed, or not: asked of itself, on scratch code. */
export function traitsOf(form: Form): Traits {
  const key = form.key;
  let traits = known.get(key);
  if (!traits) {
    const f = new FunctionBuilder([I32], []);
    const context = new RecordContext(f, form, NO_HELPERS, f.parameter(0), () => {});
    definitionOf(form.semantics)?.(context, f);
    traits = context.traits;
    known.set(key, traits);
  }
  return traits;
}

/** One instruction of a block; traits with flags live, and dead. Undefined for those left to TypeScript. */
export interface FlagUser {
  readonly whenLive: Traits | undefined;
  readonly whenDead: Traits | undefined;
}

export interface FlagResult {
  readonly live: boolean;
  readonly known: FlagType | undefined;
}

export function analyseFlags(users: readonly FlagUser[]): FlagResult[] {
  const live: boolean[] = [];
  let needed = true;
  for (let n = users.length - 1; n >= 0; n--) {
    const user = users[n];
    live[n] = needed;
    const traits = needed ? user?.whenLive : user?.whenDead;
    if (!traits) {
      needed = true;
      continue;
    }
    if (traits.sets !== undefined && !traits.keepsFlags) needed = false;
    if (traits.readsFlags || traits.faults) needed = true;
  }
  let type: FlagType | undefined;
  return users.map((user, n) => {
    const isLive = live[n] ?? true;
    const before = type;
    const traits = isLive ? user.whenLive : user.whenDead;
    if (!traits) type = undefined;
    else if (traits.sets !== undefined && (isLive || traits.keepsFlags))
      type = traits.keepsFlags ? undefined : traits.sets;
    return {
      // A form that sets no flags is the same live or dead.
      live: traits?.sets === undefined ? true : isLive,
      known: traits?.readsFlags && before !== 0 ? before : undefined,
    };
  });
}
