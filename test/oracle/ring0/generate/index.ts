import type { Random } from '../../random.js';
import type { Ring0Case } from '../ring0-case.js';
import type { Runner } from '../runner.js';
import { control } from './control.js';
import { debug } from './debug.js';
import { events } from './events.js';
import { farTransfers } from './far-transfers.js';
import { flags } from './flags.js';
import { legacyInstructions } from './legacy-instructions.js';
import { paging } from './paging.js';
import { segments } from './segments.js';
import { strings } from './strings.js';
import { systemCalls } from './system-calls.js';
import { units } from './units.js';

export type Generator = (random: Random) => Ring0Case;

export const generators = (runner: Runner): Readonly<Record<string, Generator>> => ({
  segments,
  'far-transfers': farTransfers,
  events: events(runner),
  paging,
  control,
  'system-calls': systemCalls,
  flags,
  debug,
  strings,
  units,
  'legacy-instructions': legacyInstructions,
});
