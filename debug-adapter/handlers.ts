import { REQUEST_RMP_PAGES, REQUEST_RMP_RANGES } from './protocol.js';
import * as breakpoints from './requests/breakpoints.js';
import * as execution from './requests/execution.js';
import type { Handler } from './requests/handler.js';
import * as inspect from './requests/inspect.js';
import * as lifecycle from './requests/lifecycle.js';
import * as memory from './requests/memory.js';
import * as views from './requests/views.js';

/** Every request that the adapter answers. What is not here is refused by name. */
export const HANDLERS: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ['initialize', lifecycle.initialize],
  ['launch', lifecycle.launch],
  ['attach', lifecycle.attach],
  ['configurationDone', lifecycle.configurationDone],
  ['restart', lifecycle.restart],
  ['terminate', lifecycle.terminate],
  ['disconnect', lifecycle.disconnect],

  ['setBreakpoints', breakpoints.setBreakpoints],
  ['setFunctionBreakpoints', breakpoints.setFunctionBreakpoints],
  ['setInstructionBreakpoints', breakpoints.setInstructionBreakpoints],
  ['setExceptionBreakpoints', breakpoints.setExceptionBreakpoints],
  ['breakpointLocations', breakpoints.breakpointLocations],

  ['threads', execution.threads],
  ['continue', execution.continueRun],
  ['next', execution.next],
  ['stepIn', execution.stepIn],
  ['stepOut', execution.stepOut],
  ['pause', execution.pause],

  ['stackTrace', inspect.stackTrace],
  ['scopes', inspect.scopes],
  ['variables', inspect.variables],
  ['evaluate', inspect.evaluate],
  ['completions', inspect.completions],
  ['exceptionInfo', inspect.exceptionInfo],
  ['setVariable', inspect.setVariable],
  ['readMemory', memory.readMemory],
  ['writeMemory', memory.writeMemory],
  ['disassemble', memory.disassemble],

  [REQUEST_RMP_RANGES, views.rmpRanges],
  [REQUEST_RMP_PAGES, views.rmpPages],
]);
