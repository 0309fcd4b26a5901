/** What the fallback host is made of; all from the npm registry. Change them together and try `npm test`. */
export const CODE_SERVER = '4.139.1';
/** The Node that this code-server was built for. */
export const SERVER_NODE = '24.21.0';
