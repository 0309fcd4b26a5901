import type { TreeDataProvider } from 'vscode';
import type { RmpNode } from './views/rmp/nodes.js';

/** What `activate` returns; for tests and for other extensions that want to read the RMP of a session. */
export interface SnpWorkbenchApi {
  /** Milliseconds in which we hold the extension host: running the bundle, then `activate`. */
  readonly activationTime: number;
  readonly rmp: TreeDataProvider<RmpNode>;
}
