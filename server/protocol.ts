/** What the client and this server say to each other beyond LSP. */

export interface InitializationOptions {
  /** False: files outside the workspace folders are not read. Default: not trusted. */
  readonly trusted?: boolean;
  /** Absolute paths of the workspace folders. */
  readonly folders?: readonly string[];
}

/** Client → server: the user has trusted the workspace. No parameters. */
export const TRUST_GRANTED = 'sevSnp/trustGranted';

/** Command of the digest lens; argument: the digest in hex. Implemented by the client. */
export const COPY_DIGEST = 'sevSnp.copyDigest';
/** Command of the "Debug launch" lens; argument: the URI of the manifest. Implemented by the client. */
export const DEBUG_LAUNCH = 'sevSnp.debugLaunch';
/** Command of the "launch fails" lens; arguments: URI, zero-based line and character. Implemented by the client. */
export const REVEAL_FAULT = 'sevSnp.revealFault';

/** Unknown input of the client, checked: nothing is trusted unless it says so. */
export function readInitializationOptions(value: unknown): Required<InitializationOptions> {
  const options = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const folders = Array.isArray(options['folders']) ? options['folders'] : [];
  return {
    trusted: options['trusted'] === true,
    folders: folders.filter((folder): folder is string => typeof folder === 'string'),
  };
}
