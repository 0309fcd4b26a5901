/** Loads all definitions. */
import './moves.js';
import './arithmetic.js';
import './shifts.js';
import './multiply.js';
import './bits.js';
import './control.js';
import './strings.js';
import './sse-moves.js';
import './sse-integer.js';
import './sse-float.js';
import './sse-convert.js';

export { definitionOf } from './registry.js';
export { isFloat } from './sse-float.js';
