import type { DebugSession } from 'vscode';
import {
  REQUEST_RMP_PAGES,
  REQUEST_RMP_RANGES,
  type RmpPage,
  type RmpPagesArguments,
  type RmpPagesResponse,
  type RmpRangesResponse,
} from '../../../debug-adapter/protocol.js';

/** Where the view gets an RMP from: a debug session, or a fake in tests. */
export interface RmpSource {
  readonly ranges: () => Promise<RmpRangesResponse>;
  /** `start`: SPA of the first page, in hex. */
  readonly pages: (start: string, count: number) => Promise<readonly RmpPage[]>;
}

/** Requests to a session that has stopped; they reject while it runs and after it has ended. */
export function sessionSource(session: DebugSession): RmpSource {
  return {
    ranges: async () => (await session.customRequest(REQUEST_RMP_RANGES)) as RmpRangesResponse,
    pages: async (start, count) => {
      const request: RmpPagesArguments = { start, count };
      return ((await session.customRequest(REQUEST_RMP_PAGES, request)) as RmpPagesResponse).pages;
    },
  };
}
