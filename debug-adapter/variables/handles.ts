import type { View } from './view.js';

/** A view that a client may unfold, with the expression that reaches it. */
export interface Unfoldable {
  readonly view: View;
  readonly expression?: string;
}

/** Numbers for unfoldable values; they die when the launch moves on. */
export interface Handles {
  readonly values: Map<number, Unfoldable>;
  next: number;
}

export function createHandles(): Handles {
  return { values: new Map(), next: 1 };
}

/** 0 for a value without children, as the protocol wants it. */
export function handleOf(handles: Handles, view: View, expression?: string): number {
  if (!view.members && !view.items) return 0;
  const reference = handles.next++;
  handles.values.set(reference, { view, expression });
  return reference;
}

/** Old numbers are never used again, so that a late request cannot read another value. */
export function dropHandles(handles: Handles): void {
  handles.values.clear();
}
