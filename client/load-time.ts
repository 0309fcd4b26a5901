/** Imported first: when the bundle began to run, for the activation time that the tests print. */
export const loadStarted = performance.now();
