import type { Fault } from '../../engine/fault.js';
import { faultJson, type JsonObject } from '../../engine/timeline/format.js';
import { placeOf, type Sources } from './place.js';

/** A fault with its causes, and its place if it has one: one-based lines and columns. */
export function placedFaultJson(fault: Fault, sources: Sources): JsonObject {
  const place = placeOf(fault, sources);
  if (!place) return faultJson(fault);
  const { line, column, endLine, endColumn } = place;
  return { ...faultJson(fault), line, column, endLine, endColumn };
}
