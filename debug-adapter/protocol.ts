/**
 * Custom DAP requests of debug type `sev-snp`: what views ask of a running session. Addresses travel as hex
 * text. Pure types: the client imports this file and nothing else of the adapter.
 */
import type { PageState } from '../engine/rmp/page-state.js';

export type { PageState };

/** Launch configuration. */
export interface SnpLaunchArguments {
  /** Path of the launch manifest. */
  readonly manifest: string;
  readonly stopOnEntry?: boolean;
  readonly noDebug?: boolean;
  /** Default true: after LAUNCH_FINISH the guest runs. */
  readonly runGuest?: boolean;
  /** Tracepoints of KVM in the Debug Console: an entry and an exit for each VMGEXIT. */
  readonly traceExits?: boolean;
  /** False: files outside `workspaceFolders` are refused. */
  readonly trusted?: boolean;
  readonly workspaceFolders?: readonly string[];
  /**
   * The client tells a person itself of a manifest that cannot be launched: the error response of `launch` then has
   * `showUser: false`, and `variables` with `path` and `line` of the first problem.
   */
  readonly clientShowsProblems?: boolean;
}

/** Frames with this id or a higher one are code of the guest. */
export const FIRST_GUEST_FRAME = 1_100_000_000;

/** Id of the error response to `launch` for a manifest that cannot be launched. */
export const ERROR_UNRESOLVABLE = 2003;

export const REQUEST_RMP_RANGES = 'snp/rmpRanges';
export const REQUEST_RMP_PAGES = 'snp/rmpPages';

/** Arguments: none. Runs of equal state, owner and page size, ascending; hypervisor-owned runs included. */
export interface RmpRangesResponse {
  /** Number of events that the launch has made so far. */
  readonly position: number;
  readonly ranges: readonly RmpRange[];
}

export interface RmpRange {
  /** SPA of the first page. */
  readonly start: string;
  readonly pages: number;
  readonly state: PageState;
  readonly asid: number;
  /** Pages whose entry changed between the last two stops. */
  readonly changed: number;
  /** GPA of the first page, for guest-owned pages. */
  readonly gpa?: string;
  /** What made these pages, in words: "update 1: firmware OVMF.fd". */
  readonly label?: string;
  /** The manifest lines that made the first page; zero-based. */
  readonly source?: RmpPageSource;
}

export interface RmpPageSource {
  readonly path: string;
  readonly line: number;
  readonly endLine: number;
}

export interface RmpPagesArguments {
  readonly start: string;
  readonly count: number;
}

export interface RmpPagesResponse {
  readonly pages: readonly RmpPage[];
}

export interface RmpPage {
  readonly spa: string;
  readonly gpa?: string;
  readonly state: PageState;
  readonly changed: boolean;
  /** 16 bytes in hex, as they lie in memory. */
  readonly raw: string;
  /** Decoded fields in display order: name and value. */
  readonly fields: readonly { readonly name: string; readonly value: string }[];
  /** The manifest lines that made the page; zero-based. */
  readonly source?: RmpPageSource;
  readonly label?: string;
}
